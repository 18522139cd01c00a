"""Operators of mmcv for detectors of clouds, where mmcv is installed without its compiled ones (mmcv-lite).

`pip install mmcv` finds no wheel for today's Python and PyTorch, and building it takes half an hour. What
LiDAR detectors of mmdet3d call is little: voxels, rotated overlap and suppression, points in boxes. It is
written here with torch and `cosense.geometry`, under the names and with the arguments by which mmcv's Python
calls them (`mmcv._ext`); results are written into the tensors that are handed over, as there. Every other
operator can be imported and raises when it is called.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cosense.geometry.boxes import points_in_boxes
from cosense.geometry.iou import bev_iou
from cosense.geometry.nms import rotated_nms

NAME = "mmcv._ext"


def provide() -> None:
    """Put the operators in the place of mmcv's compiled ones, unless these are there."""
    try:
        import_module(NAME)
    except ModuleNotFoundError:
        sys.modules[NAME] = _Operators(NAME)


class _Operators(ModuleType):
    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in _WRITTEN:
            return _WRITTEN[name]

        def missing(*given: Any, **named: Any) -> None:
            raise NotImplementedError(
                f"the operator '{name}' of mmcv is not among those that cosense brings: build mmcv itself"
            )

        return missing


def hard_voxelize_forward(
    points: Tensor,
    voxel_size: Tensor,
    coors_range: Tensor,
    voxels: Tensor,
    coors: Tensor,
    num_points_per_voxel: Tensor,
    voxel_num: Tensor,
    max_points: int,
    max_voxels: int,
    NDim: int = 3,
    deterministic: bool = True,
) -> None:
    """Fill voxels (V,max_points,C) in the order of their first points, places (V,3) z, y, x, and counts (V,).

    Points beyond `max_points` in their voxel and voxels beyond `max_voxels` are left out.
    """
    place, grid = _places(points, voxel_size, coors_range)
    inside = ((place >= 0) & (place < grid)).all(dim=1).nonzero()[:, 0]
    place = place[inside]
    key = (place[:, 2] * grid[1] + place[:, 1]) * grid[0] + place[:, 0]
    unique, of_point = torch.unique(key, return_inverse=True)
    number = torch.arange(len(key), device=key.device)
    first = torch.full_like(unique, len(key)).scatter_reduce_(0, of_point, number, "amin")
    rank = torch.empty_like(unique)
    rank[torch.argsort(first)] = torch.arange(len(unique), device=key.device)
    of_point = rank[of_point]
    order = torch.argsort(of_point, stable=True)
    counts = torch.bincount(of_point, minlength=len(unique))
    start = torch.cumsum(counts, 0) - counts
    sorted_voxel = of_point[order]
    within = number - start[sorted_voxel]
    kept = (sorted_voxel < max_voxels) & (within < max_points)
    order, sorted_voxel, within = order[kept], sorted_voxel[kept], within[kept]
    voxels[sorted_voxel, within] = points[inside[order]]
    made = min(len(unique), max_voxels)
    coors[sorted_voxel] = place[order].flip(1).to(coors.dtype)
    num_points_per_voxel[:made] = counts[:made].clamp(max=max_points).to(num_points_per_voxel.dtype)
    voxel_num.fill_(made)


def dynamic_voxelize_forward(
    points: Tensor, voxel_size: Tensor, coors_range: Tensor, coors: Tensor, NDim: int = 3
) -> None:
    """Fill places (N,3) z, y, x of all points, -1 outside of the range."""
    place, grid = _places(points, voxel_size, coors_range)
    inside = ((place >= 0) & (place < grid)).all(dim=1, keepdim=True)
    coors.copy_(torch.where(inside, place.flip(1), -1))


def dynamic_point_to_voxel_forward(
    feats: Tensor, coors: Tensor, reduce_type: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return features (V,C), places (V,3), voxels of points (N,) with -1 for none, and counts (V,)."""
    valid = (coors >= 0).all(dim=1)
    places, of_valid, counts = torch.unique(coors[valid], dim=0, return_inverse=True, return_counts=True)
    of_point = coors.new_full((len(coors),), -1)
    of_point[valid] = of_valid.to(of_point.dtype)
    reduced = feats.new_zeros(len(places), feats.shape[1])
    index = of_valid[:, None].expand(-1, feats.shape[1])
    kind = {"max": "amax", "mean": "mean", "sum": "sum"}[reduce_type]
    reduced.scatter_reduce_(0, index, feats[valid], kind, include_self=False)
    return reduced, places, of_point, counts.to(coors.dtype)


def dynamic_point_to_voxel_backward(
    grad_feats: Tensor,
    grad_reduced: Tensor,
    feats: Tensor,
    reduced: Tensor,
    of_point: Tensor,
    counts: Tensor,
    reduce_type: str,
) -> None:
    """Fill the gradient (N,C) of the features that were reduced."""
    valid = of_point >= 0
    of_valid = of_point[valid].long()
    gradient = grad_reduced[of_valid]
    if reduce_type == "mean":
        gradient = gradient / counts[of_valid][:, None]
    elif reduce_type == "max":
        # As in mmcv, one point has the gradient: the first of those with the largest value.
        is_largest = feats[valid] == reduced[of_valid]
        number = torch.arange(len(of_valid), device=feats.device)[:, None].expand_as(is_largest)
        index = of_valid[:, None].expand_as(is_largest)
        none = torch.full_like(number, len(of_valid))
        first = torch.full(reduced.shape, len(of_valid), device=feats.device)
        first.scatter_reduce_(0, index, torch.where(is_largest, number, none), "amin")
        gradient = gradient * (first[of_valid] == number)
    grad_feats[valid] = gradient


def box_iou_rotated(
    boxes1: Tensor, boxes2: Tensor, ious: Tensor, mode_flag: int = 0, aligned: bool = False
) -> None:
    """Fill overlaps of boxes (x, y, width, height, angle): of each with each, or of those in the same row."""
    if mode_flag != 0:
        raise NotImplementedError("overlap as a share of the first box is not among the operators of cosense")
    if aligned:
        rows = [
            bev_iou(_upright(a[None]), _upright(b[None]))[0, 0] for a, b in zip(boxes1, boxes2, strict=True)
        ]
        found = np.array(rows)
    else:
        found = bev_iou(_upright(boxes1), _upright(boxes2))
    ious.copy_(torch.as_tensor(found.reshape(ious.shape), dtype=ious.dtype))


def nms_rotated(
    dets: Tensor,
    scores: Tensor,
    order: Tensor,
    dets_sorted: Tensor,
    labels: Tensor,
    iou_threshold: float,
    multi_label: bool,
) -> Tensor:
    """Return the rows (K,) that stay, best first; with `multi_label` a sixth column keeps classes apart."""
    groups = dets[:, 5].tolist() if multi_label else [0] * len(dets)
    kept = []
    for group in sorted(set(groups)):
        rows = np.flatnonzero(np.array(groups) == group)
        stay = rotated_nms(_upright(dets[rows]), scores[rows].detach().cpu().numpy(), iou_threshold)
        kept.append(rows[stay])
    found = torch.as_tensor(np.concatenate(kept), device=dets.device)
    return found[torch.argsort(scores[found], descending=True, stable=True)]


def nms(bboxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the rows (K,) of boxes (x1, y1, x2, y2) that stay, best first; `offset` is added to sizes."""
    low, high = bboxes[:, :2], bboxes[:, 2:4] + offset
    middle, size = (low + high) / 2, (high - low).clamp(min=0)
    upright = _upright(torch.cat([middle, size, torch.zeros_like(size[:, :1])], dim=1))
    kept = rotated_nms(upright, scores.detach().cpu().numpy(), iou_threshold)
    return torch.as_tensor(kept, device=bboxes.device)


def points_in_boxes_cpu_forward(boxes: Tensor, points: Tensor, found: Tensor) -> None:
    """Fill (T,M): whether each box (x, y, z of its foot, sizes along x, y, z, yaw) has each point (M,3)."""
    found.copy_(torch.from_numpy(_inside(boxes, points)))


def points_in_boxes_all_forward(boxes: Tensor, points: Tensor, found: Tensor) -> None:
    """Fill (B,M,T): which boxes (B,T,7) have the points (B,M,3)."""
    for number, (mine, of_mine) in enumerate(zip(boxes, points, strict=True)):
        found[number] = torch.from_numpy(_inside(mine, of_mine).T).to(found)


def points_in_boxes_part_forward(boxes: Tensor, points: Tensor, found: Tensor) -> None:
    """Fill (B,M): the first box (B,T,7) that has each point (B,M,3), -1 for none."""
    for number, (mine, of_mine) in enumerate(zip(boxes, points, strict=True)):
        inside = _inside(mine, of_mine)
        first = np.where(inside.any(axis=0), inside.argmax(axis=0), -1) if len(inside) else -1
        found[number] = torch.as_tensor(first).to(found)


_WRITTEN = {
    function.__name__: function
    for function in (
        hard_voxelize_forward,
        dynamic_voxelize_forward,
        dynamic_point_to_voxel_forward,
        dynamic_point_to_voxel_backward,
        box_iou_rotated,
        nms_rotated,
        nms,
        points_in_boxes_cpu_forward,
        points_in_boxes_all_forward,
        points_in_boxes_part_forward,
    )
}


def _places(points: Tensor, voxel_size: Tensor, coors_range: Tensor) -> tuple[Tensor, Tensor]:
    """Return the voxel (N,3) x, y, z of each point, and how many there are along each axis."""
    size, low, high = (part.to(points) for part in (voxel_size, coors_range[:3], coors_range[3:]))
    grid = torch.round((high - low) / size).long()
    return torch.floor((points[:, :3] - low) / size).long(), grid


def _upright(boxes: Tensor) -> np.ndarray:
    """Return boxes (M,7) of boxes (M,5) seen from above."""
    x, y, width, height, angle = boxes[:, :5].detach().cpu().double().numpy().T
    flat = np.zeros_like(x)
    return np.column_stack([x, y, flat, width, height, flat + 1, angle])


def _inside(boxes: Tensor, points: Tensor) -> np.ndarray:
    """Return (T,M): which boxes (T,7), given by their feet, have which points (M,3)."""
    centred = boxes.detach().cpu().double().numpy().reshape(-1, 7).copy()
    centred[:, 2] += centred[:, 5] / 2
    return points_in_boxes(points.detach().cpu().numpy(), centred)
