"""Chooses the places of roadside units: those from which they see what the ego cannot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import wrap_angle
from cosense.simulation.scenes.mesh import STATIC
from cosense.simulation.scenes.scene import Mast, Scene
from cosense.simulation.sensors.raycast import View
from cosense.simulation.traffic import Traffic

# Height of the ego's sensor, height at which a vehicle counts as seen, and reach of a roadside unit.
_EYE_M, _TARGET_M, _REACH_M = 1.9, 1.0, 80.0
_HALF_FIELD_RAD = np.radians(50.0)
# Weight of a vehicle that the ego sees itself.
_SHARED = 0.1


def rank_masts(scene: Scene, view: View, traffic: Traffic) -> tuple[Mast, ...]:
    """Return the masts of a scene, first the one that sees most of the vehicles hidden from the ego.

    Args:
        scene: the scene.
        view: what hides: the surroundings, and the parked vehicles, each owned by its row.
        traffic: road users; they hide nothing.
    """
    parked = np.array([(p.x, p.y) for p in scene.parked]).reshape(-1, 2)
    moving = traffic.poses()[:, :2]
    vehicles = np.concatenate([parked, moving])
    rows = np.concatenate([np.arange(len(parked)), np.full(len(moving), STATIC)])
    targets = np.column_stack([vehicles, scene.ground.height_at(vehicles) + _TARGET_M])
    ego = np.array([*moving[0], scene.ground.height_at(moving[:1])[0] + _EYE_M])
    near = np.linalg.norm(vehicles - ego[:2], axis=1) < _REACH_M
    worth = np.where(in_sight(view, ego, targets, rows), _SHARED, 1.0) * near
    scores = [float(worth[_watches(scene, view, mast, targets, rows)].sum()) for mast in scene.masts]
    return tuple(scene.masts[row] for row in np.argsort(-np.array(scores), kind="stable"))


def eye_of(scene: Scene, mast: Mast) -> NDArray[np.float64]:
    """Return the place (3,) of the sensors of a mast in the scene."""
    foot = np.array([mast.x, mast.y])
    return np.array([*foot, scene.ground.height_at(foot[None])[0] + mast.height_m])


def _watches(
    scene: Scene, view: View, mast: Mast, targets: NDArray[np.float64], rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return (T,): whether each target is in a mast's field of view, near enough, and not hidden."""
    offset = targets[:, :2] - (mast.x, mast.y)
    aside = np.abs(wrap_angle(np.arctan2(offset[:, 1], offset[:, 0]) - mast.yaw))
    inside = (aside < _HALF_FIELD_RAD) & (np.linalg.norm(offset, axis=1) < _REACH_M)
    return inside & in_sight(view, eye_of(scene, mast), targets, rows)


def in_sight(
    view: View, eye: NDArray[np.float64], targets: NDArray[np.float64], rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether an eye sees each of T targets.

    Args:
        view: what hides them.
        eye: (3,) place in the scene.
        targets: (T,3) places in the scene.
        rows: (T,) actor that each target is part of and that does not hide it, `STATIC` if there is none.
    """
    way = targets - eye
    distance = np.linalg.norm(way, axis=1)
    hits = view.cast(np.tile(eye, (len(way), 1)), way / distance[:, None])
    return (hits.range_m > distance - 0.1) | ((rows != STATIC) & (hits.owner == rows))
