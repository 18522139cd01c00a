"""Late fusion: every agent sends its boxes, the ego merges them.

The boxes of the others are moved into the ego frame by the poses in the messages, boxes around the ego
itself are left out, and one rotated non-maximum suppression over all agents keeps the best box of each
object. It runs for each kind of object separately, so that a pedestrian beside a car survives while a vehicle
that one agent calls a van and the other a truck is still one object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cosense.cooperation.receiver import FusionResult, FusionSettings, receive, without_ego_body
from cosense.geometry.nms import rotated_nms
from cosense.geometry.transforms import invert
from cosense.messages.envelope import MessageError, PayloadKind, decode
from cosense.messages.objects import decode_objects
from cosense.scene_graph.correction.pose_correction import Place, as_sent
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import VEHICLES, ObjectClass

_KINDS = (
    VEHICLES,
    (ObjectClass.PEDESTRIAN,),
    (ObjectClass.CYCLIST, ObjectClass.TRICYCLIST, ObjectClass.MOTORCYCLIST),
    (ObjectClass.BARROW,),
    (ObjectClass.TRAFFIC_CONE,),
)


def fuse_late(
    ego_message: bytes, messages: Sequence[bytes], settings: FusionSettings, place: Place = as_sent
) -> FusionResult:
    """Merge the ego's boxes with those of the others.

    Args:
        ego_message: the ego's own OBJECTS message.
        messages: of the others, as they came. What cannot be used becomes a report, never an error.
        settings: what is accepted and how it is merged.
        place: says where each sender is; boxes whose place is in doubt are not used.

    Returns:
        detections in the ego frame with the sources EGO and LATE, and one report a message.

    Raises:
        MessageError: the ego's own message is broken.
    """
    ego = decode(ego_message)
    if ego.kind != PayloadKind.OBJECTS:
        raise MessageError(f"the ego's own message carries {ego.kind.name}, expected OBJECTS")
    usable, reports = receive(
        messages, ego.sender, ego.stamp_ns, PayloadKind.OBJECTS, settings, decode_objects
    )
    T_ego_world = invert(ego.T_world_agent)
    parts = [decode_objects(ego.payload)]
    objections: dict[str, str] = {}
    for message, detections in usable:
        placed = place(message, ego)
        if placed.objection:
            objections[message.sender] = placed.objection
            continue
        parts.append(detections.transformed(T_ego_world @ placed.message.T_world_agent, Source.LATE))
    reports = [
        replace(report, used_for="nothing", reason=objections[report.sender])
        if report.used_for == "boxes" and report.sender in objections
        else report
        for report in reports
    ]
    found = without_ego_body(Detections.concatenate(parts))
    return FusionResult(merge(found, settings.nms_iou), reports)


def merge(detections: Detections, nms_iou: float) -> Detections:
    """Keep the best box of each object, best first; equal scores in the order given."""
    kept = [np.zeros(0, dtype=np.int64)]
    for kind in _KINDS:
        members = np.flatnonzero(np.isin(detections.labels, kind))
        kept.append(members[rotated_nms(detections.boxes[members], detections.scores[members], nms_iou)])
    return Detections.concatenate([detections[np.sort(np.concatenate(kept))]])
