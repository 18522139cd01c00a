"""What a sender of features does with one frame: its late boxes and its best cells within one message.

Shared computation runs once: boxes, supply and what is sent come from one pass of the detector.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.detectors.base import BevFeatures
from cosense.errors import CosenseError
from cosense.messages.demand import DemandMap, decode_demand
from cosense.messages.envelope import (
    MAX_PAYLOAD_BYTES,
    Message,
    MessageError,
    PayloadKind,
    decode,
    encode,
    envelope_bytes,
)
from cosense.messages.features import EMPTY_FEATURES_BYTES, decode_features, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.base import Method
from cosense.methods.selection import Selection
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.grid import BevGrid
from cosense.tracking.motion import MotionTracker

# What the ego could not see longer ago says little about what it cannot see now.
_DEMAND_MAX_AGE_NS = 1_000_000_000
# Sensors at 10 Hz are not synchronised: the ego may have measured up to a period after the sender.
_MAX_AHEAD_NS = 100_000_000
# A box that the ego does not want is worth this much of one that it wants.
_UNWANTED_BOX = 0.5


@dataclass(frozen=True)
class SelectionMaps:
    """Why a message holds what it does.

    Attributes:
        grid: of the maps (H,W), in the sender's frame.
        supply: how confident the sender is, smoothed.
        wanted: where the ego wants to be told more.
        sent: which cells of the first layer are in the message.
    """

    grid: BevGrid
    supply: NDArray[np.float32]
    wanted: NDArray[np.bool_]
    sent: NDArray[np.bool_]


class FeatureSender:
    """One agent that shares features; call `send` once a frame, in the order of time.

    Attributes:
        budget_bytes: limit of each encoded message, None for that of the format; may be set at any time.
        demand: where the ego wants to be told more, None as long as nobody has said; may be set at any time.
    """

    def __init__(
        self,
        agent_id: str,
        method: Method,
        *,
        budget_bytes: int | None = None,
        selection: Selection | None = None,
        with_boxes: bool = True,
    ) -> None:
        """Start.

        Args:
            agent_id: who sends.
            method: what is made of the detector's features.
            budget_bytes: see above.
            selection: rule by which cells are chosen, None for the method's own.
            with_boxes: whether the agent's own boxes go first (hybrid) or features alone (intermediate).

        Raises:
            CosenseError: the budget does not even hold an empty message.
        """
        check_feature_budget(agent_id, budget_bytes)
        self.agent_id = agent_id
        self.budget_bytes = budget_bytes
        self._method = method
        self._selection = selection
        self._with_boxes = with_boxes
        self._tracker = MotionTracker()
        self.demand: DemandMap | None = None

    def hear(self, data: bytes) -> None:
        """Take a DEMAND message: the newest one that is meant for this agent counts.

        Raises:
            MessageError: it cannot be read or is of another kind.
        """
        self.demand = read_demand(data, self.agent_id) or self.demand

    def send(self, frame: AgentFrame, features: BevFeatures, detections: Detections, sequence: int) -> bytes:
        """Write the FEATURES message of one frame.

        Args:
            frame: what was measured.
            features: of its cloud.
            detections: decoded from these features.
            sequence: counts the sender's messages; wraps after 2^32.

        Raises:
            CosenseError: the budget does not even hold an empty message.
        """
        check_feature_budget(self.agent_id, self.budget_bytes)
        room = MAX_PAYLOAD_BYTES
        if self.budget_bytes is not None:
            room = min(self.budget_bytes - envelope_bytes(self.agent_id), room)
        sequence %= 1 << 32
        sections = self._method.offer(
            features,
            lambda stride: self._wanted_map(frame, features, stride),
            self._selection,
            seed=zlib.crc32(self.agent_id.encode()) ^ sequence,
        )
        payload = encode_features(
            features.ground_m, self._boxes(frame, detections), sections, self._method.specs, room
        )
        return encode(
            Message(
                kind=PayloadKind.FEATURES,
                sender=self.agent_id,
                sequence=sequence,
                stamp_ns=frame.stamp_ns,
                T_world_agent=frame.T_world_agent,
                pose_covariance=frame.pose_covariance,
                fingerprint=self._method.detector.fingerprint,
                payload=payload,
            )
        )

    def explain(self, frame: AgentFrame, features: BevFeatures, data: bytes) -> SelectionMaps:
        """Return why a message holds what it does, as maps for people to look at."""
        stride, supply = self._method.supply(features)
        layers = decode_features(decode(data).payload).layers(self._method.specs, features.grid.shape)
        wanted = self._wanted_map(frame, features, stride)
        sent = np.zeros(wanted.shape, dtype=np.bool_)
        sent.reshape(-1)[layers[0].cells] = True
        return SelectionMaps(features.grid.coarser(stride), supply.cpu().numpy(), wanted.numpy(), sent)

    def _boxes(self, frame: AgentFrame, detections: Detections) -> LateBoxes:
        """Return the boxes with their velocities, those first that are sure and wanted."""
        velocities = self._tracker.velocities(frame, detections)
        if not self._with_boxes:
            return LateBoxes.empty()
        wanted = self._wanted_places(frame, detections.boxes[:, :2])
        worth = detections.scores * np.where(wanted, 1.0, _UNWANTED_BOX)
        order = np.argsort(-worth, kind="stable")
        return LateBoxes(detections, velocities)[order]

    def _wanted_map(self, frame: AgentFrame, features: BevFeatures, stride: int) -> Tensor:
        """Return (H/s,W/s): which cells of s × s pillars the ego wants to be told of."""
        grid = features.grid.coarser(stride)
        return torch.from_numpy(self._wanted_places(frame, grid.centres().reshape(-1, 2))).view(grid.shape)

    def _wanted_places(self, frame: AgentFrame, xy: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return (K,): everything is wanted as long as nobody has said what is."""
        demand = self.demand
        if demand is None or not -_MAX_AHEAD_NS <= frame.stamp_ns - demand.stamp_ns <= _DEMAND_MAX_AGE_NS:
            return np.ones(len(xy), dtype=np.bool_)
        return demand.at(frame.T_world_agent, xy)


def read_demand(data: bytes, agent_id: str) -> DemandMap | None:
    """Return what a DEMAND message asks for, None if it is meant for another agent.

    Raises:
        MessageError: it cannot be read or is of another kind.
    """
    message = decode(data)
    if message.kind != PayloadKind.DEMAND:
        raise MessageError(f"carries {message.kind.name}, expected DEMAND")
    demand = decode_demand(message.payload, message.T_world_agent, message.stamp_ns)
    return demand if demand.addressee in ("", agent_id) else None


def check_feature_budget(agent_id: str, budget_bytes: int | None) -> None:
    """Raise CosenseError if not even an empty FEATURES message fits the budget."""
    smallest = envelope_bytes(agent_id) + EMPTY_FEATURES_BYTES
    if budget_bytes is not None and budget_bytes < smallest:
        raise CosenseError(
            f"budget of {budget_bytes} bytes is too small for agent '{agent_id}': "
            f"an empty FEATURES message takes {smallest}"
        )
