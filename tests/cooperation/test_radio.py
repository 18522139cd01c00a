from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense.config import from_mapping
from cosense.cooperation.radio import Burst, Delivery, Link, LinkSettings, Radio, RadioSettings
from cosense.errors import CosenseError

MS = 1_000_000
PERFECT = LinkSettings()

seeds = st.integers(0, 2**32)
fractions = st.floats(0, 1)
# Messages as (bytes, ms since the one before).
traffic = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 200)), max_size=60)
bursts = st.builds(Burst, fractions, fractions, fractions, fractions)
settings = st.builds(
    LinkSettings,
    delay_ms=st.floats(0, 500),
    jitter_ms=st.floats(0, 500),
    loss=fractions,
    burst=st.none() | bursts,
    rate_bytes_per_s=st.none() | st.floats(10, 1e6),
    max_queue_ms=st.floats(0, 500),
)


def fates(
    settings: LinkSettings, messages: list[tuple[int, int]], seed: int = 0, to: str = "b"
) -> list[tuple[int, Delivery]]:
    """Return when each message was offered and what became of it."""
    link, now_ns, found = Link("a", to, settings, seed), 0, []
    for n_bytes, gap_ms in messages:
        now_ns += gap_ms * MS
        found.append((now_ns, link.offer(n_bytes, now_ns)))
    return found


def lost(settings: LinkSettings, count: int = 4000, seed: int = 0, to: str = "b") -> np.ndarray:
    return np.array(
        [delivery.at_ns is None for _, delivery in fates(settings, [(100, 100)] * count, seed, to)]
    )


@given(traffic)
def test_a_perfect_link_delivers_everything_at_once(messages):
    assert all(delivery == Delivery(now_ns) for now_ns, delivery in fates(PERFECT, messages))


@given(settings, traffic, seeds)
def test_everything_is_the_same_again(link, messages, seed):
    assert fates(link, messages, seed) == fates(link, messages, seed)


@given(settings, traffic, seeds)
def test_no_message_overtakes_another_or_is_early(link, messages, seed):
    arrived = [(now_ns, fate.at_ns) for now_ns, fate in fates(link, messages, seed) if fate.at_ns is not None]
    assert all(at_ns >= now_ns + int(link.delay_ms * MS) for now_ns, at_ns in arrived)
    assert sorted(at_ns for _, at_ns in arrived) == [at_ns for _, at_ns in arrived]


@given(settings, traffic, seeds)
def test_no_message_is_later_than_queue_transmission_delay_and_jitter_allow(link, messages, seed):
    slowest_ms = 0.0 if link.rate_bytes_per_s is None else 5000 / link.rate_bytes_per_s * 1e3
    longest_ms = link.max_queue_ms + slowest_ms + link.delay_ms + link.jitter_ms
    for now_ns, fate in fates(link, messages, seed):
        assert fate.at_ns is None or fate.at_ns - now_ns <= (longest_ms + 1e-3) * MS


@given(settings, traffic, seeds, fractions)
def test_what_is_lost_at_a_low_rate_is_lost_at_a_higher_one_too(link, messages, seed, other):
    low, high = sorted((link.loss, other))
    few, many = (fates(dataclasses.replace(link, loss=loss), messages, seed) for loss in (low, high))
    assert all(b.at_ns is None for (_, a), (_, b) in zip(few, many, strict=True) if a.at_ns is None)


@given(settings, traffic, seeds)
def test_slow_motion_is_the_same_but_slower(link, messages, seed):
    slow = [(n_bytes, 4 * gap_ms) for n_bytes, gap_ms in messages]
    for (now_ns, fate), (slow_now_ns, slow_fate) in zip(
        fates(link, messages, seed), fates(link.played_at(0.25), slow, seed), strict=True
    ):
        # A queue that is full to the nanosecond may be so in one of the two.
        if (
            "queue is full" in (fate.lost_reason, slow_fate.lost_reason)
            and fate.lost_reason != slow_fate.lost_reason
        ):
            return
        assert fate.lost_reason == slow_fate.lost_reason
        if fate.at_ns is not None:
            assert slow_fate.at_ns - slow_now_ns == pytest.approx(4 * (fate.at_ns - now_ns), abs=1000)


def test_the_loss_is_what_was_asked_for_and_none_and_all_are_exact():
    assert not lost(LinkSettings(loss=0.0)).any()
    assert lost(LinkSettings(loss=1.0)).all()
    for loss in (0.1, 0.3, 0.9):
        # Four standard deviations of a binomial.
        assert lost(LinkSettings(loss=loss)).mean() == pytest.approx(
            loss, abs=4 * (loss * (1 - loss) / 4000) ** 0.5
        )


def test_links_and_seeds_have_losses_of_their_own():
    half = LinkSettings(loss=0.5)
    first = lost(half)
    # Two independent coins agree half of the time; standard deviation 0.008.
    for other in (lost(half, to="c"), lost(half, seed=1)):
        assert (first == other).mean() == pytest.approx(0.5, abs=0.04)


def test_a_fate_depends_on_the_number_of_the_message_alone():
    lossy = LinkSettings(loss=0.4, burst=Burst(0.1, 0.3))
    large = fates(lossy, [(5000, 3)] * 500)
    assert [fate.lost_reason for _, fate in large] == [
        fate.lost_reason for _, fate in fates(lossy, [(1, 900)] * 500)
    ]


def test_bursts_are_as_long_and_as_frequent_as_their_closed_forms():
    burst = Burst(p_good_bad=0.05, p_bad_good=0.25)
    found = lost(LinkSettings(burst=burst), count=40_000)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]]).astype(int)))
    lengths = edges[1::2] - edges[::2]
    assert found.mean() == pytest.approx(0.05 / 0.30, abs=0.015)
    assert lengths.mean() == pytest.approx(1 / 0.25, abs=0.3)
    # Geometric: of all bursts a quarter ends after one message.
    assert (lengths == 1).mean() == pytest.approx(0.25, abs=0.05)


def test_a_link_is_bad_from_its_first_message_on_as_often_as_later():
    settings = LinkSettings(burst=Burst(p_good_bad=0.05, p_bad_good=0.25))
    first = [lost(settings, count=1, seed=seed)[0] for seed in range(3000)]
    assert np.mean(first) == pytest.approx(0.05 / 0.30, abs=0.03)
    assert not lost(LinkSettings(burst=Burst(0.0, 0.0)), count=100).any()


@pytest.mark.parametrize(("length", "loss"), [(1, 0.3), (5, 0.3), (2, 0.6)])
def test_bursts_of_a_given_length_take_the_fraction_asked_for(length, loss):
    found = lost(LinkSettings(burst=Burst.of_length(length, loss)), count=40_000)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], found, [False]]).astype(int)))
    assert found.mean() == pytest.approx(loss, abs=0.02)
    assert (edges[1::2] - edges[::2]).mean() == pytest.approx(length, rel=0.06)


def test_bursts_that_are_too_short_for_what_they_should_take_are_refused():
    with pytest.raises(ValueError, match="p_good_bad is 4"):
        Burst.of_length(1, 0.8)


def test_good_and_bad_times_may_each_lose_some():
    burst = Burst(0.5, 0.5, loss_good=0.1, loss_bad=0.7)
    assert lost(LinkSettings(burst=burst), 20_000).mean() == pytest.approx(0.4, abs=0.02)
    both = LinkSettings(burst=burst, loss=0.5)
    assert lost(both, 20_000).mean() == pytest.approx(1 - 0.6 * 0.5, abs=0.02)
    assert {fate.lost_reason for _, fate in fates(both, [(1, 1)] * 100)} == {None, "burst", "loss"}


def test_a_limited_rate_lets_messages_wait_for_each_other():
    link = Link("a", "b", LinkSettings(rate_bytes_per_s=1000, delay_ms=5))
    assert [link.offer(100, 0).at_ns for _ in range(3)] == [105 * MS, 205 * MS, 305 * MS]
    assert link.offer(50, 400 * MS).at_ns == 455 * MS


def test_a_queue_that_is_full_takes_nothing_until_it_has_moved_on():
    link = Link("a", "b", LinkSettings(rate_bytes_per_s=1000, max_queue_ms=150))
    assert [link.offer(100, 0).lost_reason for _ in range(4)] == [
        None,
        None,
        "queue is full",
        "queue is full",
    ]
    # Now 150 ms of the 200 are left.
    assert link.offer(100, 50 * MS) == Delivery(300 * MS)


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=60))
def test_no_more_is_transmitted_than_the_rate_allows(sizes):
    link = Link("a", "b", LinkSettings(rate_bytes_per_s=2000, max_queue_ms=400))
    arrived = [(n, fate.at_ns) for n in sizes if (fate := link.offer(n, 0)).at_ns is not None]
    assert arrived[-1][1] == pytest.approx(sum(n for n, _ in arrived) / 2000 * 1e9, abs=len(sizes))


def test_a_message_that_gets_lost_takes_its_time_on_the_air():
    link = Link("a", "b", LinkSettings(rate_bytes_per_s=1000, range_m=50))
    assert link.offer(100, 0, distance_m=80).lost_reason == "out of range"
    assert link.offer(100, 0, distance_m=20) == Delivery(200 * MS)


@pytest.mark.parametrize(
    ("distance_m", "reason"),
    [(49.9, None), (50.0, "out of range"), (1e9, "out of range"), (None, "position is not known")],
)
def test_nothing_is_heard_from_beyond_the_range(distance_m, reason):
    assert Link("a", "b", LinkSettings(range_m=50)).offer(1, 0, distance_m).lost_reason == reason
    assert Link("a", "b", PERFECT).offer(1, 0, distance_m).lost_reason is None


def test_jitter_is_uniform_where_messages_do_not_hold_each_other_up():
    found = fates(LinkSettings(delay_ms=10, jitter_ms=40), [(1, 100)] * 2000)
    delays_ms = np.array([(fate.at_ns - now_ns) / MS for now_ns, fate in found])
    assert 10 <= delays_ms.min() < 11
    assert 49 < delays_ms.max() <= 50
    assert delays_ms.mean() == pytest.approx(30, abs=1.1)
    assert delays_ms.std() == pytest.approx(40 / 12**0.5, abs=0.5)


def test_settings_change_on_the_way():
    link = Link("a", "b", PERFECT)
    assert link.offer(1, 0) == Delivery(0)
    link.settings = LinkSettings(delay_ms=100)
    assert link.offer(1, 1) == Delivery(100 * MS + 1)
    link.settings = PERFECT
    # Behind the one that is still on its way.
    assert link.offer(1, 2) == Delivery(100 * MS + 1)


RADIO = RadioSettings(
    delay_ms=20.0,
    loss=0.1,
    links=(
        {"from": "unit", "loss": 0.3, "burst": {"p_good_bad": 0.1, "p_bad_good": 0.5}},
        {"to": "car", "rate_bytes_per_s": 1000},
        {"from": "unit", "to": "car", "loss": 0.0, "burst": None},
    ),
)


def test_each_link_is_what_is_said_of_it_last():
    assert RADIO.between("a", "b") == LinkSettings(delay_ms=20.0, loss=0.1)
    assert RADIO.between("unit", "b") == LinkSettings(delay_ms=20.0, loss=0.3, burst=Burst(0.1, 0.5))
    assert RADIO.between("a", "car") == LinkSettings(delay_ms=20.0, loss=0.1, rate_bytes_per_s=1000.0)
    assert RADIO.between("unit", "car") == LinkSettings(delay_ms=20.0, rate_bytes_per_s=1000.0)


def test_links_between_unknown_agents_are_named():
    RADIO.check_agents(["unit", "car"])
    with pytest.raises(
        CosenseError, match=r"radio: links\[0\]: from: 'unit' is no agent, did you mean 'units'"
    ):
        RADIO.check_agents(["units", "car"])
    number = RadioSettings(links=({"to": -1},))
    with pytest.raises(CosenseError, match="to: -1 is no agent, did you mean '-1'"):
        number.check_agents(["-1"])


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({"los": 0.1}, "f.yaml: unknown key 'los', did you mean 'loss'"),
        ({"loss": 30}, "loss is 30.0, expected 0 to 1"),
        ({"loss": float("nan")}, "loss is nan"),
        ({"delay_ms": -1}, "delay_ms is -1.0, expected at least 0"),
        ({"max_queue_ms": float("inf")}, "max_queue_ms is inf"),
        ({"rate_bytes_per_s": 0}, "rate_bytes_per_s is 0.0, expected more than 0; leave it out for no limit"),
        ({"range_m": -5}, "range_m is -5.0"),
        ({"seed": -1}, "seed is -1"),
        ({"burst": {"p_good_bad": 0.1}}, "burst: missing key 'p_bad_good'"),
        ({"burst": {"p_good_bad": 0.1, "p_bad_good": 2}}, "burst: p_bad_good is 2.0, expected 0 to 1"),
        ({"links": [{"from": "a", "too": "b"}]}, r"f.yaml: links\[0\]: unknown key 'too', did you mean 'to'"),
        ({"links": [{}, {"loss": -1}]}, r"links\[1\]: loss is -1.0"),
        ({"links": [{"burst": {"p_bad": 1}}]}, r"links\[0\]: burst: unknown key 'p_bad', did you mean"),
        ({"links": [{"seed": 3}]}, r"links\[0\]: unknown key 'seed'"),
    ],
)
def test_bad_settings_are_named(section, complaint):
    with pytest.raises(CosenseError, match=complaint):
        from_mapping(RadioSettings, section, where=str(Path("f.yaml")))


def lost_frames(
    settings: RadioSettings, role: str = "message", agent: str = "near", skip: int = 1
) -> set[int]:
    """Return the frames of which a message between this agent and the ego gets lost."""
    radio = Radio(settings)
    ends = ("ego", agent) if role == "request" else (agent, "ego")
    fates = {
        index: radio.transmit(*ends, role, 100, index * 100 * MS, frame_index=index, distance_m=30.0)
        for index in range(0, 400, skip)
    }
    return {index for index, fate in fates.items() if fate.at_ns is None}


def test_frame_by_frame_what_is_lost_at_a_low_rate_is_lost_at_a_higher_one():
    lost = [lost_frames(RadioSettings(loss=loss, seed=1)) for loss in (0.0, 0.1, 0.5, 1.0)]
    assert lost[0] < lost[1] < lost[2] < lost[3] == set(range(400))
    assert [len(part) / 400 for part in lost] == pytest.approx([0, 0.1, 0.5, 1], abs=0.06)


def test_agents_roles_and_seeds_have_fates_of_their_own():
    half = RadioSettings(loss=0.5, seed=1)
    fates = [lost_frames(half, role) for role in ("message", "request", "graph")]
    fates += [lost_frames(half, agent="far"), lost_frames(dataclasses.replace(half, seed=2))]
    assert len({frozenset(lost) for lost in fates}) == 5


def test_a_frame_has_the_same_fate_whichever_others_are_sent():
    half = RadioSettings(loss=0.5, seed=1)
    assert lost_frames(half, skip=3) == {index for index in lost_frames(half) if index % 3 == 0}


def test_messages_of_all_roles_wait_for_each_other_on_one_link():
    radio = Radio(RadioSettings(rate_bytes_per_s=1000, delay_ms=5))

    def sent(sender: str, receiver: str, role: str) -> int | None:
        return radio.transmit(sender, receiver, role, 100, 0, frame_index=0).at_ns

    assert [sent("near", "ego", role) for role in ("message", "graph")] == [105 * MS, 205 * MS]
    # The other direction and another sender have a link of their own.
    assert [sent("ego", "near", "request"), sent("far", "ego", "message")] == [105 * MS, 105 * MS]


def test_links_of_a_radio_differ_as_its_settings_say():
    radio = Radio(RadioSettings(range_m=50, links=({"from": "unit", "range_m": 100},)))
    fates = [
        radio.transmit(sender, "ego", "message", 1, 0, frame_index=0, distance_m=70.0).lost_reason
        for sender in ("near", "unit")
    ]
    assert fates == ["out of range", None]
