"""Bounded queues between the thread that listens and the thread that works."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class Due(Protocol):
    """Something that is to be done at a time of `time.monotonic_ns`."""

    @property
    def due_ns(self) -> int: ...

    @property
    def n_bytes(self) -> int: ...


D = TypeVar("D", bound=Due)


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


class DueMailbox(Generic[D]):
    """Holds items until they are due, those of one time in the order in which they came.

    It takes what is not more than `most_bytes` together; a small item counts as `SMALLEST_BYTES`.
    """

    SMALLEST_BYTES = 1024

    def __init__(self, most_bytes: int) -> None:
        self._items: list[tuple[int, int, D]] = []
        self._count = itertools.count()
        self._most_bytes = most_bytes
        self._bytes = 0
        self._changed = threading.Condition()

    def put(self, item: D) -> D | None:
        """Add an item, or return it where there is no room."""
        with self._changed:
            if self._bytes + self._size(item) > self._most_bytes:
                return item
            self._bytes += self._size(item)
            heapq.heappush(self._items, (item.due_ns, next(self._count), item))
            self._changed.notify()
            return None

    def get(self, timeout_s: float) -> D | None:
        """Return the item that is due first, None if none is due in time."""
        end_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        with self._changed:
            while (left_ns := min([end_ns, *self._next_ns()]) - time.monotonic_ns()) > 0:
                self._changed.wait(left_ns / 1e9)
            return self._pop() if self._items and self._items[0][0] <= time.monotonic_ns() else None

    def drain(self) -> list[D]:
        """Return everything, due or not."""
        with self._changed:
            return [self._pop() for _ in range(len(self._items))]

    def _next_ns(self) -> list[int]:
        return [self._items[0][0]] if self._items else []

    def _pop(self) -> D:
        item = heapq.heappop(self._items)[2]
        self._bytes -= self._size(item)
        return item

    def _size(self, item: D) -> int:
        return max(item.n_bytes, self.SMALLEST_BYTES)
