"""The one box struct: `(x, y, z, l, w, h, yaw)`, metres and radians.

z is the height of the box centre, l the extent along the heading, and yaw turns about +z from +x towards +y
(REP-103). Arrays are (M,7) float64. The order of the corners:

          5 -------- 4          x (heading)
         /|         /|          ^
        6 -------- 7 |          |
        | |        | |     y <--+      0..3 bottom: front-left, front-right, rear-right, rear-left
        | 1 -------|-0                 4..7 the same four on top
        |/         |/
        2 -------- 3
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cosense.geometry.transforms import Matrix, transform_points, wrap_angle

Boxes = NDArray[np.float64]
# Larger than the rounding of world coordinates, too small to matter.
_ROUNDING_M = 1e-6
BOX_FIELDS = ("x", "y", "z", "l", "w", "h", "yaw")

_CORNER_SIGNS = np.array(
    [[1, 1, -1], [1, -1, -1], [-1, -1, -1], [-1, 1, -1], [1, 1, 1], [1, -1, 1], [-1, -1, 1], [-1, 1, 1]]
)


def as_boxes(boxes: ArrayLike) -> Boxes:
    """Return (M,7) float64; an empty list becomes (0,7).

    Raises:
        ValueError: the array has another shape.
    """
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0:
        return np.zeros((0, 7))
    if array.ndim != 2 or array.shape[1] != 7:
        raise ValueError(f"boxes have shape {array.shape}, expected (M, 7) of {BOX_FIELDS}")
    return array


def bev_corners(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return the footprints (M,4,2), each front-left, front-right, rear-right, rear-left."""
    return box_corners(boxes)[:, :4, :2]


def box_corners(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return the corners (M,8,3) in the order drawn above."""
    boxes = as_boxes(boxes)
    offsets = _CORNER_SIGNS * boxes[:, None, 3:6] / 2
    cos, sin = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
    x = offsets[..., 0] * cos - offsets[..., 1] * sin
    y = offsets[..., 0] * sin + offsets[..., 1] * cos
    return np.stack([x, y, offsets[..., 2]], axis=-1) + boxes[:, None, :3]


def boxes_from_corners(corners: NDArray) -> Boxes:
    """Fit boxes (M,7) to corners (M,8,3) in the order drawn above.

    Opposite edges are averaged, so that the corners of a slightly tilted or skewed box are accepted.
    """
    corners = np.asarray(corners, dtype=np.float64).reshape(-1, 8, 3)
    forward = corners[:, [0, 1, 4, 5]].mean(1) - corners[:, [2, 3, 6, 7]].mean(1)
    leftward = corners[:, [0, 3, 4, 7]].mean(1) - corners[:, [1, 2, 5, 6]].mean(1)
    upward = corners[:, 4:].mean(1) - corners[:, :4].mean(1)
    return np.column_stack(
        [
            corners.mean(1),
            np.linalg.norm(forward, axis=1),
            np.linalg.norm(leftward, axis=1),
            np.linalg.norm(upward, axis=1),
            np.arctan2(forward[:, 1], forward[:, 0]),
        ]
    )


def transform_boxes(T_dst_src: Matrix, boxes: ArrayLike) -> Boxes:
    """Map boxes (M,7) of `src` into `dst`; roll and pitch of the transform move centres, but keep sizes."""
    boxes = as_boxes(boxes)
    heading = np.column_stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6]), np.zeros(len(boxes))])
    turned = heading @ T_dst_src[:3, :3].T
    moved = boxes.copy()
    moved[:, :3] = transform_points(T_dst_src, boxes[:, :3])
    moved[:, 6] = wrap_angle(np.arctan2(turned[:, 1], turned[:, 0]))
    return moved


def footprints_contain(boxes: ArrayLike, xy: ArrayLike, margin_m: float = 0.0) -> NDArray[np.bool_]:
    """Return (M,K): whether the footprint of each box (M,7), wider by a margin, contains each place (K,2)."""
    boxes = as_boxes(boxes)
    offset = np.reshape(xy, (-1, 2))[None] - boxes[:, None, :2]
    cos, sin = np.cos(boxes[:, 6, None]), np.sin(boxes[:, 6, None])
    along = offset[..., 0] * cos + offset[..., 1] * sin
    across = offset[..., 1] * cos - offset[..., 0] * sin
    reach = boxes[:, None, 3:5] / 2 + margin_m
    return np.asarray((np.abs(along) <= reach[..., 0]) & (np.abs(across) <= reach[..., 1]))


def points_in_boxes(xyz: NDArray, boxes: ArrayLike) -> NDArray[np.bool_]:
    """Return (M,N): whether each box contains each of the points (N,3); its surface counts as inside."""
    boxes = as_boxes(boxes)
    xyz = np.asarray(xyz)
    inside = np.zeros((len(boxes), len(xyz)), dtype=bool)
    # Most points are far from most boxes: with points sorted by x, a box looks only at the strip it reaches.
    order = np.argsort(xyz[:, 0])
    x_sorted, y_sorted, z_sorted = np.ascontiguousarray(xyz[order, :3].T, dtype=np.float64)
    cos, sin = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    reach = (boxes[:, 3] * np.abs(cos) + boxes[:, 4] * np.abs(sin)) / 2 + _ROUNDING_M
    first = np.searchsorted(x_sorted, boxes[:, 0] - reach, side="left")
    last = np.searchsorted(x_sorted, boxes[:, 0] + reach, side="right")
    for row, (x, y, z, length, width, height, _) in enumerate(boxes):
        strip = slice(first[row], last[row])
        dx, dy, dz = x_sorted[strip] - x, y_sorted[strip] - y, z_sorted[strip] - z
        along = dx * cos[row] + dy * sin[row]
        across = dy * cos[row] - dx * sin[row]
        hit = (np.abs(along) <= length / 2) & (np.abs(across) <= width / 2) & (np.abs(dz) <= height / 2)
        inside[row, order[strip][hit]] = True
    return inside
