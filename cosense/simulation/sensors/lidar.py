"""One sweep of a LiDAR: where its rays start and point while it turns and moves, and the cloud they make.

A sweep takes 0.1 s, with its stamp in the middle. The sensor moves on meanwhile, so every ray has an origin
of its own. A driver that compensates gives points as they would be seen at the stamp; one that does not
leaves the scene bent. Road users move too, but are cast where they are at the stamp: each of their points is
then shifted by as much as it is early or late against the others of the same road user. So a label says where
the cloud shows an object, as an annotator would draw it, and what the seam cuts appears twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix
from cosense.simulation.sensors.lidar_returns import Returns, detect, follow, intensity_of, smear
from cosense.simulation.sensors.lidar_unit import LidarUnit
from cosense.simulation.sensors.raycast import Alone, Hits, View
from cosense.simulation.sensors.weather import CLEAR, Weather

SWEEP_S = 0.1
Floats = NDArray[np.float32]
# Turns of the two prisms of a rosette in one sweep.
_PRISM_TURNS = (24.7, 15.3)


@dataclass(frozen=True, eq=False)
class Motion:
    """How a sensor moves during a sweep, in the scene.

    Attributes:
        velocity_mps: (3,) velocity.
        yaw_rate_rps: turning about the vertical in rad/s.
    """

    velocity_mps: Sequence[float] | NDArray[np.float64] = (0.0, 0.0, 0.0)
    yaw_rate_rps: float = 0.0

    @property
    def is_none(self) -> bool:
        return not (np.any(self.velocity_mps) or self.yaw_rate_rps)


STILL = Motion()


@dataclass(frozen=True, eq=False)
class Sweep:
    """One sweep of a LiDAR.

    Attributes:
        points: (N,4) x, y, z in metres in the frame of the sensor at the stamp, intensity 0..1.
        owner: (N,) row of the actor that each point lies on, negative for everything else.
        shift_m: (N,3) how far the points lie from where the things were relative to the sensor at the stamp,
            because the motion of the sensor has not been compensated.
        rings: (N,) beam of each point: those of a second head follow those of the first.
    """

    points: Floats
    owner: NDArray[np.int32]
    shift_m: Floats
    rings: NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class Rays:
    """The rays of a sweep in the frame of the sensor: rows are beams, columns are steps in time.

    Attributes:
        flown: (B,C,3) unit vectors along which the pulses fly.
        reported: (B,C,3) unit vectors that the driver takes them for.
        head_m: (B,) height of the head of each beam above the origin.
        time_s: (B,C) times after the stamp.
    """

    flown: Floats
    reported: Floats
    head_m: Floats
    time_s: Floats

    @classmethod
    def drawn(cls, unit: LidarUnit, rng: np.random.Generator) -> Rays:
        """Return the rays of one sweep, whose first step has a random phase."""
        model, count = unit.model, unit.model.azimuths
        elevation = np.radians(model.elevations_deg, dtype=np.float64)
        field = np.radians(model.field_deg)
        step = (np.arange(count) + rng.random()) / count
        if model.swing_deg:
            angles = 2 * np.pi * (np.outer(_PRISM_TURNS, step) + rng.random((2, 1)))
            azimuth = field / 4 * np.cos(angles).sum(axis=0)
            swing = np.radians(model.swing_deg) / 2 * (np.sin(angles[0]) - np.sin(angles[1]))
        else:
            azimuth, swing = field * (step - 0.5), np.zeros(count)
        heads = np.zeros(len(elevation))
        if model.second_head_m is not None:
            heads = np.repeat([0.0, model.second_head_m], len(elevation))
            elevation = np.concatenate([elevation, -elevation])
        share = np.broadcast_to(step, (len(elevation), count))
        if model.field_deg >= 360:
            # The second head looks the other way.
            ahead = np.where(heads == 0, 0.0, np.pi)[:, None]
            share = (azimuth + ahead - unit.seam_rad) / (2 * np.pi) % 1
        reported = _unit_vectors(elevation, azimuth, swing)
        exact = not (unit.elevation_error_rad.any() or unit.azimuth_error_rad.any())
        errors = unit.elevation_error_rad, unit.azimuth_error_rad
        return cls(
            flown=reported if exact else _unit_vectors(elevation + errors[0], azimuth, swing, errors[1]),
            reported=reported,
            head_m=heads.astype(np.float32),
            time_s=((share - 0.5) * SWEEP_S).astype(np.float32),
        )


def _unit_vectors(
    elevation: NDArray, azimuth: NDArray, swing: NDArray, turned: NDArray | float = 0.0
) -> Floats:
    """Return (B,C,3) for elevations (B,), azimuths and swings (C,), each beam turned by its own angle."""
    up = (elevation[:, None] + swing if swing.any() else elevation[:, None]).astype(np.float32)
    cos, sin = np.cos(azimuth).astype(np.float32), np.sin(azimuth).astype(np.float32)
    turn = np.broadcast_to(np.asarray(turned, dtype=np.float32), elevation.shape)[:, None]
    out = np.empty((len(elevation), len(azimuth), 3), dtype=np.float32)
    out[..., 0] = np.cos(up) * (np.cos(turn) * cos - np.sin(turn) * sin)
    out[..., 1] = np.cos(up) * (np.cos(turn) * sin + np.sin(turn) * cos)
    out[..., 2] = np.sin(up)
    return out


def sweep(
    unit: LidarUnit,
    view: View,
    T_scene_sensor: Matrix,
    rng: np.random.Generator,
    *,
    weather: Weather = CLEAR,
    motion: Motion = STILL,
    velocities_mps: NDArray[np.float64] | None = None,
    carrier: Alone | None = None,
) -> Sweep:
    """Take one sweep.

    Args:
        unit: the LiDAR.
        view: the scene at the stamp, without the vehicle that carries the LiDAR.
        T_scene_sensor: (4,4) pose of the sensor at the stamp.
        rng: draws phase and noise.
        weather: weather of the scene.
        motion: motion of the sensor.
        velocities_mps: (A,3) velocities of the actors in the scene; None if they stand.
        carrier: the body that carries the LiDAR, which moves along with it; None if it sees none.
    """
    rays = Rays.drawn(unit, rng)
    rotation = T_scene_sensor[:3, :3].astype(np.float32)
    place = T_scene_sensor[:3, 3].astype(np.float32)
    time_s = rays.time_s.ravel()
    velocity = np.asarray(motion.velocity_mps, dtype=np.float32)
    heads = np.repeat(rays.head_m, rays.flown.shape[1])[:, None] * rotation[:, 2]
    directions = rays.flown.reshape(-1, 3) @ rotation.T
    origins = np.broadcast_to(place, directions.shape) + heads
    hits_of_carrier = None if carrier is None else _cast_on_carrier(carrier, origins, directions)
    turn = motion.yaw_rate_rps * time_s
    directions = _turned(directions, turn)
    if not motion.is_none:
        origins = place + _turned(heads, turn) + velocity * time_s[:, None]
    hits = view.cast(origins, directions)
    own = np.zeros(len(time_s), dtype=bool)
    if hits_of_carrier is not None:
        own = hits_of_carrier.range_m < hits.range_m
        hits.put(own, hits_of_carrier[own])
    back = follow(view, origins, directions, hits, weather, rng)
    seen = detect(unit, back, weather, rng)
    smear(unit, back, seen, rays.flown.shape[1], rng)
    seen &= ~_is_blind(unit, rays.reported)
    if unit.filters_own_body:
        seen &= ~own
    chosen = np.flatnonzero(seen)
    return _cloud(unit, rays, back, chosen, rotation, motion, velocities_mps, rng)


def _turned(vectors: Floats, angle_rad: Floats) -> Floats:
    """Return vectors (R,3) turned about the vertical by an angle (R,) each."""
    if not angle_rad.any():
        return vectors
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    x, y, z = vectors.T
    return np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=1)


def _cast_on_carrier(carrier: Alone, origins: Floats, directions: Floats) -> Hits:
    """Cast the rays that may fall on the body that carries the sensor, from where it is at the stamp."""
    hits = Hits.none(len(directions))
    way = carrier.mesh.vertices[carrier.mesh.faces.ravel()] - origins.mean(axis=0)
    highest = float((way[:, 2] / np.linalg.norm(way, axis=1)).max())
    # Above the horizon an edge may reach higher than its ends.
    rays = np.flatnonzero(directions[:, 2] < (highest + 0.05 if highest < -0.05 else 1.0))
    hits.put(rays, carrier.cast(origins[rays], directions[rays]))
    return hits


def _is_blind(unit: LidarUnit, directions: Floats) -> NDArray[np.bool_]:
    """Return (R,): whether rays (B,C,3) point to where something on the vehicle hides the view."""
    blind = np.zeros(directions.shape[:2], dtype=bool)
    if unit.blind_rad:
        azimuth = np.arctan2(directions[0, :, 1], directions[0, :, 0])
        for first, last in unit.blind_rad:
            blind |= (azimuth - first) % (2 * np.pi) < last - first
    return blind.ravel()


def _cloud(
    unit: LidarUnit,
    rays: Rays,
    back: Returns,
    chosen: NDArray[np.int64],
    rotation: Floats,
    motion: Motion,
    velocities_mps: NDArray[np.float64] | None,
    rng: np.random.Generator,
) -> Sweep:
    """Return the cloud of the chosen returns, as the driver reports it."""
    back = Returns(**{name: values[chosen] for name, values in vars(back).items()})
    intensity = intensity_of(unit.intensity, back, rng)
    row = chosen // rays.flown.shape[1]
    time_s = rays.time_s.ravel()[chosen]
    noise = rng.standard_normal(len(chosen), dtype=np.float32)
    range_m = back.range_m + unit.noise_m * noise + unit.bias_m[row]
    seen = rays.reported.reshape(-1, 3)[chosen] * range_m[:, None]
    seen[:, 2] += rays.head_m[row]
    true = _moved(seen, time_s, rotation, motion)
    if velocities_mps is not None:
        late_s = _lateness(back.owner, time_s, len(velocities_mps))
        mine = back.owner >= 0
        velocity = velocities_mps[back.owner[mine]].astype(np.float32) @ rotation
        true[mine] += velocity * late_s[mine, None]
    if unit.compensated == 1:
        shift = np.zeros_like(true)
    else:
        shift = _moved(seen, time_s * np.float32(unit.compensated), rotation, motion)
        shift -= _moved(seen, time_s, rotation, motion)
    points = np.column_stack([true + shift, intensity]).astype(np.float32)
    return Sweep(points, back.owner, shift, row.astype(np.int16))


def _moved(points: Floats, time_s: Floats, rotation: Floats, motion: Motion) -> Floats:
    """Return points (N,3), each seen at its time (N,), in the frame of the sensor at the stamp."""
    if motion.is_none:
        return points.copy()
    velocity = np.asarray(motion.velocity_mps, dtype=np.float32)
    in_scene = _turned(points @ rotation.T, motion.yaw_rate_rps * time_s) + velocity * time_s[:, None]
    return np.asarray(in_scene @ rotation)


def _lateness(owner: NDArray[np.int32], time_s: Floats, actors: int) -> Floats:
    """Return (N,) by how much a point is later than the mean of its actor's points."""
    row = np.where(owner >= 0, owner, actors)
    count = np.maximum(np.bincount(row, minlength=actors + 1), 1)
    mean = np.bincount(row, weights=time_s, minlength=actors + 1) / count
    return (time_s - mean[row]).astype(np.float32)
