"""All road users of a scene at one moment, moving or parked: poses, label boxes and surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.sensing.objects import ObjectClass, Objects
from cosense.simulation.scenes.bodies import Body
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.traffic import Traffic


@dataclass(frozen=True, eq=False)
class Actors:
    """A road users; the owner of a triangle is the row of a road user.

    Attributes:
        objects: label boxes in the scene; they are upright, also where a road user is not.
        T_scene_body: (A,4,4) poses of their bodies, which lean with the slope of the ground.
        mesh: surfaces in the scene of those that move; what is parked is among what stands still.
    """

    objects: Objects
    T_scene_body: NDArray[np.float64]
    mesh: Mesh

    def __len__(self) -> int:
        return len(self.T_scene_body)

    def row_of(self, identity: str) -> int | None:
        """Return the row of a road user, None if there is none with this id."""
        rows = np.flatnonzero(self.objects.ids == identity)
        return int(rows[0]) if len(rows) else None


def parked_actors(scene: Scene) -> Actors:
    """Return the parked vehicles of a scene."""
    poses = np.array([(p.x, p.y, p.yaw) for p in scene.parked]).reshape(-1, 3)
    ids = [f"parked_{number + 1}" for number in range(len(poses))]
    return _stand(scene.ground, [p.body for p in scene.parked], ids, poses, 0)


def actors_at(scene: Scene, traffic: Traffic, parked: Actors, later_ns: int) -> Actors:
    """Return all road users at a time after (before, if negative) the present step of the traffic."""
    movers = traffic.movers
    bodies, ids = [mover.body for mover in movers], [mover.identity for mover in movers]
    moving = _stand(scene.ground, bodies, ids, traffic.poses(later_ns * 1e-9), len(parked))
    objects = Objects(
        np.concatenate([parked.objects.boxes, moving.objects.boxes]),
        np.concatenate([parked.objects.labels, moving.objects.labels]),
        np.concatenate([parked.objects.ids, moving.objects.ids]),
    )
    poses = np.concatenate([parked.T_scene_body, moving.T_scene_body])
    return Actors(objects, poses, moving.mesh)


def _stand(
    ground: Ground, bodies: Sequence[Body], ids: list[str], planar: NDArray[np.float64], first_row: int
) -> Actors:
    """Place bodies on the ground at poses (A,3) of x, y, yaw."""
    sizes = np.array([body.size for body in bodies]).reshape(-1, 3)
    labels = np.array([body.label for body in bodies], dtype=np.int64)
    up = ground.normal_at(planar[:, :2])
    # People keep upright on a slope.
    up[labels == ObjectClass.PEDESTRIAN] = (0.0, 0.0, 1.0)
    foot = np.column_stack([planar[:, :2], ground.height_at(planar[:, :2])])
    boxes = np.column_stack([foot + up * sizes[:, 2:] / 2, sizes, planar[:, 2]])
    T_scene_body = _leaning(foot, up, planar[:, 2])
    mesh = join(
        body.standing(pose, first_row + row)
        for row, (body, pose) in enumerate(zip(bodies, T_scene_body, strict=True))
    )
    return Actors(Objects(boxes, labels, np.array(ids, dtype=np.str_)), T_scene_body, mesh)


def _leaning(
    foot: NDArray[np.float64], up: NDArray[np.float64], yaw: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return poses (A,4,4) at places (A,3) with z along unit vectors (A,3) and x above a yaw (A,)."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    ahead = np.column_stack([cos, sin, -(up[:, 0] * cos + up[:, 1] * sin) / up[:, 2]])
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    poses = np.tile(np.eye(4), (len(foot), 1, 1))
    poses[:, :3, :3] = np.stack([ahead, np.cross(up, ahead), up], axis=2)
    poses[:, :3, 3] = foot
    return poses
