"""The semantic scene graph of one agent at one moment: what stands and what moves around it.

SG-Reg (arXiv 2504.14440) calls a node an instance with a label, a centroid and an oriented box. Outdoors
two layers take the place of rooms: what stands (poles, trunks, walls, their corners, kerbs), gathered over
many frames, and what moves (vehicles, riders, people), with a velocity. Positions are those of boxes and
axes, not of visible points: two agents see different sides of a thing. Frames are gravity-aligned, so that
two graphs differ by x, y, z, yaw.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix


class NodeClass(IntEnum):
    """What a node is; the numbers are written into messages and never change."""

    UNKNOWN = 0
    VEHICLE = 1
    PERSON = 2
    RIDER = 3
    POLE = 4
    TRUNK = 5
    WALL = 6
    KERB = 7
    CORNER = 8


# What stands; everything else may move.
MAP_CLASSES = (NodeClass.POLE, NodeClass.TRUNK, NodeClass.WALL, NodeClass.KERB, NodeClass.CORNER)


@dataclass(frozen=True)
class SceneGraph:
    """One agent's graph.

    Attributes:
        agent_id: whose.
        stamp_ns: measurement time to which everything that moves belongs.
        T_world_agent: (4,4) pose of the agent frame as the agent believes it.
        pose_covariance: (3,3) of (x, y, yaw) in the world.
        ids: (N,) int64, unique; the same thing keeps its id from frame to frame.
        classes: (N,) int64, values of `NodeClass`.
        positions: (N,3) float64 in the agent frame, metres; of boxes the centre, of poles, trunks and corners
            the axis at the ground, of walls and kerbs the middle of the piece at the ground.
        sizes: (N,3) float64 length, width, height in metres.
        yaws: (N,) float64 heading in the agent frame, radians; of walls and kerbs the direction of the piece,
            known up to pi; NaN where there is none (poles, trunks, corners).
        velocities: (N,2) float64 in the agent frame, m/s; zero for what stands, NaN where not known.
        sigmas_m: (N,) float64, standard deviation of the position per axis.
        scores: (N,) float64 in [0, 1], how sure the agent is that there is such a thing.
        edges: (E,2) int64, pairs of indices (smaller first) of things near each other, in ascending order.
        descriptors: (N,D) float32 of unit length, None where nobody has described the nodes.
    """

    agent_id: str
    stamp_ns: int
    T_world_agent: Matrix
    pose_covariance: NDArray[np.float64]
    ids: NDArray[np.int64]
    classes: NDArray[np.int64]
    positions: NDArray[np.float64]
    sizes: NDArray[np.float64]
    yaws: NDArray[np.float64]
    velocities: NDArray[np.float64]
    sigmas_m: NDArray[np.float64]
    scores: NDArray[np.float64]
    edges: NDArray[np.int64]
    descriptors: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ids)
