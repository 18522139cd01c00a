"""Places of cells and boxes of other agents in the ego's maps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.detectors.box_maps import code_maps, hills, middle_cells
from cosense.detectors.head import DETECTED_CLASSES, cell_centers, detected_class
from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import Matrix
from cosense.methods.patches.evidence import BoxMaps
from cosense.sensing.detections import Detections
from cosense.sensing.grid import BevGrid


def cell_places(cells: Tensor, grid: BevGrid, T_ego_sender: Matrix) -> Tensor:
    """Return (K,2): where the middles of flat cells (K,) of the sender's grid lie in the ego frame."""
    rotation = torch.from_numpy(T_ego_sender[:2, :2].astype(np.float32))
    offset = torch.from_numpy(T_ego_sender[:2, 3].astype(np.float32))
    return cell_centers(cells, grid) @ rotation.T + offset


def draw_boxes(parts: Sequence[Detections], ground_m: float, grid: BevGrid) -> BoxMaps:
    """Draw the boxes of all others, given in the ego frame, into maps of one ego (B = 1).

    Args:
        parts: boxes of each sender; classes that the detectors do not know are left out.
        ground_m: z of the ground in the ego frame.
        grid: cells of the head's maps.
    """
    detections = Detections.concatenate(list(parts))
    kinds = [detected_class(int(label)) for label in detections.labels]
    middles, inside = middle_cells(detections.boxes, grid)
    known = np.array([kind is not None for kind in kinds], dtype=bool) & inside
    kind_of = torch.tensor([kind for kind, used in zip(kinds, known, strict=True) if used], dtype=torch.int64)
    scores = torch.from_numpy(detections.scores[known])
    boxes = torch.from_numpy(_above_ground(detections.boxes[known], ground_m)).float()
    height, width = grid.shape
    patch, hill = hills(boxes, middles[known], grid)
    on_map = patch >= 0
    heat = torch.zeros(len(DETECTED_CLASSES) * height * width)
    index = (kind_of[:, None] * (height * width) + patch)[on_map]
    heat.scatter_reduce_(0, index, (hill * scores[:, None])[on_map], "amax")
    # Where two boxes claim a cell, the one with more score and the nearer middle wins.
    codes, weight = code_maps(boxes, patch, hill * scores[:, None], grid)
    return BoxMaps(heat.view(1, -1, height, width), codes, (weight > 0).float())


def _above_ground(boxes: Boxes, ground_m: float) -> NDArray[np.float64]:
    lowered = boxes.copy()
    lowered[:, 2] -= ground_m
    return lowered
