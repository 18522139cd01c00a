"""What the ego knows after one frame, and from whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cosense.messages.reports import PeerReport, with_requests
from cosense.sensing.detections import Detections


@dataclass(frozen=True)
class FusionResult:
    """What the ego knows after one frame, and from whom.

    Attributes:
        detections: boxes in the ego frame, best first.
        peers: one report for each message of the others, in the order given, those for poses alone last.
        request_bytes: length of each request that the ego makes for the next frame, by addressee; "" is
            everybody.
    """

    detections: Detections
    peers: list[PeerReport]
    request_bytes: Mapping[str, int] = field(default_factory=dict)

    @property
    def bytes_per_sender(self) -> dict[str, int]:
        """Length of all messages of each sender, used or not, and its share of the requests."""
        return with_requests(self.peers, self.request_bytes)
