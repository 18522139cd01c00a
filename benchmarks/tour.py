"""The pictures of docs/tour.md: one scenario, from the clouds to a unit whose plug is pulled.

    python benchmarks/tour.py

Runs launch/scenarios/v2i.yaml, kills the roadside unit on the way, and draws what was fused, why a message
held what it did, and what the ego knew. Leaves results/tour/ and docs/images/tour-*.png.
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
import yaml
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from mcap.reader import make_reader
from nav_msgs.msg import OccupancyGrid
from rclpy.serialization import deserialize_message

from cosense import topics
from cosense.config import to_mapping
from cosense.cooperation.offline import cooperate
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import FusedFrame, read_fused_frames
from cosense.evaluation.runs.live_metrics import entries_by_frame
from cosense.geometry.boxes import bev_corners, transform_boxes
from cosense.geometry.transforms import invert
from cosense.json_lines import read_lines
from cosense.methods.model import load_model
from cosense.nodes.ros.conversions import to_ns
from cosense.runs.finished import pages_of_run
from cosense.runs.live_run import clear_results
from cosense.runs.processes import processes
from cosense.runs.scenario import SCENARIO, load_scenario, resolved
from cosense.runs.supervisor import Progress, Supervisor, ros_environment
from cosense.viewer import colors
from cosense.viewer.bev import MIN_SCORE, OUTLINE, draw_comparison
from cosense.viewer.pack import ReportFrame

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "results" / "tour"
IMAGES = ROOT / "docs" / "images"
FRAMES, SHOWN, KILL_AT = 60, 5, 14
UNIT = "infrastructure"
PROTOCOL = load_protocol("simulated_riders")
_SAME_FRAME_NS = 50_000_000
# From the ground to a colour on which white outlines can be seen.
SHADES = LinearSegmentedColormap.from_list("shades", [colors.SEEN_BY_EGO, "#2E7FC0", colors.AGENTS[0]])
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
    pages, facts = pages_of_run(OUT, 0, FRAMES)
    page = pages[SHOWN]
    assert page.result is not None
    alone = cooperate([page.frame.ego], load_model(facts["model"]), "none").detections
    panels = {"Ego alone": alone, "Together": page.result.detections}
    notes = ["", f"{sum(page.result.bytes_per_sender.values()) / 1000:.2f} kB"]
    draw_comparison(page.frame, panels, IMAGES / "tour-fused.png", PROTOCOL, notes=notes)
    draw_message(page, stamps[SHOWN], IMAGES / "tour-message.png")
    draw_modes(pages, fused, IMAGES / "tour-modes.png")


def run() -> None:
    """Run the scenario, and kill the unit on the way."""
    scenario = resolved(load_scenario(ROOT / "launch" / "scenarios" / "v2i.yaml"))
    scenario = dataclasses.replace(scenario, frames=FRAMES, record=True)
    clear_results(OUT)
    (OUT / SCENARIO).write_text(yaml.safe_dump(to_mapping(scenario), sort_keys=False))
    killed: list[int] = []

    def pull_the_plug(progress: Progress) -> None:
        pid = progress.running.get(f"agent-{UNIT}")
        if progress.fused >= KILL_AT and not killed and pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    failures = Supervisor(processes(scenario, OUT), OUT, ros_environment(OUT / "logs")).run(pull_the_plug)
    print("\n".join(map(str, failures)))


def draw_message(page: ReportFrame, stamp_ns: int, path: Path) -> None:
    """Draw supply, demand and selection of the message of one frame over the objects around the unit."""
    wanted = {topics.debug_map_topic(UNIT, name): name for name in MAPS}
    found: dict[str, OccupancyGrid] = {}
    with (OUT / "run.mcap").open("rb") as file:
        for _, channel, message in make_reader(file).iter_messages(topics=list(wanted)):
            grid = deserialize_message(message.data, OccupancyGrid)
            # The unit measures when its own clock says so.
            if abs(to_ns(grid.header.stamp) - stamp_ns) < _SAME_FRAME_NS:
                found[wanted[channel.topic]] = grid
    frame = page.frame
    T_unit_ego = invert(frame.T_ego_agent(UNIT))
    objects = bev_corners(transform_boxes(T_unit_ego, frame.ground_truth.boxes))
    ego_x, ego_y = T_unit_ego[:2, 3]
    figure, axes = plt.subplots(3, 1, figsize=(11, 14.2), facecolor=colors.BACKGROUND)
    for axis, (name, meaning) in zip(axes, MAPS.items(), strict=True):
        info = found[name].info
        values = np.array(found[name].data).reshape(info.height, info.width)
        x, y = info.origin.position.x, info.origin.position.y
        extent = (x, x + info.width * info.resolution, y, y + info.height * info.resolution)
        most = max(1, int(values.max()))
        axis.imshow(values, origin="lower", extent=extent, cmap=SHADES, vmin=0, vmax=most)
        outlines = PolyCollection(list(objects), facecolors="none", edgecolors=colors.GROUND_TRUTH, lw=0.9)
        axis.add_collection(outlines)
        palette = colors.agent_colors(frame.agents)
        for label, place in {UNIT: (0.0, 0.0), frame.ego_id: (ego_x, ego_y)}.items():
            axis.plot(*place, marker="D" if label == UNIT else ">", color=palette[label], ms=8)
            mark = axis.annotate(label, place, xytext=(0, 11), textcoords="offset points", ha="center")
            mark.set(color=palette[label], fontweight="bold", path_effects=[OUTLINE])
        scale = "" if most == 100 else f" (brightest: {most} %)"
        axis.set_title(f"{name}: {meaning}{scale}", color=colors.TEXT, fontsize=13, loc="left")
        axis.set(xlim=extent[:2], ylim=extent[2:])
        _plain(axis)
    axes[-1].set_xlabel("metres in the frame of the unit, forward to the right", color=colors.TEXT)
    figure.tight_layout()
    figure.savefig(path, dpi=100, facecolor=figure.get_facecolor())
    plt.close(figure)


def draw_modes(pages: list[ReportFrame], fused: list[FusedFrame | None], path: Path) -> None:
    """Draw how many of the objects were found, and in which mode, frame by frame."""
    figure, axis = plt.subplots(figsize=(12, 3.9), facecolor=colors.BACKGROUND)
    axis.set_facecolor(colors.BACKGROUND)
    verdicts = []
    for page in pages:
        assert page.result is not None
        found = page.result.detections
        verdicts.append(page.verdict(found[found.scores >= MIN_SCORE], PROTOCOL))
    modes = [entry.mode if entry else None for entry in fused]
    for name, color in MODES.items():
        here = [index for index, mode in enumerate(modes) if mode == name]
        heights = [int(verdicts[index].is_found.sum()) for index in here]
        axis.bar(here, heights, width=0.9, color=color, label=name)
    there = [int(verdict.is_counted.sum()) for verdict in verdicts]
    axis.plot(there, color=colors.GROUND_TRUTH, label="there are, seen by anybody")
    axis.set_ylim(0, 1.25 * max(there))
    axis.set_xlabel("frame, one every 100 ms", color=colors.TEXT)
    axis.set_ylabel("objects found", color=colors.TEXT)
    axis.legend(ncol=4, loc="upper left", facecolor=colors.BACKGROUND, labelcolor=colors.TEXT, frameon=False)
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
