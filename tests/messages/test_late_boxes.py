from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cosense.geometry.transforms import wrap_angle
from cosense.messages.envelope import MessageError
from cosense.messages.late_boxes import (
    LATE_BOX_BYTES,
    MAX_LATE_BOXES,
    LateBoxes,
    decode_late_boxes,
    encode_late_boxes,
)
from cosense.sensing.detections import Detections, Source

# Written by hand from docs/wire_format.md: a car of 2 m in every direction, 1.6 m above a ground at -2 m.
GOLDEN = bytes.fromhex("e803 38ff 41 808080 40 33 05 04 80")
NEAR = [1.0, 2.0, 0.0, 4.0, 2.0, 1.5, 0.0]


def late_boxes(boxes, scores=None, labels=None, velocities=None) -> LateBoxes:
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 7)
    count = len(boxes)
    return LateBoxes(
        Detections(
            boxes,
            np.full(count, 0.5, np.float32) if scores is None else np.asarray(scores, np.float32),
            np.zeros(count, np.int64) if labels is None else np.asarray(labels),
            np.zeros(count, np.uint8),
        ),
        np.full((count, 2), np.nan) if velocities is None else np.asarray(velocities, dtype=float),
    )


def test_golden_bytes():
    size = 0.2 * 100 ** (128 / 255)
    sent = late_boxes([[10, -2, -0.4, size, size, size, np.pi / 2]], [0.2], [5], [[1.0, np.nan]])
    assert encode_late_boxes(sent, -2.0) == GOLDEN
    read = decode_late_boxes(GOLDEN, -2.0)
    np.testing.assert_allclose(read.detections.boxes, sent.detections.boxes, atol=1e-12)
    np.testing.assert_allclose(read.detections.scores, [0.2], atol=1e-7)
    np.testing.assert_array_equal(read.velocities_mps, [[1.0, np.nan]])
    assert read.detections.labels.tolist() == [5]
    assert read.detections.sources.tolist() == [Source.EGO]
    assert LATE_BOX_BYTES == len(GOLDEN) == 13


drawn_boxes = st.integers(0, 20).flatmap(
    lambda count: st.builds(
        lambda xy, height, size, yaw, score, velocity: late_boxes(
            np.column_stack([xy, height - 3, size, yaw]), score, velocities=velocity
        ),
        hnp.arrays(np.float64, (count, 2), elements=st.floats(-327, 327)),
        hnp.arrays(np.float64, (count,), elements=st.floats(-1, 9.2)),
        hnp.arrays(np.float64, (count, 3), elements=st.floats(0.2, 20)),
        hnp.arrays(np.float64, (count,), elements=st.floats(-10, 10)),
        hnp.arrays(np.float32, (count,), elements=st.floats(0, 1, width=32)),
        hnp.arrays(np.float64, (count, 2), elements=st.floats(-31.75, 31.75) | st.just(np.nan)),
    )
)


@given(drawn_boxes)
def test_round_trip_within_half_a_step(sent):
    data = encode_late_boxes(sent, -3.0)
    read = decode_late_boxes(data, -3.0)
    a, b = sent.detections, read.detections
    np.testing.assert_allclose(b.boxes[:, :2], a.boxes[:, :2], atol=0.00501)
    np.testing.assert_allclose(b.boxes[:, 2], a.boxes[:, 2], atol=0.0201)
    np.testing.assert_allclose(b.boxes[:, 3:6], a.boxes[:, 3:6], rtol=0.00908)
    assert np.all(np.abs(wrap_angle(b.boxes[:, 6] - a.boxes[:, 6])) <= np.pi / 256 + 1e-9)
    np.testing.assert_allclose(b.scores, a.scores, atol=0.5 / 255 + 1e-6)
    np.testing.assert_allclose(read.velocities_mps, sent.velocities_mps, atol=0.125)
    assert encode_late_boxes(read, -3.0) == data


def test_the_order_given_is_kept():
    boxes = np.tile(NEAR, (3, 1))
    boxes[:, 0] = [5, 6, 7]
    read = decode_late_boxes(encode_late_boxes(late_boxes(boxes, [0.1, 0.9, 0.5]), 0.0), 0.0)
    assert read.detections.boxes[:, 0].tolist() == [5, 6, 7]


def test_boxes_that_do_not_fit_the_ranges_are_left_out():
    boxes = [[328.0, *NEAR[1:]], [np.nan, *NEAR[1:]], [*NEAR[:6], np.inf], NEAR, NEAR]
    read = decode_late_boxes(encode_late_boxes(late_boxes(boxes, [0.9, 0.9, 0.9, 0.8, np.nan]), 0.0), 0.0)
    np.testing.assert_allclose(read.detections.scores, [0.8], atol=1e-6)


def test_heights_sizes_and_velocities_are_clipped():
    boxes = [[0, 0, -5, 0.0, 0.1, 0.2, 0], [0, 0, 50, 20, 21, 1e6, 0]]
    sent = late_boxes(boxes, [-1, 2], velocities=[[-50, 50], [np.inf, -np.inf]])
    read = decode_late_boxes(encode_late_boxes(sent, 0.0), 0.0)
    np.testing.assert_allclose(read.detections.boxes[:, 2], [-1, 9.2])
    np.testing.assert_allclose(read.detections.boxes[:, 3:6], [[0.2] * 3, [20] * 3])
    np.testing.assert_allclose(read.detections.scores, [0, 1])
    np.testing.assert_allclose(read.velocities_mps, [[-31.75, 31.75], [31.75, -31.75]])


def test_too_many_boxes_are_cut_behind():
    boxes = np.tile(NEAR, (MAX_LATE_BOXES + 5, 1))
    boxes[:, 0] = np.arange(len(boxes)) / 10
    read = decode_late_boxes(encode_late_boxes(late_boxes(boxes), 0.0), 0.0)
    np.testing.assert_allclose(read.detections.boxes[:, 0], boxes[:MAX_LATE_BOXES, 0])


def test_selection_and_empty():
    two = late_boxes([NEAR, NEAR], [0.1, 0.2], velocities=[[1, 2], [3, 4]])
    assert two[np.array([False, True])].velocities_mps.tolist() == [[3, 4]]
    assert len(two[:1]) == 1
    assert encode_late_boxes(LateBoxes.empty(), 0.0) == b""
    assert len(decode_late_boxes(b"", 0.0)) == 0
    with pytest.raises(ValueError, match="2 boxes have velocities"):
        LateBoxes(two.detections, np.zeros((1, 2)))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (GOLDEN[:-1], "late boxes have 12 bytes, expected a multiple of 13"),
        (GOLDEN * 513, "513 late boxes, the limit is 512"),
        (GOLDEN[:10] + b"\x0a" + GOLDEN[11:], "class of a late box is 10, expected 0 to 9"),
    ],
)
def test_faults_are_named(data, complaint):
    with pytest.raises(MessageError, match=complaint):
        decode_late_boxes(data, 0.0)


@settings(max_examples=100)
@given(st.binary(max_size=60), st.integers(0, 3))
def test_any_bytes_are_refused_or_read(data, boxes):
    candidate = (GOLDEN * boxes + data)[: 13 * boxes] if len(data) % 2 else data
    try:
        read = decode_late_boxes(candidate, -1.0)
    except MessageError:
        return
    assert np.isfinite(read.detections.boxes).all()
    assert len(candidate) == 13 * len(read)
