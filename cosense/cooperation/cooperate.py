"""Agents that work together offline: from the clouds of one moment to the boxes of the ego.

The same bytes and the same functions as in the live nodes, without topics and time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from cosense.cooperation.early import fuse_early
from cosense.cooperation.feature_receiver import FeatureReceiver
from cosense.cooperation.feature_sender import FeatureSender
from cosense.cooperation.gate import GateSettings
from cosense.cooperation.late import fuse_late
from cosense.cooperation.receiver import FusionResult, FusionSettings
from cosense.cooperation.share import share
from cosense.detectors.base import BevFeatures, Encoded
from cosense.errors import CosenseError, nearest
from cosense.messages.envelope import MessageError, PayloadKind, decode
from cosense.messages.scene_graph import SceneGraph, decode_scene_graph, share_graph
from cosense.methods.model import Model
from cosense.methods.selection import Selection
from cosense.scene_graph.correction.pose_correction import PoseRepair, as_sent
from cosense.scene_graph.extract.builder import SceneGraphBuilders
from cosense.scene_graph.registrations import (
    Cloud,
    Surroundings,
    check_registration_name,
    payload_kind,
    thinned_frame,
)
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame

FusionKind = Literal["none", "late", "early", "intermediate", "hybrid"]
FUSION_KINDS: tuple[FusionKind, ...] = get_args(FusionKind)
# Kinds in which features are sent, and the ego says what it wants.
FEATURE_KINDS: tuple[FusionKind, ...] = ("intermediate", "hybrid")
# Kinds in which the others' poses can be set right: boxes are nodes of the graphs.
REPAIRED_KINDS: tuple[FusionKind, ...] = ("late", *FEATURE_KINDS)
BuildGraph = Callable[[AgentFrame, Detections], SceneGraph]


class Cooperation:
    """The agents of one sequence; call `step` once a frame, in the order of time.

    What is remembered from frame to frame is what the agents remember live: what the ego wanted a frame ago,
    how the boxes of each sender move, what stands around each agent, and by what a pose is wrong for long.
    """

    def __init__(
        self,
        model: Model,
        fusion: FusionKind,
        *,
        budget_bytes: int | None = None,
        settings: FusionSettings | None = None,
        gate: GateSettings | None = None,
        selection: Selection | None = None,
        registration: str = "none",
        build_graph: BuildGraph | None = None,
    ) -> None:
        """Start a sequence.

        Args:
            model: the one that all agents run; for features one with a method.
            fusion: "none" (the ego alone, through the same bytes, so that rounding is no difference), "late"
                (the others' boxes), "early" (their points), "intermediate" (their features) or "hybrid"
                (features and boxes).
            budget_bytes: limit of each message of the others, None for that of the format.
            settings: what the ego accepts and how it merges; None for the defaults.
            gate: what a FEATURES message may do; None for the defaults.
            selection: by which rule cells are chosen; None for that of the model's profile.
            registration: "none" (poses as sent), or how the graphs of the others, a message each of its own,
                are registered to set their poses right: "scene_graph", or to compare "boxes", "spectral", and
                "icp", where each sends its points instead of a graph.
            build_graph: of a frame and its detections, called once a frame and agent; None for
                `SceneGraphBuilders`.

        Raises:
            CosenseError: an unknown kind of fusion or registration, or a model that shares no features.
        """
        check_fusion(fusion, model)
        check_registration(registration, fusion)
        self._model, self._detector = model, model.detector
        self._fusion = fusion
        self._budget_bytes = budget_bytes
        self._settings = settings or FusionSettings()
        self._selection = selection
        self._senders: dict[str, FeatureSender] = {}
        self._build_graph = build_graph or SceneGraphBuilders().update
        self._registration = registration
        self._repair = None if registration == "none" else PoseRepair(registration)
        self._seen: dict[str, tuple[AgentFrame, Encoded, Detections]] = {}
        self._receiver: FeatureReceiver | None = None
        if fusion in FEATURE_KINDS:
            assert model.method is not None
            self._receiver = FeatureReceiver(
                model.method, with_boxes=fusion == "hybrid", settings=settings, gate=gate
            )

    def step(
        self,
        agents: Sequence[AgentFrame],
        sequence: int,
        features: Mapping[str, Encoded] | None = None,
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
        messages += [
            self.send_graph(agent, sequence, (features or {}).get(agent.agent_id)) for agent in others
        ]
        return self.fuse(
            ego, [m for m in messages if m is not None], sequence, (features or {}).get(ego.agent_id)
        )

    def send(self, agent: AgentFrame, sequence: int, features: Encoded | None = None) -> bytes | None:
        """Return the message of one agent that is not the ego; None where nobody sends."""
        if self._fusion == "none":
            return None
        if self._fusion == "early":
            return share(agent, None, self._detector, PayloadKind.POINTS, sequence, self._budget_bytes)
        features, detections = self._see(agent, features)
        if self._receiver is None:
            return share(agent, detections, self._detector, PayloadKind.OBJECTS, sequence, self._budget_bytes)
        assert isinstance(features, BevFeatures)
        return self._sender(agent.agent_id).send(agent, features, detections, sequence)

    def send_graph(self, agent: AgentFrame, sequence: int, features: Encoded | None = None) -> bytes | None:
        """Return the SCENE_GRAPH message of one agent that is not the ego; None where nobody asks for it.

        For registration "icp" it is a POINTS message: what pairs of points are searched among, and no more.
        """
        if self._repair is None:
            return None
        if self._registration == "icp":
            return share(thinned_frame(agent), None, self._detector, PayloadKind.POINTS, sequence)
        return self._graph_message(agent, self._see(agent, features)[1], sequence)

    def fuse(
        self,
        ego: AgentFrame,
        messages: Sequence[bytes],
        sequence: int,
        features: Encoded | None = None,
    ) -> FusionResult:
        """Return what the ego knows with these messages; what it wants next is told to all senders."""
        if self._fusion == "early":
            return fuse_early(ego, messages, self._detector, self._settings)
        features, detections = self._see(ego, features)
        own = share(ego, detections, self._detector, PayloadKind.OBJECTS, sequence)
        place, reports = as_sent, []
        if self._repair is not None:
            kind = payload_kind(self._registration)
            graphs: list[bytes] = []
            others: list[bytes] = []
            for data in messages:
                (graphs if is_of_kind(data, kind) else others).append(data)
            messages = others
            reports = self._repair.hear(self._own(ego, detections, sequence), graphs)
            place = self._repair.place
        if self._receiver is None:
            result = fuse_late(own, messages, self._settings, place)
            return replace(result, peers=[*result.peers, *reports])
        assert isinstance(features, BevFeatures)
        result = self._receiver.fuse(own, features, messages, place)
        demands = self._receiver.demands(own, features)
        self.tell(demands)
        return replace(
            result,
            peers=[*result.peers, *reports],
            demand_bytes={addressee: len(data) for addressee, data in demands.items()},
        )

    def tell(self, demands: Mapping[str, bytes]) -> None:
        """Let all senders hear what the ego wants; overridden where messages take time or get lost."""
        for demand in demands.values():
            for agent_id in self._senders:
                self.hear(agent_id, demand)

    def hear(self, agent_id: str, demand: bytes) -> None:
        """Let one sender hear a DEMAND message."""
        self._senders[agent_id].hear(demand)

    def _own(self, ego: AgentFrame, detections: Detections, sequence: int) -> Surroundings:
        """Return what the ego itself has around it, as it is registered with what others send."""
        if self._registration == "icp":
            return Cloud(ego.agent_id, ego.stamp_ns, ego.T_world_agent, ego.pose_covariance, ego.points)
        # As bytes, like its boxes: the same path as live, where it may come from another process.
        return decode_scene_graph(decode(self._graph_message(ego, detections, sequence)))

    def _graph_message(self, agent: AgentFrame, detections: Detections, sequence: int) -> bytes:
        graph = self._build_graph(agent, detections)
        return share_graph(graph, sequence, self._detector.fingerprint)

    def _see(self, agent: AgentFrame, features: Encoded | None) -> tuple[Encoded, Detections]:
        """Return the features of an agent's frame and its boxes, computed once."""
        known = self._seen.get(agent.agent_id)
        if known is not None and known[0] is agent and (features is None or features is known[1]):
            return known[1], known[2]
        features = features or self._detector.encode(agent)
        detections = self._detector.decode(features)
        self._seen[agent.agent_id] = agent, features, detections
        return features, detections

    def _sender(self, agent_id: str) -> FeatureSender:
        if agent_id not in self._senders:
            assert self._model.method is not None
            self._senders[agent_id] = FeatureSender(
                agent_id,
                self._model.method,
                budget_bytes=self._budget_bytes,
                selection=self._selection,
                with_boxes=self._fusion == "hybrid",
            )
        return self._senders[agent_id]


def cooperate(
    agents: Sequence[AgentFrame],
    model: Model,
    fusion: FusionKind,
    sequence: int,
    budget_bytes: int | None = None,
    settings: FusionSettings | None = None,
) -> FusionResult:
    """Let the agents of a single frame work together, without a frame before; see `Cooperation`."""
    return Cooperation(model, fusion, budget_bytes=budget_bytes, settings=settings).step(agents, sequence)


def check_fusion(fusion: str, model: Model) -> None:
    """Raise CosenseError for an unknown kind of fusion, or one that the model is not made for."""
    if fusion not in FUSION_KINDS:
        raise CosenseError(f"unknown fusion '{fusion}', {nearest(fusion, FUSION_KINDS)}")
    if fusion in FEATURE_KINDS and model.method is None:
        raise CosenseError(
            f"fusion '{fusion}' needs a model that shares features, '{model.name}' does not: "
            "its config.yaml has no 'sharing: {method: …}'; try --model cosense-lite"
        )


def check_registration(registration: str, fusion: str) -> None:
    """Raise CosenseError for an unknown kind of registration, or one that this fusion has no use for."""
    check_registration_name(registration)
    if registration != "none" and fusion not in REPAIRED_KINDS:
        raise CosenseError(
            f"registration '{registration}', but with fusion '{fusion}' no poses are set right; "
            f"leave it out or choose {', '.join(REPAIRED_KINDS)}"
        )


def is_of_kind(data: bytes, kind: PayloadKind) -> bool:
    """Say whether a message carries a payload of this kind; what cannot be read does not."""
    try:
        return decode(data).kind == kind
    except MessageError:
        return False
