from __future__ import annotations

import dataclasses
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cosense.geometry.transforms import transform_from_planar
from cosense.messages.demand import MAX_DEMAND_BYTES, DemandMap, decode_demand, encode_demand
from cosense.messages.envelope import Message, MessageError, PayloadKind, encode, envelope_bytes
from cosense.sensing.grid import BevGrid

POSE = transform_from_planar(500_000.0, 4_000_000.0, 0.5)
STAMP_NS = 1234
# Written by hand from docs/wire_format.md: 2 rows of 3 cells of 3.2 m at (-4, 8) m, 101 and 010.
GOLDEN = bytes.fromhex("03 65676f d8ff 5000 20 02 03 00 a0 e0")


def demand(wanted, cell_m=3.2, x_min=-4.0, y_min=8.0, addressee="ego") -> DemandMap:
    wanted = np.asarray(wanted, dtype=bool)
    rows, columns = wanted.shape
    x_max, y_max = x_min + columns * cell_m, y_min + rows * cell_m
    grid = BevGrid((x_min, y_min, 0.0, x_max, y_max, 1.0), cell_m)
    return DemandMap(addressee, STAMP_NS, POSE, grid, wanted)


def coarsened(wanted, factor: int) -> np.ndarray:
    rows, columns = (-(-edge // factor) for edge in wanted.shape)
    coarse = np.zeros((rows, columns), dtype=bool)
    for row, column in np.argwhere(wanted):
        coarse[row // factor, column // factor] = True
    return coarse


def test_golden_bytes():
    sent = demand([[1, 0, 1], [0, 1, 0]])
    assert encode_demand(sent, 100) == GOLDEN
    read = decode_demand(GOLDEN, POSE, STAMP_NS)
    assert (read.addressee, read.stamp_ns) == ("ego", STAMP_NS)
    np.testing.assert_array_equal(read.T_world_ego, POSE)
    np.testing.assert_allclose(read.grid.range_m, sent.grid.range_m)
    np.testing.assert_array_equal(read.wanted, sent.wanted)


maps = hnp.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 70)))


@settings(max_examples=60)
@given(maps, st.integers(1, 255), st.integers(-32767, 32767), st.sampled_from(["", "ego", "ü" * 16]))
def test_round_trip(wanted, edge, x_min, addressee):
    sent = demand(wanted, edge / 10, x_min / 10, -1.5, addressee)
    read = decode_demand(encode_demand(sent, 1000), POSE, STAMP_NS)
    np.testing.assert_array_equal(read.wanted, wanted)
    np.testing.assert_allclose(read.grid.range_m, sent.grid.range_m)
    assert (read.grid.cell_m, read.addressee) == (edge / 10, addressee)


@settings(max_examples=60)
@given(maps, st.integers(25, 120))
def test_a_map_gets_coarser_until_it_fits_and_never_loses_a_wanted_place(wanted, room):
    sent = demand(wanted, 0.4)
    payload = encode_demand(sent, room)
    assert len(payload) <= room
    read = decode_demand(payload, POSE, STAMP_NS)
    factor = round(read.grid.cell_m / 0.4)
    np.testing.assert_array_equal(read.wanted, coarsened(wanted, factor))
    centres = sent.grid.centres()[wanted]
    assert read.at(POSE, centres).all()


def test_a_map_of_the_whole_range_fits_a_message():
    """Noise is the worst case; what a scene leaves unseen is coherent and keeps its cells."""
    noise = np.random.default_rng(0).random((25, 63)) < 0.5
    coherent = np.zeros((25, 63), dtype=bool)
    coherent[3:9, 20:40] = coherent[15:22, 5:12] = coherent[:, 50:] = True
    everything, nothing = np.ones((25, 63)), np.zeros((25, 63))
    for wanted, cell_m in ((noise, 6.4), (coherent, 3.2), (everything, 3.2), (nothing, 3.2)):
        sender = "x" * 32
        payload = encode_demand(
            demand(wanted, 3.2, -100.8, -40.0, "y" * 32), MAX_DEMAND_BYTES - envelope_bytes(sender)
        )
        assert decode_demand(payload, POSE, STAMP_NS).grid.cell_m == pytest.approx(cell_m)
        message = Message(PayloadKind.DEMAND, sender, 0, 0, POSE, np.zeros((3, 3)), bytes(8), payload)
        assert len(encode(message)) <= MAX_DEMAND_BYTES


def test_maps_with_too_many_cells_are_written_coarser():
    wanted = np.zeros((200, 504), dtype=bool)
    wanted[199, 503] = True
    read = decode_demand(encode_demand(demand(wanted, 0.4), 1000), POSE, STAMP_NS)
    assert read.wanted.shape == (100, 252)
    assert np.argwhere(read.wanted).tolist() == [[99, 251]]


def test_places_are_looked_up_through_the_world():
    ego = transform_from_planar(500_000.0, 4_000_000.0, np.pi / 2)
    sender = transform_from_planar(500_010.0, 4_000_000.0, np.pi)
    wanted = np.zeros((4, 5), dtype=bool)
    wanted[1, 2] = True
    grid = BevGrid((-10, -20, 0, 15, 0, 1), 5.0)
    asked = DemandMap("", 0, ego, grid, wanted)
    # Ego x is world y, ego y is minus world x; the cell is x 0 to 5, y -15 to -10 of the ego.
    in_world = np.array([[12.0, 2.0], [10.5, 4.5], [9.5, 2.0], [12.0, 5.5], [12.0, -0.5]])
    in_sender = -(in_world - [10.0, 0.0])
    assert asked.at(sender, in_sender).tolist() == [True, True, False, False, False]
    far = np.array([[1e5, 0.0], [np.nan, 0.0], [1e300, 1e300]])
    assert not dataclasses.replace(asked, wanted=np.ones((4, 5), bool)).at(sender, far).any()
    assert asked.at(sender, np.zeros((0, 2))).shape == (0,)


@pytest.mark.parametrize(
    ("change", "room", "complaint"),
    [
        ({"addressee": "x" * 33}, 1000, "addressee has 33 bytes, expected 0 to 32"),
        ({"addressee": "\x1b"}, 1000, "cannot be printed"),
        ({"cell_m": 0.25}, 1000, "0.25 m, expected whole decimetres"),
        ({"cell_m": 25.6}, 1000, "cells of 256 dm"),
        ({"x_min": 3276.8}, 1000, r"map at \(32768, 80\) dm"),
        ({}, 12, r"takes 13 bytes with \(1, 1\) cells of 128 dm, its coarsest; there is room for 12"),
    ],
)
def test_what_cannot_be_written_is_refused(change, room, complaint):
    with pytest.raises(MessageError, match=complaint):
        encode_demand(demand(np.ones((2, 3)), **change), room)


def test_map_and_grid_must_agree():
    with pytest.raises(ValueError, match=r"shape \(3, 2\), the grid \(2, 3\)"):
        dataclasses.replace(demand(np.ones((2, 3))), wanted=np.ones((3, 2), bool))


def packed(raw: bytes, header: bytes = GOLDEN[:11]) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return header + b"\x01" + stream.compress(raw) + stream.flush()


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"", "0 bytes, expected at least 9: its addressee has 0 bytes"),
        (b"\x21" + GOLDEN[1:], "addressee has 33 bytes, expected 0 to 32"),
        (GOLDEN[:11], "11 bytes, expected at least 12: its addressee has 3 bytes"),
        (GOLDEN[:1] + b"\xff" + GOLDEN[2:], "addressee is not UTF-8"),
        (GOLDEN[:1] + b"\x1b" + GOLDEN[2:], "cannot be printed"),
        (GOLDEN[:8] + b"\x00" + GOLDEN[9:], "2 x 3 cells of 0 dm"),
        (GOLDEN[:9] + b"\x00" + GOLDEN[10:], "0 x 3 cells of 32 dm"),
        (GOLDEN[:11] + b"\x02" + GOLDEN[12:], "coding of the demand map is 2, expected 0 or 1"),
        (GOLDEN[:-1], "demand map has 1 byte, expected 2"),
        (GOLDEN + b"\x00", "demand map has 3 bytes, expected 2"),
        (GOLDEN[:11] + b"\x01\xff", "demand map does not inflate"),
        (packed(bytes(10_000_000)), "inflates to more than 2 bytes"),
        (packed(b""), "demand map has 0 bytes, expected 2"),
        (packed(b"\xa0\xe0") + b"x", "does not end with its 5 bytes"),
        (packed(b"\xa0\xe0")[:-1], "does not end with its 3 bytes"),
    ],
)
def test_faults_are_named(payload, complaint):
    with pytest.raises(MessageError, match=complaint):
        decode_demand(payload, POSE, STAMP_NS)


@settings(max_examples=300)
@given(st.data(), st.integers(0, 200))
def test_changed_bytes_are_refused_or_read(data, seed):
    wanted = np.random.default_rng(seed).random((9, 11)) < 0.1
    payload = bytearray(encode_demand(demand(np.repeat(wanted, 3, axis=1)), 200))
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = decode_demand(bytes(payload[: data.draw(st.integers(0, len(payload)))]), POSE, STAMP_NS)
    except MessageError:
        return
    assert read.wanted.shape == read.grid.shape
