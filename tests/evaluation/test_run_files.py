from __future__ import annotations

import numpy as np

from cosense.cooperation.outcome import FusionResult
from cosense.evaluation.run_files import FusedFrame, read_fused_frames, to_values
from cosense.json_lines import LineWriter
from cosense.messages.reports import MisbehaviourReport, PeerReport
from cosense.sensing.detections import Detections


def entry(stamp_ns: int, count: int) -> FusedFrame:
    rng = np.random.default_rng(count)
    detections = Detections(
        rng.normal(size=(count, 7)),
        rng.random(count).astype(np.float32),
        rng.integers(0, 10, count),
        rng.integers(0, 3, count).astype(np.uint8),
    )
    peers = [
        PeerReport("unit", 123, "boxes", age_ms=1.25, kind="OBJECTS"),
        PeerReport("unknown", 3, "nothing", "too short"),
    ]
    misbehaviour = [MisbehaviourReport("unit", "refused", "unknown", 5.7, {"free_space": 5.7})]
    result = FusionResult(detections, peers, {}, misbehaviour)
    return FusedFrame(stamp_ns, result, ["late one"], 12.5, "LATE", "")


def write(path, entries):
    writer = LineWriter(path)
    for item in entries:
        writer.write(to_values(item))
    writer.close()


def test_what_is_read_equals_what_was_fused_bit_by_bit(tmp_path):
    written = [entry(1_626_155_123_000_000_001, 5), entry(2, 0)]
    write(tmp_path / "detections.jsonl", written)
    for got, expected in zip(read_fused_frames(tmp_path / "detections.jsonl"), written, strict=True):
        assert (got.stamp_ns, got.missing, got.elapsed_ms) == (expected.stamp_ns, ["late one"], 12.5)
        assert got.result.peers == expected.result.peers
        assert got.result.misbehaviour == expected.result.misbehaviour
        for name in ("boxes", "scores", "labels", "sources"):
            actual, wanted = (getattr(e.result.detections, name) for e in (got, expected))
            assert actual.dtype == wanted.dtype
            np.testing.assert_array_equal(actual, wanted)
