"""The poses of senders, corrected by scene graphs before anything is fused.

Every message holds the pose that its sender believes in, with a covariance. The graphs of all agents say
independently where they are relative to each other (`relative_poses.py`). Only this relative pose is
corrected: an error of the ego's own pose moves everything alike and does not matter here.

How much a sent pose is believed does not depend on its covariance alone: until enough graphs have confirmed a
sender, its poses count as uncertain as poses are in the field (`pose_belief.py`).

- The graphs agree with the sent pose, within both covariances: the two are averaged by these.
- They disagree beyond these covariances, or agree anywhere but there: one of both is wrong, and nobody knows
  yet which. The error is added to the covariance, so that the gate lets the message do less, and the reason
  is published. From then on the sender is mistrusted: for some seconds its poses count as uncertain as they
  were found wrong, and so graphs that say the same again outweigh them.
- They give no pose: what little they have in common near the sent pose (`shift_evidence.py`) says how likely
  each small error is. So do the boxes of a message that comes without a graph. With what earlier frames said,
  this corrects the pose as far as it is known, and leaves the rest in its covariance.

The state of the filter (`pose_filter.py`), by which errors of many metres are corrected, is the lasting part
of the error. The error of one frame may be independent of the next one (the simulated noise is), so each
registration counts there with the covariance of the sent pose added to its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.geometry.transforms import displaced, wrap_angle
from cosense.messages.envelope import Message, PayloadKind
from cosense.messages.features import decode_features
from cosense.messages.objects import decode_objects
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.correction.pose_belief import FIELD, PoseBelief
from cosense.scene_graph.correction.pose_filter import PoseError, PoseFilter, Verdict, pose_error
from cosense.scene_graph.correction.relative_poses import can_confirm, relative_poses
from cosense.scene_graph.correction.shift_evidence import shift_evidence
from cosense.scene_graph.extract.builder import dynamic_nodes, sure_enough
from cosense.scene_graph.nodes import graph_of
from cosense.scene_graph.register.result import Posed, Prior, RegistrationResult, Status, planar
from cosense.scene_graph.registrations import Cloud, Surroundings, read_surroundings

# Chi-square bound of three degrees of freedom, 99.9 %: beyond it the graphs disagree with the sent pose.
_DISAGREES = 16.27
# The clocks and mountings of two agents differ by this much, whatever their covariances say.
_LEAST = np.diag([0.03, 0.03, np.deg2rad(0.05)]) ** 2
# A sender that was found wrong is mistrusted for this time, with at least and at most these variances; with
# the largest ones its poses still help to register.
_MISTRUST_NS = 5_000_000_000
_LEAST_MISTRUST = np.array([0.3, 0.3, np.deg2rad(0.3)]) ** 2
_MOST_MISTRUST = np.array([2.5, 2.5, np.deg2rad(4)]) ** 2
# Poses that differ by less than this are equal but for rounding: metres and radians.
_ROUNDING = 1e-6
# Number of senders of which anything is kept.
_MAX_SENDERS = 16


@dataclass(frozen=True)
class Placed:
    """A message with the corrected pose of its sender.

    Attributes:
        message: message whose T_world_agent fits the pose that the ego believes in.
        ego_covariance: (3,3) covariance that the ego's own pose adds; zero where the covariance of the
            message is that of the relative pose.
        objection: reason why the sent pose is not believed, else empty.
    """

    message: Message
    ego_covariance: NDArray[np.float64]
    objection: str = ""


# From a message and the ego's own message to the placed message.
Place = Callable[[Message, Message], Placed]


def as_sent(message: Message, ego: Message) -> Placed:
    """Return the message as it was sent, with the covariance of both poses."""
    return Placed(message, ego.pose_covariance)


@dataclass(frozen=True)
class RegisteredSender:
    """A sender's surroundings in the newest frame and their registration.

    Attributes:
        surroundings: surroundings as they were sent.
        result: pose of the sender in the frame of the ego, with the help of the other senders; `inliers` are
            pairs of nodes of the ego and of this sender.
    """

    surroundings: Surroundings
    result: RegistrationResult


@dataclass(frozen=True)
class _Finding:
    """The error of a sender's pose by its graph, to be added to the pose that was sent with the graph."""

    error: PoseError
    sent: Surroundings
    objection: str = ""


@dataclass(frozen=True)
class _Mistrust:
    """Variances of x, y, yaw by which the poses of a sender were wrong beyond all that is usual."""

    stamp_ns: int
    variances: NDArray[np.float64]


@dataclass
class _Known:
    """What earlier frames have taught of a sender."""

    belief: PoseBelief = field(default_factory=PoseBelief)
    filter: PoseFilter = field(default_factory=PoseFilter)
    mistrust: _Mistrust | None = None

    def mistrust_at(self, stamp_ns: int) -> NDArray[np.float64]:
        """Return the covariance (3,3) by which its poses were found wrong lately."""
        if self.mistrust is None or abs(stamp_ns - self.mistrust.stamp_ns) > _MISTRUST_NS:
            return np.zeros((3, 3))
        return np.diag(self.mistrust.variances)

    def doubt(self, sent: Surroundings) -> Surroundings:
        """Return surroundings with a covariance of their pose that can be believed."""
        doubt = self.belief.doubt(sent.stamp_ns) + self.mistrust_at(sent.stamp_ns)
        return replace(sent, pose_covariance=sent.pose_covariance + doubt)

    def found_wrong(self, stamp_ns: int, error: NDArray[np.float64]) -> None:
        """Remember that the sender was wrong; the largest error counts."""
        off_m = np.hypot(error[0], error[1])
        found = np.array([off_m, off_m, error[2]]) ** 2
        before = np.diag(self.mistrust_at(stamp_ns))
        self.mistrust = _Mistrust(stamp_ns, np.maximum(before, found.clip(_LEAST_MISTRUST, _MOST_MISTRUST)))

    def contradiction(self, stamp_ns: int, sent: NDArray[np.float64]) -> PoseError | None:
        """Return a lasting error beyond what a covariance (3,3) says, None where none is known."""
        error = self.filter.correction(stamp_ns)
        if error is None:
            return None
        covariance = error.covariance + sent
        usual = covariance + self.belief.doubt(stamp_ns) + _LEAST
        return (
            None if _chi_square(error.error, usual) <= _DISAGREES else replace(error, covariance=covariance)
        )

    def error(self, stamp_ns: int, sent: NDArray[np.float64]) -> PoseError:
        """Return the error of a pose that was sent with a covariance (3,3) at a moment."""
        error = self.belief.error(stamp_ns, sent)
        return replace(error, covariance=error.covariance + self.mistrust_at(stamp_ns))


class PoseCorrection:
    """The correction of one ego in one sequence: call `update` once a frame, then `place` for each message.

    Attributes:
        registrations: registrations of the newest frame by sender.
    """

    def __init__(self, registration: str) -> None:
        """Start; `update` is for every kind of `registration` but "none"."""
        self._registration = registration
        # The sender that was needed last is the last one.
        self._known: dict[str, _Known] = {}
        self._findings: dict[str, _Finding] = {}
        self._own: Surroundings | None = None
        self.registrations: dict[str, RegisteredSender] = {}

    def update(self, own: Surroundings, messages: Sequence[Message]) -> list[str]:
        """Register the surroundings of the senders in a frame with those of the ego.

        Args:
            own: surroundings of the ego.
            messages: messages of the kind that the registration uses, at most one of each sender, none of the
                ego.

        Returns:
            The reason why a message says nothing about the pose of its sender, "" where it does, for each
            message.
        """
        others: dict[str, Surroundings] = {}
        refusals: dict[str, str] = {}
        for message in messages:
            try:
                others[message.sender] = read_surroundings(message, self._registration)
            except CosenseError as error:
                refusals[message.sender] = str(error)
        self._own = own
        doubted = [self._known_of(name).doubt(other) for name, other in others.items()]
        found = relative_poses(self._registration, own, doubted)
        self.registrations = {name: RegisteredSender(others[name], result) for name, result in found.items()}
        self._findings = {}
        for name, result in found.items():
            refusals[name] = self._judge(own, others[name], result)
        return [refusals[message.sender] for message in messages]

    def place(self, message: Message, ego: Message) -> Placed:
        """Return a message with the corrected pose of its sender.

        Args:
            message: message of a sender.
            ego: message of the ego, whose pose is taken as it is.
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
        """Keep the error of a sender's pose; returns the reason where there is none to be found, else "".

        Args:
            own: surroundings of the ego.
            other: surroundings of the sender as sent.
            result: registration of both.
        """
        name, stamp_ns, known = other.agent_id, other.stamp_ns, self._known_of(other.agent_id)
        sent = _world_covariance(own, other)
        if result.status is Status.GATED:
            # The size of the error is unknown.
            spread = sent + np.diag(_MOST_MISTRUST)
            objection = f"the graphs disagree with the sent pose: {result.reason}"
            self._findings[name] = _Finding(PoseError(stamp_ns, np.zeros(3), spread), other, objection)
            return ""
        if not result.registered:
            reason = f"no pose from the graphs, {result.status.value}: {result.reason}"
            return "" if self._learn_near(own, other, known) else reason
        measured = pose_error(result, own, other)
        believed_other = known.doubt(other)
        believed = _world_covariance(own, believed_other)
        lasting = replace(measured, covariance=measured.covariance + sent)
        # Other senders alone can make a pose more uncertain. Only what the ego sees itself moves it beyond
        # its covariance: else anybody could put a third one anywhere.
        is_seen = isinstance(own, Cloud) or len(result.inliers) > 0
        again = is_seen and known.filter.update(lasting) is Verdict.ACCEPTED
        if is_seen:
            known.belief.learn_pose(measured, sent, len(result.inliers))
            # An error as the field has them is no reason for more than to doubt the claim.
            usual = lasting.covariance + np.diag(FIELD**2)
            if _chi_square(measured.error, usual + _LEAST) > _DISAGREES:
                known.found_wrong(stamp_ns, measured.error)
        covariance = measured.covariance + believed
        disagrees = _chi_square(measured.error, covariance + _LEAST) > _DISAGREES
        if (
            not is_seen
            and not disagrees
            and _chi_square(measured.error, lasting.covariance + _LEAST) > _DISAGREES
        ):
            self._learn_near(own, other, known)
            return "other senders alone say where it is, and it says something else"
        objection = ""
        if can_confirm(own, believed_other) and not disagrees:
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

    def _learn_near(self, own: Surroundings, other: Surroundings, known: _Known) -> bool:
        """Keep what two graphs have in common near the sent pose; returns whether that says something."""
        if isinstance(own, Cloud) or isinstance(other, Cloud) or not can_confirm(own, other):
            return False
        stamp_ns, sent = other.stamp_ns, _world_covariance(own, other)
        if known.contradiction(stamp_ns, sent) is not None:
            return False
        before = known.belief.error(stamp_ns, sent)
        known.belief.learn(stamp_ns, sent, shift_evidence(own, other))
        error = known.error(stamp_ns, sent)
        self._findings[other.agent_id] = _Finding(error, other)
        return bool(np.trace(error.covariance[:2, :2]) < np.trace(before.covariance[:2, :2]) / 2)

    def _lasting(self, message: Message, ego: Message) -> Placed:
        """Return the message where it is believed to be without a graph of its moment."""
        stamp_ns, sent = message.stamp_ns, _world_covariance(ego, message)
        known = self._known.get(message.sender) or _Known()
        error = known.contradiction(stamp_ns, sent)
        if error is not None:
            return _moved(message, error)
        if isinstance(self._own, SceneGraph):
            boxes = graph_of_boxes(message)
            if can_confirm(self._own, boxes):
                known = self._known_of(message.sender)
                known.belief.learn(stamp_ns, sent, shift_evidence(self._own, boxes))
        return _moved(message, known.error(stamp_ns, sent))

    def _known_of(self, sender: str) -> _Known:
        """Return what is known of a sender; where there are too many, the least recent one is forgotten."""
        known = self._known.pop(sender, None) or _Known()
        if len(self._known) >= _MAX_SENDERS:
            del self._known[next(iter(self._known))]
        self._known[sender] = known
        return known


def graph_of_boxes(message: Message) -> SceneGraph:
    """Return the boxes of an OBJECTS or FEATURES message as a graph.

    Raises:
        MessageError: they cannot be read.
    """
    if message.kind == PayloadKind.FEATURES:
        sent = decode_features(message.payload).boxes
        boxes, velocities = sent.detections, sent.velocities_mps
    else:
        boxes = decode_objects(message.payload)
        velocities = np.full((len(boxes), 2), np.nan)
    sure = sure_enough(boxes)
    nodes = dynamic_nodes(boxes[sure], velocities[sure])
    ids = np.arange(len(nodes))
    return graph_of(
        nodes, ids, message.sender, message.stamp_ns, message.T_world_agent, message.pose_covariance
    )


def _moved(message: Message, error: PoseError, objection: str = "") -> Placed:
    T = displaced(message.T_world_agent, error.error)
    corrected = replace(message, T_world_agent=T, pose_covariance=error.covariance)
    return Placed(corrected, np.zeros((3, 3)), objection)


def _world_covariance(ego: Posed, other: Posed) -> NDArray[np.float64]:
    """Return the covariance (3,3) of the relative pose as sent: x, y along the axes of the world, and yaw."""
    turn = np.eye(3)
    turn[:2, :2] = ego.T_world_agent[:2, :2]
    return np.asarray(turn @ Prior.between(ego, other).covariance @ turn.T)


def _chi_square(error: NDArray[np.float64], covariance: NDArray[np.float64]) -> float:
    return float(error @ np.linalg.solve(covariance, error))
