"""What is counted, and how: everything besides the detections that changes a reported number.

A protocol is a frozen YAML file in the folder `protocols/`. Its hash is reported beside every number: two
numbers may be compared if name and hash of their protocols are the same.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cosense.config import load_config, to_mapping
from cosense.errors import CosenseError, nearest
from cosense.evaluation.metrics.matching import IouKind
from cosense.sensing.objects import ObjectClass

PROTOCOLS = Path(__file__).parent / "protocols"
# Name of the band whose average precision is also reported on its own, as `ap_near`.
NEAR = "near"
# Name of the band that is the protocol's whole range.
ALL = "all"

_WORKING_SCORE = 0.2

Range = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class ScoredClass:
    """Objects that count as one class.

    Attributes:
        name: name of the class in the results.
        ground_truth: objects to find, as names of `ObjectClass` in lower case.
        detections: labels that a detector may give to them, likewise; CAR stands for every vehicle.
        iou_thresholds: overlaps that count as found; each gives an average precision.
    """

    name: str
    ground_truth: tuple[str, ...]
    detections: tuple[str, ...]
    iou_thresholds: tuple[float, ...]

    def __post_init__(self) -> None:
        known = [label.name.lower() for label in ObjectClass]
        for label in (*self.ground_truth, *self.detections):
            if label not in known:
                raise ValueError(f"class {self.name}: unknown label '{label}', {nearest(label, known)}")
        for threshold in self.iou_thresholds:
            if not 0 < threshold <= 1:
                raise ValueError(f"class {self.name}: IoU threshold {threshold} is not in (0, 1]")
        if not (self.ground_truth and self.detections and self.iou_thresholds):
            raise ValueError(
                f"class {self.name}: ground_truth, detections and iou_thresholds need one entry each"
            )


@dataclass(frozen=True)
class Band:
    """A part of the scene, evaluated by itself: matched and counted as if nothing else were there.

    Attributes:
        range_m: (x_min, y_min, z_min, x_max, y_max, z_max) in the ego frame, applied by the protocol's range
            rule; None for the range of the protocol.
        distance_m: least distance of the box centre from the ego, seen from above, and the distance that it
            must stay below; None for any distance.
    """

    range_m: Range | None = None
    distance_m: tuple[float, float] | None = None


@dataclass(frozen=True)
class Protocol:
    """One way of counting; every file says everything.

    Attributes:
        name: name of the protocol and of its file.
        description: text for people, not part of the hash.
        classes: what is counted; the first is the main class, whose AP represents the run.
        iou: kinds of overlap; the first is the main one.
        matching: "by_detection" or "by_ground_truth", see `cosense.evaluation.metrics.matching`.
        average_precision: "voc2010" or "dair", see `cosense.evaluation.metrics.average_precision`.
        global_sort: whether the detections of all frames are ranked together, or frame after frame.
        range_m: (x_min, y_min, z_min, x_max, y_max, z_max) in the ego frame where boxes count.
        range_rule: part of a box that must be within the range: "any_corner" (x, y and z), "all_corners_xy"
            or "centre_xy".
        tolerance_m: margin by which the range is wider on each side, so that rounding drops no box.
        score_threshold: score that a detection must exceed.
        max_extent_m: largest extent of a detection along the ego's x and y axes, None for no limit.
        detection_z_m: heights between which a detection must lie with all corners, None for no limit.
        ground_truth_z_m: heights between which ground truth must lie with all corners, None for no limit.
        nms_iou: BEV overlap with a better detection above which a detection is dropped, None to keep all.
        min_points: LiDAR points that ground truth needs from at least one agent. An object with fewer counts
            neither as found nor as missed, and neither do detections that match it.
        bands: parts of the scene by name, each with an AP of its own for the main class.
        participant_margin_m: where the labels leave out a vehicle that takes part, a detection of a vehicle
            around its sensor counts neither as found nor as a false alarm; its footprint may end this far
            from the sensor. A label of the ego itself is left out too. None to count what the labels say:
            every detection without a label is a false alarm. Files that are older than the rule count so.
        working_score: score above which a box is acted upon: false alarms, headings and lengths are those of
            such boxes. Files that are older than it have the usual one.
    """

    name: str
    description: str
    classes: tuple[ScoredClass, ...]
    iou: tuple[IouKind, ...]
    matching: Literal["by_detection", "by_ground_truth"]
    average_precision: Literal["voc2010", "dair"]
    global_sort: bool
    range_m: Range
    range_rule: Literal["any_corner", "all_corners_xy", "centre_xy"]
    tolerance_m: float
    score_threshold: float
    max_extent_m: float | None
    detection_z_m: tuple[float, float] | None
    ground_truth_z_m: tuple[float, float] | None
    nms_iou: float | None
    min_points: int
    bands: dict[str, Band]
    participant_margin_m: float | None = None
    working_score: float = _WORKING_SCORE

    def __post_init__(self) -> None:
        if not self.classes or not self.iou:
            raise ValueError("classes and iou need one entry each")
        names = [scored.name for scored in self.classes]
        if len(set(names)) < len(names):
            raise ValueError(f"classes {names} have not each a name of its own")
        if ALL in self.bands:
            raise ValueError(f"band '{ALL}' is the whole range already, choose another name")
        if self.nms_iou is not None and not 0 <= self.nms_iou <= 1:
            raise ValueError(f"nms_iou is {self.nms_iou}, expected a fraction in [0, 1] or null")
        if self.participant_margin_m is not None and not self.participant_margin_m >= 0:
            raise ValueError(f"participant_margin_m is {self.participant_margin_m}, expected metres or null")
        if not 0 <= self.working_score < 1:
            raise ValueError(f"working_score is {self.working_score}, expected a score in [0, 1)")
        if self.average_precision == "dair" and not self.global_sort:
            raise ValueError("average_precision 'dair' always sorts globally")
        for range_m in (self.range_m, *(band.range_m for band in self.bands.values() if band.range_m)):
            if any(range_m[axis] >= range_m[axis + 3] for axis in range(3)):
                raise ValueError(
                    f"range {range_m} is empty, expected [x_min, y_min, z_min, x_max, y_max, z_max]"
                )

    @property
    def main_class(self) -> ScoredClass:
        return self.classes[0]

    @property
    def hash(self) -> str:
        """Return 12 hexadecimal digits of the SHA-256 of everything but the description.

        Without a rule on participants, and with the usual working score, a protocol counts as before there
        were these, and has the same hash.
        """
        content: dict[str, Any] = to_mapping(self)
        del content["description"]
        if self.participant_margin_m is None:
            del content["participant_margin_m"]
        if self.working_score == _WORKING_SCORE:
            del content["working_score"]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def protocol_names() -> list[str]:
    """Return the names of the protocols that ship with cosense."""
    return sorted(path.stem for path in PROTOCOLS.glob("*.yaml"))


def load_protocol(name: str) -> Protocol:
    """Read a shipped protocol by its name, or another one by the path of its file, which ends in .yaml.

    Raises:
        CosenseError: unknown name, or a file that is no protocol.
    """
    path = Path(name) if name.endswith(".yaml") else PROTOCOLS / f"{name}.yaml"
    if not path.is_file() and path.parent == PROTOCOLS:
        raise CosenseError(f"unknown protocol '{name}', {nearest(name, protocol_names())}")
    protocol = load_config(Protocol, path)
    if protocol.name != path.stem:
        raise CosenseError(f"{path}: name is '{protocol.name}', expected that of the file, '{path.stem}'")
    return protocol
