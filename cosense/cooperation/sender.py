"""One agent that tells others what it sees: a frame and the ego's newest request in, messages out.

The same object runs offline, in every live agent, and for the ego itself, whose own boxes and scene graph
reach its fusion as messages too, so that all agents see through the same rounding.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.cooperation.kinds import FusionKind, sent_kind
from cosense.cooperation.perceived import Perceived
from cosense.cooperation.requests import read_request, wanted_places
from cosense.detectors.base import BevFeatures
from cosense.errors import CosenseError
from cosense.messages import objects, points
from cosense.messages.demand import DemandMap
from cosense.messages.envelope import (
    MAX_PAYLOAD_BYTES,
    PACKET_BYTES,
    Message,
    PayloadKind,
    decode,
    encode,
    envelope_bytes,
)
from cosense.messages.features import EMPTY_FEATURES_BYTES, decode_features, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.messages.scene_graph import coarse_nodes, share_graph
from cosense.messages.signatures import SIGNATURE_BYTES
from cosense.methods.base import Method
from cosense.methods.model import Model
from cosense.scene_graph.registrations import NONE, payload_kind, thinned_frame
from cosense.sensing.frame import AgentFrame
from cosense.sensing.grid import BevGrid
from cosense.tracking.motion import MotionTracker
from cosense.trust.identity.keys import Signer
from cosense.trust.identity.membership import Membership

# A scene graph takes at most this share of a budget; one of fewer nodes is worth less than more boxes.
_GRAPH_SHARE, _FEWEST_NODES = 0.5, 12
# Who has a budget sends a whole graph twice a second, for those who come new, and in the frames between the
# best nodes alone: where a sender is roughly known they tell its pose as well. With poses as wrong as between
# agents of DAIR-V2X, AP@0.7 at T-junctions is 77.6 by all nodes, 77.6 by 30, 76.8 by 20. Clocks jitter.
_WHOLE_GRAPH_NS, _NODES_BETWEEN = 495_000_000, 30
# A box that the ego does not want is worth this much of one that it wants.
_UNWANTED_BOX = 0.5
_EMPTY_PAYLOAD_BYTES = {
    PayloadKind.OBJECTS: objects.HEADER_BYTES,
    PayloadKind.POINTS: points.HEADER_BYTES,
    PayloadKind.FEATURES: EMPTY_FEATURES_BYTES,
}


@dataclass(frozen=True)
class SelectionMaps:
    """Why a message holds what it does.

    Attributes:
        grid: cells of the maps (H,W), in the sender's frame.
        supply: how confident the sender is, smoothed.
        wanted: where the ego wants to know more.
        sent: cells of the first layer that are in the message.
        difference: how much the sender's features stand out, None of a method that does not ask.
    """

    grid: BevGrid
    supply: NDArray[np.float32]
    wanted: NDArray[np.bool_]
    sent: NDArray[np.bool_]
    difference: NDArray[np.float32] | None


class Sender:
    """One agent; call `message` and `surroundings` once a frame, in the order of time.

    Attributes:
        kind: kind of the messages that `message` returns, None where nobody sends.
        budget_bytes: limit of all that is sent in one frame, message and scene graph together, None for those
            of the formats; may be set at any time.
        request: where the ego wants to know more, None before anybody has asked.
    """

    def __init__(
        self,
        agent_id: str,
        model: Model,
        fusion: FusionKind,
        *,
        registration: str = NONE,
        budget_bytes: int | None = None,
        selection: str | None = None,
        signer: Signer | None = None,
        membership: Membership | None = None,
    ) -> None:
        """Start.

        Args:
            agent_id: under which name it sends.
            model: what it detects and shares with.
            fusion: how the agents work together.
            registration: how poses are corrected, which decides what `surroundings` returns.
            budget_bytes: see above.
            selection: rule by which cells are chosen, None for that of the method.
            signer: key with which it signs what it sends; None to sign nothing.
            membership: knows the keys of those who request; None to believe names.

        Raises:
            CosenseError: the budget does not even hold an empty message.
        """
        self.kind = sent_kind(fusion, model)
        self.agent_id = agent_id
        self._signer = signer
        self._membership = membership
        self.check_budget(budget_bytes)
        self.budget_bytes = budget_bytes
        self.request: DemandMap | None = None
        self._model = model
        self._with_boxes = fusion == "hybrid"
        self._registration = registration
        self._selection = selection
        self._tracker = MotionTracker()
        # The last graph, after what it was made of: frame, number and budget.
        self._graph: tuple[Perceived, int, int | None, bytes | None] | None = None
        self._whole_graph_ns: int | None = None

    def check_budget(self, budget_bytes: int | None) -> None:
        """Raise CosenseError if not even an empty message of this sender fits the budget."""
        check_budget(self.agent_id, self.kind, budget_bytes, is_signed=self._signer is not None)

    def receive_request(self, data: bytes, clock_ns: int = 0) -> bool:
        """Take a request (DEMAND): the one received last that is addressed to this agent counts.

        Args:
            data: as it came.
            clock_ns: present time of the stamps, 0 where it is not known.

        Returns:
            whether it is addressed to this agent.

        Raises:
            MessageError: it cannot be read, is of another kind, or nobody knows who it is from.
        """
        request = read_request(data, self.agent_id, self._membership, clock_ns)
        self.request = request or self.request
        return request is not None

    def message(self, own: Perceived, sequence: int, request: DemandMap | None) -> bytes | None:
        """Return the message of one frame, None where nobody sends.

        Args:
            own: what the agent sees.
            sequence: counts the sender's messages; wraps after 2^32.
            request: what the ego wants by now, see `request`.

        Raises:
            CosenseError: the budget does not even hold an empty message.
        """
        if self.kind is None:
            return None
        self.check_budget(self.budget_bytes)
        room_bytes = MAX_PAYLOAD_BYTES
        if self.budget_bytes is not None:
            graph_bytes = len(self._graph_of(own, sequence) or b"")
            beside_bytes = graph_bytes + envelope_bytes(self.agent_id) + self._signature_bytes
            room_bytes = min(self.budget_bytes - beside_bytes, room_bytes)
        if self.kind == PayloadKind.POINTS:
            payload = _points_within(own.frame.points, room_bytes)
        elif self.kind == PayloadKind.OBJECTS:
            payload = _objects_within(own, room_bytes)
        else:
            payload = self._features_within(own, sequence, request, room_bytes)
        return self._encode(own.frame, self.kind, payload, sequence)

    def surroundings(self, own: Perceived, sequence: int) -> bytes | None:
        """Return the message by which others can correct this agent's pose, None where there is none.

        A scene graph or a thinned cloud, as the registration wants it. A cloud is there to compare with, and
        has no limit.
        """
        if self._registration == NONE:
            return None
        if payload_kind(self._registration) == PayloadKind.POINTS:
            frame = thinned_frame(own.frame)
            payload = _points_within(frame.points, MAX_PAYLOAD_BYTES)
            return self._encode(frame, PayloadKind.POINTS, payload, sequence)
        return self._graph_of(own, sequence)

    def explain(self, own: Perceived, request: DemandMap | None, data: bytes) -> SelectionMaps:
        """Return why the FEATURES message `data` of a frame holds what it does, as maps to look at.

        Args:
            own: what the agent saw.
            request: with which the message was made.
            data: the message.
        """
        method, features = self._features_of(own)
        spec = method.specs[0]
        layers = decode_features(decode(data).payload).layers(method.specs, features.grid.shape)
        wanted = _wanted_map(request, own.frame, features.grid, spec.stride)
        sent = np.zeros(wanted.shape, dtype=np.bool_)
        sent.reshape(-1)[layers[0].cells] = True
        _, supply = method.supply(features)
        difference = method.difference(features)
        return SelectionMaps(
            features.grid.coarser(spec.stride),
            supply.cpu().numpy(),
            wanted.numpy(),
            sent,
            None if difference is None else difference.cpu().numpy(),
        )

    def _graph_of(self, own: Perceived, sequence: int) -> bytes | None:
        """Return what `_graph_within` does, encoded once: the message must know how long it is."""
        last = self._graph
        if last is None or last[0] is not own or last[1:3] != (sequence, self.budget_bytes):
            last = self._graph = (own, sequence, self.budget_bytes, self._graph_within(own, sequence))
        return last[3]

    def _graph_within(self, own: Perceived, sequence: int) -> bytes | None:
        """Return the scene graph that goes out with a frame, None where none does."""
        if self._registration == NONE or payload_kind(self._registration) == PayloadKind.POINTS:
            return None
        nodes = coarse_nodes(self.agent_id, PACKET_BYTES - self._signature_bytes)
        if self.budget_bytes is not None:
            share_bytes = int(_GRAPH_SHARE * self.budget_bytes) - self._signature_bytes
            nodes = min(nodes, coarse_nodes(self.agent_id, share_bytes))
            if not self._is_whole_graph_due(own.frame.stamp_ns):
                nodes = min(nodes, _NODES_BETWEEN)
        if nodes < _FEWEST_NODES:
            return None
        return self._signed(share_graph(own.scene_graph, sequence, self._model.detector.fingerprint, nodes))

    def _is_whole_graph_due(self, stamp_ns: int) -> bool:
        """Say whether the frame of a moment is one of those with a whole graph; the first one is."""
        last_ns = self._whole_graph_ns
        if last_ns is None or not last_ns < stamp_ns < last_ns + _WHOLE_GRAPH_NS:
            self._whole_graph_ns = stamp_ns
        return self._whole_graph_ns == stamp_ns

    def _features_of(self, own: Perceived) -> tuple[Method, BevFeatures]:
        method, features = self._model.method, own.encoded
        assert method is not None
        assert isinstance(features, BevFeatures)
        return method, features

    def _features_within(
        self, own: Perceived, sequence: int, request: DemandMap | None, room_bytes: int
    ) -> bytes:
        """Encode the late boxes and then as many of the best cells as fit."""
        method, features = self._features_of(own)
        sections = method.offer(
            features,
            lambda stride: _wanted_map(request, own.frame, features.grid, stride),
            self._selection,
            seed=zlib.crc32(self.agent_id.encode()) ^ sequence % (1 << 32),
            with_boxes=self._with_boxes,
        )
        boxes = self._late_boxes(own, request)
        return encode_features(features.ground.plane_m, boxes, sections, method.specs, room_bytes)

    def _late_boxes(self, own: Perceived, request: DemandMap | None) -> LateBoxes:
        """Return the boxes with their velocities, the sure and wanted ones first."""
        detections = own.detections
        velocities = self._tracker.velocities(own.frame, detections)
        if not self._with_boxes:
            return LateBoxes.empty()
        wanted = wanted_places(request, own.frame, detections.boxes[:, :2])
        worth = detections.scores * np.where(wanted, 1.0, _UNWANTED_BOX)
        order = np.argsort(-worth, kind="stable")
        return LateBoxes(detections, velocities)[order]

    def _encode(self, frame: AgentFrame, kind: PayloadKind, payload: bytes, sequence: int) -> bytes:
        return self._signed(
            encode(
                Message(
                    kind=kind,
                    sender=self.agent_id,
                    sequence=sequence % (1 << 32),
                    stamp_ns=frame.stamp_ns,
                    T_world_agent=frame.T_world_agent,
                    pose_covariance=frame.pose_covariance,
                    fingerprint=self._model.detector.fingerprint,
                    payload=payload,
                )
            )
        )

    def _signed(self, data: bytes) -> bytes:
        return data if self._signer is None else self._signer.sign(data)

    @property
    def _signature_bytes(self) -> int:
        return 0 if self._signer is None else SIGNATURE_BYTES


def check_budget(
    agent_id: str, kind: PayloadKind | None, budget_bytes: int | None, *, is_signed: bool = False
) -> None:
    """Raise CosenseError if not even an empty message of this kind fits the budget."""
    if kind is None or budget_bytes is None:
        return
    smallest = envelope_bytes(agent_id) + _EMPTY_PAYLOAD_BYTES[kind] + (SIGNATURE_BYTES if is_signed else 0)
    if budget_bytes < smallest:
        raise CosenseError(
            f"budget of {budget_bytes} bytes is too small for agent '{agent_id}': "
            f"an empty {kind.name} message takes {smallest} bytes; give that or more"
        )


def _wanted_map(request: DemandMap | None, frame: AgentFrame, grid: BevGrid, stride: int) -> Tensor:
    """Return (H/s,W/s): which cells of s x s pillars the ego wants to know more about."""
    coarse = grid.coarser(stride)
    places = wanted_places(request, frame, coarse.centres().reshape(-1, 2))
    return torch.from_numpy(places).view(coarse.shape)


def _objects_within(own: Perceived, room_bytes: int) -> bytes:
    """Encode as many of the best boxes as fit."""
    detections = own.detections
    fitting = (room_bytes - objects.HEADER_BYTES) // objects.BOX_BYTES
    best_first = np.argsort(-detections.scores, kind="stable")
    return objects.encode_objects(detections[best_first[:fitting]], own.frame.slopes)


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
