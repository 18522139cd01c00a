"""LZF against streams that were written by hand from the format, and round trips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense.sensing.cloud_formats.lzf import MOST_EXPANSION, compress, decompress

# Few symbols and repeated pieces, so that there is something to find.
repetitive = st.lists(st.sampled_from([b"a", b"b", b"abc", b"0123456789" * 3, bytes(300)]), max_size=60)


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b"", b"", id="nothing"),
        pytest.param(b"\x02abc", b"abc", id="literals"),
        pytest.param(b"\x00x" + b"\x02yza", b"xyza", id="two runs"),
        pytest.param(b"\x02abc" + b"\x20\x02", b"abcabc", id="three bytes from three back"),
        pytest.param(b"\x02abc" + b"\x80\x01", b"abc" + b"bcbcbc", id="overlapping itself"),
        pytest.param(b"\x00z" + b"\xe0\x00\x00", b"z" + b"z" * 9, id="shortest long repetition"),
        pytest.param(b"\x00z" + b"\xe0\xff\x00", b"z" + b"z" * 264, id="longest repetition"),
        pytest.param(
            b"".join(b"\x1f" + bytes([k % 256] * 32) for k in range(256)) + b"\x3f\xff",
            b"".join(bytes([k % 256] * 32) for k in range(256)) + bytes(3),
            id="from the farthest place",
        ),
    ],
)
def test_streams_by_hand(stream, expected):
    assert decompress(stream, len(expected)) == expected


@pytest.mark.parametrize(
    ("stream", "expected_bytes", "message"),
    [
        (b"\x02ab", 3, "middle of a token"),
        (b"\x02abc\x20", 6, "middle of a token"),
        (b"\x02abc\xe0\x01", 13, "middle of a token"),
        (b"\x02abc\x20\x03", 6, "byte 4 points 1 byte before the start"),
        (b"\x02abc", 4, "3 bytes, not 4"),
        (b"\x02abc", 2, "3 bytes, not 2"),
        (b"", 1, "0 bytes, not 1"),
    ],
)
def test_broken_streams(stream, expected_bytes, message):
    with pytest.raises(ValueError, match=message):
        decompress(stream, expected_bytes)


def test_output_stops_soon_after_what_is_expected():
    # A stream of 3 MB that would yield 264 MB must not.
    with pytest.raises(ValueError, match="yields 265 bytes, not 10"):
        decompress(b"\x00z" + b"\xe0\xff\x00" * 1_000_000, 10)


@given(repetitive.map(b"".join))
def test_round_trip_of_repetitive_data(data):
    assert decompress(compress(data), len(data)) == data


@given(st.binary(max_size=200))
def test_round_trip_of_any_data(data):
    stream = compress(data)
    assert decompress(stream, len(data)) == data
    # Literals cost one byte in 32.
    assert len(stream) <= len(data) + -(-len(data) // 32)


@pytest.mark.parametrize("distance", [8191, 8192, 8193])
def test_repetitions_at_the_edge_of_reach(distance):
    random = np.random.default_rng(0).bytes(distance)
    assert decompress(compress(random + random), 2 * distance) == random + random


def test_repetitions_are_found():
    assert len(compress(bytes(26_400))) < 26_400 / MOST_EXPANSION + 10
    text = b"the quick brown fox jumps over the lazy dog; " * 100
    assert len(compress(text)) < len(text) / 10
