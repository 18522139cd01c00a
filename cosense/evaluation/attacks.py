"""Senders that lie on purpose, to measure what their lies cost the ego.

Each lie is made of what an honest sender would have sent, and all its boxes claim to be certain:

    ghosts    20 cars more, anywhere within 45 m of the liar and standing still beside it
    turned    all boxes turned by 90 degrees
    fat       all boxes 1.6 times as long and wide
    shift     all boxes 1 m off
    pose      it claims to be 2 m farther on and turned by 2 degrees, and to know that to the centimetre
    replay    the liar's first message again and again, each time as if it were new
    sybil     its ghosts again under three more names, from where nobody is
    flood     16 made-up names more, each with 250 boxes anywhere
    patches   all its feature cells say what its best one says
    removal   no boxes but the farthest three
    graph     the objects of its scene graph are 2 m off, its boxes are honest
    spoof     its ghosts under the name of an honest sender, if there is one

Of the features and scene graphs only `patches` and `graph` change anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from cosense.geometry.boxes import Boxes, transform_boxes
from cosense.geometry.transforms import Matrix, displaced, invert
from cosense.messages.chunks import Section
from cosense.messages.envelope import KINDS, Message, PayloadKind, decode, encode
from cosense.messages.features import FeaturesPayload, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.objects import ObjectsPayload
from cosense.methods.model import Model
from cosense.sensing.detections import Detections
from cosense.sensing.objects import ObjectClass

AttackName = Literal[
    "ghosts",
    "turned",
    "fat",
    "shift",
    "pose",
    "replay",
    "sybil",
    "flood",
    "patches",
    "removal",
    "graph",
    "spoof",
]
ATTACKS: tuple[AttackName, ...] = get_args(AttackName)

_GHOSTS, _WITHIN_M = 20, 45.0
_CAR_SIZE_M = (4.5, 1.9, 1.6)
# Middle of a car below a LiDAR on a roof, where the liar itself has seen nothing to go by.
_CAR_BELOW_SENSOR_M = 1.0
_FATTER = 1.6
_SHIFT_M = 1.0
_WRONG_POSE = (2.0, 0.0, np.deg2rad(2.0))
_SYBILS, _SYBILS_APART_M = 3, 12.0
_FLOOD, _BOXES_OF_FLOOD = 16, 250
_NAMED_AT_MOST = 3
_GRAPH_OFF_M = 2.0
_WITH_GHOSTS = ("ghosts", "sybil", "spoof")


class Liars:
    """Some senders of one sequence, who all lie alike."""

    def __init__(
        self,
        attack: AttackName,
        names: Sequence[str],
        seed: Sequence[int],
        honest: Sequence[str] = (),
        model: Model | None = None,
    ) -> None:
        """Start.

        Args:
            attack: how they lie.
            names: who lies.
            seed: what their ghosts are drawn by, together with their names.
            honest: who does not lie, for those who take another's name.
            model: what all run, for those who change features.
        """
        victim = honest[0] if honest else None
        self._liars = {
            name: _Liar(attack, np.random.default_rng([*seed, zlib.crc32(name.encode())]), victim, model)
            for name in names
        }
        self._honest = set(honest)

    @property
    def names(self) -> list[str]:
        """Who lies."""
        return list(self._liars)

    def spoiled(self, sender: str, data: bytes) -> list[bytes]:
        """Return what `sender` sends instead of an honest message; an honest one sends the message."""
        liar = self._liars.get(sender)
        return [data] if liar is None else liar.spoiled(data)

    def is_honest(self, name: str) -> bool:
        """Return whether nobody lies under a name; a name that was made up is a liar's."""
        return name in self._honest

    def ghosts(self, sender: str) -> Boxes:
        """Return the boxes (M,7) in the frame of `sender` that it has made up so far."""
        liar = self._liars.get(sender)
        made_up = None if liar is None else liar.made_up
        return np.zeros((0, 7)) if made_up is None else made_up.boxes


class _Liar:
    def __init__(
        self, attack: AttackName, rng: np.random.Generator, victim: str | None, model: Model | None
    ) -> None:
        self._attack = attack
        self._rng = rng
        self._victim = victim
        self._model = model
        self._first: Message | None = None
        self.made_up: Detections | None = None

    def spoiled(self, data: bytes) -> list[bytes]:
        """Return what is sent instead of an honest message."""
        message = decode(data)
        if self._attack == "pose":
            surest = np.diag([0.01, 0.01, np.deg2rad(0.01)]) ** 2
            T = displaced(message.T_world_agent, _WRONG_POSE)
            return [encode(replace(message, T_world_agent=T, pose_covariance=surest))]
        if message.kind == PayloadKind.SCENE_GRAPH:
            return [encode(self._graph(message) if self._attack == "graph" else message)]
        if message.kind not in (PayloadKind.OBJECTS, PayloadKind.FEATURES):
            return [data]
        if self._attack == "replay":
            self._first = self._first or message
            return [encode(replace(message, payload=self._first.payload))]
        if self._attack == "spoof" and self._victim is not None:
            message = replace(message, sender=self._victim)
        lie = _with_boxes(message, self._lie)
        if self._attack == "patches":
            lie = self._patched(lie)
        return [encode(lie), *map(encode, self._more(lie))]

    def _lie(self, detections: Detections) -> Detections:
        if self._attack in ("patches", "graph"):
            return detections
        certain = replace(detections, scores=np.ones_like(detections.scores))
        if self._attack in _WITH_GHOSTS:
            return self._with_ghosts(certain)
        if self._attack == "removal":
            distance_m = np.linalg.norm(detections.boxes[:, :2], axis=1)
            return detections[np.sort(np.argsort(-distance_m)[:_NAMED_AT_MOST])]
        if self._attack not in _CHANGES:
            return certain
        boxes = detections.boxes.copy()
        _CHANGES[self._attack](boxes)
        return replace(certain, boxes=boxes)

    def _with_ghosts(self, detections: Detections) -> Detections:
        """Return boxes, the made-up ones last."""
        if self.made_up is None:
            heights = detections.boxes[:, 2]
            self.made_up = self._drawn(_GHOSTS, np.median(heights) if len(heights) else -_CAR_BELOW_SENSOR_M)
        # All are certain: joining keeps the order.
        return Detections.concatenate([detections, self.made_up])

    def _drawn(self, count: int, height_m: float) -> Detections:
        """Return cars anywhere around."""
        boxes = np.zeros((count, 7))
        boxes[:, :2] = self._rng.uniform(-_WITHIN_M, _WITHIN_M, (count, 2))
        boxes[:, 2] = height_m
        boxes[:, 3:6] = _CAR_SIZE_M
        boxes[:, 6] = self._rng.uniform(-np.pi, np.pi, count)
        labels = np.full(count, ObjectClass.CAR, np.int64)
        return Detections(boxes, np.ones(count, np.float32), labels, np.zeros(count, np.uint8))

    def _more(self, lie: Message) -> list[Message]:
        """Return the messages of made-up names beside its own."""
        if self._attack == "sybil":
            angles = 2 * np.pi * np.arange(_SYBILS) / _SYBILS
            aside = [displaced(lie.T_world_agent, _SYBILS_APART_M * _unit(angle)) for angle in angles]
            return [
                _seen_from(replace(lie, sender=f"{lie.sender}-{number}"), T) for number, T in enumerate(aside)
            ]
        if self._attack == "flood":
            return [
                _with_boxes(
                    replace(lie, sender=f"{lie.sender}-{number}"),
                    lambda _: self._drawn(_BOXES_OF_FLOOD, -_CAR_BELOW_SENSOR_M),
                )
                for number in range(_FLOOD)
            ]
        return []

    def _patched(self, message: Message) -> Message:
        """Return a message whose feature cells all say what the best one says."""
        if message.kind != PayloadKind.FEATURES or self._model is None or self._model.method is None:
            return message
        method = self._model.method
        codec = KINDS[message.kind]
        content: FeaturesPayload = codec.decode(message)
        layers = content.layers(method.specs, method.detector.grid.shape)
        sections = [
            Section(number, layer.cells, np.broadcast_to(layer.values[:1], layer.values.shape).copy())
            for number, layer in enumerate(layers)
            if len(layer.cells)
        ]
        payload = encode_features(
            content.ground_m, content.boxes, sections, method.specs, len(message.payload)
        )
        return replace(message, payload=payload)

    def _graph(self, message: Message) -> Message:
        """Return a graph whose objects lie elsewhere."""
        codec = KINDS[message.kind]
        graph = codec.decode(message)
        positions = graph.positions + np.array([_GRAPH_OFF_M, 0.0, 0.0])
        return replace(message, payload=codec.encode(replace(graph, positions=positions)))


def _with_boxes(message: Message, change: Callable[[Detections], Detections]) -> Message:
    """Return a message with other boxes; those beyond what there was stand still."""
    codec = KINDS[message.kind]
    content: ObjectsPayload | FeaturesPayload = codec.decode(message)
    if isinstance(content, ObjectsPayload):
        content = replace(content, detections=change(content.detections))
    else:
        lies = change(content.boxes.detections)
        velocities = np.zeros((len(lies), 2))
        known = min(len(lies), len(content.boxes))
        velocities[:known] = content.boxes.velocities_mps[:known]
        content = replace(content, boxes=LateBoxes(lies, velocities))
    return replace(message, payload=codec.encode(content))


def _seen_from(message: Message, T_world_elsewhere: Matrix) -> Message:
    """Return a message with the same boxes in the world from another place."""
    T_elsewhere_here = invert(T_world_elsewhere) @ message.T_world_agent

    def moved(found: Detections) -> Detections:
        return replace(found, boxes=transform_boxes(T_elsewhere_here, found.boxes))

    return replace(_with_boxes(message, moved), T_world_agent=T_world_elsewhere)


def _unit(angle_rad: float) -> np.ndarray:
    return np.array([np.cos(angle_rad), np.sin(angle_rad), 0.0])


def _turn(boxes: np.ndarray) -> None:
    boxes[:, 6] += np.pi / 2


def _fatten(boxes: np.ndarray) -> None:
    boxes[:, 3:5] *= _FATTER


def _shift(boxes: np.ndarray) -> None:
    boxes[:, 0] += _SHIFT_M


_CHANGES: dict[str, Callable[[np.ndarray], None]] = {"turned": _turn, "fat": _fatten, "shift": _shift}
