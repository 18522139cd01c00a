"""The outcome of one frame: what the ego knows, from whom, and how well it is helped at present.

HYBRID     features of at least one agent are in the result
LATE       boxes of others are, features are not
EGO        the ego is on its own
NO_SENSOR  the ego itself measures nothing, so there is no result at all
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cosense.messages.envelope import PayloadKind
from cosense.messages.reports import MisbehaviourReport, PeerReport, with_requests
from cosense.sensing.detections import Detections

ModeName = Literal["HYBRID", "LATE", "EGO", "NO_SENSOR"]


@dataclass(frozen=True)
class FusionResult:
    """What the ego knows after one frame, and from whom.

    Attributes:
        detections: boxes in the frame of the ego's sensor, best first.
        peers: one report for each message of the others, in the order given, those for poses alone last.
        request_bytes: length of each request that the ego makes for the next frame, by addressee; "" is
            everybody.
        misbehaviour: of whom the ego thinks better or worse from this frame on.
    """

    detections: Detections
    peers: list[PeerReport]
    request_bytes: Mapping[str, int] = field(default_factory=dict)
    misbehaviour: Sequence[MisbehaviourReport] = ()

    @property
    def bytes_per_sender(self) -> dict[str, int]:
        """Length of all messages of each sender, used or not, and its share of the requests."""
        return with_requests(self.peers, self.request_bytes)


@dataclass(frozen=True)
class Mode:
    """A state, and why it is not a better one or what the ego's own sensors lack; empty for the best."""

    name: ModeName
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}" if self.reason else self.name


def mode_of(
    fusion: str,
    peers: Sequence[PeerReport],
    missing: Sequence[str],
    silent: Sequence[str],
    behind_ms: float = 0.0,
    lost: Sequence[str] = (),
) -> Mode:
    """Return the mode of one frame.

    Args:
        fusion: kind of fusion of the ego; with "late" boxes are the best there is.
        peers: what became of each message.
        missing: senders that were waited for in vain.
        silent: senders that were not waited for any more.
        behind_ms: by how much the ego itself is late.
        lost: what the ego's own sensors lack; said in every mode.
    """
    # That a graph says nothing about a pose makes nothing worse.
    peers = [peer for peer in peers if peer.kind != PayloadKind.SCENE_GRAPH.name]
    used_for = {peer.used_for for peer in peers}
    reasons = [f"'{peer.sender}': {peer.reason}" for peer in peers if peer.reason]
    reasons += [f"'{sender}' has sent nothing in time" for sender in missing]
    reasons += [f"'{sender}' is silent" for sender in silent if sender not in missing]
    if behind_ms:
        reasons.append(f"the ego is {behind_ms:.0f} ms behind the others")
    if "features" in used_for:
        return Mode("HYBRID", "; ".join(lost))
    if "boxes" in used_for:
        reasons = [] if fusion == "late" else reasons or ["boxes are all that was sent"]
        return Mode("LATE", "; ".join([*lost, *reasons]))
    return Mode("EGO", "; ".join([*lost, *(reasons or ["nobody else is there"])]))


def no_sensor(silent_ms: float | None, *, is_paused: bool = False) -> Mode:
    """Return the mode when the ego's own message has not come.

    Args:
        silent_ms: for how long, None if never.
        is_paused: whether the time of what is played stands still.
    """
    how_long = "yet" if silent_ms is None else f"for {silent_ms / 1e3:.1f} s"
    reason = f"the ego has not measured anything {how_long}"
    return Mode("NO_SENSOR", f"{reason}; /clock stands still" if is_paused else reason)
