"""Operators of mmcv against what they are defined to be, point by point and box by box."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cosense.detectors import mmcv_operators as operators
from cosense.geometry.iou import bev_iou

SIZE, RANGE = torch.tensor([0.5, 0.5, 4.0]), torch.tensor([-2.0, -1.0, -3.0, 2.0, 1.0, 1.0])


def points(count: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(3)
    return (torch.rand(count, 4, generator=rng) - 0.5) * torch.tensor([5.0, 3.0, 3.0, 1.0])


def place(point: torch.Tensor) -> tuple[int, ...] | None:
    """Return the voxel z, y, x of a point."""
    x, y, z = (int(v) for v in torch.floor((point[:3] - RANGE[:3]) / SIZE))
    return (z, y, x) if 0 <= x < 8 and 0 <= y < 4 and z == 0 else None


def test_hard_voxels_are_in_the_order_of_their_points() -> None:
    cloud = points(200)
    voxels, coors = torch.zeros(20, 5, 4), torch.zeros(20, 3, dtype=torch.int)
    counts, made = torch.zeros(20, dtype=torch.int), torch.zeros((), dtype=torch.long)
    operators.hard_voxelize_forward(
        cloud, SIZE, RANGE, voxels, coors, counts, made, max_points=5, max_voxels=20
    )
    wanted: dict[tuple[int, ...], list[torch.Tensor]] = {}
    for point in cloud:
        where = place(point)
        if where is not None and (where in wanted or len(wanted) < 20):
            wanted.setdefault(where, []).append(point)
    assert int(made) == len(wanted) == 20
    assert list(map(tuple, coors.tolist())) == list(wanted)
    assert counts.tolist() == [min(5, len(inside)) for inside in wanted.values()]
    for voxel, inside in zip(voxels, wanted.values(), strict=True):
        kept = torch.stack(inside[:5])
        assert torch.equal(voxel[: len(kept)], kept)
        assert not voxel[len(kept) :].any()


def test_dynamic_voxels_say_where_each_point_is() -> None:
    cloud = points(60)
    coors = torch.zeros(60, 3, dtype=torch.int)
    operators.dynamic_voxelize_forward(cloud, SIZE, RANGE, coors)
    assert [tuple(row) for row in coors.tolist()] == [place(point) or (-1, -1, -1) for point in cloud]


@pytest.mark.parametrize("kind", ["max", "mean", "sum"])
def test_points_are_reduced_by_voxel_and_gradients_come_back(kind: str) -> None:
    coors = torch.tensor([[0, 1, 2], [0, 0, 1], [0, 1, 2], [-1, -1, -1], [0, 1, 2]], dtype=torch.int)
    feats = torch.tensor([[1.0, 5.0], [2.0, 2.0], [3.0, 5.0], [9.0, 9.0], [0.0, 1.0]])
    reduced, places, of_point, counts = operators.dynamic_point_to_voxel_forward(feats, coors, kind)
    assert places.tolist() == [[0, 0, 1], [0, 1, 2]]
    assert of_point.tolist() == [1, 0, 1, -1, 1]
    assert counts.tolist() == [1, 3]
    of_three = {"max": [3.0, 5.0], "mean": [4 / 3, 11 / 3], "sum": [4.0, 11.0]}[kind]
    torch.testing.assert_close(reduced, torch.tensor([[2.0, 2.0], of_three]))
    slope, back = torch.tensor([[1.0, 1.0], [6.0, 6.0]]), torch.zeros_like(feats)
    operators.dynamic_point_to_voxel_backward(back, slope, feats, reduced, of_point, counts, kind)
    share = {"max": [[0, 6], [6, 0], [0, 0]], "mean": [[2, 2]] * 3, "sum": [[6, 6]] * 3}[kind]
    wanted = [share[0], [1, 1], share[1], [0, 0], share[2]]
    torch.testing.assert_close(back, torch.tensor(wanted, dtype=torch.float32))


def test_overlap_and_suppression_are_those_of_rotated_boxes() -> None:
    boxes = torch.tensor(
        [[0, 0, 4, 2, 0], [0, 0, 2, 4, np.pi / 2], [10, 0, 4, 2, 0.3], [0, 0.5, 4, 2, 0]], dtype=torch.float32
    )
    ious = torch.zeros(16)
    operators.box_iou_rotated(boxes, boxes, ious)
    overlap = ious.view(4, 4)
    assert overlap[0].tolist() == pytest.approx([1, 1, 0, 1.5 / 2.5], abs=1e-5)
    same = torch.zeros(4)
    operators.box_iou_rotated(boxes, boxes.flip(0), same, aligned=True)
    torch.testing.assert_close(same, overlap[range(4), range(3, -1, -1)])
    upright = np.array([[0, 0, 0, 4, 2, 1, 0], [10, 0, 0, 4, 2, 1, 0.3]])
    assert bev_iou(upright, upright)[0, 1] == overlap[0, 2]
    scores = torch.tensor([0.5, 0.9, 0.1, 0.6])
    given = (boxes, scores, torch.empty(0), boxes, torch.empty(0))
    assert operators.nms_rotated(*given, 0.5, False).tolist() == [1, 2]
    labelled = torch.cat([boxes, torch.tensor([[0.0], [1.0], [0.0], [1.0]])], dim=1)
    given = (labelled, scores, torch.empty(0), labelled, torch.empty(0))
    assert operators.nms_rotated(*given, 0.5, True).tolist() == [1, 0, 2]


def test_upright_boxes_are_suppressed_with_the_offset_of_pixels() -> None:
    boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [5.0, 0.0, 14.0, 9.0], [30.0, 0.0, 39.0, 9.0]])
    scores = torch.tensor([0.3, 0.9, 0.8])
    # 50 of 150 pixels with, 36 of 126 without the offset.
    assert operators.nms(boxes, scores, 0.3, 1).tolist() == [1, 2]
    assert operators.nms(boxes, scores, 0.3, 0).tolist() == [1, 2, 0]


def test_points_in_boxes_are_counted_from_the_foot() -> None:
    boxes = torch.tensor([[[0, 0, 0, 4, 2, 1.5, 0], [0, 0, 0, 4, 2, 1.5, np.pi / 2]]], dtype=torch.float32)
    cloud = torch.tensor([[[1.8, 0, 1.0], [0, 1.8, 1.0], [0, 0, 1.4], [0, 0, -0.1]]])
    found = torch.zeros(2, 4, dtype=torch.int)
    operators.points_in_boxes_cpu_forward(boxes[0], cloud[0], found)
    assert found.tolist() == [[1, 0, 1, 0], [0, 1, 1, 0]]
    every, first = torch.zeros(1, 4, 2, dtype=torch.int), torch.zeros(1, 4, dtype=torch.int)
    operators.points_in_boxes_all_forward(boxes, cloud, every)
    operators.points_in_boxes_part_forward(boxes, cloud, first)
    assert every[0].T.tolist() == found.tolist()
    assert first.tolist() == [[0, 1, 0, -1]]


def test_other_operators_raise_when_they_are_called() -> None:
    other = operators._Operators(operators.NAME).deform_conv_forward
    with pytest.raises(NotImplementedError, match="operator 'deform_conv_forward' of mmcv"):
        other(1, offset=2)
