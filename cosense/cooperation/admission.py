"""Admission: which messages of others the ego uses, for what, and why not for more.

One loop for every kind of fusion. A message is decoded once, when it comes (`receive`), and where there are
keys judged by its signature: what somebody sends under another's name takes no place of it. For each frame it
is then checked in this order: it could be read; the fusion uses its kind; its sender is neither the ego nor
has sent another one for this frame; there are not too many senders; every check of `cosense.trust` passes;
and its payload, its age and the poses allow what a reader of this module makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from cosense.cooperation.gate import (
    AdmissionSettings,
    features_refusal,
    judge,
    refusal,
)
from cosense.cooperation.merge import is_ego_body, on_own_objects
from cosense.errors import counted
from cosense.geometry.transforms import invert, transform_points
from cosense.messages.chunks import LayerSpec, ReceivedLayer
from cosense.messages.envelope import Message, MessageError, PayloadKind, decode
from cosense.messages.features import decode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.objects import decode_objects
from cosense.messages.points import decode_points
from cosense.messages.reports import UNKNOWN, PeerReport, UsedFor
from cosense.methods.base import Admitted, known_velocities
from cosense.scene_graph.correction.pose_correction import Place, Placed
from cosense.sensing.detections import Detections, Source
from cosense.sensing.objects import are_possible
from cosense.sensing.places import place_errors_m, spreads_m
from cosense.trust.base import Check, TrustContext, objection
from cosense.trust.identity.membership import Membership

# What merging costs grows with the boxes, faster where somebody means it to; no detector here finds more than
# 256 in one cloud.
_MAX_BOXES_PER_SENDER, _MAX_BOXES = 256, 1024

T = TypeVar("T")
# Reads an admitted message of a given age (ms): its content, what it is used for, and why not for more.
# Raises MessageError where it is of no use.
Reader = Callable[[Message, float], tuple[T, UsedFor, str]]


@dataclass(frozen=True)
class Received:
    """A message as it came, decoded.

    Attributes:
        bytes: length of the encoded message.
        message: what it says, None where it cannot be read or nobody knows who it is from.
        fault: why it is None, else empty.
        doubt: why it is not sure who it is from, where that is only a warning.
    """

    bytes: int
    message: Message | None
    fault: str = ""
    doubt: str = ""


def receive(data: bytes, membership: Membership | None = None, clock_ns: int = 0) -> Received:
    """Decode a message, and judge who it is from; what is refused is kept, so that it is reported.

    Args:
        data: as it came.
        membership: knows the keys of others; None to believe names.
        clock_ns: present time of the stamps, 0 where it is not known.
    """
    try:
        message = decode(data)
    except MessageError as error:
        return Received(len(data), None, str(error))
    if membership is None:
        return Received(len(data), message)
    doubt, may_be_read = membership.judge(data, message, clock_ns)
    if may_be_read:
        return Received(len(data), message, doubt=doubt)
    return Received(len(data), None, f"under the name '{message.sender}': {doubt}")


def admit(
    received: Sequence[Received],
    ego: Message,
    kinds: Collection[PayloadKind],
    read: Reader[T],
    settings: AdmissionSettings,
    checks: Sequence[Check] = (),
) -> tuple[list[T], list[PeerReport]]:
    """Judge the messages of one frame.

    Args:
        received: messages as they came; the first usable one of each sender counts.
        ego: the ego's own message, against whose stamp and pose the others are judged.
        kinds: kinds of message that the fusion uses.
        read: makes of a message what is fused, or refuses it.
        settings: limits.
        checks: what else a message has to pass.

    Returns:
        what was read of the admitted messages, by name of the sender, and a report for each message in the
        order given.
    """
    admitted: dict[str, T] = {}
    reports: list[PeerReport] = []
    for item in received:
        message = item.message
        if message is None:
            reports.append(PeerReport(UNKNOWN, item.bytes, "nothing", item.fault))
            continue
        age_ms = (ego.stamp_ns - message.stamp_ns) / 1e6
        used_for: UsedFor = "nothing"
        try:
            _check(message, ego, kinds, admitted, settings)
            for check in checks:
                reason = objection(check, message, TrustContext(ego, age_ms))
                if reason:
                    raise MessageError(reason)
            admitted[message.sender], used_for, reason = read(message, age_ms)
        except MessageError as error:
            reason = str(error)
        reason = "; ".join(part for part in (item.doubt, reason) if part)
        reports.append(PeerReport(message.sender, item.bytes, used_for, reason, age_ms, message.kind.name))
    # Equal scores rank in the order given: which message came first must not decide.
    return [admitted[sender] for sender in sorted(admitted)], reports


def _check(
    message: Message,
    ego: Message,
    kinds: Collection[PayloadKind],
    senders: Collection[str],
    settings: AdmissionSettings,
) -> None:
    """Raise MessageError that says why a message is not even read."""
    if message.kind not in kinds:
        used = " and ".join(kind.name for kind in kinds) or "no messages"
        raise MessageError(f"carries {message.kind.name}, this fusion uses {used}")
    if message.sender == ego.sender:
        raise MessageError(f"the sender is the ego itself by its name, '{ego.sender}'; name each agent once")
    if message.sender in senders:
        raise MessageError("the sender has sent another message for this frame, which was read first")
    if len(senders) >= settings.max_senders:
        raise MessageError(f"more than {counted(settings.max_senders, 'sender')}")


def read_points(
    message: Message, age_ms: float, ego: Message, settings: AdmissionSettings
) -> tuple[NDArray[np.float32], UsedFor, str]:
    """Return the points (N,4) of a POINTS message in the ego frame."""
    reason = refusal(message, age_ms, ego.pose_covariance, settings.max_age_ms, settings)
    if reason:
        raise MessageError(reason)
    points = decode_points(message.payload)
    xyz = transform_points(invert(ego.T_world_agent) @ message.T_world_agent, points[:, :3])
    return np.column_stack([xyz, points[:, 3]]), "points", ""


def read_boxes(
    message: Message,
    age_ms: float,
    ego: Message,
    place: Place,
    roof_below_sensor_m: float,
    settings: AdmissionSettings,
) -> tuple[Admitted, UsedFor, str]:
    """Return the boxes of an OBJECTS message for late fusion, which takes them as they were measured."""
    placed = place(message, ego)
    reason = refusal(placed.message, age_ms, placed.ego_covariance, settings.max_age_ms, settings)
    # Late fusion believes a box or does not; where its place is in doubt it does not.
    if reason or placed.objection:
        raise MessageError(reason or placed.objection)
    sent = _without_velocities(decode_objects(message.payload))
    boxes, reason = _bounded(sent)
    return _admitted(placed, "boxes", False, age_ms, ego, (), boxes, roof_below_sensor_m), "boxes", reason


def read_features(
    message: Message,
    age_ms: float,
    ego: Message,
    place: Place,
    roof_below_sensor_m: float,
    specs: Sequence[LayerSpec],
    shape: tuple[int, int],
    settings: AdmissionSettings,
) -> tuple[Admitted, UsedFor, str]:
    """Return what may be fused of a FEATURES or OBJECTS message: features and boxes, or boxes alone.

    Args:
        message: what another agent has sent.
        age_ms: how long before the ego's cloud it was measured.
        ego: the ego's own message.
        place: says where the sender is.
        roof_below_sensor_m: see `MergeSettings`.
        specs: layers of the ego's model.
        shape: (H,W) of its pillar grid.
        settings: limits.
    """
    placed = place(message, ego)
    use, reason = judge(placed.message, age_ms, placed.ego_covariance, ego.fingerprint, settings)
    reason = "; ".join(part for part in (placed.objection, reason) if part)
    if use == "nothing":
        raise MessageError(reason)
    # Whatever the model: boxes of a message that is fresh and certain are drawn into the ego's maps.
    is_precise = not placed.objection and not features_refusal(
        placed.message, age_ms, placed.ego_covariance, settings
    )
    layers: tuple[ReceivedLayer, ...] = ()
    if message.kind == PayloadKind.OBJECTS:
        boxes = _without_velocities(decode_objects(message.payload))
        reason = "; ".join(part for part in (placed.objection, "carries no features") if part)
    else:
        payload = decode_features(message.payload)
        boxes, layers = payload.boxes, () if reason else payload.layers(specs, shape)
    used_for: Literal["features", "boxes"] = "boxes" if reason else "features"
    boxes, left_out = _bounded(boxes)
    reason = "; ".join(part for part in (reason, left_out) if part)
    content = _admitted(placed, used_for, is_precise, age_ms, ego, layers, boxes, roof_below_sensor_m)
    return content, used_for, reason


def _admitted(
    placed: Placed,
    use: Literal["features", "boxes"],
    is_precise: bool,
    age_ms: float,
    ego: Message,
    layers: tuple[ReceivedLayer, ...],
    sent: LateBoxes,
    roof_below_sensor_m: float,
) -> Admitted:
    """Put a message where it belongs in the ego frame by now."""
    message, age_s = placed.message, age_ms / 1e3
    T_ego_sender = invert(ego.T_world_agent) @ message.T_world_agent
    boxes = _moved(sent, age_s).transformed(T_ego_sender, Source.LATE)
    others = ~is_ego_body(boxes.boxes, roof_below_sensor_m)
    errors_m = place_errors_m(
        message.pose_covariance,
        placed.ego_covariance,
        np.linalg.norm(boxes.boxes[:, :2] - T_ego_sender[:2, 3], axis=1),
        np.linalg.norm(boxes.boxes[:, :2], axis=1),
    )
    boxes = on_own_objects(boxes, decode_objects(ego.payload), errors_m)
    return Admitted(
        sender=message.sender,
        use=use,
        is_precise=is_precise,
        T_ego_sender=T_ego_sender,
        age_s=age_s,
        layers=layers,
        sent=sent,
        boxes=boxes,
        errors_m=errors_m,
        spreads_m=spreads_m(boxes, sent.velocities_mps, errors_m, age_ms),
    ).chosen(others)


def _bounded(sent: LateBoxes) -> tuple[LateBoxes, str]:
    """Return the best of the boxes that can be, as many as a sender may have, and what was left out."""
    detections = sent.detections
    is_possible = are_possible(detections.boxes, detections.labels, sent.velocities_mps)
    impossible = int(np.count_nonzero(~is_possible))
    reasons = [f"{counted(impossible, 'box')} of impossible size or speed left out"] if impossible else []
    kept = np.flatnonzero(is_possible)
    limit = _MAX_BOXES_PER_SENDER
    if len(kept) > limit:
        reasons.append(f"{counted(len(kept) - limit, 'box')} beyond the best {limit} left out")
        kept = kept[_best(detections.scores[kept], limit)]
    return sent[kept], "; ".join(reasons)


def bounded(admitted: Sequence[Admitted]) -> list[Admitted]:
    """Return messages with as many boxes in all as are fused, of each sender the best."""
    if sum(len(other.boxes) for other in admitted) <= _MAX_BOXES:
        return list(admitted)
    share = _MAX_BOXES // len(admitted)
    return [other.chosen(_best(other.boxes.scores, share)) for other in admitted]


def _best(scores: NDArray[np.float32], number: int) -> NDArray[np.int64]:
    """Return the indices of the best, in the order in which they are."""
    return np.sort(np.argsort(-scores, kind="stable")[:number])


def _without_velocities(detections: Detections) -> LateBoxes:
    return LateBoxes(detections, np.full((len(detections), 2), np.nan))


def _moved(boxes: LateBoxes, age_s: float) -> Detections:
    """Return the boxes where they are by now, in the frame in which they were sent."""
    moved = boxes.detections.boxes.copy()
    moved[:, :2] += known_velocities(boxes) * age_s
    return replace(boxes.detections, boxes=moved)
