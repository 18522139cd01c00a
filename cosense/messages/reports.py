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
    """

    sender: str
    bytes: int
    used_for: UsedFor
    reason: str = ""
    age_ms: float | None = None
    kind: str = ""


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
