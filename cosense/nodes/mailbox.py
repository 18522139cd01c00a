"""A bounded queue between the thread that listens and the thread that works."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Holds at most `depth` items; one more pushes the oldest out. With depth 1 the latest wins."""

    def __init__(self, depth: int) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        self._changed = threading.Condition()

    def put(self, item: T) -> T | None:
        """Add an item and return the old one that was pushed out for it, None where there was room."""
        with self._changed:
            self._items.append(item)
            dropped = self._items.popleft() if len(self._items) > self._depth else None
            self._changed.notify()
            return dropped

    def get(self, timeout_s: float) -> T | None:
        """Return the oldest item, None if none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._items, timeout_s)
            return self._items.popleft() if self._items else None
