from __future__ import annotations

import threading

from cosense.nodes.mailbox import Mailbox


def test_the_latest_wins_with_depth_one():
    mailbox: Mailbox[int] = Mailbox(1)
    assert [mailbox.put(number) for number in (1, 2, 3)] == [None, 1, 2]
    assert mailbox.get(0) == 3
    assert mailbox.get(0) is None


def test_order_is_kept_up_to_the_depth():
    mailbox: Mailbox[int] = Mailbox(3)
    assert [mailbox.put(number) for number in range(5)] == [None, None, None, 0, 1]
    assert [mailbox.get(0) for _ in range(4)] == [2, 3, 4, None]


def test_a_waiting_reader_is_woken():
    mailbox: Mailbox[str] = Mailbox(1)
    got: list[str | None] = []
    reader = threading.Thread(target=lambda: got.append(mailbox.get(30)))
    reader.start()
    mailbox.put("hello")
    reader.join(30)
    assert got == ["hello"]
