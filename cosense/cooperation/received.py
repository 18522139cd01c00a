"""What the ego makes of others' messages before it fuses: read, judged, put where they belong by now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.cooperation.gate import GateSettings, Use, judge, reliability
from cosense.cooperation.receiver import is_ego_body
from cosense.geometry.transforms import Matrix, invert
from cosense.messages.chunks import LayerSpec, ReceivedLayer
from cosense.messages.envelope import Message, MessageError, PayloadKind, decode
from cosense.messages.features import decode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.objects import decode_objects
from cosense.messages.reports import UNKNOWN, PeerReport, UsedFor
from cosense.scene_graph.correction.pose_correction import Place, Placed, as_sent
from cosense.sensing.detections import Detections, Source
from cosense.sensing.grid import BevGrid

# Cells this near to a moving box move with it.
_AROUND_BOX_M = 0.8


@dataclass(frozen=True)
class Received:
    """One usable message.

    Attributes:
        sender: who sent it.
        use: "features" or "boxes".
        is_precise: whether age and poses are within the limits for features, whatever the model.
        T_ego_sender: (4,4) by the poses of both, or by what is believed instead.
        age_s: how long before the ego's cloud it was measured.
        layers: of its features, empty where these are not used.
        sent: its boxes in the sender's frame, as they were when it measured.
        boxes: its boxes in the ego frame, where they are by now, without those around the ego itself.
        reliability: (M,) of `boxes`, see `gate.reliability`.
    """

    sender: str
    use: Use
    is_precise: bool
    T_ego_sender: Matrix
    age_s: float
    layers: tuple[ReceivedLayer, ...]
    sent: LateBoxes
    boxes: Detections
    reliability: NDArray[np.float64]

    def cell_shifts(self, cells: NDArray[np.int64], grid: BevGrid) -> NDArray[np.float64]:
        """Return (K,2) metres in the sender's frame: how far the cells (K,) of its grid have moved by now.

        A cell in or beside a box whose velocity is known moves with the box, the others stand.
        """
        shifts = np.zeros((len(cells), 2))
        velocities = _known_velocities(self.sent)
        speed = np.linalg.norm(velocities, axis=1)
        centres = grid.centres().reshape(-1, 2)[cells]
        for index in np.flatnonzero(speed * abs(self.age_s) > 0.05):
            x, y, _, length, width, _, yaw = self.sent.detections.boxes[index]
            offset = centres - (x, y)
            along = offset @ (np.cos(yaw), np.sin(yaw))
            across = offset @ (-np.sin(yaw), np.cos(yaw))
            inside = (np.abs(along) <= length / 2 + _AROUND_BOX_M) & (
                np.abs(across) <= width / 2 + _AROUND_BOX_M
            )
            shifts[inside] = velocities[index] * self.age_s
        return shifts


def receive_features(
    messages: Sequence[bytes],
    ego: Message,
    specs: Sequence[LayerSpec],
    shape: tuple[int, int],
    gate: GateSettings,
    max_senders: int,
    place: Place = as_sent,
) -> tuple[list[Received], list[PeerReport]]:
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
    usable: list[Received] = []
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
) -> tuple[Received, str]:
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
    return Received(
        message.sender, use, is_precise, T_ego_sender, age_ms / 1e3, layers, sent, moved[others], sure[others]
    ), reason


def _moved(boxes: LateBoxes, age_s: float) -> Detections:
    """Return the boxes where they are by now, in the frame in which they were sent."""
    moved = boxes.detections.boxes.copy()
    moved[:, :2] += _known_velocities(boxes) * age_s
    return replace(boxes.detections, boxes=moved)


def _known_velocities(boxes: LateBoxes) -> NDArray[np.float64]:
    """Return (M,2), 0 where not known: half a velocity is none."""
    known = np.isfinite(boxes.velocities_mps).all(axis=1, keepdims=True)
    return np.where(known, boxes.velocities_mps, 0.0)
