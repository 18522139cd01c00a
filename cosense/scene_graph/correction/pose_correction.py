"""Where a sender is: the poses that agents believe in, set right by their scene graphs before fusing.

Every message says where its sender believes to be and how sure it is. The graphs of all say independently
where they stand to each other (`relative_poses`). Only this relative pose is set right: the error of the
ego's own pose moves everything alike and is nobody's business here.

- The graphs agree with what was sent, within both covariances: the two are weighed by them. What was sent
  with a covariance of zero stays as it is.
- They disagree beyond these covariances, or agree anywhere but there: whoever is wrong, nobody knows yet. The
  error is taken into the covariance, so that the gate lets the message do less, and the reason is published.
  From then on the sender is in doubt: for some seconds its poses count as uncertain as they were found wrong,
  whatever it says, and so graphs that say it again outweigh them.
- They say nothing: as sent, unless the filter (`scene_graph.correction.pose_filter`) still knows of a lasting
  error that what was sent denies.

The filter's state is what lasts of the error. That of one frame may be drawn anew in the next one (the
simulated noise is), so each registration counts there with the covariance of what was sent added to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.geometry.transforms import displaced, wrap_angle
from cosense.messages.envelope import Message
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.correction.pose_filter import PoseError, PoseFilter, Verdict, pose_error
from cosense.scene_graph.correction.relative_poses import can_confirm, relative_poses
from cosense.scene_graph.register.result import Posed, Prior, RegistrationResult, Status, planar
from cosense.scene_graph.registrations import Cloud, Surroundings, read_surroundings

# Chi-square of three degrees of freedom, 99.9 %: beyond it the graphs disagree with what was sent.
_DISAGREES = 16.27
# Two clocks and mountings of one true pose differ by this much, whatever covariances say.
_LEAST = np.diag([0.03, 0.03, np.deg2rad(0.05)]) ** 2
# A sender that was found wrong is in doubt for so long after, by so much at least, and at most by so much
# that its poses still help to register.
_DOUBT_NS = 5_000_000_000
_LEAST_DOUBT = np.array([0.3, 0.3, np.deg2rad(0.3)]) ** 2
_MOST_DOUBT = np.array([2.5, 2.5, np.deg2rad(4)]) ** 2
# Poses that differ by less are one, written twice: metres and radians.
_ROUNDING = 1e-6
# Filters of more senders are not kept.
_MAX_FILTERS = 8


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


_Sent = TypeVar("_Sent", bound=Message | SceneGraph | Cloud)
# From a message and the ego's own message.
Place = Callable[[Message, Message], Placed]


def as_sent(message: Message, ego: Message) -> Placed:
    """Return the message as it is: both agents are where they believe to be."""
    return Placed(message, ego.pose_covariance)


@dataclass(frozen=True)
class Heard:
    """What the ego has made of a sender's surroundings in the frame at hand.

    Attributes:
        surroundings: what the sender has sent.
        registration: its registration with the ego's, with what registrations between senders add;
            `inliers` are pairs of nodes of the ego and of this sender.
    """

    surroundings: Surroundings
    registration: RegistrationResult


@dataclass(frozen=True)
class _Finding:
    """What the graph of one sender says; `error` is to be added to the pose that it was sent with."""

    error: PoseError
    sent: Surroundings
    objection: str = ""


@dataclass(frozen=True)
class _Doubt:
    """By how much the poses of a sender were found wrong beyond what it says: variances of x, y, yaw."""

    stamp_ns: int
    variances: NDArray[np.float64]


class PoseCorrection:
    """One ego in one sequence: once a frame call `hear`, then `place` for each message.

    Attributes:
        registrations: registrations of the newest frame, by sender.
    """

    def __init__(self, registration: str) -> None:
        """Start; `registration` is any kind but "none"."""
        self._registration = registration
        self._filters: dict[str, PoseFilter] = {}
        self._doubts: dict[str, _Doubt] = {}
        self._findings: dict[str, _Finding] = {}
        self.registrations: dict[str, Heard] = {}

    def hear(self, own: Surroundings, messages: Sequence[Message]) -> list[str]:
        """Take what the senders have sent of their surroundings in a frame.

        Args:
            own: the ego's graph, for "icp" its cloud.
            messages: SCENE_GRAPH messages (for "icp" POINTS), at most one of each sender, none of the ego.

        Returns:
            for each message why it says nothing about the pose of its sender, "" where it does.
        """
        others: dict[str, Surroundings] = {}
        refusals: dict[str, str] = {}
        for message in messages:
            try:
                others[message.sender] = read_surroundings(message, self._registration)
            except CosenseError as error:
                refusals[message.sender] = str(error)
        found = relative_poses(self._registration, own, [self._doubted(other) for other in others.values()])
        self.registrations = {name: Heard(others[name], result) for name, result in found.items()}
        self._findings = {}
        for name, result in found.items():
            refusals[name] = self._judge(own, others[name], result)
        return [refusals[message.sender] for message in messages]

    def place(self, message: Message, ego: Message) -> Placed:
        """Return a message with what is believed of its sender's pose.

        Args:
            message: message of a sender.
            ego: the ego's own message: relative to its pose.
        """
        finding = self._findings.get(message.sender)
        if finding is None or finding.sent.stamp_ns != message.stamp_ns:
            return self._lasting(message, ego)
        between = planar(message.T_world_agent) - planar(finding.sent.T_world_agent)
        between[2] = wrap_angle(between[2])
        if np.abs(between).max() > _ROUNDING:
            spread = finding.error.covariance + np.outer(between, between)
            error = PoseError(message.stamp_ns, np.zeros(3), spread)
            return _moved(message, error, "its graph and its message of one moment give it two poses")
        return _moved(message, finding.error, finding.objection)

    def _judge(self, own: Surroundings, other: Surroundings, result: RegistrationResult) -> str:
        """Find out what is wrong with a sender's pose; returns why that cannot be said, else nothing.

        Args:
            own: surroundings of the ego.
            other: surroundings of the sender, as sent.
            result: registration of both.
        """
        name, stamp_ns = other.agent_id, other.stamp_ns
        if result.status is Status.GATED:
            # How far it is off is unknown.
            spread = _world_covariance(own, other) + np.diag(_MOST_DOUBT)
            objection = f"the graphs disagree with the sent pose: {result.reason}"
            self._findings[name] = _Finding(PoseError(stamp_ns, np.zeros(3), spread), other, objection)
            return ""
        if not result.registered:
            return f"no pose from the graphs, {result.status.value}: {result.reason}"
        measured = pose_error(result, own, other)
        doubted = self._doubted(other)
        sent, believed = _world_covariance(own, other), _world_covariance(own, doubted)
        lasting = replace(measured, covariance=measured.covariance + sent)
        # What others alone say may demote a sender. Only what the ego sees itself moves it beyond what it
        # says: else anybody could put a third one anywhere.
        is_seen = isinstance(own, Cloud) or len(result.inliers) > 0
        again = is_seen and self._filter(name).update(lasting) is Verdict.ACCEPTED
        was_wrong = _chi_square(measured.error, lasting.covariance + _LEAST) > _DISAGREES
        if was_wrong and is_seen:
            self._add_doubt(name, stamp_ns, measured.error)
        covariance = measured.covariance + believed
        disagrees = _chi_square(measured.error, covariance + _LEAST) > _DISAGREES
        objection = ""
        if can_confirm(own, doubted) and not disagrees:
            gain = np.linalg.solve(covariance, believed).T
            error = PoseError(measured.stamp_ns, gain @ measured.error, (np.eye(3) - gain) @ believed)
        elif again:
            error = measured
        elif disagrees:
            x, y, yaw = measured.error
            objection = (
                f"the graphs disagree with the sent pose beyond its covariance: by {np.hypot(x, y):.2f} m "
                f"and {abs(np.rad2deg(yaw)):.2f} degrees"
            )
            spread = believed + np.outer(measured.error, measured.error)
            error = PoseError(measured.stamp_ns, np.zeros(3), spread)
        else:
            return "a first pose from the graphs, with nothing to compare it with"
        self._findings[name] = _Finding(error, other, objection)
        return ""

    def _lasting(self, message: Message, ego: Message) -> Placed:
        """Return the message as sent, or by what lasts of its error where what was sent denies that."""
        known = self._filters.get(message.sender)
        error = known.correction(message.stamp_ns) if known else None
        if error is not None:
            covariance = error.covariance + _world_covariance(ego, message)
            if _chi_square(error.error, covariance + _LEAST) > _DISAGREES:
                return _moved(message, replace(error, covariance=covariance))
        return as_sent(self._doubted(message), ego)

    def _doubted(self, sent: _Sent) -> _Sent:
        """Return what was sent with a covariance that knows of doubts."""
        name = sent.sender if isinstance(sent, Message) else sent.agent_id
        return replace(sent, pose_covariance=sent.pose_covariance + self._doubt_of(name, sent.stamp_ns))

    def _doubt_of(self, sender: str, stamp_ns: int) -> NDArray[np.float64]:
        """Return the covariance (3,3) that is to be added to what a sender says of its own."""
        doubt = self._doubts.get(sender)
        if doubt is None or abs(stamp_ns - doubt.stamp_ns) > _DOUBT_NS:
            return np.zeros((3, 3))
        return np.diag(doubt.variances)

    def _add_doubt(self, sender: str, stamp_ns: int, error: NDArray[np.float64]) -> None:
        """Remember that a sender was wrong; as often as it is, the worst counts."""
        off_m = np.hypot(error[0], error[1])
        before = np.diag(self._doubt_of(sender, stamp_ns))
        found = np.array([off_m, off_m, error[2]]) ** 2
        self._doubts[sender] = _Doubt(stamp_ns, np.maximum(before, found.clip(_LEAST_DOUBT, _MOST_DOUBT)))

    def _filter(self, sender: str) -> PoseFilter:
        """Return the filter of a sender; the one that was heard longest ago goes where there are too many."""
        known = self._filters.pop(sender, None) or PoseFilter()
        if len(self._filters) >= _MAX_FILTERS:
            oldest = next(iter(self._filters))
            del self._filters[oldest]
            self._doubts.pop(oldest, None)
        self._filters[sender] = known
        return known


def _moved(message: Message, error: PoseError, objection: str = "") -> Placed:
    T = displaced(message.T_world_agent, error.error)
    told = replace(message, T_world_agent=T, pose_covariance=error.covariance)
    return Placed(told, np.zeros((3, 3)), objection)


def _world_covariance(ego: Posed, other: Posed) -> NDArray[np.float64]:
    """Return the covariance (3,3) of the pose between both as sent: x, y along the world's axes, and yaw."""
    turn = np.eye(3)
    turn[:2, :2] = ego.T_world_agent[:2, :2]
    return np.asarray(turn @ Prior.between(ego, other).covariance @ turn.T)


def _chi_square(error: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    return float(error @ np.linalg.solve(covariance, error))
