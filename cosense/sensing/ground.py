"""Height of the ground below a LiDAR, so that one network serves a car's roof and a mast of seven metres.

The network measures heights from the ground, and boxes are moved back afterwards. The mounting heights of
sensors differ by five metres; the ground is what they have in common, and it takes no calibration to find it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BIN_M = 0.1
_LOWEST_M, _HIGHEST_M = -12.0, 3.0
# Nearer points lie on the roof or mast that carries the sensor, farther ones on walls rather than on road.
_NEAREST_M, _FARTHEST_M = 2.5, 60.0
# Large clouds are thinned to about this many points.
_ENOUGH = 20_000
# The ground has at least this share of the highest peak; lower layers with less are reflections and ditches.
_SHARE_OF_PEAK = 0.4


def ground_height(points: NDArray[np.float32]) -> float:
    """Return z of the ground in the frame of the cloud: the height of the lowest layer with many points.

    It is the lowest peak, small ones excepted, of a histogram of z in which a point weighs as much as the
    square of its distance, because the density of points on a flat road falls with that square.

    Args:
        points: (N,>=3) x, y, z in metres with the sensor at the origin and z up; all finite.

    Returns:
        Height in metres; 0 for a cloud with no point between 2.5 and 60 m.
    """
    points = points[:: max(1, len(points) // _ENOUGH)]
    distance2 = points[:, 0] ** 2 + points[:, 1] ** 2
    z = points[:, 2]
    used = (distance2 > _NEAREST_M**2) & (distance2 < _FARTHEST_M**2) & (z > _LOWEST_M) & (z < _HIGHEST_M)
    z, distance2 = z[used], distance2[used]
    if len(z) == 0:
        return 0.0
    bins = ((z - _LOWEST_M) / _BIN_M).astype(np.int64)
    weights = np.bincount(bins, weights=distance2, minlength=round((_HIGHEST_M - _LOWEST_M) / _BIN_M))
    smooth = np.convolve(weights, np.ones(5), mode="same")
    peak = int(np.flatnonzero(smooth >= _SHARE_OF_PEAK * smooth.max())[0])
    # Climb from the foot of that peak to its top.
    while peak + 1 < len(smooth) and smooth[peak + 1] > smooth[peak]:
        peak += 1
    layer = np.abs(z - (_LOWEST_M + (peak + 0.5) * _BIN_M)) <= 0.25
    return float(np.average(z[layer], weights=distance2[layer]))
