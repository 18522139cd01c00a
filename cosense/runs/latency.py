"""Where the time of a live run went, from what the player and each node wrote down about each frame.

The way of a frame goes from the publication of the clouds through the agent that was ready last, be it the
ego or another, and through the fusion to the boxes. What is left between the stages that the nodes have
measured is the way of clouds and messages over DDS, and what the radio takes where there is one.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from cosense.errors import counted
from cosense.json_lines import read_lines
from cosense.runs.processes import TRACES

# The time in networks; everything else is what the stack itself takes.
NETWORK_STAGES = ("detect", "share, network", "fuse, network")
TOTAL, OVERHEAD = "measurement to boxes", "of it without the networks"
_CLOUD, _MESSAGE = "cloud on its way", "message on its way"


@dataclass(frozen=True)
class Latency:
    """What a run took.

    Attributes:
        played: number of frames that were played.
        fused: number of those that were fused.
        lost: number of the others by the reason for their loss.
        stages_ms: durations of each stage, one number per fused frame, in the order of the way; the last two
            are TOTAL and OVERHEAD.
    """

    played: int
    fused: int
    lost: Counter[str]
    stages_ms: Mapping[str, list[float]]

    def percentiles_ms(self) -> dict[str, tuple[float, float]]:
        """Return median and 95th percentile of each stage."""
        return {
            stage: (float(np.percentile(spent, 50)), float(np.percentile(spent, 95)))
            for stage, spent in self.stages_ms.items()
        }


def read_latency(out: Path) -> Latency | None:
    """Read what a run has left in its folder; None where no fusion has, as on a machine without the ego.

    Raises:
        CosenseError: a file is broken.
    """
    frames = list(read_lines(out / "frames.jsonl")) if (out / "frames.jsonl").is_file() else []
    traces = {path.stem: list(read_lines(path)) for path in sorted((out / TRACES).glob("*.jsonl"))}
    agents = {name: _Lines(lines) for name, lines in traces.items() if name.endswith("-agent")}
    fusions = [_Lines(lines) for name, lines in traces.items() if name.endswith("-fusion")]
    if not fusions:
        return None
    lost: Counter[str] = Counter()
    ways = []
    for frame in frames:
        stamp_ns, published_ns = frame["stamp_ns"], frame["published_ns"]
        # Each agent has a clock of its own.
        stamps_ns = {f"{name}-agent": stamp for name, stamp in frame["stamps_ns"].items()}
        of_agents = [
            lines.take(stamps_ns.get(name, stamp_ns), published_ns) for name, lines in agents.items()
        ]
        fused = next((lines.take(stamp_ns, published_ns) for lines in fusions), None)
        if fused is None or "dropped" in fused:
            reasons = [line["dropped"] for line in (fused, *of_agents) if line and "dropped" in line]
            lost[reasons[0] if reasons else "the ego has sent nothing"] += 1
            continue
        ready = [
            line for line in of_agents if line and "end_ns" in line and line["end_ns"] <= fused["end_ns"]
        ]
        if ready:
            ways.append(_way(published_ns, max(ready, key=lambda line: line["end_ns"]), fused))
    stages = {stage: [way[stage] for way in ways if stage in way] for way in ways for stage in way}
    return Latency(len(frames), len(frames) - lost.total(), lost, stages)


def latency_view(out: Path) -> Group:
    """Return what `cosense run` prints about the time of a run."""
    latency = read_latency(out)
    if latency is None:
        return Group()
    lines = [Text(f"played {counted(latency.played, 'frame')}, fused {latency.fused}")]
    lines += [Text(f"  {count} not fused: {reason}") for reason, count in latency.lost.most_common()]
    if not latency.stages_ms:
        return Group(*lines)
    table = Table("stage", box=None)
    for heading in ("p50 ms", "p95 ms"):
        table.add_column(heading, justify="right")
    for stage, (p50, p95) in latency.percentiles_ms().items():
        table.add_row(stage, f"{p50:.1f}", f"{p95:.1f}", style="bold" if stage == TOTAL else None)
    return Group(*lines, table)


class _Lines:
    """The lines of one node by stamp; in another sequence the same stamps may come again."""

    def __init__(self, lines: list[dict[str, Any]]) -> None:
        self._by_stamp: defaultdict[int, deque[dict[str, Any]]] = defaultdict(deque)
        for line in lines:
            self._by_stamp[line["stamp_ns"]].append(line)

    def take(self, stamp_ns: int, published_ns: int) -> dict[str, Any] | None:
        """Return the line of a frame that was published then, None if there is none."""
        lines = self._by_stamp[stamp_ns]
        while lines:
            line = lines.popleft()
            if line.get("end_ns", published_ns) >= published_ns:
                return line
        return None


def _way(published_ns: int, agent: Mapping[str, Any], fused: Mapping[str, Any]) -> dict[str, float]:
    """Return the stages of one frame; together they are the whole time."""
    total_ms = (fused["end_ns"] - published_ns) / 1e6
    way = {_CLOUD: (agent["start_ns"] - published_ns) / 1e6, **agent["stages_ms"]}
    # What the ego waits for others begins before the last of them is ready.
    after = {stage: spent for stage, spent in fused["stages_ms"].items() if stage != "wait for others"}
    way["publish message"] = way.pop("publish")
    way[_MESSAGE] = total_ms - sum(way.values()) - sum(after.values())
    way |= after
    networks_ms = sum(way.get(stage, 0.0) for stage in NETWORK_STAGES)
    return {**way, TOTAL: total_ms, OVERHEAD: total_ms - networks_ms}
