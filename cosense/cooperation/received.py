"""What the ego makes of others' messages before it fuses: read, judged, put where they belong by now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cosense.cooperation.gate import GateSettings, judge, reliability
from cosense.cooperation.receiver import is_ego_body
from cosense.geometry.transforms import invert
from cosense.messages.chunks import LayerSpec, ReceivedLayer
from cosense.messages.envelope import Message, MessageError, PayloadKind, decode
from cosense.messages.features import decode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.objects import decode_objects
from cosense.messages.reports import UNKNOWN, PeerReport, UsedFor
from cosense.methods.base import Admitted, known_velocities
from cosense.scene_graph.correction.pose_correction import Place, Placed, as_sent
from cosense.sensing.detections import Detections, Source


def receive_features(
    messages: Sequence[bytes],
    ego: Message,
    specs: Sequence[LayerSpec],
    shape: tuple[int, int],
    gate: GateSettings,
    max_senders: int,
    place: Place = as_sent,
) -> tuple[list[Admitted], list[PeerReport]]:
    """Read the FEATURES and OBJECTS messages of the others.

    Args:
        messages: as they came; the first usable one of each sender counts.
        ego: the ego's own message: whose pose, stamp and model count.
        specs: of the layers of the ego's model.
        shape: (H,W) of its pillar grid.
        gate: what a message may do.
        max_senders: messages of more senders than this are not used.
        place: says where each sender is.

    Returns:
        what can be used, by name of the sender, and a report for each message in the order given.
    """
    usable: list[Admitted] = []
    reports: list[PeerReport] = []
    for data in messages:
        sender, age_ms, carried = UNKNOWN, None, ""
        try:
            message = decode(data)
            carried = message.kind.name
            sender, age_ms = message.sender, (ego.stamp_ns - message.stamp_ns) / 1e6
            if sender == ego.sender or sender in [other.sender for other in usable]:
                raise MessageError("the sender is the ego itself or has sent another message for this frame")
            if len(usable) >= max_senders:
                raise MessageError(f"more than {max_senders} senders")
            received, reason = _read(place(message, ego), age_ms, ego, specs, shape, gate)
        except MessageError as error:
            reports.append(PeerReport(sender, len(data), "nothing", str(error), age_ms, carried))
        else:
            usable.append(received)
            used_for: UsedFor = "features" if received.use == "features" else "boxes"
            reports.append(PeerReport(sender, len(data), used_for, reason, age_ms, carried))
    # Equal scores rank in the order given: which message came first must not decide.
    return sorted(usable, key=lambda other: other.sender), reports


def _read(
    placed: Placed,
    age_ms: float,
    ego: Message,
    specs: Sequence[LayerSpec],
    shape: tuple[int, int],
    gate: GateSettings,
) -> tuple[Admitted, str]:
    """Return a message ready to be fused and why it may do no more; MessageError if it may do nothing."""
    message, ego_covariance = placed.message, placed.ego_covariance
    if message.kind not in (PayloadKind.FEATURES, PayloadKind.OBJECTS):
        raise MessageError(f"carries {message.kind.name}, this fusion uses FEATURES and OBJECTS")
    use, reason = judge(message, age_ms, ego_covariance, ego.fingerprint, gate)
    reason = "; ".join(part for part in (placed.objection, reason) if part)
    if use == "nothing":
        raise MessageError(reason)
    if placed.objection:
        use, is_precise = "boxes", False
    else:
        is_precise = judge(message, age_ms, ego_covariance, message.fingerprint, gate)[0] == "features"
    layers: tuple[ReceivedLayer, ...] = ()
    if message.kind == PayloadKind.OBJECTS:
        detections = decode_objects(message.payload)
        sent = LateBoxes(detections, np.full((len(detections), 2), np.nan))
        use, reason = "boxes", reason or "carries no features"
    else:
        payload = decode_features(message.payload)
        sent = payload.boxes
        if use == "features":
            layers = payload.layers(specs, shape)
    T_ego_sender = invert(ego.T_world_agent) @ message.T_world_agent
    moved = _moved(sent, age_ms / 1e3).transformed(T_ego_sender, Source.LATE)
    sure = reliability(
        moved, sent.velocities_mps, T_ego_sender, message.pose_covariance, ego_covariance, age_ms
    )
    others = ~is_ego_body(moved.boxes)
    return Admitted(
        message.sender, use, is_precise, T_ego_sender, age_ms / 1e3, layers, sent, moved[others], sure[others]
    ), reason


def _moved(boxes: LateBoxes, age_s: float) -> Detections:
    """Return the boxes where they are by now, in the frame in which they were sent."""
    moved = boxes.detections.boxes.copy()
    moved[:, :2] += known_velocities(boxes) * age_s
    return replace(boxes.detections, boxes=moved)
