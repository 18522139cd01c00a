"""Intersection over union of rotated boxes, in bird's-eye view (BEV) and in 3D.

The exact overlap of two rotated rectangles is computed by Green's theorem instead of by clipping polygons. In
the frame of the second rectangle, whose borders are x = ±p and y = ±q, the vertical chord of the first one at
x runs from its lower to its upper border, and its part within ±q is clamp(upper) - clamp(lower). The area of
the overlap is therefore

    - ∮ clamp(y, -q, q) dx    along the counter-clockwise border of the first one, restricted to |x| <= p,

a closed form for each of its four edges. Every term is continuous in the boxes: shared edges, shared corners,
nested and identical boxes are no special cases, and no vertices are sorted or compared.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosense.geometry.boxes import BOX_FIELDS, Boxes, as_boxes

Array = NDArray[np.float64]

# Blocks keep the intermediate arrays small enough for the processor's cache.
_MATRIX_BLOCK = 1 << 18
_PAIR_BLOCK = 1 << 12
_NEXT = [1, 2, 3, 0]
_VERTICAL = 1e-100


def bev_iou(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the IoU (M,K) of the footprints of boxes (M,7) and (K,7), in [0, 1].

    A box without area overlaps nothing: its IoU is 0, even with itself.

    Raises:
        ValueError: a box is not finite or has a negative size; the message names its row.
    """
    a, b = checked_boxes(a, "a"), checked_boxes(b, "b")
    return _iou_matrix(a, b, in_space=False)


def iou_3d(a: ArrayLike, b: ArrayLike) -> Array:
    """Return the IoU (M,K) of the volumes of boxes (M,7) and (K,7); errors are those of `bev_iou`."""
    a, b = checked_boxes(a, "a"), checked_boxes(b, "b")
    return _iou_matrix(a, b, in_space=True)


def checked_boxes(boxes: ArrayLike, name: str = "boxes") -> Boxes:
    """Return (M,7) float64 like `as_boxes`, and refuse boxes for which no overlap is defined.

    Args:
        boxes: (M,7).
        name: name of the argument, for the error.

    Raises:
        ValueError: wrong shape, a box that is not finite, or one with a negative size.
    """
    boxes = as_boxes(boxes)
    wrong = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 3:6] < 0).any(axis=1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"row {row} of {name} is no box: {dict(zip(BOX_FIELDS, boxes[row].tolist(), strict=True))}, "
            "expected finite numbers and sizes >= 0"
        )
    return boxes


def _iou_matrix(a: Boxes, b: Boxes, in_space: bool) -> Array:
    iou = np.zeros((len(a), len(b)))
    size_a, size_b = _sizes(a, in_space), _sizes(b, in_space)
    rectangles_a, rectangles_b = _rectangles(a), _rectangles(b)
    for row, column in _meeting_pairs(a, b):
        overlap = _overlap(rectangles_a.take(row, axis=1), rectangles_b.take(column, axis=1))
        if in_space:
            overlap *= _height_overlap(a[row], b[column])
        of_a, of_b = size_a[row], size_b[column]
        # Rounding must not make an overlap larger than a box, especially if that has no area.
        overlap = np.minimum(overlap, np.minimum(of_a, of_b))
        union = of_a + of_b - overlap
        union[union == 0] = 1
        iou[row, column] = overlap / union
    return iou


def _sizes(boxes: Boxes, in_space: bool) -> Array:
    area = boxes[:, 3] * boxes[:, 4]
    return area * boxes[:, 5] if in_space else area


def _meeting_pairs(a: Boxes, b: Boxes) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield blocks of (rows of a, rows of b): all pairs whose circumscribed circles meet."""
    reach_a, reach_b = np.hypot(a[:, 3], a[:, 4]) / 2, np.hypot(b[:, 3], b[:, 4]) / 2
    rows_at_once = max(1, _MATRIX_BLOCK // max(1, len(b)))
    for start in range(0, len(a), rows_at_once):
        block = slice(start, start + rows_at_once)
        distance_squared = (a[block, 0, None] - b[:, 0]) ** 2
        distance_squared += (a[block, 1, None] - b[:, 1]) ** 2
        meet = np.flatnonzero(distance_squared < (reach_a[block, None] + reach_b) ** 2)
        for first in range(0, len(meet), _PAIR_BLOCK):
            row, column = np.divmod(meet[first : first + _PAIR_BLOCK], len(b))
            yield row + start, column


def _height_overlap(a: Boxes, b: Boxes) -> Array:
    """Return the common height (P,) in metres of boxes (P,7) and (P,7), pair by pair."""
    top = np.minimum(a[:, 2] + a[:, 5] / 2, b[:, 2] + b[:, 5] / 2)
    bottom = np.maximum(a[:, 2] - a[:, 5] / 2, b[:, 2] - b[:, 5] / 2)
    return np.maximum(top - bottom, 0)


def _rectangles(boxes: Boxes) -> Array:
    """Return (6,M): x, y, cosine and sine of the yaw, half length, half width."""
    x, y, _, length, width, _, yaw = boxes.T
    return np.stack([x, y, np.cos(yaw), np.sin(yaw), length / 2, width / 2])


def _overlap(a: Array, b: Array) -> Array:
    """Return the overlap (P,) in square metres of rectangles (6,P) and (6,P), pair by pair."""
    x, y = _corners_in_frame_of(a, b)
    half_length, half_width = b[4], b[5]
    run, rise = x[_NEXT] - x, y[_NEXT] - y
    # An edge that is vertical, or outside of |x| <= p, has no width left and contributes nothing.
    run[np.abs(run) < _VERTICAL] = 1
    slope = rise / run
    x_start = np.clip(x, -half_length, half_length)
    x_end = x_start[_NEXT]
    mean = _mean_clamped(y + (x_start - x) * slope, y + (x_end - x) * slope, half_width)
    return np.maximum(((x_start - x_end) * mean).sum(axis=0), 0)


def _corners_in_frame_of(a: Array, b: Array) -> tuple[Array, Array]:
    """Return x and y (4,P) of the corners of each `a`, counter-clockwise, in the frame of its `b`."""
    x_a, y_a, cos_a, sin_a, half_length, half_width = a
    x_b, y_b, cos_b, sin_b, _, _ = b
    dx, dy = x_a - x_b, y_a - y_b
    x, y = dx * cos_b + dy * sin_b, dy * cos_b - dx * sin_b
    cos, sin = cos_a * cos_b + sin_a * sin_b, sin_a * cos_b - cos_a * sin_b
    forward_x, forward_y = half_length * cos, half_length * sin
    left_x, left_y = -half_width * sin, half_width * cos
    sum_x, sum_y = forward_x + left_x, forward_y + left_y
    difference_x, difference_y = forward_x - left_x, forward_y - left_y
    return (
        np.stack([x + sum_x, x - difference_x, x - sum_x, x + difference_x]),
        np.stack([y + sum_y, y - difference_y, y - sum_y, y + difference_y]),
    )


def _mean_clamped(start: Array, end: Array, limit: Array) -> Array:
    """Return the mean of clamp(y, -limit, limit) while y goes evenly from `start` to `end`.

    The segment is split where it enters and leaves the band. A segment that stays on one side of the band, or
    is level, has a single clamped value; otherwise all parts have the sign of the whole, and nothing cancels.
    """
    inner_start, inner_end = np.clip(start, -limit, limit), np.clip(end, -limit, limit)
    total = (inner_end - inner_start) * (inner_start + inner_end) / 2
    total += (inner_start - start) * inner_start
    total += (end - inner_end) * inner_end
    constant = inner_start == inner_end
    whole = end - start
    whole[constant] = 1
    return np.where(constant, inner_start, total / whole)
