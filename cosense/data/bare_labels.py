"""Labels, region and poses that lie beside clouds by themselves.

    label/ID.json     a list of {type, x, y, z, l, w, h, yaw} in the frame of the LiDAR: centre, sizes and yaw
                      about +z in metres and radians; other keys are left alone
    label_2/ID.txt    KITTI object (Geiger et al., CVPR 2012), with calib/ID.txt
    region.yaml       azimuth_deg: [first, last], where objects are labelled, or azimuth_deg: all
    poses.json        {ID: {stamp_s, T_world_lidar}}

Types are told by their words, however they are spelled. Those of no class of ours (Tram, Misc, ignore,
unknown ones) are left open: what is found on them counts neither way. DontCare of KITTI is a rectangle of the
image; it becomes the part of a level road on which something in the rectangle would stand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.config import load_config
from cosense.data.files import Listing, read_json
from cosense.data.kitti_camera import read_kitti_calibration
from cosense.errors import CosenseError, read_file
from cosense.geometry.boxes import BOX_FIELDS, as_boxes
from cosense.geometry.transforms import Matrix, invert, is_rigid, transform_points
from cosense.sensing.labelled_area import Sector
from cosense.sensing.objects import ObjectClass, Objects

REGION, POSES = "region.yaml", "poses.json"
# Folders of labels beside the clouds, and how their files end; a label set has the name of its folder.
LABEL_SETS = {"label": ".json", "label_2": ".txt"}
ALL_AROUND = Sector.of_degrees(-180, 180)
# KITTI labels what its front camera sees; nearer to the edges of the image objects are cut off.
_OF_KITTI = Sector.of_degrees(-38, 38)
_KITTI_TYPES = {"Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc", "DontCare"}
# Above the road, in metres.
_KITTI_CAMERA_M = 1.65
_FARTHEST_M = 120.0
# Clouds that reach farther are refused too.
_FARTHEST_LABEL_M = 1000.0
# The last second that fits 64 bits as nanoseconds.
_LAST_S = 2**63 / 1e9
_CLASSES = {
    ObjectClass.CAR: ("car", "vehicle", "regularvehicle"),
    ObjectClass.VAN: ("van",),
    ObjectClass.TRUCK: ("truck", "lorry", "boxtruck", "largevehicle"),
    ObjectClass.BUS: ("bus", "schoolbus", "articulatedbus"),
    ObjectClass.PEDESTRIAN: ("pedestrian", "person", "human"),
    ObjectClass.CYCLIST: ("cyclist", "bicyclist"),
    ObjectClass.TRICYCLIST: ("tricyclist",),
    ObjectClass.MOTORCYCLIST: ("motorcyclist",),
    ObjectClass.BARROW: ("barrow", "barrowlist"),
    ObjectClass.TRAFFIC_CONE: ("trafficcone", "constructioncone"),
}
_CLASS_OF_WORD = {word: label for label, words in _CLASSES.items() for word in words}


@dataclass(frozen=True)
class Labels:
    """The labels of one frame, in the frame of the LiDAR.

    Attributes:
        types: (K,) what the file calls them.
        boxes: (K,7).
        ids: (K,) of tracks where the file has them, else of the lines.
    """

    types: tuple[str, ...]
    boxes: NDArray[np.float64]
    ids: tuple[str, ...]

    @property
    def classes(self) -> list[ObjectClass | None]:
        """(K,) class of each, None for what is left open."""
        return [_CLASS_OF_WORD.get(re.sub("[^a-z]", "", name.lower())) for name in self.types]

    @property
    def objects(self) -> Objects:
        """The objects of known classes."""
        known = [(row, label) for row, label in enumerate(self.classes) if label is not None]
        rows = [row for row, _ in known]
        labels = np.array([int(label) for _, label in known], dtype=np.int64)
        return Objects(self.boxes[rows], labels, np.array([self.ids[row] for row in rows], dtype=np.str_))

    @property
    def ignored(self) -> NDArray[np.float64]:
        """Boxes (J,7) of the others."""
        return self.boxes[[label is None for label in self.classes]]


@dataclass(frozen=True)
class _Region:
    """What region.yaml says."""

    azimuth_deg: Any


class LabelFolder:
    """The labels beside a folder of clouds.

    Attributes:
        label_set: name of their folder.
        folder: their folder.
        stems: names of the files without their ending.
    """

    def __init__(self, base: Path, label_set: str, listing: Listing, region: str) -> None:
        """Take the labels in the folder `label_set` of `base`.

        Args:
            base: the folder that has clouds, labels, region and poses.
            label_set: one of `LABEL_SETS` that is there.
            listing: knows what is there.
            region: where objects are labelled, as "-38,38" or "all"; empty for what region.yaml says, else
                for what the labels show.

        Raises:
            CosenseError: a region that is none.
        """
        self.label_set = label_set
        self.folder = base / label_set
        self._base = base
        self._suffix = LABEL_SETS[label_set]
        self.stems = frozenset(Path(name).stem for name in _label_files(base, label_set, listing))
        self._given: tuple[Sector, str] | None = None
        if region:
            self._given = _sector(region.split(",") if region != "all" else region, f"region '{region}'"), ""
        elif listing.has(base / REGION):
            stated = load_config(_Region, base / REGION).azimuth_deg
            self._given = _sector(stated, f"{base / REGION}: azimuth_deg {stated!r}"), ""

    def path(self, stem: str) -> Path:
        return self.folder / f"{stem}{self._suffix}"

    def read(self, stem: str) -> Labels:
        """Read the labels of one cloud.

        Raises:
            CosenseError: the file or that of its calibration is missing or broken.
        """
        if self._suffix == ".json":
            return read_json_labels(self.path(stem))
        calibration = self._base / "calib" / f"{stem}.txt"
        if not calibration.is_file():
            raise CosenseError(
                f"{calibration}: no such file, and by it labels of KITTI are placed; "
                "put calib/ beside label_2/"
            )
        return read_kitti_labels(self.path(stem), calibration)

    @property
    def region(self) -> Sector:
        """Where objects are labelled."""
        return self._region[0]

    @property
    def note(self) -> str:
        """What the region was taken from, empty where somebody has stated it."""
        return self._region[1]

    @cached_property
    def _region(self) -> tuple[Sector, str]:
        """Return the region, and what to say of one that nobody has stated.

        Labels that all lie within half a turn are taken as those of a camera.
        """
        if self._given is not None:
            return self._given
        cure = f"state another one with {REGION} or --region"
        if self.label_set == "label_2":
            return _OF_KITTI, f"KITTI labels what the front camera sees: ±38 degrees count; {cure}"
        types: set[str] = set()
        angles = [np.zeros(0)]
        for stem in sorted(self.stems):
            try:
                labels = self.read(stem)
            except CosenseError:
                continue  # whoever reads this frame is told
            types.update(labels.types)
            angles.append(np.arctan2(labels.boxes[:, 1], labels.boxes[:, 0]))
        azimuths = np.sort(np.concatenate(angles))
        gaps = np.diff(azimuths, append=azimuths[:1] + 2 * np.pi)
        if not len(gaps):
            return ALL_AROUND, f"no region is stated and nothing is labelled: all counts; {cure}"
        if gaps.max() < np.pi:
            return ALL_AROUND, f"no region is stated and there are labels all around: all counts; {cure}"
        if types <= _KITTI_TYPES:
            return _OF_KITTI, (
                "no region is stated, and the types are those of KITTI, which labels what the front camera "
                f"sees: ±38 degrees count; {cure}"
            )
        first = float(azimuths[(int(gaps.argmax()) + 1) % len(azimuths)])
        sector = Sector(0.0, 0.0, first, float(2 * np.pi - gaps.max()))
        return sector, (
            f"no region is stated and all labels lie {in_words(sector)}: what is found elsewhere does not "
            f"count; {cure}"
        )


def find_labels(base: Path, listing: Listing) -> list[str]:
    """Return the label sets beside clouds, the first of which is the default."""
    return [name for name in LABEL_SETS if _label_files(base, name, listing)]


def _label_files(base: Path, label_set: str, listing: Listing) -> list[str]:
    """Return the names of the files of a label set. That of KITTI is empty where there is nothing."""
    folder = base / label_set
    names = listing.names(folder) | listing.empty(folder)
    return [name for name in names if Path(name).suffix == LABEL_SETS[label_set]]


def in_words(sector: Sector) -> str:
    """Return a sector as text: "from -38 to 38 degrees", or "all around"."""
    if sector.span_rad >= 2 * np.pi:
        return "all around"
    first, last = np.rad2deg([sector.first_rad, sector.first_rad + sector.span_rad])
    return f"from {first:.3g} to {last:.3g} degrees"


def _sector(given: Any, where: str) -> Sector:
    if given == "all":
        return ALL_AROUND
    try:
        if isinstance(given, str) or any(isinstance(number, bool) for number in given):
            raise ValueError("no numbers")
        first, last = (float(number) for number in given)
        return Sector.of_degrees(first, last)
    except (TypeError, ValueError):
        raise CosenseError(
            f"{where}: expected two azimuths in degrees, from the right to the left, as -38,38, or all"
        ) from None


def read_json_labels(path: Path) -> Labels:
    """Read a list of boxes in the frame of the LiDAR.

    Raises:
        CosenseError: the file is missing or broken, or a label has no usable box.
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise CosenseError(
            f"{path}: is {type(content).__name__}, expected a list of labels, each with type and "
            f"{' '.join(BOX_FIELDS)}"
        )
    types, boxes, ids = [], [], []
    for index, item in enumerate(content):
        where = f"{path}: label {index}"
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            raise CosenseError(f"{where} is {item!r}, expected a 'type' in words and {' '.join(BOX_FIELDS)}")
        for key in BOX_FIELDS:
            # A bool is an int to Python.
            if type(item.get(key)) not in (int, float):
                raise CosenseError(
                    f"{where}, {item['type']}: '{key}' is {item.get(key)!r}, expected a number"
                )
        boxes.append([item[key] for key in BOX_FIELDS])
        types.append(item["type"])
        ids.append(str(item.get("id", item.get("track_id", index))))
    return _checked(Labels(tuple(types), as_boxes(boxes), tuple(ids)), path)


def read_kitti_labels(path: Path, calibration: Path) -> Labels:
    """Read labels of KITTI object, in its rectified camera, and place them around the LiDAR.

    Raises:
        CosenseError: a file is missing or broken.
    """
    matrices = read_kitti_calibration(calibration)
    T_velo_cam = invert(matrices["R0_rect"] @ matrices["Tr_velo_to_cam"])
    types, boxes = [], []
    lines = read_file(path).decode("utf-8", errors="replace").splitlines()
    for row, line in enumerate(lines):
        words = line.split()
        if not words:
            continue
        try:
            numbers = np.array([float(word) for word in words[1:15]])
            if len(numbers) < 14:
                raise ValueError(f"{len(words)} words, expected at least 15")
        except ValueError as error:
            raise CosenseError(f"{path}: line {row + 1} is no label of KITTI: {error}") from None
        if words[0] == "DontCare":
            height, width, length, x, y, z, turn = _on_the_road(numbers[3:7], matrices["P2"])
        else:
            height, width, length, x, y, z, turn = numbers[7:14]
        ends = np.array([[x, y - height / 2, z], [x + np.cos(turn), y - height / 2, z - np.sin(turn)]])
        centre, ahead = transform_points(T_velo_cam, ends)
        yaw = np.arctan2(*(ahead - centre)[[1, 0]])
        types.append(words[0])
        boxes.append([*centre, length, width, height, yaw])
    return _checked(Labels(tuple(types), as_boxes(boxes), tuple(map(str, range(len(types))))), path)


def _on_the_road(rectangle: NDArray[np.float64], P: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the box of whatever stands on a level road in a rectangle of the image.

    Returns:
        height, width, length, x, y, z and turn, as KITTI has them.
    """
    left, top, right, bottom = rectangle
    focal, u, v = P[0, 0], P[0, 2], P[1, 2]
    below = (bottom - v) / focal
    ahead = min(_KITTI_CAMERA_M / below, _FARTHEST_M) if below > 0 else _FARTHEST_M
    # The road is not level, and what stands there has a length.
    nearest, farthest = 0.7 * ahead, min(1.4 * ahead, _FARTHEST_M) + 5
    middle = (nearest + farthest) / 2
    width = (right - left) / focal * farthest
    height = max((bottom - top) / focal * farthest, 1.0)
    return (
        height,
        width,
        farthest - nearest,
        ((left + right) / 2 - u) / focal * middle,
        _KITTI_CAMERA_M,
        middle,
        -np.pi / 2,
    )


def _checked(labels: Labels, path: Path) -> Labels:
    """Return labels whose boxes are boxes, in metres and radians."""
    boxes = labels.boxes
    # NaN compares false.
    usable = (np.abs(boxes[:, :6]) < _FARTHEST_LABEL_M).all(axis=1) & (boxes[:, 3:6] > 0).all(axis=1)
    usable &= np.abs(boxes[:, 6]) <= 2 * np.pi
    if not usable.all():
        index = int(np.argmin(usable))
        raise CosenseError(
            f"{path}: label {index}, {labels.types[index]}, is no box in metres (below "
            f"{_FARTHEST_LABEL_M:g}) and radians (at most a turn): {' '.join(BOX_FIELDS)} are "
            f"{boxes[index].tolist()}; correct it or take it out"
        )
    return labels


def read_poses(path: Path) -> dict[str, tuple[int, Matrix]]:
    """Return stamp in ns and T_world_lidar (4,4) by name of the cloud.

    Raises:
        CosenseError: the file is missing or broken, or something is no pose.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise CosenseError(f"{path}: expected poses by the names of the clouds")
    poses = {}
    for name, entry in content.items():
        try:
            stamp_s, T = float(entry["stamp_s"]), np.array(entry["T_world_lidar"], dtype=np.float64)
            is_pose = T.shape == (4, 4) and np.isfinite(T).all() and is_rigid(T) and 0 <= stamp_s < _LAST_S
        except (KeyError, TypeError, ValueError):
            is_pose = False
        if not is_pose:
            raise CosenseError(
                f"{path}: '{name}' is no pose: expected 'stamp_s', in seconds, and "
                "'T_world_lidar', 4 x 4 numbers of a rotation and a place in metres; correct it, or move the "
                "file away"
            )
        poses[str(name)] = round(stamp_s * 1e9), T
    return poses
