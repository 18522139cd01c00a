from __future__ import annotations

import threading

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

from cosense.nodes.ros.mailbox import Mailbox
from cosense.nodes.ros.worker import Worker


def test_items_are_done_in_order_and_the_oldest_ones_dropped():
    started, may_go_on, done = threading.Event(), threading.Event(), []

    def work(item: int) -> None:
        started.set()
        may_go_on.wait(10)
        done.append(item)
        if item == 4:
            all_done.set()

    all_done = threading.Event()
    worker: Worker[int] = Worker(None, "test", work, Mailbox(2))
    assert worker.put(1) is None
    assert started.wait(10)
    assert [worker.put(item) for item in (2, 3, 4)] == [None, None, 2]
    may_go_on.set()
    assert all_done.wait(10)
    worker.close()
    assert done == [1, 3, 4]
