"""The shipped protocols are frozen; others are read strictly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cosense.errors import CosenseError
from cosense.evaluation.protocol import PROTOCOLS, load_protocol, protocol_names

# Published numbers stand beside these. A change of meaning is a new protocol with a new name.
FROZEN = {
    "dair_v2x_official": "8bbf1cbba815",
    "opencood": "152acf716563",
    "opencood_participants": "3543acfaf00a",
    "opencood_unsorted": "43da692e5210",
    "real_frames": "a73eccf7afb8",
    "real_pairs": "43a001f23cdb",
    "simulated": "f0550a64dd71",
    "simulated_riders": "a9c5fecdf789",
}


def test_every_shipped_protocol_is_frozen() -> None:
    assert {name: load_protocol(name).hash for name in protocol_names()} == FROZEN


def test_hash_sees_every_number_but_not_the_prose() -> None:
    protocol = load_protocol("opencood")
    assert replace(protocol, description="other words").hash == protocol.hash
    assert replace(protocol, tolerance_m=0.002).hash != protocol.hash
    vehicles = replace(protocol.main_class, iou_thresholds=(0.3, 0.5, 0.8))
    assert replace(protocol, classes=(vehicles,)).hash != protocol.hash


def test_sorted_and_unsorted_differ_only_in_that() -> None:
    ranked, unsorted = load_protocol("opencood"), load_protocol("opencood_unsorted")
    renamed = replace(unsorted, global_sort=True, name=ranked.name, description=ranked.description)
    assert renamed == ranked


def test_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(CosenseError, match="unknown protocol 'opencod', did you mean 'opencood'"):
        load_protocol("opencod")


def write_variant(folder: Path, old: str, new: str, name: str = "mine") -> str:
    text = (PROTOCOLS / "opencood.yaml").read_text().replace("name: opencood\n", f"name: {name}\n")
    assert old in text
    path = folder / "mine.yaml"
    path.write_text(text.replace(old, new))
    return str(path)


def test_own_protocol_is_read_from_its_file(tmp_path: Path) -> None:
    protocol = load_protocol(write_variant(tmp_path, "max_extent_m: 6", "max_extent_m: 100"))
    assert (protocol.name, protocol.max_extent_m) == ("mine", 100)
    assert protocol.hash not in FROZEN.values()


SAME_CLASS = "  - {name: vehicle, ground_truth: [cyclist], detections: [cyclist], iou_thresholds: [0.5]}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("min_points: 0", "min_point: 0", "unknown key 'min_point', did you mean 'min_points'"),
        ("nms_iou: 0.15\n", "", "missing key 'nms_iou'"),
        ("[car, van, truck, bus]", "[car, vann]", "unknown label 'vann', did you mean 'van'"),
        ("[0.3, 0.5, 0.7]", "[0.3, 1.5]", "IoU threshold 1.5 is not in"),
        ("[0.3, 0.5, 0.7]", "[]", "need one entry each"),
        ("iou: [bev]", "iou: []", "classes and iou need one entry each"),
        ("all_corners_xy", "all_corners", "did you mean 'all_corners_xy'"),
        ("[-100.8, -40, -3.5, 100.8, 40, 1.5]", "[100, -40, -3.5, -100, 40, 1.5]", "is empty"),
        ("nms_iou: 0.15", "nms_iou: 3", "nms_iou is 3.0, expected a fraction"),
        ("  0-30: ", "  all: ", "band 'all' is the whole range already"),
        ("iou: [bev]", f"{SAME_CLASS}\niou: [bev]", "have not each a name of its own"),
        ("global_sort: true\n", "global_sort: 3\n", "global_sort: expected bool, got 3"),
    ],
)
def test_bad_protocol_names_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(CosenseError, match=message) as raised:
        load_protocol(write_variant(tmp_path, old, new))
    assert "mine.yaml" in str(raised.value)


def test_dair_integral_without_global_sort_is_refused(tmp_path: Path) -> None:
    path = write_variant(
        tmp_path,
        "average_precision: voc2010\nglobal_sort: true",
        "average_precision: dair\nglobal_sort: false",
    )
    with pytest.raises(CosenseError, match="always sorts globally"):
        load_protocol(path)


def test_file_under_a_name_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match="name is 'opencood', expected that of the file, 'mine'"):
        load_protocol(write_variant(tmp_path, "min_points", "min_points", name="opencood"))
    with pytest.raises(CosenseError, match="no such file"):
        load_protocol(str(tmp_path / "absent.yaml"))
