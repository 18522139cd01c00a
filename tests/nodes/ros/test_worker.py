from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

from cosense.nodes.ros.worker import DueMailbox, Mailbox, Worker


@dataclass(frozen=True)
class Parcel:
    name: str
    due_ns: int
    n_bytes: int = 2000


def in_ms(delay_ms: float) -> int:
    return time.monotonic_ns() + int(delay_ms * 1e6)


def test_the_latest_wins_with_depth_one():
    mailbox: Mailbox[int] = Mailbox(1)
    assert [mailbox.put(number) for number in (1, 2, 3)] == [None, 1, 2]
    assert mailbox.get(0) == 3
    assert mailbox.get(0) is None


def test_order_is_kept_up_to_the_depth():
    mailbox: Mailbox[int] = Mailbox(3)
    assert [mailbox.put(number) for number in range(5)] == [None, None, None, 0, 1]
    assert [mailbox.get(0) for _ in range(4)] == [2, 3, 4, None]


def test_what_comes_together_is_kept_together():
    """Clouds that one pose completes: the detector has time for all of them until the next pose."""
    mailbox: Mailbox[int] = Mailbox(1)
    assert mailbox.put_together([]) == []
    assert mailbox.put_together([1, 2, 3]) == []
    assert mailbox.put_together([]) == []
    assert mailbox.get(0) == 1
    assert mailbox.put_together([4, 5]) == [2, 3]
    assert mailbox.put_together([6]) == [4, 5]
    assert [mailbox.get(0) for _ in range(2)] == [6, None]


def test_a_waiting_reader_is_woken():
    mailbox: Mailbox[str] = Mailbox(1)
    got: list[str | None] = []
    reader = threading.Thread(target=lambda: got.append(mailbox.get(30)))
    reader.start()
    mailbox.put("hello")
    reader.join(30)
    assert got == ["hello"]


def test_parcels_come_when_they_are_due_and_in_order():
    mailbox: DueMailbox[Parcel] = DueMailbox(10_000)
    now_ns = in_ms(0)
    for parcel in (Parcel("late", now_ns + 40_000_000), Parcel("first", now_ns), Parcel("second", now_ns)):
        assert mailbox.put(parcel) is None
    assert [mailbox.get(0).name for _ in range(2)] == ["first", "second"]
    assert mailbox.get(0) is None
    late = mailbox.get(30)
    assert late.name == "late"
    assert time.monotonic_ns() >= late.due_ns


def test_a_reader_that_waits_for_a_later_parcel_gets_the_earlier_one():
    mailbox: DueMailbox[Parcel] = DueMailbox(10_000)
    mailbox.put(Parcel("in an hour", in_ms(3.6e6)))
    got: list[Parcel | None] = []
    reader = threading.Thread(target=lambda: got.append(mailbox.get(30)))
    reader.start()
    now = Parcel("now", in_ms(0))
    mailbox.put(now)
    reader.join(30)
    assert got == [now]


def test_what_does_not_fit_is_given_back_until_there_is_room():
    mailbox: DueMailbox[Parcel] = DueMailbox(4000)
    parcels = [Parcel(str(number), due_ns=number) for number in range(3)]
    assert [mailbox.put(parcel) for parcel in parcels] == [None, None, parcels[2]]
    assert mailbox.get(0) == parcels[0]
    assert mailbox.put(parcels[2]) is None
    assert mailbox.drain() == parcels[1:]
    assert [mailbox.put(parcel) for parcel in parcels] == [None, None, parcels[2]]


def test_parcels_without_contents_take_room_too():
    mailbox: DueMailbox[Parcel] = DueMailbox(10 * DueMailbox.SMALLEST_BYTES)
    empty = Parcel("empty", 0, n_bytes=0)
    assert [mailbox.put(empty) for _ in range(11)] == [None] * 10 + [empty]


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
