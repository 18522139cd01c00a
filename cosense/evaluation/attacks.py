"""Senders that lie on purpose, to measure what their lies cost the ego.

Each lie is a well-formed message from where the liar is, made of what an honest sender would have sent, and
all its boxes claim to be certain:

    ghosts    20 cars more, anywhere within 45 m of the liar and standing still beside it
    turned    all boxes turned by 90 degrees
    fat       all boxes 1.6 times as long and wide
    shift     all boxes 1 m off
    replay    the liar's first message again and again, each time as if it were new

Features and scene graphs stay as they are.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from cosense.messages.envelope import KINDS, Message, PayloadKind, decode, encode
from cosense.messages.features import FeaturesPayload
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.objects import ObjectsPayload
from cosense.sensing.detections import Detections
from cosense.sensing.objects import ObjectClass

AttackName = Literal["ghosts", "turned", "fat", "shift", "replay"]
ATTACKS: tuple[AttackName, ...] = get_args(AttackName)

_GHOSTS, _GHOSTS_WITHIN_M = 20, 45.0
_CAR_SIZE_M = (4.5, 1.9, 1.6)
# Middle of a car below a LiDAR on a roof, where the liar itself has seen nothing to go by.
_CAR_BELOW_SENSOR_M = 1.0
_FATTER = 1.6
_SHIFT_M = 1.0


class Liars:
    """Some senders of one sequence, who all lie alike."""

    def __init__(self, attack: AttackName, names: Sequence[str], seed: Sequence[int]) -> None:
        """Start.

        Args:
            attack: how they lie.
            names: who lies.
            seed: what their ghosts are drawn by, together with their names.
        """
        self._liars = {
            name: _Liar(attack, np.random.default_rng([*seed, zlib.crc32(name.encode())])) for name in names
        }

    def spoiled(self, sender: str, data: bytes) -> bytes:
        """Return what `sender` sends instead of an honest message; an honest one sends the message."""
        liar = self._liars.get(sender)
        return data if liar is None else liar.spoiled(data)


class _Liar:
    def __init__(self, attack: AttackName, rng: np.random.Generator) -> None:
        self._attack = attack
        self._rng = rng
        self._ghosts: Detections | None = None
        self._first: Message | None = None

    def spoiled(self, data: bytes) -> bytes:
        """Return what is sent instead of an honest message; what carries no boxes stays as it is."""
        message = decode(data)
        if message.kind not in (PayloadKind.OBJECTS, PayloadKind.FEATURES):
            return data
        if self._attack == "replay":
            self._first = self._first or message
            return encode(replace(message, payload=self._first.payload))
        codec = KINDS[message.kind]
        content: ObjectsPayload | FeaturesPayload = codec.decode(message)
        if isinstance(content, ObjectsPayload):
            content = replace(content, detections=self._lie(content.detections))
        else:
            lies = self._lie(content.boxes.detections)
            # What was made up stands still.
            velocities = np.zeros((len(lies), 2))
            velocities[: len(content.boxes)] = content.boxes.velocities_mps
            content = replace(content, boxes=LateBoxes(lies, velocities))
        return encode(replace(message, payload=codec.encode(content)))

    def _lie(self, detections: Detections) -> Detections:
        certain = replace(detections, scores=np.ones_like(detections.scores))
        if self._attack == "ghosts":
            return self._with_ghosts(certain)
        boxes = detections.boxes.copy()
        _CHANGES[self._attack](boxes)
        return replace(certain, boxes=boxes)

    def _with_ghosts(self, detections: Detections) -> Detections:
        """Return boxes, the made-up ones last."""
        if self._ghosts is None:
            boxes = np.zeros((_GHOSTS, 7))
            boxes[:, :2] = self._rng.uniform(-_GHOSTS_WITHIN_M, _GHOSTS_WITHIN_M, (_GHOSTS, 2))
            heights = detections.boxes[:, 2]
            boxes[:, 2] = np.median(heights) if len(heights) else -_CAR_BELOW_SENSOR_M
            boxes[:, 3:6] = _CAR_SIZE_M
            boxes[:, 6] = self._rng.uniform(-np.pi, np.pi, _GHOSTS)
            self._ghosts = Detections(
                boxes,
                np.ones(_GHOSTS, np.float32),
                np.full(_GHOSTS, ObjectClass.CAR, np.int64),
                np.zeros(_GHOSTS, np.uint8),
            )
        # All are certain: joining keeps the order.
        return Detections.concatenate([detections, self._ghosts])


def _turn(boxes: np.ndarray) -> None:
    boxes[:, 6] += np.pi / 2


def _fatten(boxes: np.ndarray) -> None:
    boxes[:, 3:5] *= _FATTER


def _shift(boxes: np.ndarray) -> None:
    boxes[:, 0] += _SHIFT_M


_CHANGES: dict[str, Callable[[np.ndarray], None]] = {"turned": _turn, "fat": _fatten, "shift": _shift}
