"""Where the ego's agent leaves features and cloud for its fusion: megabytes that stay in the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from cosense.detectors.base import Encoded
from cosense.errors import CosenseError
from cosense.messages.envelope import Message
from cosense.sensing.levelling import LevelFrame


class OwnFrame(NamedTuple):
    """What the ego's agent knows of one frame and never sends.

    Attributes:
        encoded: maps of its detector.
        frame: what it measured, levelled.
    """

    encoded: Encoded
    frame: LevelFrame


class FeatureStore:
    """Keeps what belongs to the newest frames; for one thread that puts and another one that takes.

    The key is number and stamp of the ego's own message, which is made of the same cloud: unlike its stamp
    alone they never come twice.

    Attributes:
        depth: frames that are kept at most; may be set at any time.
    """

    def __init__(self, depth: int) -> None:
        self._frames: OrderedDict[tuple[int, int], OwnFrame] = OrderedDict()
        self.depth = depth
        self._lock = threading.Lock()

    def put(self, sequence: int, stamp_ns: int, own: OwnFrame) -> None:
        """Keep what belongs to a message that is about to be sent; the oldest make room."""
        with self._lock:
            self._frames[sequence, stamp_ns] = own
            while len(self._frames) > self.depth:
                self._frames.popitem(last=False)

    def take(self, message: Message) -> OwnFrame:
        """Return and forget what belongs to the cloud that a message of the ego is made of.

        Raises:
            CosenseError: they are not there.
        """
        with self._lock:
            own = self._frames.pop((message.sequence, message.stamp_ns), None)
        if own is None:
            raise CosenseError(
                f"the ego's features are not there: its message is not from this process, or more than "
                f"{self.depth} frames were waiting"
            )
        return own
