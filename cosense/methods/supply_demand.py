"""Supply and demand, the two maps of CoSDH (Xu et al., CVPR 2025).

Supply is where a sender is confident that there is an object: S = max over classes of sigmoid(logits),
smoothed by a Gaussian window that is not normalised, G(x, y) = 1/(2 pi sigma) exp(-(x² + y²) / (2 sigma²)),
zeros beyond the border. We differ in that S is formed in the sender's frame: the sender decides before
anything is written, so nothing is warped by then.

Demand is where the ego cannot see: where it has fewer points than a threshold, counted over a cell.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def supply_map(class_logits: Tensor, stride: int, kernel: int = 5, sigma: float = 1.0) -> Tensor:
    """Return the smoothed confidence (H/s,W/s) of logits (classes,H,W), s = `stride` cells of the logits.

    A coarser cell is as confident as its most confident part.
    """
    confidence = torch.sigmoid(class_logits.amax(dim=0))[None, None]
    if stride > 1:
        confidence = functional.max_pool2d(confidence, stride, ceil_mode=True)
    window = _gaussian(kernel, sigma).to(confidence)
    return functional.conv2d(confidence, window[None, None], padding=kernel // 2)[0, 0]


def wanted_cells(point_counts: Tensor, stride: int, below: int) -> Tensor:
    """Return (H/s,W/s) bool: in which cells of s × s pillars there are fewer points than `below`."""
    pooled = functional.avg_pool2d(
        point_counts[None, None].float(), stride, ceil_mode=True, divisor_override=1
    )
    return pooled[0, 0] < below


def wanted_pillars(point_counts: Tensor, below: int) -> Tensor:
    """Return (H/2,W/2) bool: the demand as published, at the size of the finest level, one pillar of four."""
    return point_counts[::2, ::2] < below


def _gaussian(kernel: int, sigma: float) -> Tensor:
    """Return the window (kernel,kernel)."""
    offset = torch.arange(kernel, dtype=torch.float32) - kernel // 2
    squared = offset[:, None] ** 2 + offset**2
    return torch.exp(-squared / (2 * sigma**2)) / (2 * math.pi * sigma)
