"""All road users of a scene at one moment, moving or parked: poses, label boxes and solids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.sensing.objects import Objects
from cosense.simulation.scenes.bodies import Body
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.scenes.solids import Primitives, concatenate, gather, place
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.traffic import Traffic


@dataclass(frozen=True)
class Actors:
    """A road users; `owner` of a solid is the row of a road user.

    Attributes:
        objects: label boxes in the scene.
        poses: (A,4) x, y, z, yaw in the scene, where z is the height of the ground under the middle.
        solids: the bodies.
    """

    objects: Objects
    poses: NDArray[np.float64]
    solids: Primitives

    def row_of(self, identity: str) -> int | None:
        """Return the row of a road user, None if there is none with this id."""
        rows = np.flatnonzero(self.objects.ids == identity)
        return int(rows[0]) if len(rows) else None


def parked_actors(scene: Scene) -> Actors:
    """Return the parked vehicles of a scene."""
    poses = np.array([(p.x, p.y, p.yaw) for p in scene.parked]).reshape(-1, 3)
    ids = [f"parked_{number + 1}" for number in range(len(poses))]
    return _stand(scene.ground, [p.body for p in scene.parked], ids, poses)


def actors_at(scene: Scene, traffic: Traffic, parked: Actors, later_ns: int) -> Actors:
    """Return all road users at a time after (before, if negative) the present step of the traffic."""
    movers = traffic.movers
    bodies, ids = [mover.body for mover in movers], [mover.identity for mover in movers]
    moving = _stand(scene.ground, bodies, ids, traffic.poses(later_ns * 1e-9))
    solids = replace(moving.solids, owner=moving.solids.owner + len(parked.poses))
    objects = Objects(
        np.concatenate([parked.objects.boxes, moving.objects.boxes]),
        np.concatenate([parked.objects.labels, moving.objects.labels]),
        np.concatenate([parked.objects.ids, moving.objects.ids]),
    )
    poses = np.concatenate([parked.poses, moving.poses])
    return Actors(objects, poses, concatenate([parked.solids, solids]))


def _stand(ground: Ground, bodies: Sequence[Body], ids: list[str], planar: NDArray[np.float64]) -> Actors:
    """Place bodies on the ground at poses (A,3) of x, y, yaw."""
    height = ground.height_at(planar[:, :2])
    poses = np.column_stack([planar[:, :2], height, planar[:, 2]])
    sizes = np.array([body.size for body in bodies]).reshape(-1, 3)
    objects = Objects(
        np.column_stack([planar[:, :2], height + sizes[:, 2] / 2, sizes, planar[:, 2]]),
        np.array([body.label for body in bodies], dtype=np.int64),
        np.array(ids, dtype=np.str_),
    )
    rows = np.repeat(np.arange(len(bodies)), [len(body.parts) for body in bodies])
    parts = concatenate([gather([]), *(body.parts for body in bodies)])
    return Actors(objects, poses, place(replace(parts, owner=rows), poses))
