"""Agents that work together offline: from the clouds of one moment to the boxes of the ego.

The same bytes and the same functions as in the live nodes, without topics and time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, get_args

from cosense.errors import CosenseError, nearest
from cosense.fusion.early import fuse_early
from cosense.fusion.feature_receiver import FeatureReceiver
from cosense.fusion.gate import GateSettings
from cosense.fusion.late import fuse_late
from cosense.fusion.models import CooperativeDetector
from cosense.fusion.receiver import FusionResult, FusionSettings
from cosense.perception.features import BevFeatures
from cosense.sensing.frame import AgentFrame
from cosense.sharing.feature_sender import FeatureSender
from cosense.sharing.message import PayloadKind
from cosense.sharing.selection import Selection
from cosense.sharing.sender import share

if TYPE_CHECKING:
    from cosense.perception.detector import Detector

FusionKind = Literal["none", "late", "early", "intermediate", "hybrid"]
FUSION_KINDS: tuple[FusionKind, ...] = get_args(FusionKind)
# Kinds in which features are sent, and the ego says what it wants.
FEATURE_KINDS: tuple[FusionKind, ...] = ("intermediate", "hybrid")


class Cooperation:
    """The agents of one sequence; call `step` once a frame, in the order of time.

    What is remembered from frame to frame is what the agents remember live: what the ego wanted a frame ago,
    and how the boxes of each sender move.
    """

    def __init__(
        self,
        detector: Detector,
        fusion: FusionKind,
        *,
        budget_bytes: int | None = None,
        settings: FusionSettings | None = None,
        gate: GateSettings | None = None,
        selection: Selection | None = None,
    ) -> None:
        """Start a sequence.

        Args:
            detector: the one that all agents run; for features a `CooperativeDetector`.
            fusion: "none" (the ego alone, through the same bytes, so that rounding is no difference), "late"
                (the others' boxes), "early" (their points), "intermediate" (their features) or "hybrid"
                (features and boxes).
            budget_bytes: limit of each message of the others, None for that of the format.
            settings: what the ego accepts and how it merges; None for the defaults.
            gate: what a FEATURES message may do; None for the defaults.
            selection: by which rule cells are chosen; None for that of the model's profile.

        Raises:
            CosenseError: an unknown kind of fusion, or a model that shares no features.
        """
        check_fusion(fusion, detector)
        self._detector = detector
        self._fusion = fusion
        self._budget_bytes = budget_bytes
        self._settings = settings or FusionSettings()
        self._selection = selection
        self._senders: dict[str, FeatureSender] = {}
        self._receiver: FeatureReceiver | None = None
        if fusion in FEATURE_KINDS:
            assert isinstance(detector, CooperativeDetector)
            self._receiver = FeatureReceiver(
                detector, with_boxes=fusion == "hybrid", settings=settings, gate=gate
            )

    def step(
        self,
        agents: Sequence[AgentFrame],
        sequence: int,
        features: Mapping[str, BevFeatures] | None = None,
    ) -> FusionResult:
        """Let the agents of one frame work together.

        Args:
            agents: the ego first.
            sequence: counts the frames.
            features: by agent id, where they are known already.

        Raises:
            CosenseError: a budget that no message fits.
        """
        ego, *others = agents
        messages = [self.send(agent, sequence, (features or {}).get(agent.agent_id)) for agent in others]
        return self.fuse(
            ego, [m for m in messages if m is not None], sequence, (features or {}).get(ego.agent_id)
        )

    def send(self, agent: AgentFrame, sequence: int, features: BevFeatures | None = None) -> bytes | None:
        """Return the message of one agent that is not the ego; None where nobody sends."""
        if self._fusion == "none":
            return None
        if self._fusion == "early":
            return share(agent, None, self._detector, PayloadKind.POINTS, sequence, self._budget_bytes)
        features = features or self._detector.encode(agent.points)
        detections = self._detector.decode(features)
        if self._receiver is None:
            return share(agent, detections, self._detector, PayloadKind.OBJECTS, sequence, self._budget_bytes)
        return self._sender(agent.agent_id).send(agent, features, detections, sequence)

    def fuse(
        self,
        ego: AgentFrame,
        messages: Sequence[bytes],
        sequence: int,
        features: BevFeatures | None = None,
    ) -> FusionResult:
        """Return what the ego knows with these messages; what it wants next is told to all senders."""
        if self._fusion == "early":
            return fuse_early(ego, messages, self._detector, self._settings)
        features = features or self._detector.encode(ego.points)
        own = share(ego, self._detector.decode(features), self._detector, PayloadKind.OBJECTS, sequence)
        if self._receiver is None:
            return fuse_late(own, messages, self._settings)
        result = self._receiver.fuse(own, features, messages)
        demands = self._receiver.demands(own, features)
        self.tell(demands)
        return replace(result, demand_bytes={addressee: len(data) for addressee, data in demands.items()})

    def tell(self, demands: Mapping[str, bytes]) -> None:
        """Let all senders hear what the ego wants; overridden where messages take time or get lost."""
        for demand in demands.values():
            for agent_id in self._senders:
                self.hear(agent_id, demand)

    def hear(self, agent_id: str, demand: bytes) -> None:
        """Let one sender hear a DEMAND message."""
        self._senders[agent_id].hear(demand)

    def _sender(self, agent_id: str) -> FeatureSender:
        if agent_id not in self._senders:
            assert isinstance(self._detector, CooperativeDetector)
            self._senders[agent_id] = FeatureSender(
                agent_id,
                self._detector,
                self._detector.sharing,
                budget_bytes=self._budget_bytes,
                selection=self._selection,
                with_boxes=self._fusion == "hybrid",
            )
        return self._senders[agent_id]


def cooperate(
    agents: Sequence[AgentFrame],
    detector: Detector,
    fusion: FusionKind,
    sequence: int,
    budget_bytes: int | None = None,
    settings: FusionSettings | None = None,
) -> FusionResult:
    """Let the agents of a single frame work together, without a frame before; see `Cooperation`."""
    return Cooperation(detector, fusion, budget_bytes=budget_bytes, settings=settings).step(agents, sequence)


def check_fusion(fusion: str, detector: Detector) -> None:
    """Raise CosenseError for an unknown kind of fusion, or one that the model is not made for."""
    if fusion not in FUSION_KINDS:
        raise CosenseError(f"unknown fusion '{fusion}', {nearest(fusion, FUSION_KINDS)}")
    if fusion in FEATURE_KINDS and not isinstance(detector, CooperativeDetector):
        raise CosenseError(
            f"fusion '{fusion}' needs a model that shares features, '{detector.name}' does not: "
            "its config.yaml has neither 'patches' nor 'cosdh'; try --model cosense-lite"
        )
