"""Changes that keep a labelled cloud true but make it new: turned, mirrored, scaled, thinned, dimmed.

Order and ranges follow SECOND's and PointPillars' global augmentations. Dropping whole beams (as in "LiDAR
distillation", Wei et al., ECCV 2022) makes a cloud look like that of a sensor with fewer lines; intensities
differ between makers and are sometimes absent, so the network must not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import wrap_angle

Points = NDArray[np.float32]

# Lines of common sensors are a third of a degree apart or more.
_BEAM_RAD = np.deg2rad(0.33)


@dataclass(frozen=True)
class AugmentationConfig:
    """How much to change; all probabilities in [0, 1].

    Attributes:
        rotation_deg: turned about the sensor by up to this much to either side.
        mirror: probability of a mirror image in y; vehicles are mirrored in x with the same probability.
        scale: everything is scaled by a factor in 1 ± this.
        drop_beams: probability that only every second, third or fourth beam is kept.
        drop_points: probability that up to half of the points are dropped.
        no_intensity: probability that all intensities are zero.
        dim: intensities are multiplied by a factor in [1 - dim, 1].
    """

    rotation_deg: float = 45.0
    mirror: float = 0.5
    scale: float = 0.05
    drop_beams: float = 0.2
    drop_points: float = 0.2
    no_intensity: float = 0.25
    dim: float = 0.6

    def __post_init__(self) -> None:
        for name in ("mirror", "drop_beams", "drop_points", "no_intensity", "dim"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number in [0, 1]")
        if not 0 <= self.scale < 1:
            raise ValueError(f"scale is {self.scale}, expected a number in [0, 1)")


def augment(
    points: Points, boxes: Boxes, all_round: bool, config: AugmentationConfig, rng: np.random.Generator
) -> tuple[Points, Boxes]:
    """Return a changed copy of points (N,4) and boxes (M,7).

    Args:
        points: x, y, z in the agent frame and intensity.
        boxes: boxes in the agent frame.
        all_round: whether the sensor sees to all sides, so that its front may become its rear.
        config: amounts of change.
        rng: source of all randomness.
    """
    if rng.random() < config.mirror:
        points, boxes = mirror_y(points, boxes)
    if all_round and rng.random() < config.mirror:
        points, boxes = rotate(*mirror_y(points, boxes), np.pi)
    limit = np.deg2rad(config.rotation_deg)
    points, boxes = rotate(points, boxes, rng.uniform(-limit, limit))
    points, boxes = scale(points, boxes, rng.uniform(1 - config.scale, 1 + config.scale))
    points[:, 3] *= rng.uniform(1 - config.dim, 1)
    if rng.random() < config.no_intensity:
        points[:, 3] = 0
    return points, boxes


def thin(points: Points, config: AugmentationConfig, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return (N,) which points to keep: those of fewer beams, fewer of all, both, or every one."""
    keep = np.ones(len(points), dtype=bool)
    if rng.random() < config.drop_beams:
        every = int(rng.integers(2, 5))
        keep &= (beam_of(points) + int(rng.integers(every))) % every == 0
    if rng.random() < config.drop_points:
        keep &= rng.random(len(points), dtype=np.float32) < rng.uniform(0.5, 1.0)
    return keep


def beam_of(points: Points) -> NDArray[np.int64]:
    """Return (N,) numbers of the beams, guessed from the elevation: clouds seldom tell."""
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    return np.floor(elevation / _BEAM_RAD).astype(np.int64)


def rotate(points: Points, boxes: Boxes, angle_rad: float) -> tuple[Points, Boxes]:
    """Turn about +z."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    turn = np.array([[cos, sin], [-sin, cos]])
    points, boxes = points.copy(), boxes.copy()
    points[:, :2] = points[:, :2] @ turn.astype(np.float32)
    boxes[:, :2] = boxes[:, :2] @ turn
    boxes[:, 6] = wrap_angle(boxes[:, 6] + angle_rad)
    return points, boxes


def mirror_y(points: Points, boxes: Boxes) -> tuple[Points, Boxes]:
    """Exchange left and right."""
    points, boxes = points.copy(), boxes.copy()
    points[:, 1] *= -1
    boxes[:, 1] *= -1
    boxes[:, 6] = wrap_angle(-boxes[:, 6])
    return points, boxes


def scale(points: Points, boxes: Boxes, factor: float) -> tuple[Points, Boxes]:
    """Enlarge everything, positions as well as sizes."""
    points, boxes = points.copy(), boxes.copy()
    points[:, :3] *= factor
    boxes[:, :6] *= factor
    return points, boxes
