from __future__ import annotations

from dataclasses import replace

import pytest

from cosense.cooperation.peers import SynchroniserSettings
from cosense.cooperation.synchroniser import Synchroniser
from cosense.messages.envelope import MessageError, PayloadKind, decode, encode
from tests.cooperation.synchronised import (
    MS,
    SETTINGS,
    WINDOW,
    assert_received,
    graphs_of,
    message,
    messages_of,
    waiting_for,
)


def test_a_moment_is_complete_when_all_have_sent():
    c = waiting_for("a", "b")
    c.add_ego(message("ego", 1000), 0)
    c.add(message("a", 990))
    assert c.ready(1 * MS) == []
    c.add(message("b", 1030))
    (done,) = c.ready(2 * MS)
    assert done.stamp_ns == 1000 * MS
    assert encode(done.own) == message("ego", 1000)
    assert_received(messages_of(done), message("a", 990), message("b", 1030))
    assert (done.missing, done.waited_ms) == ([], 2.0)
    assert c.ready(3 * MS) == []


def test_a_message_of_another_kind_does_not_stand_for_the_one_that_is_fused():
    c = waiting_for("a")
    other = encode(replace(decode(message("a", 1000, 7)), kind=PayloadKind.POINTS))
    c.add_ego(message("ego", 1000), 0)
    c.add(other)
    assert c.ready(1 * MS) == []
    c.add(message("a", 1000, 1))
    c.add(other)
    (done,) = c.ready(2 * MS)
    assert_received(done.received, message("a", 1000, 1), other, other)
    assert done.missing == []
    assert c.traffic["a"].messages == 1


def test_messages_may_come_before_the_ego():
    c = waiting_for("a")
    c.add(message("a", 1000))
    c.add_ego(message("ego", 1000), 0)
    assert len(c.ready(0)) == 1


def test_out_of_time_says_who_is_missing_and_uses_what_is_in_the_window():
    c = waiting_for("a", "b")
    c.add(message("a", 900))
    c.add_ego(message("ego", 1000), 0)
    assert c.ready(99 * MS) == []
    (done,) = c.ready(100 * MS)
    assert_received(messages_of(done), message("a", 900))
    assert done.missing == ["a", "b"]


@pytest.mark.parametrize("stamp_ms", [849, 1101])
def test_what_is_outside_the_window_is_not_handed_on(stamp_ms):
    c = waiting_for("a")
    c.add(message("a", stamp_ms))
    c.add_ego(message("ego", 1000), 0)
    (done,) = c.ready(100 * MS)
    assert messages_of(done) == []


def test_the_nearest_of_several_is_taken():
    c = waiting_for("a")
    for stamp_ms in (880, 980, 1080):
        c.add(message("a", stamp_ms))
    c.add_ego(message("ego", 1000), 0)
    assert_received(messages_of(c.ready(0)[0]), message("a", 980))


def test_a_dead_agent_costs_three_time_outs_and_then_none_until_it_is_heard():
    c = waiting_for("a")
    for number in range(3):
        c.add_ego(message("ego", 1000 + 100 * number), 0)
        assert c.ready(99 * MS) == []
        assert c.ready(100 * MS)[0].missing == ["a"]
    assert c.silent == ["a"]
    c.add_ego(message("ego", 1300), 0)
    assert c.ready(0)[0].missing == []
    c.add(message("a", 1400))
    assert c.silent == ["a"]
    c.add_ego(message("ego", 1400), 0)
    assert len(c.ready(0)) == 1
    assert c.silent == []
    c.add_ego(message("ego", 1500), 0)
    assert c.ready(99 * MS) == []


def test_one_that_comes_and_goes_delays_a_few_moments_whatever_it_sends():
    """Kind: it sends something new just before it would be silent, again and again."""
    c = waiting_for("a", "b")
    delayed = 0
    for number in range(60):
        stamp_ms, now_ns = 1000 + 100 * number, 1000 * number * MS
        c.add_ego(message("ego", stamp_ms), now_ns)
        c.add(message("a", stamp_ms))
        if number % 2:
            c.add(message("b", stamp_ms))
        delayed += not c.ready(now_ns)
        c.ready(now_ns + 100 * MS)
        c.add(message("b", stamp_ms + 60))
    assert delayed < 15


def test_an_agent_that_is_always_too_late_is_not_waited_for():
    c = waiting_for("a")
    for number in range(3):
        c.add_ego(message("ego", 1000 + 100 * number), 0)
        c.ready(100 * MS)
        c.add(message("a", 700 + 100 * number))
    assert c.silent == ["a"]


def test_a_newcomer_is_used_at_once_and_waited_for_when_it_has_come_several_times():
    c = waiting_for()
    for number in range(3):
        c.add_ego(message("ego", 1000 + 100 * number), 0)
        assert len(c.ready(0)) == 1
        c.add(message("new", 1100 + 100 * number))
    c.add_ego(message("ego", 1300), 0)
    (moment,) = c.ready(0)
    assert_received(messages_of(moment), message("new", 1300))
    c.add_ego(message("ego", 1400), 0)
    assert c.ready(0) == []
    c.add(message("new", 1400))
    assert_received(messages_of(c.ready(0)[0]), message("new", 1400))


def test_names_that_somebody_makes_up_are_never_waited_for():
    c = waiting_for("a")
    for number in range(50):
        stamp_ms = 1000 + 100 * number
        c.add(message("a", stamp_ms))
        c.add(message(f"made up {number}", stamp_ms))
        c.add_ego(message("ego", stamp_ms), 0)
        (moment,) = c.ready(0)
        assert len(message("a", stamp_ms)) in [received.bytes for received in messages_of(moment)]
        assert moment.missing == c.silent == []


def test_moments_are_closed_in_order():
    c = waiting_for("a")
    c.add_ego(message("ego", 1000), 0)
    c.add_ego(message("ego", 1100), 0)
    c.add(message("a", 1100))
    assert c.ready(0) == []
    c.add(message("a", 1000))
    assert [done.stamp_ns // MS for done in c.ready(0)] == [1000, 1100]


def test_too_many_open_moments_close_the_oldest():
    c = waiting_for("a")
    for number in range(3):
        c.add_ego(message("ego", 1000 + 100 * number), 0)
    assert [done.stamp_ns // MS for done in c.ready(0)] == [1000]


def test_unreadable_messages_are_handed_on_once_so_that_they_are_reported():
    c = waiting_for()
    c.add(b"garbage")
    c.add_ego(message("ego", 1000), 0)
    c.add_ego(message("ego", 1100), 0)
    first, second = c.ready(0)
    assert_received(messages_of(first), b"garbage")
    assert messages_of(second) == []


def test_floods_are_bounded():
    c = waiting_for("a", "b")
    for number in range(1000):
        c.add(b"garbage %d" % number)
        c.add(message(f"x{number}", 1000))
    c.add_ego(message("ego", 1000), 0)
    (done,) = c.ready(100 * MS)
    assert len(messages_of(done)) == 1 + 16
    assert done.missing == ["a", "b"]


def test_a_silent_sender_makes_room_for_a_new_one():
    c = waiting_for("a", "b", "c")
    for number in range(3):
        c.add_ego(message("ego", 1000 + 100 * number), 0)
        for alive in ("b", "c"):
            c.add(message(alive, 1000 + 100 * number))
        c.ready(100 * MS)
    assert c.silent == ["a"]
    c.add(message("new", 1300))
    for alive in ("b", "c"):
        c.add(message(alive, 1300))
    c.add_ego(message("ego", 1300), 0)
    assert len(messages_of(c.ready(0)[0])) == 3


def test_stamps_that_jump_back_start_anew():
    c = waiting_for("a")
    for stamp_ms in (900_000, 1000):
        c.add_ego(message("ego", stamp_ms), 0)
        c.add(message("a", stamp_ms))
        assert_received(messages_of(c.ready(0)[0]), message("a", stamp_ms))


@pytest.mark.parametrize("frames", [1, 2, 12])
@pytest.mark.parametrize("first", ["ego", "a", "by turns"])
def test_recordings_with_the_same_stamps_are_not_mixed(frames, first):
    c = waiting_for("a")
    for number in range(3 * frames):
        stamp_ms = 100 * (number % frames)
        is_ego_first = {"ego": True, "a": False, "by turns": number // frames % 2 == 0}[first]
        if not is_ego_first:
            c.add(message("a", stamp_ms, number))
        c.add_ego(message("ego", stamp_ms, number), 0)
        if is_ego_first:
            assert c.ready(0) == []
            c.add(message("a", stamp_ms, number))
        (done,) = c.ready(0)
        assert_received(messages_of(done), message("a", stamp_ms, number))


def test_nothing_of_a_dead_agent_comes_back_with_the_next_recording():
    c = waiting_for("a")
    c.add_ego(message("ego", 1000), 0)
    c.add(message("a", 1000))
    c.ready(0)
    c.add_ego(message("ego", 1000), 0)
    assert c.ready(99 * MS) == []
    assert messages_of(c.ready(100 * MS)[0]) == []


def test_what_is_open_when_the_ego_goes_back_is_closed_with_what_is_there():
    c = waiting_for("a", "b")
    c.add(message("a", 1000, 1))
    c.add_ego(message("ego", 1000), 0)
    assert c.ready(0) == []
    c.add_ego(message("ego", 1000), 20 * MS)
    (done,) = c.ready(20 * MS)
    assert_received(messages_of(done), message("a", 1000, 1))
    assert (done.missing, done.waited_ms) == (["b"], 20.0)
    for sender in ("a", "b"):
        c.add(message(sender, 1000, 2))
    assert_received(messages_of(c.ready(20 * MS)[0]), *[message(sender, 1000, 2) for sender in ("a", "b")])


@pytest.mark.parametrize("jump_ms", [-5000, 5000])
@pytest.mark.parametrize("who", ["ego", "a"])
def test_after_a_jump_of_one_clock_and_back_both_are_fused_again(who, jump_ms):
    c = waiting_for("a")
    for number in range(9):
        has_jumped = 3 <= number < 6
        stamps = {
            name: 10_000 + 100 * number + jump_ms * (has_jumped and who == name) for name in ("ego", "a")
        }
        c.add(message("a", stamps["a"], number))
        c.add_ego(message("ego", stamps["ego"]), 0)
        (done,) = c.ready(100 * MS)
        # The first one after the jump may count as of the recording before.
        if not has_jumped and number != 6:
            assert_received(messages_of(done), message("a", stamps["a"], number))


def test_a_broken_message_of_the_ego_is_an_error():
    with pytest.raises(MessageError):
        waiting_for().add_ego(b"garbage", 0)


@pytest.mark.parametrize(
    "change", [{"timeout_ms": -1.0}, {"sync_tolerance_ms": -1.0}, {"misses_until_silent": 0}, {"max_open": 0}]
)
def test_settings_refuse_nonsense(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        SynchroniserSettings(**change)


def test_gaps_in_the_numbers_of_a_sender_are_what_was_lost():
    c = waiting_for("a")
    for sequence in (0, 1, 4, 5):
        c.add(message("a", 1000 + sequence, sequence))
    # Started anew: nothing was lost.
    c.add(message("a", 1100, 0))
    c.add(message("a", 1101, 2))
    traffic = c.traffic["a"]
    assert (traffic.messages, traffic.lost) == (6, 2 + 1)
    assert traffic.bytes == 6 * len(message("a", 1000))


def graph(sender: str, stamp_ms: int, sequence: int = 0) -> bytes:
    return encode(replace(decode(message(sender, stamp_ms, sequence)), kind=PayloadKind.SCENE_GRAPH))


def with_graphs(*peers: str) -> Synchroniser:
    return Synchroniser(peers, SETTINGS, WINDOW, with_graphs=True)


def test_with_scene_graphs_a_moment_waits_for_those_of_all_and_of_the_ego():
    c = with_graphs("a")
    c.add_ego(message("ego", 1000), 0)
    c.add(message("a", 1000))
    c.add(graph("a", 1000))
    assert c.ready(1 * MS) == []
    c.add_ego(graph("ego", 1000), 0)
    (done,) = c.ready(2 * MS)
    assert encode(done.own_graph) == graph("ego", 1000)
    assert_received(graphs_of(done), graph("a", 1000))
    assert_received(messages_of(done), message("a", 1000))
    assert done.missing == []
    assert c.traffic["a"].messages == 2


def test_graphs_that_never_come_are_not_waited_for_any_more():
    c = with_graphs("a")
    for number in range(SETTINGS.misses_until_silent):
        now_ms = 1000 + 200 * number
        c.add_ego(message("ego", now_ms, number), now_ms * MS)
        c.add(message("a", now_ms, number))
        assert c.ready(now_ms * MS) == []
        (done,) = c.ready((now_ms + 100) * MS)
        assert (done.own_graph, graphs_of(done), done.missing) == (None, [], [])
        assert done.missing_graphs == ["ego", "a"]
    c.add_ego(message("ego", 2000, 9), 2000 * MS)
    c.add(message("a", 2000, 9))
    assert len(c.ready(2000 * MS)) == 1
    # Its messages come, so it is not silent.
    assert c.silent == []


def test_graphs_alone_are_traffic_too():
    c = with_graphs()
    c.add(graph("ghost", 1000))
    assert c.traffic["ghost"].messages == 1


def test_a_graph_of_the_ego_that_comes_over_the_radio_is_not_its_own():
    c = with_graphs()
    c.add_ego(message("ego", 1000), 0)
    c.add(graph("ego", 1000))
    assert c.ready(1 * MS) == []
    (done,) = c.ready(100 * MS)
    assert done.own_graph is None
    assert_received(graphs_of(done), graph("ego", 1000))


def test_graphs_of_the_recording_before_are_forgotten():
    c = with_graphs("a")
    for start in (5000, 1000):
        c.add_ego(message("ego", start, start), 0)
        assert c.ready(0) == []
        c.add_ego(graph("ego", start, 6000 - start), 0)
        for each in (message, graph):
            c.add(each("a", start, 6000 - start))
        (done,) = c.ready(0)
        assert encode(done.own_graph) == graph("ego", start, 6000 - start)
        assert_received(graphs_of(done), graph("a", start, 6000 - start))


def test_graphs_take_no_place_of_a_message_where_nobody_wants_them():
    c = waiting_for("a")
    c.add_ego(graph("ego", 1000), 0)
    c.add_ego(message("ego", 1000), 0)
    c.add(message("a", 990))
    c.add(graph("a", 1000))
    (done,) = c.ready(0)
    assert_received(messages_of(done), message("a", 990))
    assert (done.own_graph, graphs_of(done)) == (None, [])


def test_made_up_names_delay_few_moments():
    """Kind: two names by turns, each gone as soon as it was waited for, delayed every moment."""
    c = waiting_for("a")
    delayed = 0
    for number in range(60):
        stamp_ms, now_ns = 1000 + 100 * number, 1000 * number * MS
        c.add_ego(message("ego", stamp_ms), now_ns)
        c.add(message("a", stamp_ms))
        c.add(message(f"x{number // 4 % 2}", stamp_ms) if number % 4 != 3 else b"garbage")
        waits = not c.ready(now_ns)
        delayed += waits
        if waits:
            assert len(c.ready(now_ns + 100 * MS)) == 1
    assert 1 <= delayed <= 6


def test_the_seat_of_a_silent_peer_that_is_expected_is_kept():
    c = waiting_for("a", "b", "c")
    for number in range(4):
        c.add_ego(message("ego", 1000 + 100 * number), 0)
        c.ready(100 * MS)
    assert c.silent == ["a", "b", "c"]
    for number in range(20):
        c.add(message(f"x{number}", 1400))
    c.add(message("a", 1400))
    c.add_ego(message("ego", 1400), 0)
    assert len(c.ready(0)) == 1
    assert c.silent == ["b", "c"]
