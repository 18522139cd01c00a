"""Ground truth in bags: vision_msgs/Detection3DArray, or cubes of a MarkerArray as our player draws them."""

from __future__ import annotations

from typing import Any

import numpy as np

from cosense.data.dair_labels import CLASS_OF_TYPE
from cosense.errors import CosenseError, nearest
from cosense.geometry.boxes import as_boxes
from cosense.geometry.transforms import Matrix, yaw_of
from cosense.sensing.objects import ObjectClass, Objects
from cosense.sensing.ros_messages import pose_to_matrix

_CUBE, _ADD = 1, 0
_CLASS_OF_NAME = CLASS_OF_TYPE | {label.name.lower(): label for label in ObjectClass}


def objects_of(message: Any) -> tuple[Objects, str]:
    """Return labelled objects and the frame in which they are given.

    Args:
        message: Detection3DArray (class in the first hypothesis, `id` the same for one object over time) or
            MarkerArray (cubes; the namespace is the class, the text the id).

    Raises:
        CosenseError: a class is not known, an orientation is not valid or a size not positive.
    """
    if hasattr(message, "detections"):
        frame = message.header.frame_id
        found = [
            (item.bbox.center, item.bbox.size, _class_name(item), item.id or f"{frame}/{index}")
            for index, item in enumerate(message.detections)
        ]
    else:
        cubes = [m for m in message.markers if m.type == _CUBE and m.action == _ADD]
        frame = (cubes or message.markers)[0].header.frame_id if message.markers else ""
        found = [(cube.pose, cube.scale, cube.ns, cube.text or f"{cube.ns}/{cube.id}") for cube in cubes]
    rows, labels = [], []
    for pose, size, name, _ in found:
        T: Matrix = pose_to_matrix(pose.position, pose.orientation)
        if not min(size.x, size.y, size.z) > 0:
            raise CosenseError(f"a box of '{name}' has size {size.x} x {size.y} x {size.z} m")
        rows.append([*T[:3, 3], size.x, size.y, size.z, _yaw(T, pose.orientation)])
        labels.append(_label(name))
    ids = np.array([item_id for *_, item_id in found], dtype=np.str_)
    return Objects(as_boxes(rows), np.array(labels, dtype=np.int64), ids), frame


def _yaw(T: Matrix, orientation: Any) -> float:
    """Return the heading; of an upright box without the rounding of a rotation matrix."""
    if orientation.x == 0 == orientation.y:
        sign = -1.0 if orientation.w < 0 else 1.0
        return float(2 * np.arctan2(sign * orientation.z, sign * orientation.w))
    return yaw_of(T)


def _class_name(item: Any) -> str:
    """Return the class of a Detection3D, of which vision_msgs 2 and 3 know other shapes."""
    if not item.results:
        return ""
    hypothesis = getattr(item.results[0], "hypothesis", item.results[0])
    return str(getattr(hypothesis, "class_id", getattr(hypothesis, "id", "")))


def _label(name: str) -> ObjectClass:
    label = _CLASS_OF_NAME.get(name.lower())
    if label is None:
        raise CosenseError(f"a box has the class '{name}', {nearest(name.lower(), _CLASS_OF_NAME)}")
    return label
