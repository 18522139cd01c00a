"""Labels and calibration files of DAIR-V2X and V2X-Seq.

In the labels of one side, `3d_location` is the centre of a box and `rotation` its yaw about +z; numbers may
be strings. In the cooperative labels of DAIR-V2X only `world_8_points` can be trusted: corners in the order
of geometry/boxes.py. Objects with a dimension of zero, and objects of none of the ten classes (ignore,
unknown), are skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.data.files import read_json
from cosense.errors import CosenseError
from cosense.geometry.boxes import as_boxes, boxes_from_corners
from cosense.geometry.transforms import Matrix, transform_from, transform_points
from cosense.sensing.objects import ObjectClass, Objects

TYPE_OF_CLASS = {
    ObjectClass.CAR: "Car",
    ObjectClass.VAN: "Van",
    ObjectClass.TRUCK: "Truck",
    ObjectClass.BUS: "Bus",
    ObjectClass.PEDESTRIAN: "Pedestrian",
    ObjectClass.CYCLIST: "Cyclist",
    ObjectClass.TRICYCLIST: "Tricyclist",
    ObjectClass.MOTORCYCLIST: "Motorcyclist",
    ObjectClass.BARROW: "Barrowlist",
    ObjectClass.TRAFFIC_CONE: "TrafficCone",
}
CLASS_OF_TYPE = {name.lower(): label for label, name in TYPE_OF_CLASS.items()} | {
    "barrow": ObjectClass.BARROW
}

_log = logging.getLogger(__name__)


def read_objects(path: Path) -> Objects:
    """Read labels given by `3d_location`, `3d_dimensions` and `rotation`, in the frame of the file.

    Raises:
        CosenseError: the file is missing, broken, or an object lacks a field.
    """
    rows, labels, ids = [], [], []
    for index, item, label in _of_known_class(path):
        try:
            location, size = item["3d_location"], item["3d_dimensions"]
            row = [float(location[key]) for key in "xyz"] + [float(size[key]) for key in "lwh"]
            row.append(float(item["rotation"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CosenseError(f"{path}: object {index} has no usable geometry: {error!r}") from None
        if min(row[3:6]) > 0 and np.all(np.isfinite(row)):
            rows.append(row)
            labels.append(label)
            ids.append(_identity(item, path, index))
    return _objects(rows, labels, ids)


def read_world_objects(path: Path, T_ego_world: Matrix) -> Objects:
    """Read cooperative labels of DAIR-V2X-C (`world_8_points`) into the ego frame.

    Raises:
        CosenseError: the file is missing, broken, or an object lacks its corners.
    """
    corners, labels, ids = [], [], []
    for index, item, label in _of_known_class(path):
        try:
            points = np.asarray(item["world_8_points"], dtype=np.float64).reshape(8, 3)
        except (KeyError, TypeError, ValueError) as error:
            raise CosenseError(f"{path}: object {index} has no usable 'world_8_points': {error!r}") from None
        corners.append(points)
        labels.append(label)
        ids.append(_identity(item, path, index))
    if not corners:
        return Objects.empty()
    in_ego = transform_points(T_ego_world, np.concatenate(corners)).reshape(-1, 8, 3)
    objects = _objects(boxes_from_corners(in_ego), labels, ids)
    return objects[np.all(objects.boxes[:, 3:6] > 0, axis=1) & np.all(np.isfinite(objects.boxes), axis=1)]


def read_transform(path: Path) -> Matrix:
    """Read a calibration file of a rotation and a translation, with or without the level `transform`.

    A rotation that is not exactly orthonormal ("secondary calibration" of cameras) is kept as it is.

    Raises:
        CosenseError: the file is missing or broken, or the determinant of the rotation is far from 1.
    """
    content = read_json(path)
    try:
        content = content.get("transform", content)
        T = transform_from(np.asarray(content["rotation"], dtype=np.float64), content["translation"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CosenseError(f"{path}: has no usable rotation and translation: {error!r}") from None
    if not np.all(np.isfinite(T)):
        raise CosenseError(f"{path}: rotation and translation are not all finite; fetch the file again")
    determinant = float(np.linalg.det(T[:3, :3]))
    if abs(determinant - 1) > 0.5:
        raise CosenseError(f"{path}: the rotation has determinant {determinant:.3g}, expected 1")
    if abs(determinant - 1) > 1e-2:
        _log.warning("%s: rotation is not orthonormal, determinant %.4f; used as it is", path, determinant)
    return T


def read_intrinsic(path: Path) -> NDArray[np.float64]:
    """Read the intrinsic matrix (3,3) of a camera, `cam_K`.

    Raises:
        CosenseError: the file is missing or broken.
    """
    try:
        return np.asarray(read_json(path)["cam_K"], dtype=np.float64).reshape(3, 3)
    except (KeyError, TypeError, ValueError) as error:
        raise CosenseError(f"{path}: has no usable 'cam_K': {error!r}") from None


def read_offset(value: Any, where: str) -> tuple[float, float]:
    """Return (delta_x, delta_y) of a `system_error_offset`, in metres; (0, 0) where there is none.

    Raises:
        CosenseError: the value is something else.
    """
    if not value:
        return 0.0, 0.0
    try:
        return float(value["delta_x"] or 0), float(value["delta_y"] or 0)
    except (KeyError, TypeError, ValueError):
        raise CosenseError(
            f"{where}: system_error_offset is {value!r}, expected delta_x and delta_y"
        ) from None


def _of_known_class(path: Path) -> Iterator[tuple[int, Mapping[str, Any], ObjectClass]]:
    """Yield position in the file, content and class of every object that is of one of the ten classes."""
    content = read_json(path)
    if not isinstance(content, list):
        raise CosenseError(f"{path}: expected a list of objects, got {type(content).__name__}")
    for index, item in enumerate(content):
        label = CLASS_OF_TYPE.get(str(item.get("type", "")).lower()) if isinstance(item, Mapping) else None
        if label is not None:
            yield index, item, label


def _identity(item: Mapping[str, Any], path: Path, index: int) -> str:
    track = item.get("track_id")
    return f"{path.stem}/{index}" if track in (None, "") else str(track)


def _objects(rows: Any, labels: list[ObjectClass], ids: list[str]) -> Objects:
    return Objects(as_boxes(rows), np.array(labels, dtype=np.int64), np.array(ids, dtype=np.str_))
