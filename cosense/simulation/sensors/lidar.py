"""The two LiDARs: their beams, and the effect of noise, weak returns and materials on exact hits.

Vehicle: Hesai Pandar40P with 40 beams, 10 Hz, 0.2 degrees in azimuth. Roadside: a solid-state LiDAR like that
of DAIR-V2X with 100 x 40 degrees and 300 beams. All rays of a sweep are cast at one moment: the motion during
a sweep is left out, as if it had been compensated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix
from cosense.simulation.sensors.raycast import Hits, View

# Elevations of the beams in degrees. 38 of them were read off a real scan (pandar40p.pcd of tier4/nebula,
# Apache-2.0), in which the points of a beam share one elevation to 1e-3 degrees; the two lowest have no
# return in that scan and are those of the data sheet.
# fmt: off
PANDAR40P_DEG = (
    -25.0, -19.0, -14.018, -13.062, -12.094, -11.120, -10.133, -9.148, -8.147, -7.151, -6.149, -5.814, -5.479,
    -5.145, -4.808, -4.473, -4.138, -3.800, -3.463, -3.128, -2.788, -2.453, -2.116, -1.776, -1.439, -1.101,
    -0.763, -0.425, -0.088, 0.249, 0.587, 0.925, 1.263, 1.600, 1.940, 2.952, 4.969, 7.971, 10.944, 14.794,
)
# fmt: on


@dataclass(frozen=True)
class LidarModel:
    """A LiDAR.

    Attributes:
        elevations_deg: elevations of the beams, ascending.
        azimuths: number of rays of each beam.
        field_deg: horizontal field of view, centred on the heading; 360 for a full turn.
        max_range_m: largest range of a return.
        sensitivity_m: range at which half of the pulses return from a 10 % target that is hit squarely.
        min_range_m: smallest range of a return.
        noise_m: standard deviation of the range.
    """

    elevations_deg: tuple[float, ...]
    azimuths: int
    field_deg: float
    max_range_m: float
    sensitivity_m: float
    min_range_m: float = 0.4
    noise_m: float = 0.02


PANDAR40P = LidarModel(PANDAR40P_DEG, 1800, 360.0, 200.0, 170.0)
# The field starts a little above the horizon and ends some 8 m in front of a mast of 6 m.
ROADSIDE300 = LidarModel(tuple(np.linspace(-36.5, 3.5, 300)), 333, 100.0, 250.0, 200.0)


@dataclass(frozen=True)
class Sweep:
    """One sweep of a LiDAR.

    Attributes:
        points: (N,4) x, y, z in metres in the frame of the sensor, intensity 0..1.
        owner: (N,) row of the actor that each point lies on, negative for the surroundings and the ground.
    """

    points: NDArray[np.float32]
    owner: NDArray[np.int32]


def beams(model: LidarModel, phase: float) -> NDArray[np.float64]:
    """Return the directions (R,3) of all rays in the frame of the sensor, beam by beam.

    Args:
        model: the LiDAR.
        phase: part of the step in azimuth, 0..1, by which they are shifted.
    """
    field = np.radians(model.field_deg)
    azimuth = -field / 2 + (phase + np.arange(model.azimuths)) * field / model.azimuths
    elevation = np.radians(model.elevations_deg)[:, None]
    across, up = np.cos(elevation), np.broadcast_to(np.sin(elevation), (len(elevation), len(azimuth)))
    return np.stack([across * np.cos(azimuth), across * np.sin(azimuth), up], axis=2).reshape(-1, 3)


def sweep(model: LidarModel, view: View, T_scene_sensor: Matrix, rng: np.random.Generator) -> Sweep:
    """Take one sweep.

    Args:
        model: the LiDAR.
        view: the scene.
        T_scene_sensor: (4,4) pose of the sensor.
        rng: draws phase and noise.
    """
    directions = beams(model, rng.random())
    in_scene = directions @ T_scene_sensor[:3, :3].T
    hits = view.cast(np.tile(T_scene_sensor[:3, 3], (len(in_scene), 1)), in_scene)
    cosine = np.abs((in_scene * hits.normal).sum(axis=1))
    return _measure(model, directions, hits, cosine, rng)


def _measure(
    model: LidarModel,
    directions: NDArray[np.float64],
    hits: Hits,
    cosine: NDArray[np.float64],
    rng: np.random.Generator,
) -> Sweep:
    """Drop weak returns, add noise to the range, and compute the intensity of each point.

    A pulse returns with the power reflectance x cosine / range^2, and is detected with probability
    1 - 2^-power, where power is 1 at `sensitivity_m` for a 10 % target. Intensity is corrected for the range.
    """
    count = len(directions)
    lit = np.maximum(cosine, 0.02)
    power = hits.reflectance / 0.1 * lit * (model.sensitivity_m / np.maximum(hits.range_m, 0.1)) ** 2
    seen = rng.random(count) < (1 - np.exp2(-power)) * 0.995
    seen &= (hits.range_m < model.max_range_m) & (hits.range_m > model.min_range_m)
    spread = rng.standard_normal((count, 2))
    range_m = (hits.range_m + model.noise_m * spread[:, 0])[seen]
    intensity = (hits.reflectance * (0.35 + 0.65 * lit) * (1 + 0.12 * spread[:, 1]))[seen]
    points = np.column_stack([directions[seen] * range_m[:, None], np.clip(intensity, 0, 1)])
    return Sweep(points.astype(np.float32), hits.owner[seen])
