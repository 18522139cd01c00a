from __future__ import annotations

import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.geometry.transforms import wrap_angle
from cosense.messages.envelope import MessageError, PayloadKind, decode, encode, packets_of
from cosense.messages.scene_graph import (
    HEADER_BYTES,
    MAX_NODES,
    NODE_BYTES,
    NodeClass,
    SceneGraph,
    coarse_nodes,
    decode_scene_graph,
    encode_scene_graph,
    transmitted,
)
from cosense.scene_graph.nodes import edges_between
from tests.scene_graph.graphs import graph, message

# Written by hand from docs/wire_format.md: node 513, a vehicle at (10, -2, -1) m of 5 x 1.6 x 1.6 m, a
# quarter turn, 10 m/s ahead, sigma 0.1 m, score 1.
GOLDEN = bytes.fromhex("01 00 0100 0102 01 e803 38ff 9cff aa 80 80 0040 2800 55 ff")


def random_graph(count: int, seed: int) -> SceneGraph:
    rng = np.random.default_rng(seed)
    made = graph(rng.uniform(-300, 300, (count, 3)), rng.integers(0, len(NodeClass), count))
    return dataclasses.replace(
        made,
        ids=rng.permutation(65536)[:count],
        sizes=rng.uniform(0.05, 50, (count, 3)),
        yaws=np.where(rng.random(count) < 0.3, np.nan, rng.uniform(-10, 10, count)),
        velocities=np.where(rng.random((count, 1)) < 0.3, np.nan, rng.uniform(-31, 31, (count, 2))),
        sigmas_m=rng.uniform(0.01, 10, count),
        scores=rng.random(count),
    )


def test_golden_bytes():
    read = decode_scene_graph(message(GOLDEN))
    assert read.ids.tolist() == [513]
    assert read.classes.tolist() == [NodeClass.VEHICLE]
    np.testing.assert_allclose(read.positions, [[10.0, -2.0, -1.0]])
    np.testing.assert_allclose(read.sizes, [[5.0, 1.603, 1.603]], atol=0.01)
    np.testing.assert_allclose(read.yaws, [np.pi / 2])
    np.testing.assert_allclose(read.velocities, [[10.0, 0.0]])
    np.testing.assert_allclose(read.sigmas_m, [0.1])
    np.testing.assert_allclose(read.scores, [1.0])
    assert encode_scene_graph(read) == GOLDEN


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 2**32 - 1))
def test_round_trip_within_half_a_step(count, seed):
    sent = random_graph(count, seed)
    carrier = message(encode_scene_graph(sent), sent)
    read = decode_scene_graph(decode(encode(carrier)))
    assert (read.agent_id, read.stamp_ns) == (sent.agent_id, sent.stamp_ns)
    np.testing.assert_allclose(read.T_world_agent, sent.T_world_agent, atol=1e-6)
    np.testing.assert_array_equal(read.ids, sent.ids)
    np.testing.assert_array_equal(read.classes, sent.classes)
    np.testing.assert_allclose(read.positions, sent.positions, atol=0.00501)
    np.testing.assert_allclose(read.sizes, sent.sizes, rtol=0.0137)
    np.testing.assert_allclose(read.sigmas_m, sent.sigmas_m, rtol=0.0137)
    np.testing.assert_array_equal(np.isnan(read.yaws), np.isnan(sent.yaws))
    assert np.nanmax(np.abs(wrap_angle(read.yaws - sent.yaws)), initial=0) <= np.pi / 32768
    np.testing.assert_array_equal(np.isnan(read.velocities), np.isnan(sent.velocities))
    np.testing.assert_allclose(read.velocities, sent.velocities, atol=0.1251)
    np.testing.assert_allclose(read.scores, sent.scores, atol=0.002)
    assert (
        encode_scene_graph(read)[: HEADER_BYTES + NODE_BYTES] == carrier.payload[: HEADER_BYTES + NODE_BYTES]
    )


@pytest.mark.parametrize("sender", ["x", "x" * 32])
def test_a_graph_is_sent_in_one_packet(sender):
    """A packet takes 1398 bytes; the nodes that fit are as many as the name of the sender leaves room for."""
    full = dataclasses.replace(random_graph(200, 0), agent_id=sender)
    received, size = transmitted(full)
    assert len(received) == coarse_nodes(sender) == (1398 - 100 - len(sender) - 4) // 18
    assert 1398 - 18 < size <= 1398
    assert packets_of(size) == 1
    assert packets_of(transmitted(full, coarse_nodes(sender) + 1)[1]) == 2
    assert coarse_nodes(sender, 100) == 0


def test_of_too_many_nodes_those_are_sent_that_others_are_likeliest_to_have():
    """A sure box beats a pole, a pole a wall, the near the far, and the sure the unsure."""
    places = [[10, 0], [10, 5], [10, 10], [60, 0], [10, 15]]
    kinds = [NodeClass.VEHICLE, NodeClass.POLE, NodeClass.WALL, NodeClass.VEHICLE, NodeClass.VEHICLE]
    sent = graph(places, kinds)
    sent.scores[:] = [0.9, 0.8, 0.4, 0.9, 0.3]
    order = [transmitted(sent, count)[0].ids.tolist() for count in (1, 2, 3, 4)]
    assert order == [[0], [0, 3], [0, 1, 3], [0, 1, 3, 4]]


def test_what_is_transmitted_is_what_a_message_holds():
    """An envelope costs 100 bytes and the sender's name, the header of a graph 4 and a node 18."""
    sent = random_graph(50, 3)
    received, size = transmitted(sent, 40)
    assert size == 100 + len(sent.agent_id) + 4 + 40 * 18
    assert received.agent_id == sent.agent_id
    assert received.stamp_ns == sent.stamp_ns
    rows = np.flatnonzero(np.isin(sent.ids, received.ids))
    np.testing.assert_allclose(received.positions, sent.positions[rows], atol=0.00501)


def test_sender_and_receiver_draw_the_same_edges():
    sent = graph([[0, 0], [10, 0], [100, 0]])
    read = decode_scene_graph(message(encode_scene_graph(sent), sent))
    edges = [edges_between(each.classes, each.positions, each.sizes).tolist() for each in (sent, read)]
    assert edges == [[[0, 1]], [[0, 1]]]


def test_what_does_not_fit_is_left_out_and_what_is_too_large_is_clipped():
    sent = graph([[0, 0], [327.68, 0], [9, 0], [0, -327.67]])
    sent.positions[2, 2] = np.nan
    sent.sizes[0], sent.sigmas_m[0], sent.velocities[0], sent.yaws[0] = [0.0, 99.0, 1.0], 77.0, 100.0, -np.pi
    read = decode_scene_graph(message(encode_scene_graph(sent), sent))
    assert read.ids.tolist() == [0, 3]
    np.testing.assert_allclose(read.sizes[0], [0.05, 50.0, 1.0], rtol=0.0137)
    np.testing.assert_allclose(read.sigmas_m[0], 10.0)
    np.testing.assert_allclose(read.velocities[0], 31.75)
    assert abs(read.yaws[0]) == pytest.approx(np.pi, abs=1e-3)


def test_of_too_many_nodes_the_best_are_kept_in_their_order():
    count = MAX_NODES + 5
    sent = graph(np.arange(2 * count).reshape(-1, 2) / 100)
    sent.scores[:] = np.where(np.arange(count) < 5, 0.1, 0.9)
    read = decode_scene_graph(message(encode_scene_graph(sent), sent))
    assert read.ids.tolist() == list(range(5, count))
    few = decode_scene_graph(message(encode_scene_graph(sent, max_nodes=3), sent))
    assert few.ids.tolist() == [5, 6, 7]


@pytest.mark.parametrize(
    ("ids", "complaint"),
    [
        ([1, 1], "2 nodes have 1 different ids"),
        ([1, 65536], "ids are 1 to 65536, expected 0 to 65535"),
        ([-1, 5], "ids are -1 to 5"),
    ],
)
def test_ids_that_cannot_be_written_are_refused(ids, complaint):
    with pytest.raises(MessageError, match=complaint):
        encode_scene_graph(graph([[0, 0], [1, 1]], ids=ids))


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"", "a scene graph has 0 bytes, expected at least 4"),
        (b"\x00\x00\x00\x00", "content of a scene graph is 0, expected 1"),
        (b"\x02\x00\x00\x00", "content of a scene graph is 2, expected 1"),
        (b"\x01\x00\x01", "a scene graph has 3 bytes, expected at least 4"),
        (b"\x01\x02\x00\x00", "flags of a scene graph are 0x02"),
        (struct.pack("<BBH", 1, 0, 1025) + bytes(1025 * 18), "1025 nodes announced, the limit is 1024"),
        (GOLDEN[:-1], "payload has 21 bytes, expected 22 for 1 node"),
        (GOLDEN + b"\x00", "payload has 23 bytes, expected 22 for 1 node"),
        (b"\x01\x01" + GOLDEN[2:], "flags of a scene graph are 0x01"),
        (GOLDEN[:6] + b"\x09" + GOLDEN[7:], "class of a node is 9, expected 0 to 8"),
        (b"\x01\x00\x02\x00" + GOLDEN[4:] * 2, "node id 513 comes 2 times"),
    ],
)
def test_faults_are_named(payload, complaint):
    with pytest.raises(MessageError, match=complaint):
        decode_scene_graph(message(payload))


def test_another_kind_of_message_is_no_graph():
    with pytest.raises(MessageError, match="kind is OBJECTS, expected SCENE_GRAPH"):
        decode_scene_graph(dataclasses.replace(message(GOLDEN), kind=PayloadKind.OBJECTS))


@settings(deadline=None)
@given(st.binary(max_size=120), st.data())
def test_any_bytes_are_refused_or_read(noise, data):
    good = encode_scene_graph(random_graph(4, 1))
    mutated = bytearray(good)
    for _ in range(data.draw(st.integers(0, 6))):
        mutated[data.draw(st.integers(0, len(mutated) - 1))] = data.draw(st.integers(0, 255))
    for payload in (noise, b"\x01" + noise, bytes(mutated), bytes(mutated[: data.draw(st.integers(0, 99))])):
        try:
            read = decode_scene_graph(message(payload))
        except MessageError:
            continue
        assert payload[0] == 1
        assert np.isfinite(read.positions).all()
        assert np.isfinite(read.sizes).all()
        assert len(np.unique(read.ids)) == len(read)
