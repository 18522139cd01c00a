"""Chooses the places of roadside units: those from which they see what the ego cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.geometry.transforms import transform_from, wrap_angle
from cosense.simulation.scenes.scene import Mast, Scene
from cosense.simulation.scenes.solids import Primitives
from cosense.simulation.sensors.solid_rays import Solids, Windows, cast, solids_in_sensor
from cosense.simulation.traffic import Traffic

# Height of the ego's sensor, height at which a vehicle counts as seen, and reach of a roadside unit.
_EYE_M, _TARGET_M, _REACH_M = 1.9, 1.0, 80.0
_HALF_FIELD_RAD = np.radians(50.0)
# Weight of a vehicle that the ego sees itself.
_SHARED = 0.1


@dataclass(frozen=True)
class _Sights:
    """Rays towards targets; every solid has a window of all rays."""

    directions: Tensor

    @property
    def columns(self) -> int:
        return len(self.directions)

    def windows(self, solids: Solids) -> Windows:
        nought = torch.zeros(len(solids), dtype=torch.long)
        return Windows(nought, nought + 1, nought, nought + self.columns)


def rank_masts(scene: Scene, traffic: Traffic) -> tuple[Mast, ...]:
    """Return the masts of a scene, first the one that sees most of the vehicles hidden from the ego."""
    parked = np.array([(p.x, p.y) for p in scene.parked]).reshape(-1, 2)
    poses = traffic.poses()
    vehicles = np.concatenate([poses[:, :2], parked])
    targets = np.column_stack([vehicles, np.full(len(vehicles), _TARGET_M)])
    ego = np.array([*poses[0, :2], _EYE_M])
    near = np.linalg.norm(vehicles - ego[:2], axis=1) < _REACH_M
    worth = np.where(in_sight(scene.surroundings, ego, targets), _SHARED, 1.0) * near
    scores = [float(worth[_watches(scene, mast, targets)].sum()) for mast in scene.masts]
    return tuple(scene.masts[row] for row in np.argsort(-np.array(scores), kind="stable"))


def _watches(scene: Scene, mast: Mast, targets: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (T,): whether each target is in a mast's field of view, near enough, and not hidden."""
    offset = targets[:, :2] - (mast.x, mast.y)
    aside = np.abs(wrap_angle(np.arctan2(offset[:, 1], offset[:, 0]) - mast.yaw))
    inside = (aside < _HALF_FIELD_RAD) & (np.linalg.norm(offset, axis=1) < _REACH_M)
    return inside & in_sight(scene.surroundings, np.array([mast.x, mast.y, mast.height_m]), targets)


def in_sight(solids: Primitives, eye: NDArray[np.float64], targets: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (T,): whether an eye (3,) sees each of the targets (T,3) past the solids, all in the scene."""
    way = targets - eye
    distance = np.linalg.norm(way, axis=1)
    directions = torch.from_numpy((way / distance[:, None]).astype(np.float32))
    in_frame = solids_in_sensor(solids, transform_from(np.eye(3), eye), torch.device("cpu"))
    hits = cast(_Sights(directions), in_frame, torch.Generator().manual_seed(0))
    return np.asarray(hits.range_m.numpy() > distance - 0.1)
