"""What a sender does with one frame: fill one message up to the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.messages import objects, points
from cosense.messages.envelope import MAX_PAYLOAD_BYTES, Message, PayloadKind, encode, envelope_bytes
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame

if TYPE_CHECKING:
    from cosense.detectors.base import Detector


def share(
    frame: AgentFrame,
    detections: Detections | None,
    detector: Detector,
    kind: PayloadKind,
    sequence: int,
    budget_bytes: int | None = None,
) -> bytes:
    """Write the message of one agent for one frame.

    Args:
        frame: what the agent measured.
        detections: its own boxes in its own frame; needed for OBJECTS.
        detector: whose fingerprint goes into the message.
        kind: OBJECTS or POINTS.
        sequence: counts the sender's messages; wraps after 2^32.
        budget_bytes: limit of the whole encoded message, None for that of the format. Boxes are left out
            by lowest score first; a cloud is thinned evenly.

    Raises:
        CosenseError: the budget does not even hold an empty message, or the kind cannot be sent.
    """
    check_budget(frame.agent_id, kind, budget_bytes)
    overhead = envelope_bytes(frame.agent_id)
    room = MAX_PAYLOAD_BYTES if budget_bytes is None else min(budget_bytes - overhead, MAX_PAYLOAD_BYTES)
    if kind == PayloadKind.POINTS:
        payload = _points_within(frame.points, room)
    elif detections is None:
        raise ValueError("an OBJECTS message needs detections")
    else:
        payload = _objects_within(detections, room)
    return encode(
        Message(
            kind=kind,
            sender=frame.agent_id,
            sequence=sequence % (1 << 32),
            stamp_ns=frame.stamp_ns,
            T_world_agent=frame.T_world_agent,
            pose_covariance=frame.pose_covariance,
            fingerprint=detector.fingerprint,
            payload=payload,
        )
    )


def check_budget(agent_id: str, kind: PayloadKind, budget_bytes: int | None) -> None:
    """Raise CosenseError if messages of this kind cannot be sent at all, or not within the budget."""
    empty_payload = {PayloadKind.OBJECTS: objects.COUNT_BYTES, PayloadKind.POINTS: points.HEADER_BYTES}
    if kind not in empty_payload:
        raise CosenseError(f"messages of kind {kind.name} cannot be sent yet; known: OBJECTS, POINTS")
    smallest = envelope_bytes(agent_id) + empty_payload[kind]
    if budget_bytes is not None and budget_bytes < smallest:
        raise CosenseError(
            f"budget of {budget_bytes} bytes is too small for agent '{agent_id}': "
            f"an empty {kind.name} message takes {smallest}"
        )


def _objects_within(detections: Detections, room_bytes: int) -> bytes:
    """Encode as many of the best boxes as fit."""
    fitting = (room_bytes - objects.COUNT_BYTES) // objects.BOX_BYTES
    best_first = np.argsort(-detections.scores, kind="stable")
    return objects.encode_objects(detections[best_first[:fitting]])


def _points_within(cloud: NDArray[np.float32], room_bytes: int) -> bytes:
    """Encode the cloud (N,4), thinned evenly until it fits."""
    cloud = points.writable_points(cloud)
    count = min(len(cloud), points.MAX_POINTS)
    while True:
        chosen = np.arange(count) * len(cloud) // max(count, 1)
        payload = points.encode_points(cloud[chosen])
        if len(payload) <= room_bytes:
            return payload
        # The compressed size is nearly proportional; the step of at least one point makes the loop end.
        count = min(count - 1, int(count * 0.99 * room_bytes / len(payload)))
