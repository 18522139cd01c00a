from __future__ import annotations

import json

import numpy as np
import pytest

from cosense.cooperation.journal import JournalEntry, LineWriter, read_journal, read_lines, to_values
from cosense.cooperation.receiver import FusionResult
from cosense.errors import CosenseError
from cosense.messages.reports import PeerReport
from cosense.sensing.detections import Detections


def entry(stamp_ns: int, count: int) -> JournalEntry:
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
    return JournalEntry(stamp_ns, FusionResult(detections, peers), ["late one"], 12.5, "LATE", "")


def write(path, entries):
    writer = LineWriter(path)
    for item in entries:
        writer.write(to_values(item))
    writer.close()


def test_what_is_read_equals_what_was_fused_bit_by_bit(tmp_path):
    written = [entry(1_626_155_123_000_000_001, 5), entry(2, 0)]
    write(tmp_path / "detections.jsonl", written)
    for got, expected in zip(read_journal(tmp_path / "detections.jsonl"), written, strict=True):
        assert (got.stamp_ns, got.missing, got.elapsed_ms) == (expected.stamp_ns, ["late one"], 12.5)
        assert got.result.peers == expected.result.peers
        for name in ("boxes", "scores", "labels", "sources"):
            actual, wanted = (getattr(e.result.detections, name) for e in (got, expected))
            assert actual.dtype == wanted.dtype
            np.testing.assert_array_equal(actual, wanted)


def test_writing_goes_on_where_an_earlier_run_ended(tmp_path):
    write(tmp_path / "x.jsonl", [entry(1, 1)])
    write(tmp_path / "x.jsonl", [entry(2, 1)])
    assert [item.stamp_ns for item in read_journal(tmp_path / "x.jsonl")] == [1, 2]


def test_a_last_line_that_was_not_finished_is_left_out(tmp_path):
    path = tmp_path / "x.jsonl"
    write(path, [entry(1, 1), entry(2, 1)])
    path.write_text(path.read_text()[:-20])
    assert [item.stamp_ns for item in read_journal(path)] == [1]


def test_a_broken_line_in_the_middle_is_an_error(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n{"a": \n' + json.dumps({"a": 3}) + "\n")
    with pytest.raises(CosenseError, match=r"x\.jsonl: line 2 is not JSON"):
        list(read_lines(path))


def test_files_that_cannot_be_opened_are_named(tmp_path):
    with pytest.raises(CosenseError, match=r"nowhere\.jsonl: no such file"):
        read_journal(tmp_path / "nowhere.jsonl")
    with pytest.raises(CosenseError, match=r"x\.jsonl: cannot be written"):
        LineWriter(tmp_path / "missing folder" / "x.jsonl")
