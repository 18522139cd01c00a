"""Changes that keep a labelled cloud true but make it new: another sensor, another mounting, other objects.

Turned, mirrored and scaled as in SECOND and PointPillars. Whole beams dropped ("LiDAR distillation", Wei et
al., ECCV 2022), columns, far and single points: the cloud of a sensor with fewer lines, coarser steps or less
reach. Tilted: mounts are, and what the estimate of the ground then gets wrong has to be learned. Objects in
other sizes ("random object scaling" of ST3D, Yang et al., CVPR 2021): cars are half a metre shorter in one
country than in another, and a network that has seen one distribution only reports its mean. Objects with
fewer points, as if they were dark. Intensities differ between makers and are sometimes absent, so the
network must not depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import wrap_angle

Points = NDArray[np.float32]
Owner = NDArray[np.int16]

# Lines of common sensors are a third of a degree apart or more, columns a tenth to four tenths.
_BEAM_RAD, _COLUMN_RAD = np.deg2rad(0.33), np.deg2rad(0.2)
# Range in which half of the points are lost, drawn between these.
_HALF_LOST_M = (40.0, 120.0)
_JITTER_M = 0.03


@dataclass(frozen=True)
class AugmentationConfig:
    """How much to change; all probabilities in [0, 1].

    Attributes:
        rotation_deg: turned about the sensor by up to this much to either side.
        mirror: probability of a mirror image in y; vehicles are mirrored in x with the same probability.
        scale: everything is scaled by a factor in 1 ± this.
        tilt: probability that the sensor is tilted,
        tilt_deg: by up to this much about x and about y.
        size: probability that the objects of a cloud get other sizes,
        size_range: by a factor within these bounds for length, and half as far from 1 for width and height.
        drop_beams: probability that only every second, third or fourth beam is kept.
        drop_columns: probability that only every second column is kept.
        drop_points: probability that up to half of the points are dropped.
        drop_far: probability that points are dropped the likelier the farther they are.
        drop_of_object: probability, for each object, that it loses up to nine tenths of its points.
        jitter: probability that points are moved along their rays, by up to 3 cm (standard deviation).
        no_intensity: probability that all intensities are zero.
        dim: other intensities are multiplied by a factor in [1 - dim, 1 + dim] and saturate at 1,
        gamma: and are raised to a power in [1 / gamma, gamma].
    """

    rotation_deg: float = 45.0
    mirror: float = 0.5
    scale: float = 0.05
    tilt: float = 0.3
    tilt_deg: float = 5.0
    size: float = 0.5
    size_range: tuple[float, float] = (0.84, 1.1)
    drop_beams: float = 0.2
    drop_columns: float = 0.15
    drop_points: float = 0.2
    drop_far: float = 0.2
    drop_of_object: float = 0.1
    jitter: float = 0.3
    no_intensity: float = 0.3
    dim: float = 0.6
    gamma: float = 2.0

    def __post_init__(self) -> None:
        probabilities = (
            *("mirror", "tilt", "size", "drop_beams", "drop_columns", "drop_points", "drop_far"),
            *("drop_of_object", "jitter", "no_intensity", "dim"),
        )
        for name in probabilities:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number in [0, 1]")
        if not 0 <= self.scale < 1:
            raise ValueError(f"scale is {self.scale}, expected a number in [0, 1)")
        if not 0 < self.size_range[0] <= self.size_range[1]:
            raise ValueError(f"size_range {self.size_range} is empty or not above 0")
        if not self.gamma >= 1:
            raise ValueError(f"gamma is {self.gamma}, expected at least 1")


def augment(
    points: Points,
    owner: Owner,
    boxes: Boxes,
    all_round: bool,
    config: AugmentationConfig,
    rng: np.random.Generator,
) -> tuple[Points, Boxes, NDArray[np.float64]]:
    """Return a changed copy of points (N,4) and boxes (M,7), and the matrix (3,3) that has moved them.

    Args:
        points: x, y, z in the agent frame and intensity.
        owner: (N,) index of the box that a point lies in, -1 for none.
        boxes: boxes in the agent frame.
        all_round: whether the sensor sees to all sides, so that its front may become its rear.
        config: amounts of change.
        rng: source of all randomness.
    """
    points, boxes = points.copy(), boxes.copy()
    if rng.random() < config.size:
        resize(points, owner, boxes, _factors(len(boxes), config.size_range, rng))
    if rng.random() < config.jitter:
        _jitter(points, rng.uniform(0, _JITTER_M), rng)
    turn, limit = np.eye(3), np.deg2rad(config.rotation_deg)
    if rng.random() < config.mirror:
        turn = np.diag([1.0, -1.0, 1.0]) @ turn
    if all_round and rng.random() < config.mirror:
        turn = np.diag([-1.0, 1.0, 1.0]) @ turn
    turn = _rotation(rng.uniform(-limit, limit), 2) @ turn
    if rng.random() < config.tilt:
        about_x, about_y = np.deg2rad(rng.uniform(-config.tilt_deg, config.tilt_deg, 2))
        turn = _rotation(about_y, 1) @ _rotation(about_x, 0) @ turn
    factor = rng.uniform(1 - config.scale, 1 + config.scale)
    turn = factor * turn
    move(points, boxes, turn)
    if rng.random() < config.no_intensity:
        points[:, 3] = 0
    else:
        power = config.gamma ** rng.uniform(-1, 1)
        brightness = rng.uniform(1 - config.dim, 1 + config.dim)
        points[:, 3] = np.minimum(1, np.float32(brightness) * points[:, 3] ** np.float32(power))
    return points, boxes, turn


def thin(
    points: Points, owner: Owner, boxes: int, config: AugmentationConfig, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return (N,) which points to keep.

    Args:
        points: (N,4) in the agent frame.
        owner: (N,) index of the box that a point lies in, -1 for none.
        boxes: number of boxes.
        config: probabilities.
        rng: source of all randomness.
    """
    keep = np.ones(len(points), dtype=bool)
    if rng.random() < config.drop_beams:
        every = int(rng.integers(2, 5))
        keep &= (beam_of(points) + int(rng.integers(every))) % every == 0
    if rng.random() < config.drop_columns:
        azimuth = np.arctan2(points[:, 1], points[:, 0])
        keep &= np.floor(azimuth / np.float32(_COLUMN_RAD)).astype(np.int32) % 2 == 0
    share = np.float32(1)
    if rng.random() < config.drop_points:
        share = np.float32(rng.uniform(0.5, 1.0))
    if rng.random() < config.drop_far:
        half_m = np.float32(rng.uniform(*_HALF_LOST_M))
        share = share / (1 + (points[:, 0] ** 2 + points[:, 1] ** 2) / half_m**2)
    dark = np.flatnonzero(rng.random(boxes) < config.drop_of_object)
    if len(dark):
        # One more for the points that no object owns: index -1 is the last.
        of_object = np.ones(boxes + 1, np.float32)
        of_object[dark] = rng.uniform(0.1, 1.0, len(dark))
        share = share * of_object[owner]
    if np.ndim(share) or share < 1:
        keep &= rng.random(len(points), dtype=np.float32) < share
    return keep


def beam_of(points: Points) -> NDArray[np.int64]:
    """Return (N,) numbers of the beams, guessed from the elevation: clouds seldom tell."""
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    return np.floor(elevation / _BEAM_RAD).astype(np.int64)


def resize(points: Points, owner: Owner, boxes: Boxes, factors: NDArray[np.float64]) -> None:
    """Give objects other sizes, in place, points included; each stays on its ground.

    Args:
        points: (N,4).
        owner: (N,) index of the box that a point lies in, -1 for none.
        boxes: (M,7).
        factors: (M,3) of length, width and height.
    """
    of = np.flatnonzero(owner >= 0)
    box, by = boxes[owner[of]], factors[owner[of]]
    cos, sin = np.cos(box[:, 6]), np.sin(box[:, 6])
    dx, dy = points[of, 0] - box[:, 0], points[of, 1] - box[:, 1]
    along, across = (cos * dx + sin * dy) * by[:, 0], (cos * dy - sin * dx) * by[:, 1]
    foot = box[:, 2] - box[:, 5] / 2
    points[of, 0] = box[:, 0] + cos * along - sin * across
    points[of, 1] = box[:, 1] + sin * along + cos * across
    points[of, 2] = foot + (points[of, 2] - foot) * by[:, 2]
    boxes[:, 2] += boxes[:, 5] * (factors[:, 2] - 1) / 2
    boxes[:, 3:6] *= factors


def move(points: Points, boxes: Boxes, matrix: NDArray[np.float64]) -> None:
    """Map points and boxes, in place, by a matrix (3,3) that turns, tilts, mirrors and scales.

    Boxes are tilted only as far as their centres go: they stay upright.
    """
    factor = np.cbrt(abs(np.linalg.det(matrix)))
    points[:, :3] = points[:, :3] @ matrix.T.astype(np.float32)
    boxes[:, :3] = boxes[:, :3] @ matrix.T
    boxes[:, 3:6] *= factor
    heading = np.column_stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])]) @ matrix[:2, :2].T
    boxes[:, 6] = wrap_angle(np.arctan2(heading[:, 1], heading[:, 0]))


def _factors(boxes: int, bounds: tuple[float, float], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (M,3) factors of length, width and height."""
    factors = rng.uniform(*bounds, (boxes, 3))
    factors[:, 1:] = 1 + (factors[:, 1:] - 1) / 2
    return factors


def _jitter(points: Points, sigma_m: float, rng: np.random.Generator) -> None:
    """Move points along their rays, in place."""
    distance = np.sqrt(np.einsum("ij,ij->i", points[:, :3], points[:, :3]))
    by = np.float32(sigma_m) * rng.standard_normal(len(points), dtype=np.float32)
    points[:, :3] *= (1 + by / np.maximum(distance, 1))[:, None]


def _rotation(angle_rad: float, axis: int) -> NDArray[np.float64]:
    """Return the matrix (3,3) of a turn about an axis."""
    a, b = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[a, a] = matrix[b, b] = np.cos(angle_rad)
    matrix[a, b], matrix[b, a] = -np.sin(angle_rad), np.sin(angle_rad)
    return matrix
