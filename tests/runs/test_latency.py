"""Where the time went, from files written by hand."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from cosense.runs.latency import OVERHEAD, TOTAL, latency_view, read_latency


def write(path: Path, lines: list[dict]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def line(stamp_ns: int, start_ms: float, **stages_ms: float) -> dict:
    """Return a line of a node that took these stages one after the other."""
    end_ms = start_ms + sum(stages_ms.values())
    stages = {name.replace("_", " ").replace("  ", ", "): spent for name, spent in stages_ms.items()}
    return {
        "stamp_ns": stamp_ns,
        "start_ns": int(start_ms * 1e6),
        "end_ns": int(end_ms * 1e6),
        "stages_ms": stages,
    }


@pytest.fixture
def run(tmp_path) -> Path:
    """Return the folder of a run of four frames: two fused, one dropped by the ego, one that nobody tells of.

    The third frame has the stamp of the first: another sequence.
    """
    frames = [(100, 1000.0), (200, 1100.0), (100, 1200.0), (300, 1300.0)]
    write(
        tmp_path / "frames.jsonl",
        [
            # The unit's clock is 7 ns ahead.
            {
                "stamp_ns": stamp,
                "published_ns": int(ms * 1e6),
                "stamps_ns": {"vehicle": stamp, "unit": stamp + 7},
            }
            for stamp, ms in frames
        ],
    )
    write(
        tmp_path / "trace" / "vehicle-agent.jsonl",
        [
            line(100, 1002, detect=10, publish=1),
            {"stamp_ns": 200, "dropped": "the detector was too slow"},
            line(100, 1203, detect=40, publish=1),
        ],
    )
    write(
        tmp_path / "trace" / "unit-agent.jsonl",
        [
            line(107, 1004, detect=20, share__network=3, share=2, publish=1),
            line(107, 1204, detect=20, share__network=3, share=2, publish=1),
        ],
    )
    write(
        tmp_path / "trace" / "vehicle-fusion.jsonl",
        [
            line(100, 1013, wait_for_others=22, fuse__network=5, fuse=4, publish=1),
            line(100, 1244, wait_for_others=0, fuse__network=5, fuse=4, publish=2),
        ],
    )
    return tmp_path


def test_the_way_goes_through_the_agent_that_was_ready_last(run):
    latency = read_latency(run)
    assert latency.stages_ms["detect"] == [20, 40]
    assert latency.stages_ms["cloud on its way"] == pytest.approx([4, 3])
    assert latency.stages_ms["share"] == [2]
    # The unit's message was sent at 1030, the fusion went on at 1035; the ego's at 1244 and at once.
    assert latency.stages_ms["message on its way"] == pytest.approx([5, 0])
    assert latency.stages_ms[TOTAL] == pytest.approx([45, 55])
    assert latency.stages_ms[OVERHEAD] == pytest.approx([45 - 28, 55 - 45])


def test_every_frame_that_was_not_fused_has_a_reason(run):
    latency = read_latency(run)
    assert (latency.played, latency.fused) == (4, 2)
    assert latency.lost == {"the detector was too slow": 1, "the ego has sent nothing": 1}


def test_what_is_printed_has_the_losses_and_the_percentiles(run):
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(latency_view(run))
    text = console.export_text()
    assert "played 4 frames, fused 2" in text
    assert "1 not fused: the detector was too slow" in text
    assert [words[-2:] for words in map(str.split, text.splitlines()) if words[:2] == TOTAL.split()[:2]] == [
        ["50.0", "54.5"]
    ]


def test_where_nobody_fuses_there_is_nothing_to_say(tmp_path):
    assert read_latency(tmp_path) is None
    assert latency_view(tmp_path).renderables == []
