"""The pictures of docs/tour.md: one scenario, from the clouds to a unit whose plug is pulled.

    python benchmarks/tour.py

Runs launch/scenarios/v2i.yaml in slow motion, kills the roadside unit in the middle, lets it come back, and
draws what was fused, why a message held what it did, and what the ego knew. Leaves results/tour/
and docs/images/tour-*.png.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from mcap.reader import make_reader
from nav_msgs.msg import OccupancyGrid
from rclpy.serialization import deserialize_message

from cosense import topics
from cosense.evaluation.run_files import FusedFrame, read_fused_frames
from cosense.evaluation.runs.live_metrics import entries_by_frame
from cosense.json_lines import read_lines
from cosense.nodes.ros.conversions import to_ns
from cosense.runs.finished import pages_of_run
from cosense.runs.live_run import clear_results
from cosense.runs.processes import processes
from cosense.runs.scenario import PlayerSettings, load_scenario, resolved
from cosense.runs.supervisor import Progress, Supervisor, ros_environment
from cosense.viewer import colors
from cosense.viewer.annotations import outcome_of
from cosense.viewer.bev import MIN_SCORE, draw_bev

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "results" / "tour"
IMAGES = ROOT / "docs" / "images"
FRAMES, KILL_AT, RATE = 50, 14, 0.2
UNIT = "infrastructure"
_SAME_FRAME_NS = 50_000_000
MODES = {"HYBRID": colors.SOURCES[2], "LATE": colors.SOURCES[1], "EGO": colors.SOURCES[0]}
MAPS = {
    "supply": "where the unit is sure of something",
    "demand": "where the ego cannot see",
    "selection": "what was sent",
}


def main() -> None:
    """Run, then draw."""
    run()
    entries = read_fused_frames(OUT / "detections.jsonl")
    stamps = [line["stamp_ns"] for line in read_lines(OUT / "frames.jsonl")]
    fused = entries_by_frame(stamps, entries)
    best = next(index for index in range(5, FRAMES) if fused[index] and fused[index].mode == "HYBRID")
    (page,), _ = pages_of_run(OUT, best, 1)
    draw_bev(page.frame, page.detections, IMAGES / "tour-fused.png", title="One vehicle, one roadside unit")
    draw_maps(stamps[best], IMAGES / "tour-message.png")
    draw_modes(fused, IMAGES / "tour-modes.png")


def run() -> None:
    """Run the scenario, and kill the unit in the middle."""
    scenario = resolved(load_scenario(ROOT / "launch" / "scenarios" / "v2i.yaml"))
    player = PlayerSettings(mode="rate", rate=RATE)
    scenario = dataclasses.replace(scenario, player=player, frames=FRAMES, record=True, respawn=True)
    clear_results(OUT)
    (OUT / "scenario.yaml").write_text((ROOT / "launch" / "scenarios" / "v2i.yaml").read_text())
    killed: list[int] = []

    def pull_the_plug(progress: Progress) -> None:
        pid = progress.running.get(f"agent-{UNIT}")
        if progress.fused >= KILL_AT and not killed and pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    failures = Supervisor(processes(scenario, OUT), OUT, ros_environment(OUT / "logs")).run(pull_the_plug)
    print("\n".join(map(str, failures)))


def draw_maps(stamp_ns: int, path: Path) -> None:
    """Draw supply, demand and selection of the message of one frame."""
    wanted = {topics.debug_map_topic(UNIT, name): name for name in MAPS}
    found: dict[str, OccupancyGrid] = {}
    with (OUT / "run.mcap").open("rb") as file:
        for _, channel, message in make_reader(file).iter_messages(topics=list(wanted)):
            grid = deserialize_message(message.data, OccupancyGrid)
            # The unit measures when its own clock says so.
            if abs(to_ns(grid.header.stamp) - stamp_ns) < _SAME_FRAME_NS:
                found[wanted[channel.topic]] = grid
    figure, axes = plt.subplots(1, 3, figsize=(15, 3.4), facecolor=colors.BACKGROUND)
    for axis, (name, meaning) in zip(axes, MAPS.items(), strict=True):
        info = found[name].info
        values = np.array(found[name].data).reshape(info.height, info.width)
        x, y = info.origin.position.x, info.origin.position.y
        extent = (x, x + info.width * info.resolution, y, y + info.height * info.resolution)
        axis.imshow(values, origin="lower", extent=extent, cmap="magma", vmin=0, vmax=100)
        axis.set_title(f"{name}: {meaning}", color=colors.TEXT, fontsize=11)
        _plain(axis)
    figure.tight_layout()
    figure.savefig(path, dpi=110, facecolor=figure.get_facecolor())
    plt.close(figure)


def draw_modes(fused: list[FusedFrame | None], path: Path) -> None:
    """Draw how many of the vehicles were found, and in which mode, frame by frame."""
    pages, _ = pages_of_run(OUT, 0, FRAMES)
    figure, axis = plt.subplots(figsize=(12, 3.6), facecolor=colors.BACKGROUND)
    axis.set_facecolor(colors.BACKGROUND)
    found = []
    for page in pages:
        sure = page.detections[page.detections.scores >= MIN_SCORE]
        found.append(int(outcome_of(sure, page.frame.ground_truth).truth_found.sum()))
    modes = [entry.mode if entry else None for entry in fused]
    for name, color in MODES.items():
        here = [index for index, mode in enumerate(modes) if mode == name]
        axis.bar(here, [found[index] for index in here], width=0.9, color=color, label=name)
    axis.plot([len(page.frame.ground_truth) for page in pages], color=colors.GROUND_TRUTH, label="there are")
    axis.set_xlabel("frame, one every 100 ms", color=colors.TEXT)
    axis.set_ylabel("objects found", color=colors.TEXT)
    axis.legend(ncol=4, facecolor=colors.BACKGROUND, labelcolor=colors.TEXT, edgecolor=colors.FRAME)
    _plain(axis)
    figure.tight_layout()
    figure.savefig(path, dpi=110, facecolor=figure.get_facecolor())
    plt.close(figure)
    told = {entry.mode: entry.mode_reason for entry in fused if entry}
    print(json.dumps(told, indent=2), {name: modes.count(name) for name in MODES}, "of", len(modes))


def _plain(axis: Axes) -> None:
    axis.tick_params(colors=colors.MUTED)
    for spine in axis.spines.values():
        spine.set_color(colors.FRAME)


if __name__ == "__main__":
    main()
