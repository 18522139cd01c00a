"""Everybody in a scene at one moment, on the move or parked: poses, label boxes, solids."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.sensing.objects import Objects
from cosense.simulation.primitives import Primitives, concatenate, place
from cosense.simulation.scene import Scene
from cosense.simulation.traffic import Traffic


@dataclass(frozen=True)
class Actors:
    """A road users; rows are the owners of the solids.

    Attributes:
        objects: label boxes in the scene.
        poses: (A,4) x, y, z, yaw in the scene, z of the ground under the middle.
        solids: their bodies.
    """

    objects: Objects
    poses: NDArray[np.float64]
    solids: Primitives

    def row_of(self, identity: str) -> int | None:
        """Return the row of somebody, None for who is no road user."""
        rows = np.flatnonzero(self.objects.ids == identity)
        return int(rows[0]) if len(rows) else None


def actors_at(scene: Scene, traffic: Traffic, later_ns: int) -> Actors:
    """Return everybody as they are some time after (before, if negative) the present step of the traffic."""
    movers, parked = traffic.movers, scene.parked
    standing = np.array([(p.x, p.y, p.yaw) for p in parked]).reshape(-1, 3)
    planar = np.concatenate([traffic.poses(later_ns * 1e-9), standing])
    bodies = [mover.body for mover in movers] + [p.body for p in parked]
    height = scene.ground.height_at(planar[:, :2])
    poses = np.column_stack([planar[:, :2], height, planar[:, 2]])
    sizes = np.array([body.size for body in bodies])
    parts = [replace(body.parts, owner=np.full(len(body.parts), row)) for row, body in enumerate(bodies)]
    objects = Objects(
        np.column_stack([planar[:, :2], height + sizes[:, 2] / 2, sizes, planar[:, 2]]),
        np.array([body.label for body in bodies], dtype=np.int64),
        np.array([m.identity for m in movers] + [f"parked_{i + 1}" for i in range(len(parked))]),
    )
    return Actors(objects, poses, place(concatenate(parts), poses))
