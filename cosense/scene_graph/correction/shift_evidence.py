"""What two graphs say of a small error of the sent pose, also where they are too few for a registration.

A pose that is looked for anywhere has to beat all the agreement that chance offers anywhere, so five matches
are needed. Around the sent pose there is little room for chance: one lamp post that both see within two
metres already says where the other one is, two leave hardly a doubt. So instead of one pose and a test, this
is a likelihood for each small shift and turn, to be multiplied with what was known before
(`pose_belief.py`), frame after frame.

Each node of the sender counts for itself: it has a counterpart where the shift brings it onto a node of its
kind, or it has none, and then the shift is as likely as any. How much a counterpart proves depends on how
many nodes of that kind there are: one of a row of parked cars proves little, a single pole much.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import transform_points
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.register.candidates import find_candidates
from cosense.scene_graph.register.result import Prior
from cosense.scene_graph.register.usable_nodes import UsableNodes, usable_nodes

Array = NDArray[np.float64]

# The grid: shifts along x and y of the world, and turns about the sender.
CELL_M, TURN_RAD = 0.2, float(np.deg2rad(0.5))
AXIS_M = CELL_M * np.arange(-11, 12)
TURNS_RAD = TURN_RAD * np.arange(-3, 4)
SHAPE = (len(TURNS_RAD), len(AXIS_M), len(AXIS_M))
# Pairs that any shift of the grid could bring together.
_REACH = np.diag([1.0, 1.0, np.deg2rad(1.0)]) ** 2
# Nearest nodes of its kind that a node may be.
_COUNTERPARTS = 4
# Share of the nodes in reach of a counterpart that are one object with it.
_SHARE = 0.5
# Two agents see one object this far apart in any case, however certain both are of its place.
_LEAST_SIGMA_M = 0.15
# Nodes of a kind are counted within this distance; there is no place with fewer than this, per square metre.
_AROUND_M, _LEAST_DENSITY = 6.0, 0.02
# Nodes of a sender that are this near to each other are one thing.
_ONE_THING_M = 1.5
# Errors of several nodes are not independent: each agent sees its own side of all of them.
_INDEPENDENT = 0.7


@dataclass(frozen=True)
class ShiftEvidence:
    """What one moment says of the error of a pose.

    Attributes:
        log_likelihood: (turns, x, y) of each error, against chance.
        support: (turns, x, y) number of things that each error brings together.
    """

    log_likelihood: Array
    support: Array


def shift_evidence(own: SceneGraph, other: SceneGraph) -> ShiftEvidence:
    """Return how likely each error of the sender's pose is.

    Args:
        own: graph of the ego.
        other: graph of the sender; the error is what has to be added to its pose, see `PoseError`.
    """
    stamp_ns = max(own.stamp_ns, other.stamp_ns)
    a, b = (_usable(graph, stamp_ns) for graph in (own, other))
    prior = Prior(Prior.between(own, other).T_a_b, _REACH)
    pairs = find_candidates(a, b, prior, max(len(a) * len(b), 1)) if len(a) and len(b) else None
    if pairs is None or not len(pairs):
        return ShiftEvidence(np.zeros(SHAPE), np.zeros(SHAPE))
    T_world_a, T_world_b = own.T_world_agent, other.T_world_agent
    arms = pairs.p @ T_world_b[:2, :3].T
    away = transform_points(T_world_a, pairs.q)[:, :2] - T_world_b[:2, 3]
    distance = np.linalg.norm(away - arms, axis=1)
    # The nearest counterparts of each node, node after node.
    order = np.lexsort([distance, pairs.b])
    nodes, first = np.unique(pairs.b[order], return_index=True)
    rank = np.arange(len(order)) - np.repeat(first, np.diff([*first, len(order)]))
    order, rank = order[rank < _COUNTERPARTS], rank[rank < _COUNTERPARTS]
    row = np.searchsorted(nodes, pairs.b[order])
    table = np.full((len(nodes), _COUNTERPARTS), -1)
    table[row, rank] = order
    there = (table >= 0)[None, :, :, None]
    cos, sin = np.cos(TURNS_RAD), np.sin(TURNS_RAD)
    turned = np.einsum("kij,nj->kni", np.array([[cos, -sin], [sin, cos]]).transpose(2, 0, 1), arms)
    off = (away - turned)[:, table]
    sigma = np.hypot(1 / np.sqrt(pairs.weights), _LEAST_SIGMA_M)[table][None, :, :, None]
    along_x, along_y = (
        np.exp(-0.5 * ((AXIS_M - off[..., axis, None]) / sigma) ** 2) / (np.sqrt(2 * np.pi) * sigma)
        for axis in (0, 1)
    )
    likely = np.einsum("kncx,kncy->knxy", along_x * there, along_y)
    by_chance = _densities(a, b, nodes, prior)[None, :, None, None]
    odds = _SHARE / (1 - _SHARE) * likely / by_chance
    weights = _weights(b, nodes)
    return ShiftEvidence(
        _INDEPENDENT * np.einsum("n,knxy->kxy", weights, np.log((1 - _SHARE) * (1 + odds))),
        np.einsum("n,knxy->kxy", weights, odds / (1 + odds)),
    )


def _usable(graph: SceneGraph, stamp_ns: int) -> UsableNodes:
    bare = replace(graph, descriptors=np.zeros((len(graph), 1), np.float32))
    return usable_nodes(bare, stamp_ns, with_descriptors=True)


def _densities(a: UsableNodes, b: UsableNodes, nodes: NDArray[np.int64], prior: Prior) -> Array:
    """Return how many nodes of its kind the ego has around each node, per square metre."""
    places = transform_points(prior.T_a_b, b.positions[nodes])[:, None, :2]
    near = np.linalg.norm(places - a.positions[None, :, :2], axis=2) < _AROUND_M
    alike = b.groups[nodes][:, None] == a.groups[None]
    return np.maximum((near & alike).sum(axis=1) / (np.pi * _AROUND_M**2), _LEAST_DENSITY)


def _weights(b: UsableNodes, nodes: NDArray[np.int64]) -> Array:
    """Return one over the number of nodes that are one thing."""
    places = b.positions[nodes, :2]
    near = np.linalg.norm(places[:, None] - places[None], axis=2) < _ONE_THING_M
    return np.asarray(1 / near.sum(axis=1))
