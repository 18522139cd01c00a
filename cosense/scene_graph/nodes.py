"""Nodes of a scene graph as rows: from what the extraction finds to the graph of an agent, and its edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.geometry.transforms import Matrix
from cosense.messages.scene_graph import NodeClass, SceneGraph

# Detectors confuse a person with a rider and a pole with a trunk, so either may match the other. UNKNOWN
# nodes match UNKNOWN nodes only: an unknown car that could match every class would only add matches by
# chance.
GROUP_OF = np.arange(len(NodeClass))
GROUP_OF[NodeClass.RIDER] = NodeClass.PERSON
GROUP_OF[NodeClass.TRUNK] = NodeClass.POLE
# Classes whose heading two agents see alike; the heading of a person is a guess.
WITH_HEADING = (NodeClass.VEHICLE, NodeClass.WALL, NodeClass.KERB)

R_MIN_M, R_MAX_M = 15.0, 30.0
# The length of a wall or kerb says nothing about the neighbours of its middle, and two agents see different
# lengths.
_LONG = (NodeClass.WALL, NodeClass.KERB)
_LONG_RADIUS_M = 1.0


@dataclass(frozen=True)
class Nodes:
    """Nodes without ids; the attributes are those of `SceneGraph`, in the same frame and units."""

    classes: NDArray[np.int64]
    positions: NDArray[np.float64]
    sizes: NDArray[np.float64]
    yaws: NDArray[np.float64]
    velocities: NDArray[np.float64]
    sigmas_m: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: NDArray) -> Nodes:
        """Return the nodes that a mask or an index array selects."""
        return Nodes(*(getattr(self, field.name)[index] for field in fields(Nodes)))

    @classmethod
    def empty(cls) -> Nodes:
        none = np.zeros(0)
        return cls(
            np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3)), none, np.zeros((0, 2)), none, none
        )

    @classmethod
    def static(
        cls,
        classes: NDArray[np.int64],
        positions: NDArray[np.float64],
        sizes: NDArray[np.float64],
        sigmas_m: NDArray[np.float64],
        scores: NDArray[np.float64],
        yaws: NDArray[np.float64] | None = None,
    ) -> Nodes:
        """Return nodes with a velocity of zero, without heading where none is given."""
        count = len(classes)
        return cls(
            np.asarray(classes, np.int64),
            np.asarray(positions, np.float64).reshape(-1, 3),
            np.asarray(sizes, np.float64).reshape(-1, 3),
            np.full(count, np.nan) if yaws is None else np.asarray(yaws, np.float64),
            np.zeros((count, 2)),
            np.asarray(sigmas_m, np.float64),
            np.asarray(scores, np.float64),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Nodes]) -> Nodes:
        """Join several, in the order given."""
        parts = [part for part in parts if len(part)] or [cls.empty()]
        return cls(
            *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Nodes))
        )


def graph_of(
    nodes: Nodes,
    ids: NDArray[np.int64],
    agent_id: str,
    stamp_ns: int,
    T_world_agent: Matrix,
    pose_covariance: NDArray[np.float64],
) -> SceneGraph:
    """Return nodes with `ids` (N,) as the graph of an agent."""
    return SceneGraph(
        agent_id=agent_id,
        stamp_ns=stamp_ns,
        T_world_agent=T_world_agent,
        pose_covariance=pose_covariance,
        ids=np.asarray(ids, np.int64),
        classes=nodes.classes,
        positions=nodes.positions,
        sizes=nodes.sizes,
        yaws=nodes.yaws,
        velocities=nodes.velocities,
        sigmas_m=nodes.sigmas_m,
        scores=nodes.scores,
    )


def edges_between(
    classes: NDArray[np.int64], positions: NDArray[np.float64], sizes: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the edges of a graph as pairs of neighbours (E,2), smaller index first, ascending.

    The published rule: nodes i and j are neighbours when |c_i - c_j| < clip(2 max(r_i, r_j), R_min, R_max),
    with r half the diagonal of a box (SG-Reg, arXiv 2504.14440, scene graph construction). Indoors R_min is 1
    m and R_max 6 m. We differ: along roads objects are 5 to 15 m apart (parked cars 6 m, trees 7 to 30 m,
    lamps 22 to 38 m), so R_min is 15 m; beyond R_max = 30 m a heading error of a degree moves a neighbour by
    more than its own sigma.

    Args:
        classes: (N,) values of `NodeClass`.
        positions: (N,3) finite, metres; heights do not count, agents disagree on them.
        sizes: (N,3) metres.
    """
    if len(classes) < 2:
        return np.zeros((0, 2), np.int64)
    radius = np.linalg.norm(sizes, axis=1) / 2
    radius[np.isin(classes, _LONG)] = _LONG_RADIUS_M
    pairs = cKDTree(positions[:, :2]).query_pairs(R_MAX_M, output_type="ndarray").astype(np.int64)
    first, second = pairs.T
    reach = np.clip(2 * np.maximum(radius[first], radius[second]), R_MIN_M, R_MAX_M)
    near = np.hypot(*(positions[first, :2] - positions[second, :2]).T) < reach
    pairs = np.sort(pairs[near], axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
