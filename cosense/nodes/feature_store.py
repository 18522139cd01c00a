"""Where the ego's agent leaves its features for the ego's fusion: megabytes that never leave the process."""

from __future__ import annotations

import threading
from collections import OrderedDict

from cosense.detectors.base import BevFeatures
from cosense.errors import CosenseError


class FeatureStore:
    """Keeps the features of the newest frames; for one thread that puts and another one that takes.

    The key is the ego's own message, which is made of the same cloud: unlike its stamp it never comes twice.

    Attributes:
        depth: frames that are kept at most; may be set at any time.
    """

    def __init__(self, depth: int) -> None:
        self._features: OrderedDict[bytes, BevFeatures] = OrderedDict()
        self.depth = depth
        self._lock = threading.Lock()

    def put(self, message: bytes, features: BevFeatures) -> None:
        """Keep the features of a message that is about to be sent; the oldest ones make room."""
        with self._lock:
            self._features[message] = features
            while len(self._features) > self.depth:
                self._features.popitem(last=False)

    def take(self, message: bytes) -> BevFeatures:
        """Return and forget the features of a message.

        Raises:
            CosenseError: they are not there.
        """
        with self._lock:
            features = self._features.pop(message, None)
        if features is None:
            raise CosenseError(
                f"the ego's features are not there: its message is not from this process, or more than "
                f"{self.depth} frames were waiting"
            )
        return features
