from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.messages.envelope import Message, MessageError, PayloadKind, decode, encode
from cosense.messages.scene_graph import Part, part_of
from cosense.messages.scene_graph_requests import (
    Request,
    Result,
    decode_reply,
    encode_request,
)
from cosense.scene_graph.dense import points_on
from cosense.scene_graph.exchange import Exchange, ExchangeSettings
from tests.scene_graph.graphs import graph, message

MS = 1_000_000
PLACES = [[10.0, 0.0], [15.0, 5.0], [12.0, -6.0], [20.0, 2.0]]
CLOUD = np.column_stack(
    [np.repeat(PLACES, 100, axis=0), np.tile(np.linspace(0, 2, 100), 4), np.zeros(400)]
).astype(np.float32)


class Agent:
    """An agent that registers with everybody whose graph it has."""

    def __init__(self, name: str, settings: ExchangeSettings | None = None) -> None:
        self.exchange = Exchange(name, settings)
        self.sequence = 0

    def envelope(self, payload: bytes, now_ns: int) -> bytes:
        carrier = message(payload, graph([], agent_id=self.exchange.agent_id), self.sequence)
        self.sequence += 1
        return encode(dataclasses.replace(carrier, stamp_ns=now_ns))

    def step(self, now_ns: int) -> list[bytes]:
        payloads = self.exchange.due(now_ns)
        if self.exchange.graph_due(now_ns):
            own = graph(PLACES, agent_id=self.exchange.agent_id, stamp_ns=now_ns)
            sequence = self.sequence + len(payloads)
            payloads.append(self.exchange.publish(own, CLOUD, sequence, now_ns))
            for name, peer in self.exchange.peers.items():
                if peer.graph is not None:
                    payloads += self.exchange.registered(
                        registered(name, sequence, peer.graph_id), peer.graph.ids.tolist(), now_ns
                    )
        return [self.envelope(payload, now_ns) for payload in payloads]

    def receive(self, data: bytes, now_ns: int) -> list[bytes]:
        return [self.envelope(payload, now_ns) for payload in self.exchange.received(decode(data), now_ns)]


def registered(peer: str, graph_id: int = 0, peer_graph_id: int = 0, status: str = "registered") -> Result:
    return Result(peer, graph_id, peer_graph_id, status, 4, np.eye(4), np.eye(3))


def run(loss: float, seconds: float, seed: int = 0) -> tuple[list[Agent], list[Message]]:
    """Let two agents talk through a channel that loses a share of all messages; returns all that was sent."""
    agents, sent = [Agent("car"), Agent("unit")], []
    rng = np.random.default_rng(seed)
    for now_ns in range(0, int(seconds * 1000) * MS, 50 * MS):
        queue = [(agent, data) for agent in agents for data in agent.step(now_ns)]
        while queue:
            sender, data = queue.pop(0)
            sent.append(decode(data))
            if rng.random() < loss:
                continue
            for agent in agents:
                if agent is not sender:
                    queue += [(agent, answer) for answer in agent.receive(data, now_ns)]
    return agents, sent


def count(sent: list[Message], part: Part, sender: str = "car") -> int:
    return sum(part_of(one.payload) is part and one.sender == sender for one in sent)


def test_two_agents_come_from_graphs_to_points():
    (car, unit), sent = run(loss=0.0, seconds=4.0)
    assert count(sent, Part.GRAPH) == 8
    assert count(sent, Part.REQUEST) == 1
    assert count(sent, Part.REPLY, "unit") == 1
    known = car.exchange.peers["unit"]
    assert known.graph is not None
    assert known.graph.agent_id == "unit"
    assert sorted(known.points) == [0, 1, 2, 3]
    np.testing.assert_allclose(
        known.points[0][:, 2], np.linspace(0, 2, 100)[np.linspace(0, 99, 64).astype(int)], atol=1e-3
    )
    assert known.result is not None
    assert known.result.status == "registered"
    assert unit.exchange.peers["car"].points


@pytest.mark.parametrize("seed", range(5))
def test_a_channel_that_loses_a_quarter_only_delays_it(seed):
    (car, _), sent = run(loss=0.25, seconds=20.0, seed=seed)
    assert car.exchange.peers["unit"].points
    # A request in five seconds, sent three times at most.
    assert count(sent, Part.REQUEST) <= 12
    assert count(sent, Part.REPLY, "unit") <= 12


def test_nothing_is_asked_of_a_silent_channel():
    (car, _), sent = run(loss=1.0, seconds=3.0)
    assert car.exchange.peers == {}
    assert {part_of(one.payload) for one in sent} == {Part.GRAPH}


def with_request(exchange: Exchange, now_ns: int = 0) -> list[bytes]:
    """Bring an exchange to where it asks the unit for points."""
    known = graph(PLACES, agent_id="unit", stamp_ns=now_ns)
    exchange.publish(graph(PLACES), CLOUD, 1, now_ns)
    other = Exchange("unit")
    exchange.received(message(other.publish(known, CLOUD, 9, now_ns), known, 9), now_ns)
    for _ in range(4):
        payloads = exchange.registered(registered("unit", 1, 9), [2, 0, 2], now_ns)
    return payloads


def test_a_request_is_sent_again_twice_and_then_given_up():
    exchange = Exchange("car")
    assert [part_of(payload) for payload in with_request(exchange)] == [Part.RESULT, Part.REQUEST]
    assert exchange.due(499 * MS) == []
    assert [part_of(payload) for payload in exchange.due(500 * MS)] == [Part.REQUEST]
    assert exchange.due(999 * MS) == []
    assert [part_of(payload) for payload in exchange.due(1000 * MS)] == [Part.REQUEST]
    assert exchange.due(1500 * MS) == []
    assert exchange.peers["unit"].pending is None


def test_a_peer_is_asked_again_only_after_a_while():
    exchange = Exchange("car", ExchangeSettings(peer_max_age_ms=60_000))
    with_request(exchange)
    for later in (500, 1000, 1500):
        exchange.due(later * MS)
    for _ in range(9):
        assert len(exchange.registered(registered("unit", 1, 9), [1], 4999 * MS)) == 1
    assert len(exchange.registered(registered("unit", 1, 9), [1], 5000 * MS)) == 2


def test_a_refused_registration_starts_the_count_again():
    exchange = Exchange("car")
    known = graph(PLACES, agent_id="unit")
    exchange.received(message(Exchange("unit").publish(known, CLOUD, 9, 0), known), 0)
    for status in ("registered", "registered", "registered", "ambiguous", "registered"):
        assert len(exchange.registered(registered("unit", status=status), [1], 0)) == 1


def test_only_points_that_were_asked_for_are_taken():
    exchange, unit = Exchange("car"), Exchange("unit")
    unit.publish(graph(PLACES), CLOUD, 9, 0)
    request = with_request(exchange)[1]
    (reply,) = unit.received(message(request, graph([], agent_id="car", stamp_ns=0)), 0)
    read = decode_reply(reply)
    assert sorted(read.points) == [0, 2]
    wrong = message(reply, graph([], agent_id="stranger"))
    assert exchange.received(wrong, 0) == []
    assert exchange.peers["unit"].points == {}
    exchange.received(message(reply, graph([], agent_id="unit")), 0)
    assert sorted(exchange.peers["unit"].points) == [0, 2]
    assert exchange.peers["unit"].points_graph_id == 9
    # The same reply again answers nothing any more.
    exchange.peers["unit"].points = {}
    exchange.received(message(reply, graph([], agent_id="unit")), 0)
    assert exchange.peers["unit"].points == {}


def asking(request_id: int, graph_id: int, stamp_ns: int, addressee: str = "unit") -> Message:
    payload = encode_request(Request(addressee, request_id, graph_id, 8, 500, (0, 77)))
    return message(payload, graph([], agent_id="car", stamp_ns=stamp_ns))


def test_answers_are_for_who_is_in_time_and_has_not_had_its_share():
    unit = Exchange("unit", ExchangeSettings(request_tries=2))
    unit.publish(graph(PLACES), CLOUD, 9, 0)
    assert unit.received(asking(1, 9, 0), 501 * MS) == []
    assert unit.received(asking(1, 9, 0, "somebody else"), 0) == []
    assert len(unit.received(asking(1, 9, 0), 500 * MS)) == 1
    assert len(unit.received(asking(1, 9, 500 * MS), 600 * MS)) == 1
    assert unit.received(asking(2, 9, 700 * MS), 700 * MS) == []
    assert len(unit.received(asking(3, 9, 5500 * MS), 5500 * MS)) == 1


def test_a_graph_that_is_not_kept_any_more_is_said_to_be_gone():
    unit = Exchange("unit", ExchangeSettings(kept_graphs=2))
    for sequence in (1, 2, 3):
        unit.publish(graph(PLACES), CLOUD, sequence, 0)
    assert decode_reply(unit.received(asking(1, 1, 0), 0)[0]).points == {}
    assert sorted(decode_reply(unit.received(asking(2, 2, 0), 0)[0]).points) == [0]


def test_an_older_graph_does_not_replace_a_newer_one():
    car = Exchange("car")
    for sequence, stamp_ns in ((4, 40), (3, 30)):
        known = graph(PLACES, agent_id="unit", stamp_ns=stamp_ns)
        car.received(message(Exchange("unit").publish(known, CLOUD, sequence, 0), known, sequence), 0)
    assert car.peers["unit"].graph_id == 4
    assert car.due(2001 * MS) == []
    assert car.peers == {}


def test_what_is_remembered_of_others_is_bounded():
    car = Exchange("car")
    for number in range(40):
        known = graph(PLACES, agent_id=f"unit_{number}")
        car.received(message(Exchange("x").publish(known, CLOUD, 1, 0), known), number)
    assert sorted(car.peers) == sorted(f"unit_{number}" for number in range(24, 40))


def test_own_messages_and_other_kinds_are_not_taken():
    car = Exchange("car")
    own = graph(PLACES, agent_id="car")
    payload = car.publish(own, CLOUD, 1, 0)
    assert car.received(message(payload, own), 0) == []
    assert car.peers == {}
    with pytest.raises(MessageError, match="kind is DEMAND"):
        car.received(dataclasses.replace(message(payload), kind=PayloadKind.DEMAND), 0)
    with pytest.raises(MessageError, match="nodes need"):
        car.received(message(payload[:-1]), 0)
    assert car.peers == {}


def test_points_lie_on_their_node():
    found = points_on(graph(PLACES), CLOUD, [3, 99, 1], 10)
    assert list(found) == [3, 1]
    assert found[3].shape == (10, 3)
    np.testing.assert_allclose(found[3][:, :2], 0.0, atol=1e-6)
    assert points_on(graph(PLACES), CLOUD, [99], 10) == {}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(["unit", "x", "car"]), st.binary(max_size=40)), max_size=20), st.data()
)
def test_whatever_others_send_is_refused_or_bounded(noise, data):
    car = Exchange("car", ExchangeSettings(max_peers=2))
    request = with_request(car)[1]
    good = [request, Exchange("unit").publish(graph(PLACES), CLOUD, 9, 0), asking(1, 1, 0, "car").payload]
    for sender, tail in noise:
        start = data.draw(st.sampled_from([b"", *good]))
        payload = start[: data.draw(st.integers(0, len(start)))] + tail
        try:
            answers = car.received(message(payload, graph([], agent_id=sender)), 0)
        except MessageError:
            continue
        assert all(part_of(answer) is Part.REPLY for answer in answers)
    assert len(car.peers) <= 2
    assert "car" not in car.peers
