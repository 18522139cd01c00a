"""Boxes as RViz markers, in the palette of the pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from cosense.nodes.ros.conversions import header, to_pose, yaw_quaternion
from cosense.sensing.detections import Detections
from cosense.sensing.objects import ObjectClass, Objects
from cosense.viewer.colors import GROUND_TRUTH, SOURCE_NAMES, SOURCES, rgba

_OPACITY = 0.45
_TEXT_ABOVE_SENSOR_M, _TEXT_M = 4.0, 1.5


def detections_to_markers(detections: Detections, stamp_ns: int, frame_id: str) -> MarkerArray:
    """Return one cube a box, coloured by its source; the text says class and score."""
    markers = [clear(stamp_ns, frame_id)]
    for index, box in enumerate(detections.boxes):
        source, label = detections.sources[index], ObjectClass(int(detections.labels[index]))
        marker = _cube(box, SOURCES[source], stamp_ns, frame_id)
        marker.ns = SOURCE_NAMES[source]
        marker.id = index
        marker.text = f"{label.name.lower()} {detections.scores[index]:.2f}"
        markers.append(marker)
    return MarkerArray(markers=markers)


def objects_to_markers(objects: Objects, stamp_ns: int, frame_id: str) -> MarkerArray:
    """Return one cube an object; the namespace is its class, the text its id."""
    markers = [clear(stamp_ns, frame_id)]
    for index, box in enumerate(objects.boxes):
        marker = _cube(box, GROUND_TRUTH, stamp_ns, frame_id)
        marker.ns = ObjectClass(int(objects.labels[index])).name.lower()
        marker.id = index
        marker.text = str(objects.ids[index])
        markers.append(marker)
    return MarkerArray(markers=markers)


def mode_to_marker(mode: str, stamp_ns: int, frame_id: str) -> Marker:
    """Return the mode of the ego as a text above it."""
    return text(mode, "mode", np.array([0.0, 0.0, _TEXT_ABOVE_SENSOR_M]), _TEXT_M, stamp_ns, frame_id)


def text(
    words: str, namespace: str, position: NDArray[np.float64], height_m: float, stamp_ns: int, frame_id: str
) -> Marker:
    """Return words that face the viewer, at a position (3,)."""
    marker = Marker(header=header(stamp_ns, frame_id), type=Marker.TEXT_VIEW_FACING, action=Marker.ADD)
    marker.ns, marker.text = namespace, words
    marker.pose = to_pose(position, yaw_quaternion(0.0))
    marker.scale.z = height_m
    marker.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
    return marker


def clear(stamp_ns: int, frame_id: str) -> Marker:
    """Return what removes the markers of the frame before."""
    return Marker(header=header(stamp_ns, frame_id), action=Marker.DELETEALL)


def _cube(box: NDArray[np.float64], color: str, stamp_ns: int, frame_id: str) -> Marker:
    marker = Marker(header=header(stamp_ns, frame_id), type=Marker.CUBE, action=Marker.ADD)
    marker.pose = to_pose(box[:3], yaw_quaternion(box[6]))
    marker.scale.x, marker.scale.y, marker.scale.z = (float(size) for size in box[3:6])
    red, green, blue, opacity = rgba(color, _OPACITY)
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=opacity)
    return marker
