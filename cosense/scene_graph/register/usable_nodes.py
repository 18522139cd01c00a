"""The nodes of a graph as the registration sees them: usable ones, at one time, in one order.

Step 1 of the pipeline in `spec/sgreg.md` §9.5. SG-Reg (arXiv 2504.14440) registers what stands; here cars
drive between the two stamps, so everything that moves is predicted to the newer one and becomes less certain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.messages.scene_graph import MAP_CLASSES, NodeClass, SceneGraph
from cosense.scene_graph.describe.describe import describe_nodes
from cosense.scene_graph.register.result import Settings

# Detectors confuse a person with a rider and a pole with a trunk, so either may match the other. Unknown
# things
# match unknown things: an unknown car that could match everything would only add chance.
GROUP_OF = np.arange(len(NodeClass))
GROUP_OF[NodeClass.RIDER] = NodeClass.PERSON
GROUP_OF[NodeClass.TRUNK] = NodeClass.POLE
# Whose heading two agents see alike; a person's is a guess.
WITH_HEADING = (NodeClass.VEHICLE, NodeClass.WALL, NodeClass.KERB)


@dataclass(frozen=True)
class Nodes:
    """N nodes of one graph.

    Attributes:
        index: (N,) where the node is in the graph.
        groups: (N,) what may match each other, values of `NodeClass`.
        classes: (N,).
        positions: (N,3) in the agent frame, where it would be at the common time.
        sizes: (N,3).
        yaws: (N,) radians, NaN where there is none worth comparing.
        sigmas_m: (N,) standard deviation of the position per axis.
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


def prepare(graph: SceneGraph, stamp_ns: int, settings: Settings, with_descriptors: bool) -> Nodes:
    """Return the nodes of `graph` that can be used, where they are at `stamp_ns`, the most certain first.

    Nodes with values that are not finite, with places out of range and with classes that nobody knows are
    left out. The order depends on what the nodes say alone, not on their order in the graph.

    Args:
        graph: of a peer, so it may hold anything.
        stamp_ns: the common time.
        settings: of the registration.
        with_descriptors: use the descriptors of the graph instead of computing them.
    """
    seconds = (stamp_ns - graph.stamp_ns) / 1e9
    positions = np.array(graph.positions, np.float64).reshape(-1, 3)
    classes = np.asarray(graph.classes, np.int64)
    moving = ~np.isin(classes, MAP_CLASSES)
    with np.errstate(all="ignore"):
        known = np.asarray(np.isfinite(graph.velocities).all(axis=1))
        velocities = np.where(known[:, None], graph.velocities, 0.0)
        positions[:, :2] += np.where(moving[:, None], velocities * seconds, 0.0)
        drift = np.where(known, settings.velocity_sigma_mps, settings.unknown_speed_mps) * seconds
        sigmas = np.hypot(np.maximum(graph.sigmas_m, 0.05), np.where(moving, drift, 0.0))
        ranges = np.linalg.norm(positions, axis=1)
        usable = (ranges <= settings.max_range_m) & (sigmas <= settings.max_sigma_m)
    usable &= (classes >= 0) & (classes < len(NodeClass))
    usable &= ~moving | (abs(seconds) <= settings.max_age_s)
    scores = np.nan_to_num(np.asarray(graph.scores, np.float64), nan=0.0)
    index = np.flatnonzero(usable)
    keys = [scores, -ranges, classes, *positions.T, *np.asarray(graph.sizes).T, graph.yaws, sigmas]
    index = index[np.lexsort([-key[index] for key in keys[::-1]])][: settings.max_nodes]

    classes, sizes = classes[index], np.asarray(graph.sizes, np.float64)[index]
    yaws = np.where(np.isin(classes, WITH_HEADING), np.asarray(graph.yaws, np.float64)[index], np.nan)
    yaws[~(np.abs(yaws) < 1e3)] = np.nan
    sigmas, groups = sigmas[index], GROUP_OF[classes]
    if with_descriptors:
        assert graph.descriptors is not None
        descriptors = np.nan_to_num(graph.descriptors[index])
    else:
        descriptors = describe_nodes(positions[index], groups)
    return Nodes(index, groups, classes, positions[index], sizes, yaws, sigmas, descriptors)
