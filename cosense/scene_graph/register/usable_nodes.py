"""The nodes of a graph that a registration can use, predicted to one time, in an order of their own.

SG-Reg (arXiv 2504.14440) registers static scenes; here cars drive between the two stamps, so every dynamic
node is predicted to the newer one and becomes less certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.messages.scene_graph import MAP_CLASSES, NodeClass, SceneGraph
from cosense.scene_graph.describe.triplets import describe_nodes
from cosense.scene_graph.nodes import GROUP_OF, WITH_HEADING
from cosense.scene_graph.register.planar_pose import Matched

# Two kilobytes hold 80.
MAX_NODES = 128
# Farther positions are mistakes of the sender: a message cannot even hold them.
_MAX_RANGE_M = 500.0
# A node less certain than this agrees with everything and proves nothing.
_MAX_SIGMA_M = 2.0
# The largest age of a dynamic node against the newer of the two graphs; static ones do not age.
MAX_AGE_S = 1.0
# Standard deviation of a known velocity, and the speed of a dynamic node that comes without one.
_VELOCITY_SIGMA_MPS, _UNKNOWN_SPEED_MPS = 0.5, 5.0
_MIN_SIGMA_M = 0.05


@dataclass(frozen=True)
class UsableNodes:
    """N nodes of one graph, the most certain first.

    Attributes:
        index: (N,) rows of the nodes in the graph.
        groups: (N,) classes after `GROUP_OF`: nodes of one group may match each other.
        classes: (N,) values of `NodeClass`.
        positions: (N,3) in the agent frame at the common time, metres.
        sizes: (N,3) length, width, height in metres.
        yaws: (N,) radians, NaN where there is none worth comparing.
        sigmas_m: (N,) standard deviation of the position per axis at the common time.
        descriptors: (N,D) of unit length or zero.
    """

    index: NDArray[np.int64]
    groups: NDArray[np.int64]
    classes: NDArray[np.int64]
    positions: NDArray[np.float64]
    sizes: NDArray[np.float64]
    yaws: NDArray[np.float64]
    sigmas_m: NDArray[np.float64]
    descriptors: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.index)


def usable_nodes(
    graph: SceneGraph, stamp_ns: int, *, with_descriptors: bool = False, max_nodes: int = MAX_NODES
) -> UsableNodes:
    """Return the nodes of `graph` that can be used, where they are at `stamp_ns`, the most certain first.

    Nodes with values that are not finite, with positions out of range and with unknown numbers of a class are
    left out. The order depends on what the nodes say alone, not on their order in the graph.

    Args:
        graph: graph of a peer, with any content.
        stamp_ns: the common time.
        with_descriptors: use the descriptors of the graph instead of computing them.
        max_nodes: number of nodes that are kept, those with the highest scores, then the nearest.
    """
    seconds = (stamp_ns - graph.stamp_ns) / 1e9
    positions = np.array(graph.positions, np.float64).reshape(-1, 3)
    classes = np.asarray(graph.classes, np.int64)
    dynamic = ~np.isin(classes, MAP_CLASSES)
    with np.errstate(all="ignore"):
        known = np.asarray(np.isfinite(graph.velocities).all(axis=1))
        velocities = np.where(known[:, None], graph.velocities, 0.0)
        positions[:, :2] += np.where(dynamic[:, None], velocities * seconds, 0.0)
        drift = np.where(known, _VELOCITY_SIGMA_MPS, _UNKNOWN_SPEED_MPS) * seconds
        sigmas = np.hypot(np.maximum(graph.sigmas_m, _MIN_SIGMA_M), np.where(dynamic, drift, 0.0))
        ranges = np.linalg.norm(positions, axis=1)
        usable = (ranges <= _MAX_RANGE_M) & (sigmas <= _MAX_SIGMA_M)
    usable &= (classes >= 0) & (classes < len(NodeClass))
    usable &= ~dynamic | (abs(seconds) <= MAX_AGE_S)
    scores = np.nan_to_num(np.asarray(graph.scores, np.float64), nan=0.0)
    index = np.flatnonzero(usable)
    keys = [scores, -ranges, classes, *positions.T, *np.asarray(graph.sizes).T, graph.yaws, sigmas]
    index = index[np.lexsort([-key[index] for key in keys[::-1]])][:max_nodes]

    classes, sizes = classes[index], np.asarray(graph.sizes, np.float64)[index]
    yaws = np.where(np.isin(classes, WITH_HEADING), np.asarray(graph.yaws, np.float64)[index], np.nan)
    yaws[~(np.abs(yaws) < 1e3)] = np.nan
    sigmas, groups = sigmas[index], GROUP_OF[classes]
    if with_descriptors:
        assert graph.descriptors is not None
        descriptors = np.nan_to_num(graph.descriptors[index])
    else:
        descriptors = describe_nodes(positions[index], groups)
    return UsableNodes(index, groups, classes, positions[index], sizes, yaws, sigmas, descriptors)


def matched_nodes(a: UsableNodes, b: UsableNodes, i: NDArray[np.int64], j: NDArray[np.int64]) -> Matched:
    """Return nodes `i` of a and `j` of b, which are one object each, for the estimate of a pose."""
    variances = a.sigmas_m[i] ** 2 + b.sigmas_m[j] ** 2
    return Matched(b.positions[j], a.positions[i], 1 / variances, a.yaws[i] - b.yaws[j])
