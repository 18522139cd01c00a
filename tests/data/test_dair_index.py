"""Frames of DAIR-V2X by what their index says."""

from __future__ import annotations

from cosense.data.dair_index import earlier_frame


def test_earlier_frames_stay_in_their_batch_and_in_its_valid_part():
    def entry(batch: str, *parts: tuple[str, str]) -> dict:
        return {
            "batch_id": batch,
            "valid_batch_splits": [{"batch_start_id": a, "batch_end_id": b} for a, b in parts],
        }

    parts = (("000010", "000012"), ("000013", "000014"))
    entries = {f"{n:06d}": entry("3", *parts) for n in range(10, 15)} | {"000015": entry("4")}
    assert earlier_frame(entries, "000012", 2) == "000010"
    assert earlier_frame(entries, "000012", 3) is None
    assert earlier_frame(entries, "000013", 1) is None
    assert earlier_frame(entries, "000014", 1) == "000013"
    assert earlier_frame(entries, "000011", -1) == "000012"
    assert earlier_frame(entries, "000012", -1) is None
    assert earlier_frame(entries, "000015", 1) is None
    assert earlier_frame(entries, "000099", 1) is None
