"""Fields at the ends of their ranges; that they keep half a step is proved kind by kind."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense.messages.fields import (
    BARE,
    WITH_HEADER,
    Logarithmic,
    MessageError,
    compact,
    expand,
    pack,
    pose_numbers,
    pose_of,
    read_headings_i16,
    read_headings_u8,
    read_name,
    read_velocities,
    write_fractions,
    write_headings_i16,
    write_headings_u8,
    write_name,
    write_velocities,
)

JUST_BELOW_PI = np.pi - 1e-9


def test_half_a_turn_is_the_same_heading_from_both_sides():
    yaws = np.array([-np.pi, JUST_BELOW_PI, np.pi, 3 * np.pi])
    assert write_headings_i16(yaws).tolist() == [-32768] * 4
    assert write_headings_u8(yaws).tolist() == [128] * 4
    assert read_headings_u8(np.array([128], np.uint8)).tolist() == [-np.pi]
    assert write_headings_u8(np.array([-1e-9])).tolist() == [0]


def test_a_heading_that_is_lacking_has_a_number_that_no_heading_has():
    yaws = np.array([np.nan, -np.pi, JUST_BELOW_PI, 0.0])
    turns = write_headings_i16(yaws, may_lack=True)
    assert turns.tolist() == [-32768, -32767, 32767, 0]
    read = read_headings_i16(turns.astype(np.int16), may_lack=True)
    assert np.isnan(read).tolist() == [True, False, False, False]


def test_velocities_are_clipped_and_may_be_unknown():
    units = write_velocities(np.array([np.nan, 100.0, -100.0, 0.3]))
    assert units.tolist() == [-128, 127, -127, 1]
    np.testing.assert_array_equal(read_velocities(units.astype(np.int8)), [np.nan, 31.75, -31.75, 0.25])


def test_a_logarithmic_scale_has_equal_steps_and_ends():
    scale = Logarithmic(smallest=0.2, ratio=100.0)
    assert scale.write(np.array([0.0, 0.2, 2.0, 20.0, 99.0])).tolist() == [0, 0, 128, 255, 255]
    read = scale.read(np.arange(256, dtype=np.uint8))
    assert (read[0], read[255]) == (0.2, pytest.approx(20.0))
    np.testing.assert_allclose(read[1:] / read[:-1], 100 ** (1 / 255))
    assert scale.write(read).tolist() == list(range(256))


def test_fractions_are_clipped():
    assert write_fractions(np.array([-0.1, 0.0, 0.5, 1.0, 1.1]), 255).tolist() == [0, 0, 128, 255, 255]


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=8), st.binary(max_size=5))
def test_names_come_back_with_the_offset_behind_them(name, rest):
    written = write_name(name, "agent", least_bytes=0)
    data = b"--" + written + rest
    assert read_name(data, 2, "agent", 0, len(rest)) == (name, 2 + len(written))
    with pytest.raises(MessageError, match=f"its agent has {len(written) - 1} byte"):
        read_name(data, 2, "agent", 0, len(rest) + 1)


def test_a_name_that_must_be_there_is_missed():
    for read_or_write in (lambda: write_name("", "agent"), lambda: read_name(b"\0", 0, "agent")):
        with pytest.raises(MessageError, match="agent has 0 bytes, expected 1 to 32"):
            read_or_write()


def test_a_pose_is_thirteen_numbers():
    T, covariance = np.eye(4), np.diag([1.0, 2.0, 3.0])
    T[:3, 3] = 4, 5, 6
    covariance[0, 1] = covariance[1, 0] = 0.5
    numbers = pose_numbers(T, covariance)
    assert [float(number) for number in numbers] == [4, 5, 6, 0, 0, 0, 1, 1, 0.5, 0, 2, 0, 3]
    read = pose_of(numbers)
    np.testing.assert_array_equal(read[0], T)
    np.testing.assert_array_equal(read[1], covariance)


def test_numbers_that_do_not_fit_are_named():
    with pytest.raises(MessageError, match="the count cannot be written"):
        pack(struct.Struct("<B"), "the count", 256)


@pytest.mark.parametrize("window_bits", [BARE, WITH_HEADER])
def test_the_smaller_coding_is_taken_and_undone(window_bits):
    for raw, coding in ((bytes(1000), 1), (b"", 0), (b"\x01\xfe", 0)):
        written = compact(raw, [zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE], window_bits)
        assert written[0] == coding
        assert expand(written[1], coding, len(raw), "body", window_bits) == raw


def test_a_stream_never_inflates_beyond_its_limit():
    coding, stream = compact(bytes(10_000_000), [zlib.Z_DEFAULT_STRATEGY])
    assert len(expand(stream, coding, 10_000_000, "body")) == 10_000_000
    with pytest.raises(MessageError, match="body inflates to more than 9999999 bytes"):
        expand(stream, coding, 9_999_999, "body")
