"""The slow part of a node, in a thread of its own behind a bounded queue: the node itself stays at hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import rclpy

from cosense.nodes.ros.lifecycle import ManagedNode

T = TypeVar("T")

_POLL_S = 0.1
_LAST_ITEM_S = 2.0


class Inbox(Protocol[T]):
    """A queue of mailbox.py."""

    def put(self, item: T) -> T | None: ...

    def get(self, timeout_s: float) -> T | None: ...


class Worker(Generic[T]):
    """Does one item after the other; the inbox says which ones are dropped when it cannot keep up."""

    def __init__(self, node: ManagedNode, name: str, work: Callable[[T], None], inbox: Inbox[T]) -> None:
        """Start the thread.

        Args:
            node: ends with the process, which then has failed, if the work does.
            name: of the thread.
            work: what is done with each item.
            inbox: where items wait.
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
