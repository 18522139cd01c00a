"""One LiDAR as it was built, set up and is driven: a model with its own small faults.

The standard equipment is good: a Pandar40P on vehicles, a solid-state LiDAR on masts, in calibration, with
the motion of a sweep compensated and without returns from the vehicle below it, as most data sets come.
"any" draws from the makes for training and from how they differ between specimens and drivers; "unseen" does
so with makes that training never draws.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError, nearest
from cosense.sensing.beams.elevations import blocks
from cosense.sensing.frame import AgentKind
from cosense.simulation.chance import draw
from cosense.simulation.sensors.lidar_models import (
    MODELS,
    PANDAR40P,
    ROADSIDE300,
    TRAINING,
    UNSEEN,
    LidarModel,
    Shares,
)

STANDARD, ANY, HELD_OUT = "standard", "any", "unseen"
# Names of equipments with LiDARs.
LIDARS = (STANDARD, ANY, HELD_OUT, *MODELS)
_STANDARD: dict[AgentKind, LidarModel] = {"vehicle": PANDAR40P, "infrastructure": ROADSIDE300}
# What a computer of today takes in 0.1 s; makes with more rays get wider steps in azimuth.
_MOST_RAYS = 131_072


@dataclass(frozen=True)
class IntensityScale:
    """What a driver reports as intensity.

    Attributes:
        gain: factor; 0 reports none at all, a large one saturates.
        range_power: 0 if intensity is corrected for the range, else the power of range that is left.
        gamma: exponent of the scale.
        levels: number of steps from 0 to 1, 0 for a continuous scale.
    """

    gain: float = 1.0
    range_power: float = 0.0
    gamma: float = 1.0
    levels: int = 0


@dataclass(frozen=True, eq=False)
class LidarUnit:
    """One LiDAR with B beams.

    Attributes:
        model: its make.
        noise_m: standard deviation of the range of one point.
        bias_m: (B,) error of the range of each beam.
        elevation_error_rad: (B,) true minus reported elevation of each beam.
        azimuth_error_rad: (B,) true minus reported azimuth of each beam.
        seam_rad: azimuth at which a full turn begins and ends.
        intensity: what it reports as intensity.
        lost: share of pulses that are lost for no reason.
        mixing: share of the rays at an edge that return a range between its two sides.
        blooming: share of the neighbours of a retro-reflector that report it too.
        crosstalk: share of rays that return another LiDAR's pulse.
        compensated: how much of the motion during a sweep the driver takes out, 1 for all.
        filters_own_body: whether the driver removes returns from the vehicle that carries it.
        blind_rad: sectors (first, last azimuth) that something on the vehicle hides.
    """

    model: LidarModel
    noise_m: float
    bias_m: NDArray[np.float32]
    elevation_error_rad: NDArray[np.float32]
    azimuth_error_rad: NDArray[np.float32]
    seam_rad: float = -np.pi
    intensity: IntensityScale = IntensityScale()
    lost: float = 0.005
    mixing: float = 0.2
    blooming: float = 0.0
    crosstalk: float = 0.0
    compensated: float = 1.0
    filters_own_body: bool = True
    blind_rad: tuple[tuple[float, float], ...] = ()

    @classmethod
    def perfect(cls, model: LidarModel) -> LidarUnit:
        """Return a LiDAR in calibration, with the noise of its make."""
        exact = np.zeros(model.beams, dtype=np.float32)
        return cls(model, model.noise_m, exact, exact, exact)


def check_lidar(lidar: str) -> None:
    """Raise CosenseError where a name is not in `LIDARS`."""
    if lidar not in LIDARS:
        raise CosenseError(f"lidar '{lidar}' is unknown, {nearest(lidar, LIDARS)}")


def draw_unit(lidar: str, kind: AgentKind, rng: np.random.Generator) -> LidarUnit:
    """Draw the LiDAR of one agent.

    Args:
        lidar: one of `LIDARS`. A make with a full turn goes on vehicles, one with a smaller field on roadside
            units; agents of the other kind keep the standard one.
        kind: kind of the agent.
        rng: draws make and faults.

    Raises:
        CosenseError: there is no such name.
    """
    check_lidar(lidar)
    if lidar == STANDARD:
        return LidarUnit.perfect(_STANDARD[kind])
    if lidar in MODELS:
        model = MODELS[lidar]
        fits = (model.field_deg >= 360) == (kind == "vehicle")
        return LidarUnit.perfect(model if fits else _STANDARD[kind])
    model = _draw_model((TRAINING if lidar == ANY else UNSEEN)[kind], rng)
    return _draw_faults(model, kind, rng)


def _draw_model(shares: Shares, rng: np.random.Generator) -> LidarModel:
    """Draw a make, and for spinning ones the step in azimuth: their drivers offer several."""
    model = draw(shares, rng)
    if model is None:
        beams = int(rng.choice([16, 24, 32, 40, 64, 80, 96, 128]))
        low, high = rng.uniform(-32, -14), rng.uniform(1, 20)
        sensitivity, noise = float(rng.uniform(60, 180)), float(rng.uniform(0.01, 0.05))
        model = LidarModel(
            "drawn", blocks((low, high, beams)), 1800, 360.0, 200.0, sensitivity, noise_m=noise
        )
    if model.field_deg < 360:
        return model
    most = _MOST_RAYS // model.beams
    return replace(model, azimuths=min(most, round(360 / rng.choice([0.1, 0.16, 0.2, 0.2, 0.25, 0.33, 0.4]))))


def _draw_faults(model: LidarModel, kind: AgentKind, rng: np.random.Generator) -> LidarUnit:
    beams = model.beams
    bias, elevation, azimuth = rng.normal(0, 1, (3, beams)).astype(np.float32)
    moving = kind == "vehicle"
    # Most drivers compensate, some do not, and some with a speed or a clock that is not right.
    compensated = float(rng.choice([1.0, 0.0, rng.uniform(0.5, 1.2)], p=[0.7, 0.15, 0.15]))
    blind: tuple[tuple[float, float], ...] = ()
    if moving and rng.random() < 0.12:
        first = float(rng.uniform(-np.pi, np.pi))
        blind = ((first, first + float(np.radians(rng.uniform(4, 60)))),)
    return LidarUnit(
        model=model,
        noise_m=model.noise_m * float(rng.uniform(0.6, 1.7)),
        bias_m=bias * np.float32(rng.uniform(0, 0.025)),
        elevation_error_rad=elevation * np.float32(np.radians(rng.uniform(0, 0.06))),
        azimuth_error_rad=azimuth * np.float32(np.radians(rng.uniform(0, 0.08))),
        seam_rad=float(rng.uniform(-np.pi, np.pi)),
        intensity=_draw_intensity(rng),
        lost=float(rng.choice([0.003, 0.01, 0.03, 0.1], p=[0.4, 0.3, 0.2, 0.1])),
        mixing=float(rng.uniform(0, 0.5)),
        blooming=float(rng.choice([0.0, rng.uniform(0.2, 0.8)])),
        crosstalk=float(rng.choice([0.0, rng.uniform(1e-4, 1e-3)], p=[0.7, 0.3])),
        compensated=compensated,
        filters_own_body=bool(rng.random() < 0.7),
        blind_rad=blind,
    )


def _draw_intensity(rng: np.random.Generator) -> IntensityScale:
    if rng.random() < 0.12:
        return IntensityScale(gain=0.0)
    return IntensityScale(
        gain=float(rng.choice([rng.uniform(0.5, 1.5), rng.uniform(1.5, 6.0)], p=[0.8, 0.2])),
        range_power=float(rng.choice([0.0, rng.uniform(0.5, 2.0)], p=[0.7, 0.3])),
        gamma=float(rng.uniform(0.5, 1.8)),
        levels=int(rng.choice([0, 80, 100, 255], p=[0.25, 0.1, 0.15, 0.5])),
    )
