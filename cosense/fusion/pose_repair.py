"""Where a sender is: the poses that agents believe in, set right by their scene graphs before fusing.

Every message says where its sender believes to be and how sure it is. The graphs of both say independently
where they stand to each other. Only this relative pose is set right: the error of the ego's own pose moves
everything alike and is nobody's business here.

- The graphs agree with what was sent, within both covariances: the two are weighed by them. What was sent
  with a covariance of zero stays as it is.
- They disagree beyond these covariances: whoever is wrong, nobody knows yet. The error is taken into the
  covariance, so that the gate lets the message do less, and the reason is published. A registration that
  comes again frame after frame (`scene_graph.filter`) is believed instead.
- They say nothing: as sent, unless the filter still knows of a lasting error that what was sent denies.

The filter's state is what lasts of the error. That of one frame may be drawn anew in the next one (the
simulated noise is), so each registration counts there with the covariance of what was sent added to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.fusion.receiver import UNKNOWN, PeerReport
from cosense.scene_graph.baselines.box_pose_graph import register_boxes
from cosense.scene_graph.baselines.spectral import register_spectral
from cosense.scene_graph.filter import PoseError, PoseFilter, Verdict, corrected, pose_error
from cosense.scene_graph.graph import SceneGraph
from cosense.scene_graph.message import decode_scene_graph
from cosense.scene_graph.register import register
from cosense.scene_graph.registration import Posed, Prior, Registration
from cosense.sharing.message import Message, MessageError, decode

RegistrationKind = Literal["none", "scene_graph", "boxes", "spectral"]
REGISTRATIONS: tuple[RegistrationKind, ...] = get_args(RegistrationKind)

# Chi-square of three degrees of freedom, 99.9 %: beyond it the graphs disagree with what was sent.
_DISAGREES = 16.27
# Two clocks and mountings of one true pose differ by this much, whatever covariances say.
_LEAST = np.diag([0.03, 0.03, np.deg2rad(0.05)]) ** 2
# Where a registration looks: within twice what the poses say, and so far around them in any case.
_AROUND = np.diag([0.5, 0.5, np.deg2rad(0.5)]) ** 2
# Poses less certain than this are no help in a registration and cannot vouch for one.
_PRIOR_SIGMA_M, _PRIOR_SIGMA_RAD = 3.0, np.deg2rad(5)
_MAX_PEERS = 16


@dataclass(frozen=True)
class Placed:
    """A message with the pose that is believed of its sender.

    Attributes:
        message: with T_world_agent as it fits the pose that the ego believes in.
        ego_covariance: (3,3) what the ego's own pose adds; zero where pose_covariance is of the pose between.
        objection: why the pose that was sent is not believed, else empty.
    """

    message: Message
    ego_covariance: NDArray[np.float64]
    objection: str = ""


# From a message and the ego's own message.
Place = Callable[[Message, Message], Placed]


def as_sent(message: Message, ego: Message) -> Placed:
    """Return the message as it is: both agents are where they believe to be."""
    return Placed(message, ego.pose_covariance)


@dataclass(frozen=True)
class Registered:
    """The graph of one sender, and what became of its registration with the ego's."""

    graph: SceneGraph
    result: Registration


@dataclass(frozen=True)
class _Finding:
    """What the graph of one sender says; `error` is to be added to its pose at this stamp."""

    error: PoseError
    stamp_ns: int
    objection: str = ""


class PoseRepair:
    """One ego in one sequence: once a frame call `hear`, then `place` for each message.

    Attributes:
        registrations: by sender, of the frame that was heard last.
    """

    def __init__(self, registration: RegistrationKind) -> None:
        """Start; `registration` is none but "none"."""
        self._registration = registration
        self._filters: dict[str, PoseFilter] = {}
        self._findings: dict[str, _Finding] = {}
        self.registrations: dict[str, Registered] = {}

    def hear(self, own: SceneGraph, messages: Sequence[bytes]) -> list[PeerReport]:
        """Take the SCENE_GRAPH messages of a frame.

        Args:
            own: the ego's graph.
            messages: of the others, as they came; the first one of each sender counts.

        Returns:
            a report a message: used for the pose, or for nothing and why.
        """
        self._findings, self.registrations = {}, {}
        reports: list[PeerReport] = []
        heard = {own.agent_id}
        for data in messages:
            sender, age_ms = UNKNOWN, None
            try:
                message = decode(data)
                sender, age_ms = message.sender, (own.stamp_ns - message.stamp_ns) / 1e6
                if sender in heard:
                    raise MessageError(
                        "the sender is the ego itself or has sent another graph for this frame"
                    )
                if len(heard) > _MAX_PEERS:
                    raise MessageError(f"more than {_MAX_PEERS} senders")
                heard.add(sender)
                refusal = self._register(own, decode_scene_graph(message))
            except CosenseError as error:
                refusal = str(error)
            used_for: Literal["pose", "nothing"] = "nothing" if refusal else "pose"
            reports.append(PeerReport(sender, len(data), used_for, refusal, age_ms))
        return reports

    def place(self, message: Message, ego: Message) -> Placed:
        """Return a message with what is believed of its sender's pose.

        Args:
            message: of a sender.
            ego: the ego's own message: relative to its pose.
        """
        finding = self._findings.get(message.sender)
        if finding is None or finding.stamp_ns != message.stamp_ns:
            return self._lasting(message, ego)
        return _moved(message, finding.error, finding.objection)

    def _register(self, own: SceneGraph, graph: SceneGraph) -> str:
        """Find out what is wrong with a sender's pose; returns why that cannot be said, else nothing."""
        sent = _world_covariance(own, graph)
        result, can_vouch = self._pose_between(own, graph)
        self.registrations[graph.agent_id] = Registered(graph, result)
        if not result.registered:
            return f"no pose from the graphs, {result.status.value}: {result.reason}"
        measured = pose_error(result, own, graph)
        lasting = replace(measured, covariance=measured.covariance + sent)
        again = self._filter(graph.agent_id).update(lasting) is Verdict.ACCEPTED
        disagrees = _chi_square(measured.error, lasting.covariance + _LEAST) > _DISAGREES
        objection = ""
        if can_vouch and not disagrees:
            gain = np.linalg.solve(lasting.covariance, sent).T
            error = PoseError(measured.stamp_ns, gain @ measured.error, (np.eye(3) - gain) @ sent)
        elif again:
            error = measured
        elif disagrees:
            x, y, yaw = measured.error
            objection = (
                f"the graphs disagree with the sent pose beyond its covariance: by {np.hypot(x, y):.2f} m "
                f"and {abs(np.rad2deg(yaw)):.2f} degrees"
            )
            spread = sent + np.outer(measured.error, measured.error)
            error = PoseError(measured.stamp_ns, np.zeros(3), spread)
        else:
            return "a first pose from the graphs, with nothing to compare it with"
        self._findings[graph.agent_id] = _Finding(error, graph.stamp_ns, objection)
        return ""

    def _pose_between(self, own: SceneGraph, graph: SceneGraph) -> tuple[Registration, bool]:
        """Return the registration, and whether what was sent is certain enough to vouch for it."""
        sent = Prior.between(own, graph)
        position, heading = np.trace(sent.covariance[:2, :2]) / 2, sent.covariance[2, 2]
        can_vouch = bool(position <= _PRIOR_SIGMA_M**2 and heading <= _PRIOR_SIGMA_RAD**2)
        around = Prior(sent.T_a_b, 4 * sent.covariance + _AROUND)
        if self._registration == "boxes":
            return register_boxes(own, graph, around), can_vouch
        if self._registration == "spectral":
            return register_spectral(own, graph, around), can_vouch
        result = register(own, graph, around) if can_vouch else None
        return result if result is not None and result.registered else register(own, graph), can_vouch

    def _lasting(self, message: Message, ego: Message) -> Placed:
        """Return the message as sent, or by what lasts of its error where what was sent denies that."""
        known = self._filters.get(message.sender)
        error = known.correction(message.stamp_ns) if known else None
        if error is None:
            return as_sent(message, ego)
        covariance = error.covariance + _world_covariance(ego, message)
        if _chi_square(error.error, covariance + _LEAST) <= _DISAGREES:
            return as_sent(message, ego)
        return _moved(message, replace(error, covariance=covariance))

    def _filter(self, sender: str) -> PoseFilter:
        """Return the filter of a sender; the one that was heard longest ago goes where there are too many."""
        known = self._filters.pop(sender, None) or PoseFilter()
        if len(self._filters) >= _MAX_PEERS:
            del self._filters[next(iter(self._filters))]
        self._filters[sender] = known
        return known


def _moved(message: Message, error: PoseError, objection: str = "") -> Placed:
    T = corrected(message.T_world_agent, error.error)
    told = replace(message, T_world_agent=T, pose_covariance=error.covariance)
    return Placed(told, np.zeros((3, 3)), objection)


def _world_covariance(ego: Posed, other: Posed) -> NDArray[np.float64]:
    """Return the covariance (3,3) of the pose between both as sent: x, y along the world's axes, and yaw."""
    turn = np.eye(3)
    turn[:2, :2] = ego.T_world_agent[:2, :2]
    return np.asarray(turn @ Prior.between(ego, other).covariance @ turn.T)


def _chi_square(error: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    return float(error @ np.linalg.solve(covariance, error))
