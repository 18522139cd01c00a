"""An object pose graph without graph matching, as CoAlign (arXiv 2211.07214), from its description in §9.1.

Objects of both agents that the noisy pose puts within 1.5 m of each other are one landmark; agents and
landmarks are vertices, detections are edges weighed by their covariances, and the poses that fit best win. We
differ:

- For two agents with the ego fixed the best landmarks given the pose are averages, so they are eliminated:
  what is left is the pose that fits the pairs, with the same minimum.
- Pairs are an assignment, so that no agent has two objects in one landmark; the published expansion of
  clusters depends on their order.
- All classes take part, poles too; vehicles alone are CoAlign's choice and may be all that a graph has.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from cosense.geometry.transforms import transform_points
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.baselines.matched import registration_of
from cosense.scene_graph.register.result import Prior, Registration, Settings
from cosense.scene_graph.register.usable_nodes import prepare

CLUSTER_M = 1.5


def register_boxes(graph_a: SceneGraph, graph_b: SceneGraph, prior: Prior) -> Registration:
    """Return the pose of b in a's frame from what lies together under the prior, with a status."""
    start = time.perf_counter()
    stamp_ns = max(graph_a.stamp_ns, graph_b.stamp_ns)
    a, b = (prepare(graph, stamp_ns, Settings(), False) for graph in (graph_a, graph_b))
    mapped = transform_points(prior.T_a_b, b.positions)
    off = np.linalg.norm(a.positions[:, None, :2] - mapped[None, :, :2], axis=2)
    far = (a.groups[:, None] != b.groups[None, :]) | (off > CLUSTER_M)
    i, j = linear_sum_assignment(np.where(far, 1e3, off))
    i, j = i[~far[i, j]], j[~far[i, j]]
    return replace(registration_of(a, b, i, j), time_ms=(time.perf_counter() - start) * 1e3)
