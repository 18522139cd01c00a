"""The slow part of a node: a thread that works behind a bounded queue, while the node goes on listening."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import rclpy

from cosense.nodes.ros.lifecycle import ManagedNode

T = TypeVar("T")

_POLL_S = 0.1
_LAST_ITEM_S = 2.0


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

    def put_together(self, items: Sequence[T]) -> list[T]:
        """Add items that came at one time and return the old ones that were pushed out, none of the new."""
        with self._changed:
            self._items.extend(items)
            excess = len(self._items) - max(self._depth, len(items)) if items else 0
            dropped = [self._items.popleft() for _ in range(excess)]
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


class Inbox(Protocol[T]):
    """What a mailbox is to a worker."""

    def put(self, item: T) -> T | None: ...

    def get(self, timeout_s: float) -> T | None: ...


class Worker(Generic[T]):
    """Does one item after the other; the inbox says which ones are dropped when it cannot keep up."""

    def __init__(self, node: ManagedNode, name: str, work: Callable[[T], None], inbox: Inbox[T]) -> None:
        """Start the thread.

        Args:
            node: node that fails, with its process, when the work raises.
            name: name of the thread.
            work: function that handles one item.
            inbox: queue in which items wait.
        """
        self._node = node
        self._work = work
        self._inbox = inbox
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, item: T) -> T | None:
        """Add an item and return the one that was dropped for want of room, None where there was room."""
        return self._inbox.put(item)

    def close(self) -> None:
        """Let the thread finish the item that it works on."""
        self._stop.set()
        self._thread.join(timeout=_LAST_ITEM_S)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                item = self._inbox.get(timeout_s=_POLL_S)
                if item is not None:
                    self._work(item)
        except Exception as error:
            # What is published while the node or the process ends cannot go out any more.
            if rclpy.ok() and not self._stop.is_set():
                self._node.has_failed = True
                self._node.get_logger().fatal(f"{self._thread.name} thread failed: {error!r}")
                rclpy.try_shutdown()
                raise
