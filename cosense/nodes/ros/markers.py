"""Boxes as RViz markers, in the palette of the pictures, with labels that can be read.

Namespaces say whose boxes they are and how it came to know them, as in "car_1: received as a box"; the labels
have one of their own. Nothing stays for longer than `LIFETIME` when no newer frame takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from builtin_interfaces.msg import Duration
from numpy.typing import NDArray
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from cosense.nodes.ros.conversions import header, to_pose, yaw_quaternion
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import ObjectClass, Objects
from cosense.topics import marker_namespace
from cosense.viewer.colors import ALONE, GROUND_TRUTH, LABELS, SOURCE_NAMES, SOURCES, rgba

# As long as the slowest run takes for a frame: what shows boxes of an ego that is gone misleads.
LIFETIME = Duration(sec=2)
_OPACITY = 0.45
_TEXT_ABOVE_SENSOR_M, _TEXT_M = 4.0, 1.5
_LABEL_ABOVE_BOX_M, _LABEL_M = 0.6, 0.7


def fused_markers(detections: Detections, ego_id: str, stamp_ns: int, frame_id: str) -> MarkerArray:
    """Return what an ego knows, coloured and switched by the source of each box."""
    return _detection_markers(detections, ego_id, SOURCE_NAMES, stamp_ns, frame_id)


def markers_alone(detections: Detections, agent_id: str, stamp_ns: int, frame_id: str) -> MarkerArray:
    """Return what an agent detects by itself."""
    return _detection_markers(detections, agent_id, {Source.EGO: ALONE}, stamp_ns, frame_id)


def objects_to_markers(objects: Objects, stamp_ns: int, frame_id: str) -> MarkerArray:
    """Return one cube an object; the namespace is its class, the text its id, as bags have them."""
    markers = [clear(stamp_ns, frame_id)]
    for index, box in enumerate(objects.boxes):
        marker = _cube(box, GROUND_TRUTH, stamp_ns, frame_id)
        marker.ns = ObjectClass(int(objects.labels[index])).name.lower()
        marker.id = index
        marker.text = str(objects.ids[index])
        markers += [marker, _label(f"{marker.ns} {marker.text}", LABELS, index, box, stamp_ns, frame_id)]
    return MarkerArray(markers=markers)


def mode_to_marker(mode: str, stamp_ns: int, frame_id: str) -> Marker:
    """Return the mode of the ego as a text above it."""
    return text(mode, "mode", np.array([0.0, 0.0, _TEXT_ABOVE_SENSOR_M]), _TEXT_M, stamp_ns, frame_id)


def text(
    words: str, namespace: str, position: NDArray[np.float64], height_m: float, stamp_ns: int, frame_id: str
) -> Marker:
    """Return words that face the viewer, at a position (3,)."""
    marker = shown(Marker.TEXT_VIEW_FACING, stamp_ns, frame_id)
    marker.ns, marker.text = namespace, words
    marker.pose = to_pose(position, yaw_quaternion(0.0))
    marker.scale.z = height_m
    marker.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
    return marker


def clear(stamp_ns: int, frame_id: str) -> Marker:
    """Return what removes the markers of the frame before."""
    return Marker(header=header(stamp_ns, frame_id), action=Marker.DELETEALL)


def shown(kind: int, stamp_ns: int, frame_id: str) -> Marker:
    """Return a marker of a kind that is shown until the next frame, and not for ever."""
    return Marker(header=header(stamp_ns, frame_id), type=kind, action=Marker.ADD, lifetime=LIFETIME)


def _detection_markers(
    detections: Detections, agent_id: str, names: Mapping[Source, str], stamp_ns: int, frame_id: str
) -> MarkerArray:
    """Return a cube and a label a box; `names` are by source."""
    markers = [clear(stamp_ns, frame_id)]
    labels = marker_namespace(agent_id, LABELS)
    for index, box in enumerate(detections.boxes):
        source, label = detections.sources[index], ObjectClass(int(detections.labels[index]))
        marker = _cube(box, SOURCES[source], stamp_ns, frame_id)
        marker.ns = marker_namespace(agent_id, names[Source(source)])
        marker.id = index
        words = f"{label.name.lower()} {detections.scores[index]:.2f}"
        markers += [marker, _label(words, labels, index, box, stamp_ns, frame_id)]
    return MarkerArray(markers=markers)


def _label(
    words: str, namespace: str, index: int, box: NDArray[np.float64], stamp_ns: int, frame_id: str
) -> Marker:
    above = np.array([*box[:2], box[2] + box[5] / 2 + _LABEL_ABOVE_BOX_M])
    marker = text(words, namespace, above, _LABEL_M, stamp_ns, frame_id)
    marker.id = index
    return marker


def _cube(box: NDArray[np.float64], color: str, stamp_ns: int, frame_id: str) -> Marker:
    marker = shown(Marker.CUBE, stamp_ns, frame_id)
    marker.pose = to_pose(box[:3], yaw_quaternion(box[6]))
    marker.scale.x, marker.scale.y, marker.scale.z = (float(size) for size in box[3:6])
    red, green, blue, opacity = rgba(color, _OPACITY)
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=opacity)
    return marker
