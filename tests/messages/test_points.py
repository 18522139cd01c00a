from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cosense.messages.envelope import MessageError
from cosense.messages.points import MAX_POINTS, decode_points, encode_points

GOLDEN = bytes.fromhex("02000000 00 6400 9cff c800 38ff 0300 0000 ff00")
POINTS = np.array([[1.0, 2.0, 0.03, 1.0], [-1.0, -2.0, 0.0, 0.0]], dtype=np.float32)


def test_golden_bytes():
    assert encode_points(POINTS) == GOLDEN
    np.testing.assert_allclose(decode_points(GOLDEN), POINTS, atol=1e-6)


@given(
    st.integers(0, 300).flatmap(
        lambda count: hnp.arrays(np.float32, (count, 4), elements=st.floats(0, 1, width=32))
    )
)
def test_round_trip_within_half_a_centimetre(unit):
    points = ((unit - np.float32(0.5)) * np.array([600, 600, 600, 0], np.float32)).astype(np.float32)
    points[:, 3] = unit[:, 3]
    read = decode_points(encode_points(points))
    assert read.dtype == np.float32
    np.testing.assert_allclose(read[:, :3], points[:, :3], atol=0.00502)
    np.testing.assert_allclose(read[:, 3], points[:, 3], atol=0.5 / 255 + 1e-6)


def test_a_smooth_cloud_is_compressed():
    cloud = np.zeros((5000, 4), np.float32)
    cloud[:, 0] = np.linspace(0, 100, 5000)
    payload = encode_points(cloud)
    assert payload[4] == 1
    assert len(payload) < 7 * 5000
    np.testing.assert_allclose(decode_points(payload), cloud, atol=0.00501)


def test_points_that_do_not_fit_are_left_out():
    odd = np.array([[np.nan, 0, 0, 0], [400, 0, 0, 0], [0, 0, 0, np.inf]], np.float32)
    assert encode_points(np.concatenate([POINTS, odd])) == GOLDEN


def test_too_many_points_are_refused():
    with pytest.raises(MessageError, match="200001 points, the limit is 200000"):
        encode_points(np.zeros((MAX_POINTS + 1, 4), np.float32))


def compressed(count: int, raw: bytes) -> bytes:
    return struct.pack("<IB", count, 1) + zlib.compress(raw)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"\x01\x00", "points have 2 bytes"),
        (struct.pack("<IB", 200_001, 0), "200001 points announced, the limit is 200000"),
        (GOLDEN[:-1], "2 points in 13 bytes, expected 14"),
        (GOLDEN + b"\x00", "2 points in 15 bytes, expected 14"),
        (GOLDEN[:4] + b"\x02" + GOLDEN[5:], "coding of the cloud is 2, expected 0 or 1"),
        (struct.pack("<IB", 1, 1) + b"nonsense", "cloud does not inflate"),
        (compressed(2, bytes(13)), "2 points in 13 bytes, expected 14"),
        (compressed(2, bytes(10_000_000)), "cloud inflates to more than 14 bytes"),
        (compressed(0, bytes(1)), "cloud inflates to more than 0 bytes"),
        (compressed(2, bytes(14)) + b"x", "does not end with its 12 bytes"),
        (compressed(2, bytes(14))[:-2], "does not end with its 9 bytes"),
    ],
)
def test_faults_are_named(payload, complaint):
    with pytest.raises(MessageError, match=complaint):
        decode_points(payload)


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_refused_or_read(data, compress):
    payload = compressed(len(data) // 7, data) if compress else data
    try:
        points = decode_points(payload)
    except MessageError:
        return
    assert np.isfinite(points).all()
