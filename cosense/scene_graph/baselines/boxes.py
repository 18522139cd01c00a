"""An object pose graph without graph matching, after the description of CoAlign (arXiv 2211.07214).

Objects of both agents that the noisy pose puts within 1.5 m of each other are one landmark; agents and
landmarks are vertices, detections are edges weighted by their covariances, and the most likely poses win. We
differ:

- For two agents with the ego fixed the best landmarks given the pose are averages, so they are eliminated:
  the pose that fits the pairs remains, with the same minimum.
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
from cosense.messages.envelope import PayloadKind
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.baselines.base import result_of_matches
from cosense.scene_graph.register.result import Prior, RegistrationResult
from cosense.scene_graph.register.usable_nodes import usable_nodes

PAYLOAD = PayloadKind.SCENE_GRAPH
_CLUSTER_M = 1.5


def register(a: SceneGraph, b: SceneGraph, prior: Prior) -> RegistrationResult:
    """Return the pose of b in a's frame by the nodes that the prior puts together, with a status."""
    start = time.perf_counter()
    stamp_ns = max(a.stamp_ns, b.stamp_ns)
    nodes_a, nodes_b = (usable_nodes(graph, stamp_ns) for graph in (a, b))
    mapped = transform_points(prior.T_a_b, nodes_b.positions)
    off = np.linalg.norm(nodes_a.positions[:, None, :2] - mapped[None, :, :2], axis=2)
    far = (nodes_a.groups[:, None] != nodes_b.groups[None, :]) | (off > _CLUSTER_M)
    i, j = linear_sum_assignment(np.where(far, 1e3, off))
    i, j = i[~far[i, j]], j[~far[i, j]]
    return replace(result_of_matches(nodes_a, nodes_b, i, j), time_ms=(time.perf_counter() - start) * 1e3)
