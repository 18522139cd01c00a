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
        self._features: OrderedDict[tuple[int, int], Encoded] = OrderedDict()
        self.depth = depth
        self._lock = threading.Lock()

    def put(self, sequence: int, stamp_ns: int, features: Encoded) -> None:
        """Keep the features of a message that is about to be sent; the oldest ones make room."""
        with self._lock:
            self._features[sequence, stamp_ns] = features
            while len(self._features) > self.depth:
                self._features.popitem(last=False)

    def take(self, message: Message) -> Encoded:
        """Return and forget the features of the cloud that a message of the ego is made of.

        Raises:
            CosenseError: they are not there.
        """
        with self._lock:
            features = self._features.pop((message.sequence, message.stamp_ns), None)
        if features is None:
            raise CosenseError(
                f"the ego's features are not there: its message is not from this process, or more than "
                f"{self.depth} frames were waiting"
            )
        return features
