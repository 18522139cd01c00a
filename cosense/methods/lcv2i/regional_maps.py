"""The regional maps of LCV2I: where features stand out, where objects are, where the vehicle needs help.

From the paper (arXiv 2502.17039) and its reviews: the feature map is smoothed by a Gaussian and compared with
the neighbouring places, which gives the regional difference map; with the regional score map it assesses what
is worth sending. Ours are all numbers and the forms below; README.md lists them.

    S     = G * F                                    G of 5 × 5 cells, sigma 1, its sum 1, borders repeated
    D(x)  = mean over 8 neighbours y and all channels of |S(x) - S(y)|
    M_D   = V clip(D / P99(D), 0, 1)                 V: seen by the sensors, without a rim of one cell
    M_S   = max over classes of sigmoid(logits)
    Q     = (1 - rho) (1 - M_S) + rho [n < n_min]    n: points in a region

P99 is taken over what was seen in this frame, so the map says what stands out here, not how much. The rim is
left out since the features change there without anything being there.
"""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional

from cosense.detectors.base import BevFeatures, Encoded, once
from cosense.methods.supply_demand import wanted_cells
from cosense.sensing.grid import BevGrid

_KERNEL, _SIGMA = 5, 1.0
_PERCENTILE = 0.99
_DIRECTIONS = 180
# What a region is worth to an ego that did not ask for it, of one that did.
_UNWANTED = 0.1

_differences: WeakKeyDictionary[Encoded, Tensor] = WeakKeyDictionary()


def smoothed(features: Tensor) -> Tensor:
    """Return maps (B,C,H,W) under the Gaussian window; beyond the border is what lies at it."""
    offset = torch.arange(_KERNEL, dtype=features.dtype, device=features.device) - _KERNEL // 2
    window = torch.exp(-(offset**2) / (2 * _SIGMA**2))
    window = window / window.sum()
    channels, reach = features.shape[1], _KERNEL // 2
    padded = functional.pad(features, (reach, reach, reach, reach), mode="replicate")
    kernels = (window[:, None] * window).expand(channels, 1, -1, -1)
    return functional.conv2d(padded, kernels, groups=channels)


def contrast(features: Tensor) -> Tensor:
    """Return D (H,W) of features (C,H,W): how much each place differs from its 8 neighbours, smoothed first.

    Beyond the border is what lies at it.
    """
    around = functional.pad(smoothed(features[None]), (1, 1, 1, 1), mode="replicate")[0]

    def between(one: Tensor, other: Tensor) -> Tensor:
        return (one - other).abs().mean(dim=0)

    # Of each two neighbours in a row, in a column and on both diagonals; each counts for both.
    row = between(around[:, 1:-1, 1:], around[:, 1:-1, :-1])
    column = between(around[:, 1:, 1:-1], around[:, :-1, 1:-1])
    falling = between(around[:, 1:, 1:], around[:, :-1, :-1])
    rising = between(around[:, 1:, :-1], around[:, :-1, 1:])
    total = row[:, 1:] + row[:, :-1] + column[1:] + column[:-1]
    total += falling[1:, 1:] + falling[:-1, :-1] + rising[1:, :-1] + rising[:-1, 1:]
    return total / 8


def difference_map(features: Tensor, covered: Tensor) -> Tensor:
    """Return M_D (H,W) in [0, 1] of features (C,H,W); `covered` (H,W) bool as `coverage` gives it."""
    differs = contrast(features.float())
    if not covered.any():
        return torch.zeros_like(differs)
    largest = torch.quantile(differs[covered], _PERCENTILE)
    return (differs / largest.clamp(min=1e-6)).clamp(max=1.0) * covered


def coverage(point_counts: Tensor, grid: BevGrid) -> Tensor:
    """Return V (H/2,W/2) bool: the directions in which a sensor has points, without a rim of one cell.

    Where there are none at all, as of an agent with nothing but a camera or of cached features, it is the
    whole map.

    Args:
        point_counts: (H,W), or empty.
        grid: cells of the counts, in the sensor's frame.
    """
    coarse = grid.coarser(2)
    seen = torch.ones(coarse.shape, dtype=torch.bool, device=point_counts.device)
    if point_counts.numel() and point_counts.any():
        x, y = torch.from_numpy(coarse.centres()).to(point_counts.device).unbind(dim=-1)
        sector = ((torch.atan2(y, x) / (2 * math.pi) + 0.5) * _DIRECTIONS).long().clamp(max=_DIRECTIONS - 1)
        has_points = functional.max_pool2d(point_counts[None, None].float(), 2, ceil_mode=True)[0, 0] > 0
        directions = torch.zeros(_DIRECTIONS, dtype=torch.bool, device=point_counts.device)
        directions[sector[has_points]] = True
        # A cell is seen from several directions.
        seen = (directions | directions.roll(1) | directions.roll(-1))[sector]
    unseen = functional.pad((~seen)[None, None].float(), (1, 1, 1, 1), value=1.0)
    return functional.max_pool2d(unseen, 3, stride=1)[0, 0] == 0


def difference_of(own: BevFeatures) -> Tensor:
    """Return M_D (H/2,W/2) of an encoding, computed once."""
    return once(_differences, own, lambda: difference_map(own.context, coverage(own.point_counts, own.grid)))


def score_of(own: BevFeatures) -> Tensor:
    """Return M_S (H/2,W/2), the confidence of the detector."""
    return torch.sigmoid(own.class_logits.amax(dim=0))


def regional(values: Tensor, stride: int) -> Tensor:
    """Return (H/s,W/s) of a map (H/2,W/2): a region is worth its best cell, so nothing small is lost."""
    size = stride // 2
    return functional.max_pool2d(values[None, None], size, ceil_mode=True)[0, 0] if size > 1 else values


def wanted_regions(own: BevFeatures, stride: int, rho: float, least_points: int, threshold: float) -> Tensor:
    """Return (H/s,W/s) bool: the regions in which the vehicle's need Q is above a threshold.

    Args:
        own: the vehicle's encoding.
        stride: pillars per region along one edge.
        rho: share of Q that comes from a lack of points, the rest from a lack of confidence.
        least_points: a region with fewer points lacks them.
        threshold: of Q.
    """
    few = wanted_cells(own.point_counts, stride, least_points)
    return (1 - rho) * (1 - regional(score_of(own), stride)) + rho * few > threshold


def need_of(wanted: Tensor) -> Tensor:
    """Return (H,W): the need as a sender knows it, by the regions that were asked for."""
    return torch.where(wanted, 1.0, _UNWANTED)
