"""The ego: its own view of a moment and the messages of others in, boxes out, and what to ask for next.

    received ──► admission ──► placed by pose, age, graphs ──► fusion of this kind ──► joint merge ──► boxes
                                                                     └──► requests for the next frame

The same object runs offline and in the live fusion node. What it remembers from frame to frame is by what the
poses of others are wrong for long. Without any usable message the result is the ego's own boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from cosense.cooperation.admission import (
    Reader,
    Received,
    admit,
    bounded,
    read_boxes,
    read_features,
    read_points,
)
from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.kinds import (
    FEATURE_KINDS,
    USED_KINDS,
    FusionKind,
    check_fusion,
    check_registration,
)
from cosense.cooperation.merge import MergeSettings, is_ego_body, merge
from cosense.cooperation.outcome import FusionResult
from cosense.cooperation.own_eyes import Examined, OwnEyes, held_back, unexamined
from cosense.cooperation.perceived import Perceived
from cosense.cooperation.requests import write_requests
from cosense.cooperation.sender import Sender
from cosense.detectors.base import BevFeatures, Encoded
from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from_slopes
from cosense.messages.envelope import Message, MessageError, PayloadKind, decode
from cosense.messages.objects import decode_objects, slopes_of
from cosense.messages.reports import MisbehaviourReport, PeerReport, UsedFor
from cosense.methods.base import Admitted, Method, scaled
from cosense.methods.model import Model
from cosense.scene_graph.correction.pose_correction import Place, PoseCorrection, RegisteredSender, as_sent
from cosense.scene_graph.registrations import NONE, Cloud, Surroundings, payload_kind, read_surroundings
from cosense.sensing.detections import Detections, Source
from cosense.sensing.frame import AgentFrame
from cosense.sensing.levelling import LevelFrame
from cosense.sensing.sight_lines import SightLines
from cosense.trust.base import find_checks
from cosense.trust.identity.keys import Signer

# Chooses what of the messages of a frame is fused, given the ego's own boxes.
Screen = Callable[[Sequence[Admitted], Detections], Sequence[Admitted]]
# Kinds of fusion that need no network.
_BOXES_ALONE: tuple[FusionKind, ...] = ("none", "late")


@dataclass(frozen=True)
class OwnView:
    """What the ego itself knows of a moment.

    Attributes:
        message: its own OBJECTS message, whose boxes, pose, stamp and model count.
        encoded: its maps, None where features are not fused.
        surroundings: what surrounds it, None where poses are taken as sent.
        frame: what it measured, levelled; None where it is not at hand, so that nobody can tell what is free.
    """

    message: Message
    encoded: Encoded | None = None
    surroundings: Surroundings | None = None
    frame: LevelFrame | None = None


class Fused(NamedTuple):
    """What comes of one frame: what the ego knows, and its encoded requests for the next one by addressee."""

    result: FusionResult
    requests: Mapping[str, bytes]


class Ego:
    """The agent that fuses; call `fuse` once a frame, in the order of time.

    Attributes:
        admission: limits of what messages may do; may be set at any time.
        merging: how boxes are merged; may be set at any time.
    """

    def __init__(
        self,
        model: Model | None,
        fusion: FusionKind,
        *,
        registration: str = NONE,
        admission: AdmissionSettings | None = None,
        merging: MergeSettings | None = None,
        trust: Sequence[str] = (),
        own_eyes: bool = True,
        evidence: bool = True,
        screen: Screen | None = None,
        signer: Signer | None = None,
    ) -> None:
        """Start.

        Args:
            model: the ego's model; None where boxes alone are fused, which needs no network.
            fusion: how the agents work together.
            registration: how the poses of others are corrected.
            admission: see above.
            merging: see above.
            trust: names of the checks of `cosense.trust` that a message has to pass.
            own_eyes: whether what others claim is held against what the ego sees itself; to compare with.
            evidence: whether that adds up over time; to compare with.
            screen: another way to choose what is fused, given the ego's own boxes; to compare with.
            signer: key with which it signs its requests; None to sign nothing.

        Raises:
            CosenseError: an unknown kind of fusion, registration or check, or a model that shares nothing.
        """
        check_registration(registration, fusion)
        if model is None:
            if fusion not in _BOXES_ALONE:
                raise CosenseError(
                    f"fusion '{fusion}' needs a model, only {' and '.join(_BOXES_ALONE)} do without"
                )
        else:
            check_fusion(fusion, model)
        self._model = model
        self._fusion = fusion
        self._registration = registration
        self._checks = find_checks(trust)
        self._has_own_eyes = own_eyes
        self._has_evidence = evidence
        self._screen = screen
        self._signer = signer
        self.admission = admission or AdmissionSettings()
        self.merging = merging or MergeSettings()
        self._newest_ns: int | None = None
        self._correction = PoseCorrection(registration)
        self._eyes = OwnEyes(evidence=evidence)

    @property
    def registrations(self) -> Mapping[str, RegisteredSender]:
        """How the surroundings of each sender were registered in the newest frame, by sender."""
        return self._correction.registrations

    def view(self, own: Perceived, sequence: int) -> OwnView:
        """Return what the ego sees itself, through the same bytes as everybody's.

        Args:
            own: what its detector makes of the frame.
            sequence: counts the frames.
        """
        frame, model = own.frame, self._model
        assert model is not None
        if self._fusion == "early":
            return OwnView(_header(frame, model.detector.fingerprint), frame=frame)
        # Boxes alone are enough: the ego's features never leave it.
        sender = Sender(frame.agent_id, model, "late", registration=self._registration)
        data = sender.message(own, sequence, None)
        assert data is not None
        surroundings = self._own_surroundings(sender, own, sequence)
        encoded = own.encoded if self._fusion in FEATURE_KINDS else None
        return OwnView(decode(data), encoded, surroundings, frame)

    def fuse(self, own: OwnView, received: Sequence[Received]) -> Fused:
        """Fuse one frame.

        Args:
            own: what the ego knows of the moment by itself.
            received: messages of others, as they came. What cannot be used becomes a report, never an error.

        Returns:
            boxes in the frame of the ego's sensor, and requests.

        Raises:
            MessageError: the ego's own message is broken or of another kind than OBJECTS.
        """
        ego = own.message
        if ego.kind != PayloadKind.OBJECTS:
            raise MessageError(f"the ego's own message carries {ego.kind.name}, expected OBJECTS")
        self._follow(ego.stamp_ns)
        others, for_poses = self._parted(received)
        place, pose_reports = self._correct(own, for_poses)
        if self._fusion == "early":
            detections, reports = self._fuse_points(own, others)
            return Fused(FusionResult(detections, reports), {})
        admitted, reports = admit(
            others, ego, USED_KINDS[self._fusion], self._reader(own, place), self.admission, self._checks
        )
        method = self._method
        candidates, examined = self._candidates(own, bounded(admitted))
        reports = [_with_findings(report, examined) for report in reports]
        admitted = list(examined.claims)
        averages_boxes = method is not None and method.averages_boxes
        detections = merge(candidates, self.merging, averages_boxes=averages_boxes)
        requests = {}
        if method is not None:
            requests = write_requests(ego, method.request(_encoded(own)), admitted, self._signer)
        request_bytes = {addressee: len(data) for addressee, data in requests.items()}
        detections = detections.transformed(transform_from_slopes(*slopes_of(ego.payload)))
        result = FusionResult(
            detections, [*reports, *pose_reports], request_bytes, _changed_opinions(examined)
        )
        return Fused(result, requests)

    @property
    def _method(self) -> Method | None:
        """The method whose features are fused, None where none are."""
        return self._model.method if self._model is not None and self._fusion in FEATURE_KINDS else None

    def _follow(self, stamp_ns: int) -> None:
        """Forget what was learned of the senders where time goes back: that is another recording."""
        if self._newest_ns is not None and stamp_ns < self._newest_ns:
            self._correction = PoseCorrection(self._registration)
            self._eyes = OwnEyes(evidence=self._has_evidence)
        self._newest_ns = stamp_ns

    def _parted(self, received: Sequence[Received]) -> tuple[list[Received], list[Received]]:
        """Return the messages that are fused, and those by which poses are corrected."""
        parts: tuple[list[Received], list[Received]] = ([], [])
        kind = None if self._registration == NONE else payload_kind(self._registration)
        for item in received:
            parts[item.message is not None and item.message.kind == kind].append(item)
        return parts

    def _correct(self, own: OwnView, received: Sequence[Received]) -> tuple[Place, list[PeerReport]]:
        """Register the surroundings of the senders with the ego's own.

        Returns:
            what says where each sender is, and a report for each message.
        """
        if self._registration == NONE:
            return as_sent, []
        graphs, reports = admit(
            received,
            own.message,
            (payload_kind(self._registration),),
            lambda message, age_ms: (message, "pose", ""),
            self.admission,
            self._checks,
        )
        if own.surroundings is None:
            refusals = ["the ego has no scene graph of its own"] * len(graphs)
        else:
            refusals = self._correction.update(own.surroundings, graphs)
        reason_of = {graph.sender: reason for graph, reason in zip(graphs, refusals, strict=True)}
        return self._correction.place, [
            replace(report, used_for="nothing", reason=reason_of[report.sender])
            if report.used_for == "pose" and reason_of[report.sender]
            else report
            for report in reports
        ]

    def _reader(self, own: OwnView, place: Place) -> Reader[Admitted]:
        """Return what reads the messages of this kind of fusion."""
        method, roof_m = self._method, self.merging.roof_below_sensor_m

        def read(message: Message, age_ms: float) -> tuple[Admitted, UsedFor, str]:
            if method is None:
                return read_boxes(message, age_ms, own.message, place, roof_m, self.admission)
            shape = _encoded(own).grid.shape
            return read_features(
                message, age_ms, own.message, place, roof_m, method.specs, shape, self.admission
            )

        return read

    def _candidates(self, own: OwnView, admitted: Sequence[Admitted]) -> tuple[Detections, Examined]:
        """Return what competes for being an object.

        Returns:
            boxes of all sources in the ego frame, before they are merged, and what was found of the senders.
        """
        boxes = decode_objects(own.message.payload)
        if self._screen is not None:
            admitted = self._screen(admitted, boxes)
        if not self._has_own_eyes or not admitted:
            return self._unjudged(own, boxes, admitted), unexamined(admitted)
        lines = None if own.frame is None else SightLines(own.frame.points)
        examined = self._eyes.examined(admitted, boxes, lines, own.message.stamp_ns)
        candidates = held_back(self._unjudged(own, boxes, examined.fusible), boxes, examined, lines)
        if self._method is not None and not (candidates.sources == Source.EGO).any():
            # What features of others make of the ego's view competes with it and does not replace it.
            candidates = Detections.concatenate([candidates, self._method.calibration.apply(boxes)])
        return candidates, examined

    def _unjudged(self, own: OwnView, boxes: Detections, admitted: Sequence[Admitted]) -> Detections:
        """Return the boxes of all sources as they are."""
        if self._method is None:
            return Detections.concatenate(
                [boxes, *(scaled(other.boxes, other.exactness) for other in admitted)]
            )
        return self._method.fuse(_encoded(own), boxes, admitted, with_boxes=self._fusion == "hybrid")

    def _fuse_points(self, own: OwnView, received: Sequence[Received]) -> tuple[Detections, list[PeerReport]]:
        """Detect in the ego's points, used as measured, and in those of the others together."""
        assert self._model is not None
        assert own.frame is not None
        ego = own.message
        clouds, reports = admit(
            received,
            ego,
            USED_KINDS["early"],
            lambda message, age_ms: read_points(message, age_ms, ego, self.admission),
            self.admission,
            self._checks,
        )
        detector = self._model.detector
        T_sensor_level = own.frame.T_sensor_level
        if not clouds:
            return detector.decode(detector.encode(own.frame)).transformed(T_sensor_level), reports
        joint = np.concatenate([own.frame.points, *clouds])
        together = AgentFrame(ego.sender, own.frame.kind, ego.stamp_ns, ego.T_world_agent, joint)
        found = detector.detect(together)
        others = found[~is_ego_body(found.boxes, self.merging.roof_below_sensor_m)]
        return others.transformed(T_sensor_level, Source.FUSED), reports

    def _own_surroundings(self, sender: Sender, own: Perceived, sequence: int) -> Surroundings | None:
        if self._registration == NONE:
            return None
        if payload_kind(self._registration) == PayloadKind.POINTS:
            # All points, not only those that are worth sending.
            return Cloud.of(own.frame)
        data = sender.surroundings(own, sequence)
        assert data is not None
        return read_surroundings(decode(data), self._registration)


def _encoded(own: OwnView) -> BevFeatures:
    assert isinstance(own.encoded, BevFeatures)
    return own.encoded


def _with_findings(report: PeerReport, examined: Examined) -> PeerReport:
    """Return the report of a message with what was found of its sender."""
    finding = examined.findings.get(report.sender)
    if report.used_for == "nothing" or finding is None:
        return report
    doubt = examined.doubts.get(report.sender, "")
    return replace(
        report,
        used_for="nothing" if finding.verdict == "refused" else "boxes" if doubt else report.used_for,
        reason="; ".join(part for part in (report.reason, doubt) if part),
        verdict=finding.verdict,
    )


def _changed_opinions(examined: Examined) -> list[MisbehaviourReport]:
    """Return of whom the ego thinks worse than before, or no longer as ill."""
    return [
        MisbehaviourReport(sender, found.verdict, found.before, found.log_odds, dict(found.shares))
        for sender, found in examined.findings.items()
        if found.verdict != found.before and {found.verdict, found.before} & {"doubted", "refused"}
    ]


def _header(frame: AgentFrame, fingerprint: bytes) -> Message:
    """Return a message of the ego that says when and where it measured, without any box."""
    return Message(
        kind=PayloadKind.OBJECTS,
        sender=frame.agent_id,
        sequence=0,
        stamp_ns=frame.stamp_ns,
        T_world_agent=frame.T_world_agent,
        pose_covariance=frame.pose_covariance,
        fingerprint=fingerprint,
        payload=b"",
    )
