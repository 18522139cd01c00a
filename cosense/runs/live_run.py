"""A whole live run, as `cosense run` and the demonstration start it."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as ProgressBar

from cosense.config import to_mapping
from cosense.cooperation.kinds import check_fusion, sent_kind
from cosense.errors import CosenseError, counted, harmless
from cosense.runs.frame_source import camera_names_of, frames_of
from cosense.runs.latency import latency_view
from cosense.runs.layouts import write_run_layouts
from cosense.runs.processes import RECORDING, TRACES, ProcessSpec, processes
from cosense.runs.run_keys import RUN_KEYS, check_keys, make_run_keys, with_run_keys
from cosense.runs.scenario import SCENARIO, Scenario, resolved, with_absolute_paths
from cosense.runs.supervisor import (
    LOGS,
    Failure,
    JournalTail,
    Progress,
    Supervisor,
    check_ros,
    ros_environment,
)

_PLAIN_LINE_S = 5.0
_FOLDERS = (TRACES, LOGS, RUN_KEYS)
_RESULTS = ("detections.jsonl", "frames.jsonl", "link.jsonl", RECORDING, SCENARIO)


def run_scenario(
    scenario: Scenario, out: Path, console: Console, only: Sequence[str] = (), where: str = ""
) -> list[Failure]:
    """Run a scenario to its end; show the processes that died and return those that were not started again.

    Writes into `out`: scenario.yaml (what ran), detections.jsonl (one fused frame a line, see
    `cosense.evaluation.run_files`), frames.jsonl (one played frame a line), link.jsonl (what became of each
    message, where there is a link), trace/ (how long each stage of each frame took in each node), logs/,
    run.mcap when it records, view.rviz and foxglove.json, which show its agents, and run_keys/, where they
    sign with keys of the run alone.
    The files of an earlier run in the same folder are replaced once it is known that this one can start.

    Args:
        scenario: description of the run.
        out: folder for the results.
        console: output for the progress.
        only: agents of this machine, where several machines share a scenario; empty for all.
        where: file of the scenario, for errors; empty where there is none.

    Raises:
        KeyboardInterrupt: Ctrl-C, once everything is stopped.
        CosenseError: ROS 2, the data, an agent or a model is missing, or a budget is too small.
    """
    check_ros()
    ready = prepare(scenario, out, only, where)
    scenario = ready.scenario
    try:
        environment = ros_environment(out / LOGS)
        here = f"{', '.join(only)} of " if only else ""
        console.print(
            f"{here}{counted(len(scenario.agents), 'agent')}, ego '{scenario.ego}', "
            f"ROS_DOMAIN_ID={environment['ROS_DOMAIN_ID']}, logs in {out / LOGS}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        console.print(
            f"to look at it: {_rviz_command(ready.layout, environment)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        if lacking := [agent_id for agent_id, names in ready.cameras.items() if not names]:
            console.print(
                f"note: no images of {', '.join(lacking)} in the source: played without", highlight=False
            )
        supervisor = Supervisor(ready.processes, out, environment)
        with _Display(console, scenario.frames) as display:
            failures = supervisor.run(display.show)
        for failure in failures:
            word = "[bold yellow]died:[/]" if failure.is_back else "[bold red]failed:[/]"
            console.print(f"{word} {escape(harmless(str(failure)))}", highlight=False, soft_wrap=True)
        console.print(latency_view(out), highlight=False)
        return [failure for failure in failures if not failure.is_back]
    finally:
        os.close(ready.claim)


def what_is_fused(out: Path) -> str:
    """Return what a run that was stopped has left in its folder, and how to go on."""
    fused = JournalTail(out / "detections.jsonl").read()[0]
    if not fused:
        return "No frame was fused yet; the same command starts the run anew."
    bag = ", run.mcap too" if (out / RECORDING).is_file() else ""
    return (
        f"{counted(fused, 'fused frame')} so far in {out}{bag}: `cosense view {out}` shows them; the same "
        "command starts anew and replaces them."
    )


def print_results(out: Path, console: Console) -> None:
    """Print which results a run has left, and how to look at them."""
    names = [str(out / name) for name in ("detections.jsonl", RECORDING) if (out / name).is_file()]
    if names:
        text = f"{', '.join(names)} (`cosense view {out}` draws what was fused)"
        console.print(text, highlight=False, markup=False, soft_wrap=True)


@dataclass(frozen=True)
class Ready:
    """A run that can start.

    Attributes:
        scenario: the scenario with everything filled in.
        processes: processes of this machine.
        layout: file of the layout for RViz.
        claim: descriptor of the folder of the results, see `claim`.
        cameras: names of the cameras of each agent, see `camera_names_of`.
    """

    scenario: Scenario
    processes: list[ProcessSpec]
    layout: Path
    claim: int
    cameras: dict[str, list[str]]


def prepare(scenario: Scenario, out: Path, only: Sequence[str] = (), where: str = "") -> Ready:
    """Fill in and check a scenario, and make the folder of its results in place of those of an earlier run.

    Args:
        scenario: description of the run.
        out: folder for the results.
        only: agents of this machine, where several machines share a scenario; empty for all.
        where: file of the scenario, for errors; empty where there is none.

    Raises:
        CosenseError: the data, an agent or a model is missing, a budget is too small, or another run writes
            into the folder; nothing is replaced.
    """
    try:
        scenario = resolved(with_absolute_paths(scenario))
        with_keys = with_run_keys(scenario, out, only)
        specs = processes(with_keys, out, only)
        _check(scenario, specs)
    except CosenseError as error:
        raise CosenseError(f"{where}: {error}" if where else str(error)) from None
    out.mkdir(parents=True, exist_ok=True)
    claimed = claim(out)
    clear_results(out)
    if with_keys is not scenario:
        make_run_keys(with_keys)
    (out / SCENARIO).write_text(yaml.safe_dump(to_mapping(scenario), sort_keys=False))
    assert scenario.ego is not None
    agents, cameras = [agent.id for agent in scenario.agents], camera_names_of(scenario.source)
    layout = write_run_layouts(agents, scenario.ego, cameras, out)
    return Ready(scenario, specs, layout, claimed, cameras)


def claim(out: Path) -> int:
    """Return a descriptor of a folder: until it is closed or the process ends, nobody else can claim it.

    Raises:
        CosenseError: somebody else has claimed it.
    """
    descriptor = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CosenseError(
            f"{out}: another run writes its results there; wait for its end, or choose another folder"
        ) from None
    except OSError:
        # A file system that cannot do this.
        pass
    return descriptor


def clear_results(out: Path) -> None:
    """Remove what an earlier run has left in the folder of a run.

    Raises:
        CosenseError: something else is where a result or its folder goes; nothing is removed.
    """
    for name in (*_RESULTS, *_FOLDERS):
        path, has_folder = out / name, name in _FOLDERS
        if path.exists() and path.is_dir() != has_folder:
            found, wanted = ("file", "folder") if has_folder else ("folder", "file")
            raise CosenseError(
                f"{path}: is a {found}, and a run makes a {wanted} of this name; move it, or choose another "
                "folder for the results"
            )
    for name in _RESULTS:
        (out / name).unlink(missing_ok=True)
    shutil.rmtree(out / TRACES, ignore_errors=True)


def _check(scenario: Scenario, specs: Sequence[ProcessSpec]) -> None:
    """Raise CosenseError for what would end a process as soon as it starts."""
    from cosense.cooperation.sender import check_budget
    from cosense.methods.model import load_model
    from cosense.trust.base import find_checks

    agents = [spec.parameters for spec in specs if spec.executable in ("agent", "ego")]
    models = {name: load_model(name, scenario.device) for name in {agent["model"] for agent in agents}}
    try:
        find_checks(scenario.trust.checks)
        check_keys(scenario.trust, [agent["agent_id"] for agent in agents])
    except CosenseError as error:
        raise CosenseError(f"trust: {error}") from None
    is_signed = scenario.trust.keys is not None or scenario.trust.identity != "off"
    for agent in agents:
        model, fusion = models[agent["model"]], agent["fusion"]
        if agent["agent_id"] == scenario.ego:
            check_fusion(fusion, model)
        else:
            kind, budget_bytes = sent_kind(fusion, model), agent["budget_bytes"] or None
            check_budget(agent["agent_id"], kind, budget_bytes, is_signed=is_signed)
    if scenario.source.data is None:
        next(frames_of(scenario.source, 0), None)


def _rviz_command(layout: Path, environment: Mapping[str, str]) -> str:
    words = ["rviz2", "-d", str(layout), "--ros-args", "-p", "use_sim_time:=true"]
    return f"ROS_DOMAIN_ID={environment['ROS_DOMAIN_ID']} {shlex.join(words)}"


class _Display:
    """A bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self, console: Console, frames: int | None) -> None:
        self._console = console
        self._bar = ProgressBar(
            TextColumn("fused"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=frames)
        self._last_line_s = time.monotonic()
        self._last_count = 0

    def __enter__(self) -> _Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show how far the run is."""
        text = describe(progress)
        self._bar.update(self._task, completed=progress.fused, description=text)
        is_due = time.monotonic() - self._last_line_s > _PLAIN_LINE_S
        has_ended = not any(progress.running.values())
        if not self._console.is_terminal and (is_due or has_ended) and progress.fused != self._last_count:
            self._console.print(
                f"fused {counted(progress.fused, 'frame')}: {text}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
            self._last_line_s, self._last_count = time.monotonic(), progress.fused


def describe(progress: Progress) -> str:
    """Return one line about the newest frame and who is missing."""
    gone = sorted(name for name, pid in progress.running.items() if pid is None)
    parts = [f"ended: {', '.join(gone)}"] if gone and any(progress.running.values()) else []
    if progress.last is None:
        return "; ".join(["starting", *parts])
    last = progress.last
    used = {peer["sender"] for peer in last["peers"] if peer["used_for"] not in ("nothing", "pose")}
    sent_bytes = sum(peer["bytes"] for peer in last["peers"]) + sum(last["request_bytes"].values())
    boxes = (
        f"{last['mode']}, {counted(len(last['boxes']), 'box')} with {counted(len(used), 'peer')}, "
        f"{sent_bytes / 1000:.1f} kB, "
        f"{last['elapsed_ms']:.0f} ms"
    )
    if last["mode_reason"]:
        parts.append(last["mode_reason"])
    return "; ".join([boxes, *parts])
