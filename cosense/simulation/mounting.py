"""Where a LiDAR sits on its vehicle or mast: its height, and how far it leans.

Nobody mounts a LiDAR level to a tenth of a degree. Roll and pitch are drawn once for each agent of a
sequence, with a standard deviation of 1.5 degrees on vehicles; those of roadside units spread more, up to 5
degrees, because they hang on an arm that somebody turned until the picture was right. Heights above the road
are 1.5 to 2.6 m on vehicles: on the roof of cars and vans, at the front of what is taller.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, transform_from
from cosense.simulation.scenes.bodies import Body

_VEHICLE_TILT_DEG, _MAST_TILT_DEG, _MOST_TILT_DEG = 1.5, 2.5, 5.0
_LOWEST_M, _HIGHEST_M = 1.5, 2.6
# Height above a roof, and in front of a vehicle whose roof is too high.
_ABOVE_ROOF_M, _BEFORE_FRONT_M = (0.12, 0.5), 0.12
LARGEST_TILT_DEG = 15.0


@dataclass(frozen=True)
class Mounting:
    """Where a LiDAR sits relative to what carries it.

    Attributes:
        forward_m: place along the heading, from the middle of the vehicle.
        height_m: height above the ground; above the place of the unit for one on a mast.
        roll_rad, pitch_rad: how far it leans to the right and forward.
    """

    forward_m: float = 0.0
    height_m: float = 0.0
    roll_rad: float = 0.0
    pitch_rad: float = 0.0

    @property
    def T_carrier_sensor(self) -> Matrix:
        """(4,4) pose of the sensor in the frame of what carries it."""
        cr, sr = np.cos(self.roll_rad), np.sin(self.roll_rad)
        cp, sp = np.cos(self.pitch_rad), np.sin(self.pitch_rad)
        rotation = [[cp, sp * sr, sp * cr], [0.0, cr, -sr], [-sp, cp * sr, cp * cr]]
        return transform_from(rotation, [self.forward_m, 0.0, self.height_m])


def on_vehicle(body: Body, tilt_deg: float | None, rng: np.random.Generator) -> Mounting:
    """Draw the mounting on a vehicle; `tilt_deg` as in `simulate`."""
    length, _, height = body.size
    above = float(rng.uniform(*_ABOVE_ROOF_M))
    aside = float(rng.uniform(-0.15, 0.1)) * length
    low_front = float(rng.uniform(_LOWEST_M, _HIGHEST_M))
    roll, pitch = _tilt(rng.normal(0, _VEHICLE_TILT_DEG, 2), tilt_deg)
    if height + above <= _HIGHEST_M:
        return Mounting(aside, max(height + above, _LOWEST_M), roll, pitch)
    return Mounting(length / 2 + _BEFORE_FRONT_M, low_front, roll, pitch)


def on_mast(tilt_deg: float | None, rng: np.random.Generator) -> Mounting:
    """Draw the mounting on a mast; `tilt_deg` as in `simulate`."""
    return Mounting(0.0, 0.0, *_tilt(rng.normal(0, _MAST_TILT_DEG, 2), tilt_deg))


def check_tilt(tilt_deg: float | None) -> None:
    """Raise CosenseError where a tilt is negative or not that of a mounting any more."""
    if tilt_deg is not None and not 0 <= tilt_deg <= LARGEST_TILT_DEG:
        raise CosenseError(f"tilt_deg={tilt_deg:g}: expected 0 to {LARGEST_TILT_DEG:g} degrees")


def _tilt(drawn_deg: NDArray[np.float64], tilt_deg: float | None) -> tuple[float, float]:
    """Return roll and pitch in radians: as drawn, or of a given size to the drawn sides."""
    drawn_deg = np.clip(drawn_deg, -_MOST_TILT_DEG, _MOST_TILT_DEG)
    angles = drawn_deg if tilt_deg is None else np.copysign(tilt_deg, drawn_deg)
    roll, pitch = np.radians(angles)
    return float(roll), float(pitch)
