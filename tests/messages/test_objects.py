from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cosense.geometry.transforms import wrap_angle
from cosense.messages.envelope import MessageError
from cosense.messages.objects import (
    BOX_BYTES,
    HEADER_BYTES,
    MAX_OBJECTS,
    decode_objects,
    encode_objects,
    slopes_of,
)
from cosense.sensing.detections import Detections, Source

GOLDEN = bytes.fromhex("0100 7000 78ff e803 38ff 9cff c201 b400 9600 0040 ff7f 05")


def detections(boxes, scores, labels=None) -> Detections:
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 7)
    labels = np.zeros(len(boxes), np.int64) if labels is None else np.asarray(labels)
    return Detections(boxes, np.asarray(scores, np.float32), labels, np.zeros(len(boxes), np.uint8))


def test_golden_bytes():
    cyclist = detections([[10.0, -2.0, -1.0, 4.5, 1.8, 1.5, np.pi / 2]], [32767 / 65535], [5])
    assert encode_objects(cyclist, (0.0112, -0.0136)) == GOLDEN
    assert slopes_of(GOLDEN) == (0.0112, -0.0136)
    read = decode_objects(GOLDEN)
    np.testing.assert_allclose(read.boxes, cyclist.boxes, atol=1e-12)
    assert read.labels.tolist() == [5]
    assert read.sources.tolist() == [Source.EGO]
    assert BOX_BYTES == 17


boxes_and_scores = st.integers(0, 20).flatmap(
    lambda count: st.tuples(
        hnp.arrays(np.float64, (count, 3), elements=st.floats(-327, 327)),
        hnp.arrays(np.float64, (count, 3), elements=st.floats(0.1, 50)),
        hnp.arrays(np.float64, (count,), elements=st.floats(-10, 10)),
        hnp.arrays(np.float32, (count,), elements=st.floats(0, 1, width=32)),
    )
)


@given(boxes_and_scores)
def test_round_trip_within_a_centimetre(drawn):
    centers, sizes, yaws, scores = drawn
    sent = Detections.concatenate([detections(np.column_stack([centers, sizes, yaws]), scores)])
    read = decode_objects(encode_objects(sent))
    # Two scores that round to the same number may only keep the order in which they were given.
    np.testing.assert_allclose(read.boxes[:, :6], sent.boxes[:, :6], atol=0.00501)
    turned = wrap_angle(read.boxes[:, 6] - sent.boxes[:, 6])
    assert np.all(np.abs(turned) <= np.pi / 65536 + 1e-9)
    np.testing.assert_allclose(read.scores, sent.scores, atol=1 / 131070 + 1e-7)
    assert encode_objects(read) == encode_objects(sent)


def test_boxes_that_do_not_fit_the_ranges_are_left_out():
    near = [1.0, 2.0, 0.0, 4.0, 2.0, 1.5, 0.0]
    boxes = [near, [328.0, *near[1:]], [np.nan, *near[1:]], [*near[:3], 700.0, *near[4:]]]
    read = decode_objects(encode_objects(detections(boxes, [0.1, 0.9, 0.9, 0.9])))
    np.testing.assert_allclose(read.boxes, [near])


def test_the_best_boxes_are_kept_when_there_are_too_many():
    count = MAX_OBJECTS + 10
    boxes = np.tile([1.0, 2.0, 0.0, 4.0, 2.0, 1.5, 0.0], (count, 1))
    boxes[:, 0] = np.arange(count) / 10
    read = decode_objects(encode_objects(detections(boxes, np.linspace(0, 1, count))))
    assert len(read) == MAX_OBJECTS
    assert np.all(np.diff(read.scores) <= 0)
    assert read.boxes[:, 0].min() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        (b"\x01", "objects have 1 byte"),
        (struct.pack("<Hhh", 513, 0, 0) + bytes(513 * 17), "513 objects announced, the limit is 512"),
        (GOLDEN[:-1], "payload has 22 bytes, expected 23 for 1 object"),
        (GOLDEN + b"\x00", "payload has 24 bytes, expected 23 for 1 object"),
        (GOLDEN[:-1] + b"\x0a", "class of a box is 10, expected 0 to 9"),
        (GOLDEN[:12] + b"\x00\x00" + GOLDEN[14:], "length, width or height 0"),
    ],
)
def test_faults_are_named(payload, complaint):
    with pytest.raises(MessageError, match=complaint):
        decode_objects(payload)


@pytest.mark.parametrize("slopes", [(3.3, 0.0), (0.0, -3.3), (np.nan, 0.0)])
def test_slopes_that_no_ground_has_are_refused(slopes):
    with pytest.raises(MessageError, match="slopes of the ground"):
        encode_objects(detections([], []), slopes)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read(payload):
    try:
        read = decode_objects(payload)
    except MessageError:
        return
    assert np.isfinite(read.boxes).all()
    assert len(payload) == HEADER_BYTES + BOX_BYTES * len(read)
