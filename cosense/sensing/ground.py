"""Height of the ground below a LiDAR, so that one network serves a car's roof and a mast of seven metres.

The network measures heights from the ground, and boxes are moved back afterwards. The mounting heights of
sensors differ by five metres; the ground is what they have in common, and it takes no calibration to find it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_BIN_M = 0.1
# Large clouds are thinned to about this many points.
_ENOUGH = 20_000
# The ground has at least this share of the highest peak; lower layers with less are reflections and ditches.
_SHARE_OF_PEAK = 0.4


@dataclass(frozen=True)
class GroundSettings:
    """What the estimate assumes of a site.

    Attributes:
        sensor_height_m: (lowest, highest) mounting of a sensor above the ground; negative where the road
            around rises above the sensor.
        reach_m: (nearest, farthest) horizontal distance of the points that show the ground: nearer ones show
            the roof or the mast that carries the sensor, farther ones walls rather than road.
    """

    sensor_height_m: tuple[float, float] = (-3.0, 12.0)
    reach_m: tuple[float, float] = (2.5, 60.0)

    def __post_init__(self) -> None:
        if not self.sensor_height_m[0] < self.sensor_height_m[1]:
            raise ValueError(f"sensor_height_m {self.sensor_height_m} is empty")
        if not 0 <= self.reach_m[0] < self.reach_m[1]:
            raise ValueError(f"reach_m {self.reach_m} is empty or begins below 0")


# From the roof of a car to a mast of twelve metres.
ANY_SITE = GroundSettings()


def ground_height(points: NDArray[np.float32], settings: GroundSettings = ANY_SITE) -> float:
    """Return z of the ground in the frame of the cloud: the height of the lowest layer with many points.

    It is the lowest peak, small ones excepted, of a histogram of z in which a point weighs as much as the
    square of its distance, because the density of points on a flat road falls with that square.

    Args:
        points: (N,>=3) x, y, z in metres with the sensor at the origin and z up; all finite.
        settings: assumptions about the site.

    Returns:
        Height in metres; 0 for a cloud with no point within the settings.
    """
    nearest_m, farthest_m = settings.reach_m
    lowest_m, highest_m = -settings.sensor_height_m[1], -settings.sensor_height_m[0]
    points = points[:: max(1, len(points) // _ENOUGH)]
    distance2 = points[:, 0] ** 2 + points[:, 1] ** 2
    z = points[:, 2]
    used = (distance2 > nearest_m**2) & (distance2 < farthest_m**2) & (z > lowest_m) & (z < highest_m)
    z, distance2 = z[used], distance2[used]
    if len(z) == 0:
        return 0.0
    bins = ((z - lowest_m) / _BIN_M).astype(np.int64)
    weights = np.bincount(bins, weights=distance2, minlength=round((highest_m - lowest_m) / _BIN_M))
    smooth = np.convolve(weights, np.ones(5), mode="same")
    peak = int(np.flatnonzero(smooth >= _SHARE_OF_PEAK * smooth.max())[0])
    # Climb from the foot of that peak to its top.
    while peak + 1 < len(smooth) and smooth[peak + 1] > smooth[peak]:
        peak += 1
    layer = np.abs(z - (lowest_m + (peak + 0.5) * _BIN_M)) <= 0.25
    return float(np.average(z[layer], weights=distance2[layer]))
