from __future__ import annotations

import dataclasses
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.geometry.transforms import transform_from_planar
from cosense.messages.envelope import MessageError
from cosense.messages.scene_graph_requests import (
    MAX_POINTS_PER_NODE,
    MAX_REPLY_BYTES,
    STATUSES,
    Reply,
    Request,
    Result,
    addressee_of,
    decode_reply,
    decode_request,
    decode_result,
    encode_reply,
    encode_request,
    encode_result,
)

REQUEST = Request("car", 1, 258, 64, 500, (3, 513))
GOLDEN_REQUEST = bytes.fromhex("02 03 636172 01000000 02010000 4000 f401 0300 0102")
REPLY = Reply("car", 1, 258, {3: np.array([[0.1, -0.002, 0.0]]), 513: np.zeros((0, 3))})
GOLDEN_REPLY = bytes.fromhex("03 03 636172 01000000 02010000 0300 0100 6400 feff 0000 0102 0000")
REFUSED = Result("car", 5, 258, "ambiguous", 4)
GOLDEN_RESULT = bytes.fromhex("04 03 636172 05000000 02010000 03 0400")
REGISTERED = Result(
    "car", 5, 258, "registered", 9, transform_from_planar(30.0, -4.0, 2.0, 1.5), np.diag([0.04, 0.01, 1e-4])
)
DECODERS = (decode_request, decode_reply, decode_result)


def test_golden_bytes():
    assert encode_request(REQUEST) == GOLDEN_REQUEST
    assert decode_request(GOLDEN_REQUEST) == REQUEST
    assert encode_reply(REPLY) == GOLDEN_REPLY
    read = decode_reply(GOLDEN_REPLY)
    assert (read.addressee, read.request_id, read.graph_id) == ("car", 1, 258)
    assert sorted(read.points) == [3, 513]
    np.testing.assert_allclose(read.points[3], REPLY.points[3])
    assert read.points[513].shape == (0, 3)
    assert encode_result(REFUSED) == GOLDEN_RESULT
    assert decode_result(GOLDEN_RESULT) == REFUSED


def test_a_pose_comes_back_as_precise_as_it_is_good_for():
    read = decode_result(encode_result(REGISTERED))
    assert (read.status, read.inliers) == ("registered", 9)
    np.testing.assert_allclose(read.T_sender_addressee, REGISTERED.T_sender_addressee, atol=1e-5)
    np.testing.assert_allclose(read.covariance, REGISTERED.covariance, rtol=1e-6)


def test_every_status_has_its_number():
    for status in STATUSES[1:]:
        assert decode_result(encode_result(dataclasses.replace(REFUSED, status=status))).status == status


def test_a_reply_keeps_to_its_limits():
    far = np.array([[32.767, 0.0, 0.0], [32.768, 0.0, 0.0]])
    many = np.zeros((MAX_POINTS_PER_NODE + 9, 3))
    written = encode_reply(Reply("car", 1, 2, {0: far, **dict.fromkeys(range(1, 99), many)}))
    assert len(written) <= MAX_REPLY_BYTES
    read = decode_reply(written)
    assert len(read.points[0]) == 1
    assert len(read.points[1]) == MAX_POINTS_PER_NODE
    assert len(read.points) < 99


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"node_ids": ()}, "asks for 0 nodes"),
        ({"node_ids": (1, 1)}, "asks for 2 nodes, 1 different ones"),
        ({"node_ids": tuple(range(257))}, "asks for 257 nodes"),
        ({"node_ids": (70000,)}, "asks for nodes 70000 to 70000"),
        ({"max_points": 0}, "0 points per node"),
        ({"max_points": 257}, "257 points per node"),
        ({"deadline_ms": 70000}, "cannot be written"),
        ({"request_id": -1}, "cannot be written"),
        ({"addressee": ""}, "addressee has 0 bytes, expected 1 to 32"),
        ({"addressee": "x" * 33}, "addressee has 33 bytes, expected 1 to 32"),
        ({"addressee": "a\nb"}, "cannot be printed"),
    ],
)
def test_requests_that_cannot_be_written_are_refused(changes, complaint):
    with pytest.raises(MessageError, match=complaint):
        encode_request(dataclasses.replace(REQUEST, **changes))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"status": "perhaps"}, "status of a result is 'perhaps'"),
        ({"T_sender_addressee": None}, "has no pose and covariance"),
        ({"covariance": np.full((3, 3), np.nan)}, "pose covariance .* is not finite"),
        ({"graph_id": 2**32}, "cannot be written"),
    ],
)
def test_results_that_cannot_be_written_are_refused(changes, complaint):
    with pytest.raises(MessageError, match=complaint):
        encode_result(dataclasses.replace(REGISTERED, **changes))


POSE = encode_result(REGISTERED)


@pytest.mark.parametrize(
    ("decode", "payload", "complaint"),
    [
        (decode_request, GOLDEN_REPLY, "is REPLY, expected REQUEST"),
        (decode_request, b"\x02", "addressee has 0 bytes, expected 1 to 32"),
        (decode_request, b"\x02\x09car", "5 bytes, expected at least 23: its addressee has 9 bytes"),
        (decode_request, b"\x02\x01\xff" + bytes(20), "addressee is not UTF-8"),
        (decode_request, GOLDEN_REQUEST[:9], "9 bytes, expected at least 17: its addressee has 3 bytes"),
        (decode_request, GOLDEN_REQUEST[:-1], "3 bytes, expected an even number"),
        (decode_request, GOLDEN_REQUEST[:-4], "asks for 0 nodes"),
        (decode_request, GOLDEN_REQUEST + GOLDEN_REQUEST[-2:], "3 nodes, 2 different ones"),
        (decode_reply, GOLDEN_REPLY[:-1], "ends with 3 bytes"),
        (decode_reply, GOLDEN_REPLY[:20], "node 3 is said to have 1 point; the reply has 3 bytes left"),
        (decode_reply, GOLDEN_REPLY[:13] + struct.pack("<HH", 9, 257) + bytes(1542), "257 points"),
        (decode_reply, GOLDEN_REPLY + GOLDEN_REPLY[-4:], "node 513 comes twice"),
        (decode_reply, bytes([3]) + bytes(MAX_REPLY_BYTES), "a reply has 65537 bytes"),
        (decode_result, GOLDEN_RESULT[:13] + b"\x09\x04\x00", "status of a result is 9, expected 0 to 8"),
        (decode_result, GOLDEN_RESULT + b"\x00", "'ambiguous' has 1 byte of pose"),
        (decode_result, POSE[:-1], "'registered' has 51 bytes of pose"),
        (decode_result, POSE[:16] + struct.pack("<f", np.nan) + POSE[20:], "not finite"),
        (decode_result, POSE[:28] + struct.pack("<f", 3.0) + POSE[32:], "quaternion .* has the norm"),
        (decode_result, POSE[:44] + struct.pack("<f", -3.0) + POSE[48:], "pose covariance .* diagonal >= 0"),
        (addressee_of, b"\x01\x00\x00\x00", "a GRAPH has no addressee"),
    ],
)
def test_faults_are_named(decode, payload, complaint):
    with pytest.raises(MessageError, match=complaint):
        decode(payload)


@settings(deadline=None)
@given(st.binary(max_size=90), st.data())
def test_any_bytes_are_refused_or_read(noise, data):
    good = data.draw(st.sampled_from([GOLDEN_REQUEST, GOLDEN_REPLY, GOLDEN_RESULT, POSE]))
    mutated = bytearray(good)
    for _ in range(data.draw(st.integers(0, 5))):
        mutated[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    for payload in (noise, good[:5] + noise, bytes(mutated), bytes(mutated[: data.draw(st.integers(0, 60))])):
        for decode in DECODERS:
            try:
                read = decode(payload)
            except MessageError:
                continue
            assert addressee_of(payload) == read.addressee
