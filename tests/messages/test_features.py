from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.geometry.transforms import transform_from_planar
from cosense.messages.envelope import Message, MessageError, PayloadKind, decode, encode, envelope_bytes
from cosense.messages.features import (
    EMPTY_FEATURES_BYTES,
    LayerSpec,
    Section,
    cuts,
    decode_features,
    encode_features,
    truncate,
)
from cosense.messages.late_boxes import LateBoxes
from cosense.sensing.detections import Detections

SHAPE = (40, 60)
# Layers of 20 x 30, 10 x 15, 40 x 60, 20 x 30 and 5 x 8 cells.
SPECS = (
    LayerSpec(2, 5, 4),
    LayerSpec(4, 3, 2),
    LayerSpec(1, 2, 16),
    LayerSpec(2, 16, 8),
    LayerSpec(8, 6, 4, dense=True),
)
# Written by hand from docs/wire_format.md: ground at -1.7 m, a box, cells 3 and 300 of 3 channels.
GOLDEN_BOX = bytes.fromhex("e803 38ff 41 808080 40 33 05 04 80")
GOLDEN_CHUNK = bytes.fromhex("00 00 0200 0600 03 a802 71 8f 02")
GOLDEN = bytes.fromhex("56ff 0100") + GOLDEN_BOX + GOLDEN_CHUNK
GOLDEN_SPECS = (LayerSpec(2, 3, 4),)


def boxes(count: int) -> LateBoxes:
    found = np.tile([1.0, 2.0, 0.0, 4.0, 2.0, 1.5, 0.0], (count, 1))
    found[:, 0] = np.arange(count) / 10
    detections = Detections(
        found, np.full(count, 0.5, np.float32), np.zeros(count, np.int64), np.zeros(count, np.uint8)
    )
    return LateBoxes(detections, np.full((count, 2), np.nan))


def section(layer: int, count: int | None = None, seed: int = 0, specs=SPECS, spread: float = 2) -> Section:
    """Offer `count` cells in random order; all of them by default."""
    spec, rng = specs[layer], np.random.default_rng(seed)
    every = spec.cells(SHAPE)
    cells = np.arange(every) if spec.dense else rng.permutation(every)[:count]
    numbers = rng.normal(0, spread, (len(cells), spec.channels))
    if spec.bits < 16:
        limit = 1 << (spec.bits - 1)
        numbers = np.clip(np.round(numbers), -limit, limit - 1)
    return Section(layer, cells, numbers.astype(spec.dtype))


def assert_best_cells(layer, offered: Section) -> None:
    """What came is the first cells of what was offered, with their values."""
    count = len(layer.cells)
    assert set(layer.cells) == set(offered.cells[:count])
    assert layer.values.dtype == offered.values.dtype
    rank = {cell: rank for rank, cell in enumerate(offered.cells)}
    expected = offered.values[[rank[cell] for cell in layer.cells]]
    np.testing.assert_array_equal(layer.values, expected)


def test_golden_bytes():
    size = 0.2 * 100 ** (128 / 255)
    one = LateBoxes(
        Detections(
            np.array([[10, -2, -1.7 + 1.6, size, size, size, np.pi / 2]]),
            np.array([0.2], np.float32),
            np.array([5]),
            np.zeros(1, np.uint8),
        ),
        np.array([[1.0, np.nan]]),
    )
    # Cell 300 is better than 3; ascending, the channels are (1, 7), (-1, -8), (2, 0).
    offered = Section(0, np.array([300, 3]), np.array([[7, -8, 0], [1, -1, 2]], np.int8))
    assert encode_features(-1.7, one, [offered], GOLDEN_SPECS, 1000) == GOLDEN
    read = decode_features(GOLDEN)
    layers = read.layers(GOLDEN_SPECS, SHAPE)
    assert read.ground_m == -1.7
    assert layers[0].cells.tolist() == [3, 300]
    assert layers[0].values.tolist() == [[1, -1, 2], [7, -8, 0]]
    assert read.boxes.velocities_mps[0, 0] == 1
    assert cuts(GOLDEN) == [4, 17, len(GOLDEN)]


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, len(SPECS) - 1), unique=True),
    st.integers(0, 600),
    st.integers(0, 5),
    st.floats(-300, 300),
    st.sampled_from([0.0, 0.3, 2.0, 100.0]),
    st.integers(0, 1000),
)
def test_round_trip(layers, count, box_count, ground_m, spread, seed):
    offered = [section(layer, count, seed, spread=spread) for layer in layers]
    payload = encode_features(ground_m, boxes(box_count), offered, SPECS, 1 << 20)
    read = decode_features(payload)
    received = read.layers(SPECS, SHAPE)
    assert read.ground_m == pytest.approx(ground_m, abs=0.00501)
    assert len(read.boxes) == box_count
    assert len(received) == len(SPECS)
    for index, layer in enumerate(received):
        if index not in layers:
            assert layer.cells.shape == (0,)
            assert layer.values.shape == (0, SPECS[index].channels)
            continue
        sent = offered[layers.index(index)]
        assert len(layer.cells) == len(sent.cells)
        assert_best_cells(layer, sent)


@settings(max_examples=150)
@given(
    st.integers(4, 400) | st.integers(4, 20_000) | st.just(1 << 20),
    st.integers(0, 40),
    st.sampled_from([0.0, 0.3, 2.0, 100.0]),
    st.integers(0, 1000),
)
def test_any_room_is_kept_and_filled_with_the_best(room, box_count, spread, seed):
    offered = [section(layer, 600, seed, spread=spread) for layer in (0, 4, 3)]
    payload = encode_features(-1.7, boxes(box_count), offered, SPECS, room)
    assert len(payload) <= room
    read = decode_features(payload)
    layers = read.layers(SPECS, SHAPE)
    assert len(read.boxes) == min(box_count, (room - 4) // 13)
    for sent in offered:
        layer = layers[sent.layer]
        assert_best_cells(layer, sent)
        assert not SPECS[sent.layer].dense or len(layer.cells) in (0, 40)
    if spread == 2 and len(layers[3].cells) < 600 and len(layers[4].cells):
        # One more cell of 16 bytes, or so, would not have fitted.
        assert len(payload) >= 0.97 * room - 40


def test_what_does_not_fit_does_not_stop_later_sections():
    dense, sparse = section(4), section(0)
    payload = encode_features(0.0, LateBoxes.empty(), [dense, sparse], SPECS, 100)
    read = decode_features(payload)
    layers = read.layers(SPECS, SHAPE)
    assert len(layers[4].cells) == 0
    assert len(layers[0].cells) > 20


def test_large_sections_are_cut_into_chunks_of_growing_size():
    specs, shape = (LayerSpec(1, 16, 4), LayerSpec(1, 256, 16)), (100, 120)
    rng = np.random.default_rng(0)
    many = Section(0, rng.permutation(12_000), rng.integers(-8, 8, (12_000, 16)).astype(np.int8))
    wide = Section(1, rng.permutation(12_000)[:500], rng.normal(size=(500, 256)).astype(np.float16))
    payload = encode_features(0.0, LateBoxes.empty(), [many, wide], specs, 1 << 20)
    counts = [struct.unpack_from("<H", payload, start + 2)[0] for start in cuts(payload)[:-1]]
    assert counts[:10] == [32, 64, 128, 256, 512, 1024, 2048, 4096, 3840, 32]
    assert sum(counts[9:]) == 500
    # 512 bytes a cell: no body may exceed a u16.
    assert max(counts[9:]) == 65535 // 515
    read = decode_features(payload)
    layers = read.layers(specs, shape)
    assert_best_cells(layers[0], many)
    assert_best_cells(layers[1], wide)


def test_nothing_to_tell():
    nothing = [section(layer, 0) for layer in range(4)]
    payload = encode_features(0.0, LateBoxes.empty(), nothing, SPECS, EMPTY_FEATURES_BYTES)
    assert payload == bytes(4)
    assert cuts(payload) == [4]
    read = decode_features(payload)
    layers = read.layers(SPECS, SHAPE)
    assert len(read.boxes) == 0
    assert all(len(layer.cells) == 0 for layer in layers)


def test_another_model_reads_only_the_boxes():
    read = decode_features(GOLDEN)
    assert len(read.boxes) == 1
    assert read.chunks == GOLDEN_CHUNK


def message(payload: bytes, **changes) -> bytes:
    pose = transform_from_planar(1, 2, 0.3)
    whole = Message(PayloadKind.FEATURES, "unit", 7, 1234, pose, np.eye(3), b"12345678", payload)
    return encode(dataclasses.replace(whole, **changes))


def test_every_cut_leaves_the_best_of_what_was_there():
    offered = [section(0, 300), section(4), section(2, 100)]
    payload = encode_features(-1.7, boxes(6), offered, SPECS, 1 << 20)
    whole = message(payload)
    seen = [(-1, -1)]
    for cut in cuts(payload):
        budget = envelope_bytes("unit") + cut
        shorter = truncate(whole, budget)
        assert len(shorter) == budget
        # Up to the next cut nothing more is taken.
        if cut < len(payload):
            assert truncate(whole, budget + 1) == shorter
        read_message = decode(shorter)
        assert (read_message.sender, read_message.sequence, read_message.stamp_ns) == ("unit", 7, 1234)
        np.testing.assert_allclose(read_message.T_world_agent, decode(whole).T_world_agent, atol=1e-6)
        read = decode_features(read_message.payload)
        layers = read.layers(SPECS, SHAPE)
        np.testing.assert_allclose(
            read.boxes.detections.boxes[:, 0], np.arange(len(read.boxes)) / 10, atol=1e-9
        )
        for sent in offered:
            assert_best_cells(layers[sent.layer], sent)
        cells = sum(len(layer.cells) for layer in layers)
        assert cells == 0 or len(read.boxes) == 6
        seen.append((len(read.boxes), cells))
        assert seen[-1] > seen[-2]
    assert seen[-1] == (6, 440)
    assert truncate(whole, len(whole)) == truncate(whole, 1 << 20) == whole


MANY_BOXES = encode_features(-1.7, boxes(20), [], SPECS, 1 << 20)


@pytest.mark.parametrize(
    ("data", "budget", "complaint"),
    [
        (message(GOLDEN, kind=PayloadKind.OBJECTS), 200, "kind is OBJECTS, only FEATURES"),
        (message(MANY_BOXES, signature=b"s"), 200, "its signature has 1 byte, expected 64, or 80 if cut"),
        (message(GOLDEN), 107, "budget of 107 bytes, an empty FEATURES message of 'unit' takes 108"),
        (message(GOLDEN[:-1]), 200, "chunk of layer 0 is said to have 6 bytes, 5 are left"),
        (message(GOLDEN)[:-1], 200, "CRC"),
    ],
)
def test_what_cannot_be_cut_is_refused(data, budget, complaint):
    with pytest.raises(MessageError, match=complaint):
        truncate(data, budget)


def changed(of_layer: int, **changes) -> Section:
    return dataclasses.replace(section(of_layer, 10), **changes)


@pytest.mark.parametrize(
    ("offered", "ground_m", "room", "complaint"),
    [
        ([], 0.0, 3, "room of 3 bytes, an empty payload takes 4"),
        ([], np.nan, 100, "ground is at nan m"),
        ([], 328.0, 100, "ground is at 328.0 m, expected within 327.67 m"),
        ([changed(0, layer=5)], 0.0, 100, "layer is 5, the model has 5"),
        ([changed(0, layer=-1)], 0.0, 100, "layer is -1"),
        ([changed(0, layer=1)], 0.0, 100, r"int8 values \(10, 5\), expected int8 \(10, 3\)"),
        ([changed(0, values=np.zeros((10, 5)))], 0.0, 100, "has float64 values"),
        ([changed(0, values=np.full((10, 5), 8, np.int8))], 0.0, 100, "values outside of -8 to 7"),
        ([changed(1, values=np.full((10, 3), -3, np.int8))], 0.0, 100, "values outside of -2 to 1"),
        ([changed(2, values=np.full((10, 2), np.nan, np.float16))], 0.0, 100, "values that are not finite"),
        ([changed(0, cells=np.zeros(10, np.int64))], 0.0, 100, "a cell twice, below 0 or above 2097151"),
        ([changed(0, cells=np.arange(10) - 1)], 0.0, 100, "a cell twice, below 0"),
        ([changed(0, cells=np.arange(10) + (1 << 21))], 0.0, 100, "above 2097151"),
        (
            [changed(4, cells=np.arange(40)[::-1])],
            0.0,
            100,
            "is dense, expected the cells 0 to at most 65535",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(offered, ground_m, room, complaint):
    with pytest.raises(MessageError, match=complaint):
        encode_features(ground_m, LateBoxes.empty(), offered, SPECS, room)


def test_a_dense_layer_that_no_chunk_can_hold_is_refused():
    spec = LayerSpec(1, 8, 16, dense=True)
    values = np.random.default_rng(0).normal(size=(10_000, 8)).astype(np.float16)
    with pytest.raises(MessageError, match=r"layer 0 takes \d+ bytes in one chunk, the limit is 65535"):
        encode_features(0.0, LateBoxes.empty(), [Section(0, np.arange(10_000), values)], [spec], 1 << 20)


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"channels": 0}, {"channels": 1025}, {"bits": 3}])
def test_specs_are_checked(wrong):
    with pytest.raises(ValueError, match="needs stride >= 1"):
        dataclasses.replace(SPECS[0], **wrong)


def test_of_a_cell_that_comes_twice_the_first_counts():
    again = GOLDEN_CHUNK[:-3] + bytes.fromhex("22 22 22")
    read = decode_features(GOLDEN + again)
    layers = read.layers(GOLDEN_SPECS, SHAPE)
    assert layers[0].cells.tolist() == [3, 300]
    assert layers[0].values.tolist() == [[1, -1, 2], [7, -8, 0]]


def chunk(body: bytes, layer: int = 0, coding: int = 0, count: int = 2) -> bytes:
    if coding == 1:
        stream = zlib.compressobj(wbits=-15)
        body = stream.compress(body) + stream.flush()
    return bytes(4) + struct.pack("<BBHH", layer, coding, count, len(body)) + body


BODY = GOLDEN_CHUNK[6:]


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"\x00\x00\x00", "features have 3 bytes, expected at least 4"),
        (struct.pack("<hH", 0, 513), "513 late boxes announced, the limit is 512"),
        (GOLDEN[:16], "1 late boxes end at byte 17, the payload has 16"),
        (GOLDEN[:14] + b"\x0a" + GOLDEN[15:], "class of a late box is 10"),
        (GOLDEN + b"\x00", "chunk at byte 12 behind the boxes has 1 byte, a header takes 6"),
        (GOLDEN[:-1], "said to have 6 bytes, 5 are left"),
        (chunk(BODY, layer=1), "layer is 1, the model has 1"),
        (chunk(BODY, count=0), "has 0 cells, expected 1 to 600: all its chunks together have at most 600"),
        (chunk(BODY, count=601), "has 601 cells, expected 1 to 600"),
        (chunk(BODY) + chunk(BODY, count=599)[4:], "has 599 cells, expected 1 to 598"),
        (chunk(BODY, coding=2), "coding of the chunk of layer 0 is 2, expected 0 or 1"),
        (chunk(BODY[:-2]), "has 2 cells in 4 bytes, expected 5 to 9"),
        (chunk(BODY + bytes(4)), "has 2 cells in 10 bytes, expected 5 to 9"),
        (chunk(BODY + bytes(1)), "positions in 4 bytes, expected 2 varints of 1 to 3 bytes"),
        (chunk(b"\x80\x80\x80\x00\x00" + bytes(3)), "positions in 5 bytes"),
        (chunk(b"\x03\x83" + bytes(3)), "positions in 2 bytes"),
        (chunk(b"\x80\x80" + bytes(3)), "positions in 2 bytes"),
        (chunk(b"\x03\xd4\x04" + bytes(3)), "has a cell at 600, the layer has 600"),
        (chunk(b"\xff\xff\x7f\xff\xff\x7f" + bytes(3)), "has a cell at 4194303, the layer has 600"),
        (chunk(bytes(10_000_000), coding=1), "inflates to more than 9 bytes"),
        (chunk(BODY[:4], coding=1), "has 2 cells in 4 bytes"),
        (chunk(b"\x00" * 9)[:5] + b"\x01" + chunk(b"\xff" * 9)[6:], "does not inflate"),
    ],
)
def test_faults_are_named(payload, complaint):
    with pytest.raises(MessageError, match=complaint):
        decode_features(payload).layers(GOLDEN_SPECS, SHAPE)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (chunk(bytes(3), layer=4, count=1), "has 1 cell in 3 bytes, expected all 40 in 3"),
        (chunk(bytes(119), layer=4, count=40), "has 40 cells in 119 bytes, expected all 40 in 120"),
        (chunk(bytes(121), layer=4, count=40), "has 40 cells in 121 bytes, expected all 40 in 120"),
        (chunk(b"\x01\x00\x00\x00\x7e", layer=2, count=1), "values that are not finite"),
    ],
)
def test_faults_of_dense_and_float_layers_are_named(payload, complaint):
    with pytest.raises(MessageError, match=complaint):
        decode_features(payload).layers(SPECS, SHAPE)


def test_a_flood_of_small_streams_is_stopped_at_one_map():
    one = chunk(bytes(600 + 900), coding=1, count=600)[4:]
    with pytest.raises(MessageError, match="has 600 cells, expected 1 to 0"):
        decode_features(bytes(4) + one * 1000).layers(GOLDEN_SPECS, SHAPE)


def test_a_flood_of_small_chunks_is_refused():
    """Kind: 6 000 chunks of one cell, which no encoder writes, took a second to read."""
    end = [chunk(bytes([cell]) + bytes(2), count=1)[4:] for cell in range(5)]
    layers = decode_features(bytes(4) + b"".join(end[:4])).layers(GOLDEN_SPECS, SHAPE)
    assert layers[0].cells.tolist() == [0, 1, 2, 3]
    with pytest.raises(MessageError, match="layer 0 has more than 4 chunks of less than 32 cells"):
        decode_features(bytes(4) + b"".join(end)).layers(GOLDEN_SPECS, SHAPE)


MUTATED = tuple(
    encode_features(-1.7, boxes(2), [section(layer, 40, spread=spread) for layer in range(5)], SPECS, 1 << 20)
    for spread in (0.3, 100.0)
)


@settings(max_examples=300)
@given(st.data(), st.sampled_from(MUTATED))
def test_changed_bytes_are_refused_or_read(data, whole):
    payload = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    candidate = bytes(payload[: data.draw(st.integers(0, len(payload)) | st.just(len(payload)))])
    for action in (
        lambda: decode_features(candidate),
        lambda: cuts(candidate),
        lambda: truncate(message(candidate), 300),
    ):
        try:
            action()
        except MessageError:
            continue
    try:
        read = decode_features(candidate)
        layers = read.layers(SPECS, SHAPE)
    except MessageError:
        return
    for spec, layer in zip(SPECS, layers, strict=True):
        assert layer.values.shape == (len(layer.cells), spec.channels)
        assert len(np.unique(layer.cells)) == len(layer.cells) <= spec.cells(SHAPE)
        assert np.isfinite(layer.values.astype(float)).all()
