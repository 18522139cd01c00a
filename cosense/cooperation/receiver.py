"""What every kind of fusion does first: read the messages, judge them, say what became of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes
from cosense.messages.envelope import Message, MessageError, PayloadKind, decode
from cosense.messages.reports import UNKNOWN, PeerReport, UsedFor, with_demand
from cosense.sensing.detections import Detections

# The ego's sensor is on its roof: a box around the ego ends close below the sensor or above it, while a car
# that passes under the mast of a roadside unit ends metres below.
_ROOF_BELOW_SENSOR_M = 1.0

Payload = TypeVar("Payload")
_USED_FOR: dict[PayloadKind, UsedFor] = {
    PayloadKind.OBJECTS: "boxes",
    PayloadKind.POINTS: "points",
    PayloadKind.FEATURES: "features",
}


@dataclass(frozen=True)
class FusionSettings:
    """What the ego accepts and how it merges.

    Attributes:
        max_age_ms: a message measured longer than this before the ego's own cloud is not used. Unsynchronised
            10 Hz sensors differ by up to 100 ms when the newest message is always used; 150 leaves room for
            jitter, and a car at 15 m/s has moved by 2 m, less than its own length.
        max_ahead_ms: likewise for a message measured after the ego's cloud.
        nms_iou: of two boxes of one kind that overlap more than this (BEV IoU) only the better stays. Low,
            because two agents' boxes of one car overlap little when poses are off, and cars do not overlap.
        max_senders: messages of more senders than this are not used.
    """

    max_age_ms: float = 150.0
    max_ahead_ms: float = 100.0
    nms_iou: float = 0.15
    max_senders: int = 16

    def __post_init__(self) -> None:
        if self.max_age_ms < 0 or self.max_ahead_ms < 0:
            raise ValueError(
                f"max_age_ms {self.max_age_ms} and max_ahead_ms {self.max_ahead_ms} must be >= 0"
            )
        if not 0 < self.nms_iou <= 1:
            raise ValueError(f"nms_iou {self.nms_iou} must be in (0, 1]")
        if self.max_senders < 1:
            raise ValueError(f"max_senders {self.max_senders} must be at least 1")


@dataclass(frozen=True)
class FusionResult:
    """What the ego knows after one frame, and from whom.

    Attributes:
        detections: in the ego frame, best first.
        peers: one report for each message of the others, in the order given, those of scene graphs last.
        demand_bytes: length of each DEMAND message that the ego sent for it, by addressee, "" for everybody.
    """

    detections: Detections
    peers: list[PeerReport]
    demand_bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def bytes_per_sender(self) -> dict[str, int]:
        """Length of all messages of each sender, used or not, and of what it was asked with."""
        return with_demand(self.peers, self.demand_bytes)


def receive(
    messages: Sequence[bytes],
    ego_id: str,
    ego_stamp_ns: int,
    kind: PayloadKind,
    settings: FusionSettings,
    read_payload: Callable[[bytes], Payload],
) -> tuple[list[tuple[Message, Payload]], list[PeerReport]]:
    """Read the messages of the others.

    Args:
        messages: as they came; the first usable one of each sender counts.
        ego_id: who fuses; a message under this name is not used.
        ego_stamp_ns: measurement time of the ego's cloud, against which messages are old or ahead.
        kind: the only kind that this fusion uses.
        settings: limits.
        read_payload: decoder of that kind.

    Returns:
        the usable messages with their decoded payloads, and a report for each message in the order given.
    """
    usable: list[tuple[Message, Payload]] = []
    reports: list[PeerReport] = []
    senders = {ego_id}
    for data in messages:
        sender, age_ms, carried = UNKNOWN, None, ""
        try:
            message = decode(data)
            carried = message.kind.name
            sender, age_ms = message.sender, (ego_stamp_ns - message.stamp_ns) / 1e6
            _check(message, age_ms, kind, settings, senders)
            usable.append((message, read_payload(message.payload)))
        except MessageError as error:
            reports.append(PeerReport(sender, len(data), "nothing", str(error), age_ms, carried))
        else:
            senders.add(sender)
            reports.append(PeerReport(sender, len(data), _USED_FOR[kind], "", age_ms, carried))
    return usable, reports


def _check(
    message: Message, age_ms: float, kind: PayloadKind, settings: FusionSettings, senders: set[str]
) -> None:
    """Raise MessageError that says why a message is not used."""
    if message.kind != kind:
        raise MessageError(f"carries {message.kind.name}, this fusion uses {kind.name}")
    if message.sender in senders:
        raise MessageError("the sender is the ego itself or has sent another message for this frame")
    if age_ms > settings.max_age_ms:
        raise MessageError(f"{age_ms:.0f} ms old, the limit is {settings.max_age_ms:.0f}")
    if -age_ms > settings.max_ahead_ms:
        raise MessageError(f"{-age_ms:.0f} ms ahead, the limit is {settings.max_ahead_ms:.0f}")
    if len(senders) > settings.max_senders:
        raise MessageError(f"more than {settings.max_senders} senders")


def without_ego_body(detections: Detections) -> Detections:
    """Leave out boxes around the ego itself: others see it, its LiDAR sees its roof; it is no obstacle."""
    return detections[~is_ego_body(detections.boxes)]


def is_ego_body(boxes: Boxes) -> NDArray[np.bool_]:
    """Return (M,): which of the boxes (M,7) in the ego frame are the ego's own body.

    The origin of the ego frame is its sensor: the footprint of such a box contains the origin, and its top is
    not far below.
    """
    x, y, z, length, width, height, yaw = boxes.T
    along = x * np.cos(yaw) + y * np.sin(yaw)
    across = y * np.cos(yaw) - x * np.sin(yaw)
    return np.asarray(
        (np.abs(along) <= length / 2)
        & (np.abs(across) <= width / 2)
        & (z + height / 2 >= -_ROOF_BELOW_SENSOR_M)
    )
