"""What makes of LiDARs there are: elevations of their beams, fields of view, ranges.

The two of the standard equipment are those of DAIR-V2X: a Hesai Pandar40P on vehicles, and a solid-state
LiDAR of 100 x 40 degrees and 300 lines on masts. The others stand for the families on the road. Models that
are named after a kind ("dense80") have the round figures of several products. Those in `UNSEEN` are never
drawn for training, so that detectors can be measured on what they have not seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cosense.sensing.beams.elevations import (
    HDL64_DEG,
    PANDAR40P_DEG,
    VLP16_DEG,
    VLP32_DEG,
    XT32_DEG,
    blocks,
)


@dataclass(frozen=True)
class LidarModel:
    """A make of LiDAR.

    Attributes:
        name: name on the command line.
        elevations_deg: elevations of the beams, ascending; of a rosette, about which they swing.
        azimuths: number of rays of each beam.
        field_deg: horizontal field of view, centred on the heading; 360 for a full turn.
        max_range_m: largest range of a return.
        sensitivity_m: range at which half of the pulses return from a 10 % target that is hit squarely.
        min_range_m: smallest range of a return.
        noise_m: standard deviation of the range.
        second_head_m: height of a second, equal head that hangs upside down above (negative: below) the
            first one, None where there is none.
        swing_deg: how far the elevations of a rosette swing to either side; 0 if beams keep theirs.
    """

    name: str
    elevations_deg: tuple[float, ...]
    azimuths: int
    field_deg: float
    max_range_m: float
    sensitivity_m: float
    min_range_m: float = 0.4
    noise_m: float = 0.02
    second_head_m: float | None = None
    swing_deg: float = 0.0

    @property
    def beams(self) -> int:
        """Number of beams of all heads."""
        return len(self.elevations_deg) * (1 if self.second_head_m is None else 2)


PANDAR40P = LidarModel("pandar40p", PANDAR40P_DEG, 1800, 360.0, 200.0, 170.0)
# The field starts a little above the horizon and ends some 8 m in front of a mast of 6 m.
ROADSIDE300 = LidarModel("roadside300", blocks((-36.5, 3.5, 300)), 333, 100.0, 250.0, 200.0)

_VLP16 = LidarModel("vlp16", VLP16_DEG, 1800, 360.0, 100.0, 60.0, noise_m=0.03)
_VLP32 = LidarModel("vlp32", VLP32_DEG, 1800, 360.0, 200.0, 110.0, noise_m=0.03)
_TWIN32 = LidarModel("twin32", VLP32_DEG, 1800, 360.0, 200.0, 110.0, noise_m=0.03, second_head_m=-0.2)
_HDL64 = LidarModel("hdl64", HDL64_DEG, 2000, 360.0, 120.0, 80.0, min_range_m=0.9)
_UNIFORM64 = LidarModel("uniform64", blocks((-22.5, 22.5, 64)), 1024, 360.0, 120.0, 70.0, noise_m=0.03)
_UNIFORM128 = LidarModel("uniform128", blocks((-22.5, 22.5, 128)), 1024, 360.0, 120.0, 80.0, noise_m=0.03)
_DENSE80 = LidarModel(
    "dense80", blocks((-25, -7, 14), (-6, 2, 56), (3, 15, 10)), 1200, 360.0, 230.0, 160.0, noise_m=0.03
)
_SOLID128 = LidarModel("solid128", blocks((-22.0, 3.4, 128)), 600, 120.0, 200.0, 180.0)
_SOLID60 = LidarModel("solid60", blocks((-18.0, 6.0, 96)), 400, 60.0, 250.0, 200.0, noise_m=0.03)
_ROSETTE = LidarModel("rosette", blocks((-10.5, -8.5, 6)), 6000, 81.7, 260.0, 150.0, swing_deg=11.5)
_XT32 = LidarModel("xt32", XT32_DEG, 2000, 360.0, 120.0, 110.0, min_range_m=0.2)
_FINE128 = LidarModel(
    "fine128",
    blocks((-25, -14.5, 12), (-14, -6.5, 16), (-6, 2, 80), (2.5, 6, 8), (6.75, 15, 12)),
    1024,
    360.0,
    200.0,
    170.0,
)
_SOLID192 = LidarModel("solid192", blocks((-28.0, -8.0, 64), (-7.8, 2.0, 128)), 480, 110.0, 250.0, 200.0)

MODELS = {
    model.name: model
    for model in (
        PANDAR40P,
        ROADSIDE300,
        _VLP16,
        _VLP32,
        _TWIN32,
        _HDL64,
        _UNIFORM64,
        _UNIFORM128,
        _DENSE80,
        _SOLID128,
        _SOLID60,
        _ROSETTE,
        _XT32,
        _FINE128,
        _SOLID192,
    )
}
# Makes, and how often each is drawn; None: evenly spaced beams whose number and field are drawn too.
Shares = Mapping[LidarModel | None, float]
TRAINING: dict[str, Shares] = {
    "vehicle": {
        PANDAR40P: 0.22,
        _HDL64: 0.12,
        _VLP32: 0.10,
        _TWIN32: 0.08,
        _VLP16: 0.05,
        _UNIFORM64: 0.07,
        _UNIFORM128: 0.05,
        _DENSE80: 0.08,
        _SOLID128: 0.05,
        _ROSETTE: 0.02,
        None: 0.16,
    },
    "infrastructure": {
        ROADSIDE300: 0.45,
        _SOLID128: 0.10,
        _SOLID60: 0.05,
        _ROSETTE: 0.05,
        PANDAR40P: 0.07,
        _UNIFORM64: 0.08,
        _DENSE80: 0.07,
        None: 0.13,
    },
}
UNSEEN: dict[str, Shares] = {
    "vehicle": {_XT32: 0.5, _FINE128: 0.5},
    "infrastructure": {_SOLID192: 0.6, _FINE128: 0.4},
}
