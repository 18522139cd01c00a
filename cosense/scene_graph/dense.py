"""The returns that lie on the nodes of a graph: what is sent when the nodes alone are not enough."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.messages.scene_graph import SceneGraph

_MARGIN_M = 0.3
_HIGHEST_M = 4.0


def points_on(
    graph: SceneGraph, points: NDArray[np.float32], node_ids: Sequence[int], max_points: int
) -> dict[int, NDArray[np.float64]]:
    """Return for each node that the graph has (n,3) returns on it, metres from the node's position.

    Args:
        graph: of the cloud, in its frame.
        points: (N,>=3) the cloud that the graph was built from.
        node_ids: wanted nodes; those that the graph does not have are left out.
        max_points: per node; of more, every n-th in the order of the cloud.
    """
    row_of = {int(node): row for row, node in enumerate(graph.ids)}
    rows = [row_of[node] for node in node_ids if node in row_of]
    if not rows:
        return {}
    radius_m = np.hypot(graph.sizes[rows, 0], graph.sizes[rows, 1]) / 2 + _MARGIN_M
    near = cKDTree(points[:, :2]).query_ball_point(graph.positions[rows, :2], radius_m)
    found = {}
    for row, inside in zip(rows, near, strict=True):
        offset = points[np.sort(np.array(inside, np.int64)), :3].astype(np.float64) - graph.positions[row]
        offset = offset[np.abs(offset[:, 2]) < _HIGHEST_M]
        chosen = np.linspace(0, len(offset) - 1, min(len(offset), max_points)).astype(np.int64)
        found[int(graph.ids[row])] = offset[chosen]
    return found
