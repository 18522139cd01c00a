"""Where the ego's agent leaves its features for the ego's fusion: megabytes that never leave the process."""

from __future__ import annotations

import threading
from collections import OrderedDict

from cosense.detectors.base import Encoded
from cosense.errors import CosenseError
from cosense.messages.envelope import Message


class FeatureStore:
    """Keeps the features of the newest frames; for one thread that puts and another one that takes.

    The key is number and stamp of the ego's own message, which is made of the same cloud: unlike its stamp
    alone they never come twice.

    Attributes:
        depth: frames that are kept at most; may be set at any time.
    """

    def __init__(self, depth: int) -> None:
        self._features: OrderedDict[tuple[int, int], tuple[Encoded, tuple[str, ...]]] = OrderedDict()
        self.depth = depth
        self._lock = threading.Lock()

    def put(self, sequence: int, stamp_ns: int, features: Encoded, lost: tuple[str, ...] = ()) -> None:
        """Keep the features of a message that is about to be sent; the oldest ones make room.

        Args:
            sequence: number of the message.
            stamp_ns: its stamp.
            features: what was encoded.
            lost: what they lack of what the ego's sensors could measure, and why.
        """
        with self._lock:
            self._features[sequence, stamp_ns] = features, lost
            while len(self._features) > self.depth:
                self._features.popitem(last=False)

    def take(self, message: Message) -> tuple[Encoded, tuple[str, ...]]:
        """Return and forget the features that a message of the ego is made of, and what they lack.

        Raises:
            CosenseError: they are not there.
        """
        with self._lock:
            kept = self._features.pop((message.sequence, message.stamp_ns), None)
        if kept is None:
            raise CosenseError(
                f"the ego's features are not there: its message is not from this process, or more than "
                f"{self.depth} frames were waiting"
            )
        return kept
