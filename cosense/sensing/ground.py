"""Where the ground is below a LiDAR: one network then serves a car's roof and a mast of seven metres.

The network counts heights from the ground, boxes are moved back afterwards. Sensors differ by five metres in
mounting height, ground is what they have in common, and no calibration has to be right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BIN_M = 0.1
_LOWEST_M, _HIGHEST_M = -12.0, 3.0
# Nearer points show the roof or the mast that carries the sensor, farther ones see walls rather than road.
_NEAREST_M, _FARTHEST_M = 2.5, 60.0
# Every n-th point of a cloud tells as much.
_ENOUGH = 20_000
# Ground has at least this share of the highest peak; a lower layer with less is reflections and ditches.
_SHARE_OF_PEAK = 0.4


def ground_height(points: NDArray[np.float32]) -> float:
    """Return z of the ground in the frame of the cloud, by the lowest layer that many points share.

    A histogram of z in which a point weighs as much as its distance squared, because a LiDAR on a flat road
    puts that many fewer points on a square metre there; of its peaks the lowest that is not small.

    Args:
        points: (N,>=3) x, y, z in metres, the sensor at the origin, z up; all finite.

    Returns:
        Metres; 0 for a cloud with no point between 2.5 and 60 m.
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
    # Climb from the foot of that layer to its top.
    while peak + 1 < len(smooth) and smooth[peak + 1] > smooth[peak]:
        peak += 1
    layer = np.abs(z - (_LOWEST_M + (peak + 0.5) * _BIN_M)) <= 0.25
    return float(np.average(z[layer], weights=distance2[layer]))
