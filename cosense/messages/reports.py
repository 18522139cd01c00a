"""What becomes of the messages of others: one report for each, and the bytes of each sender."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

# The sender of a message that cannot be read.
UNKNOWN = "unknown"

UsedFor = Literal["boxes", "points", "features", "pose", "nothing"]


@dataclass(frozen=True)
class PeerReport:
    """What became of one message.

    Attributes:
        sender: agent id in the message, "unknown" where it could not be read.
        bytes: length of the message.
        used_for: what it contributed.
        reason: why it was refused or may do no more, else empty.
        age_ms: how long before the ego it was measured, negative if after; None where it could not be read.
        kind: name of its `PayloadKind`, empty where it could not be read.
        verdict: what evidence says of the sender by now, see `cosense.trust.evidence`; empty where nothing
            was held against what the ego sees.
    """

    sender: str
    bytes: int
    used_for: UsedFor
    reason: str = ""
    age_ms: float | None = None
    kind: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class MisbehaviourReport:
    """That the ego has come to another opinion of a sender, with what it goes by.

    In the sense of ETSI TS 103 759 (misbehaviour reporting): who, since when, and the evidence by kind. It
    stays with the ego; nobody is told.

    Attributes:
        sender: agent id in its messages.
        verdict, before: what is held of it now and until now, see `cosense.trust.evidence`.
        log_odds: by how much it is likelier that it lies, as a logarithm.
        evidence: what each kind of evidence has added to that, by name.
    """

    sender: str
    verdict: str
    before: str
    log_odds: float
    evidence: Mapping[str, float]


def with_requests(peers: Sequence[PeerReport], request_bytes: Mapping[str, int]) -> dict[str, int]:
    """Return the bytes that each sender has cost: its messages and what it was sent in return.

    Args:
        peers: reports of its messages.
        request_bytes: length of each DEMAND message by addressee; all senders share the one of "".
    """
    sent: Counter[str] = Counter()
    for peer in peers:
        sent[peer.sender] += peer.bytes
    senders = sorted(sent.keys() - {UNKNOWN})
    for addressee, count in request_bytes.items():
        if addressee:
            sent[addressee] += count
        for index, sender in enumerate(senders if not addressee else ()):
            # The parts add up to the whole.
            sent[sender] += (index + 1) * count // len(senders) - index * count // len(senders)
    return sent
