"""Frames of DAIR-V2X by what their index says."""

from __future__ import annotations

import shutil

from cosense.data.dair_index import earlier_frame, read_splits
from cosense.data.dair_v2x import DairV2xDataset


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


def test_official_split_files_have_the_published_sizes(shared_data, tmp_path):
    counts = {"train": 4813, "val": 1783, "test": 2688, "test_A": 851}
    official = shared_data / "dair_v2x_splits" / "cooperative-split-data.json"
    for place in ("tree", "tree/split_datas", "."):
        (tmp_path / "tree").mkdir(exist_ok=True)
        (tmp_path / place).mkdir(exist_ok=True)
        shutil.copy(official, tmp_path / place)
        splits = read_splits(tmp_path / "tree", DairV2xDataset.split_files)
        assert {name: len(ids) for name, ids in splits.items()} == counts
        (tmp_path / place / official.name).unlink()
    assert read_splits(tmp_path / "tree", DairV2xDataset.split_files) == {}
