"""What real recordings get wrong, drawn from what was measured on DAIR-V2X-C.

Times: the clouds of vehicle and roadside unit differ by sigma 17.5 ms, |dt| median 15.2 ms, at most 30 ms;
the vehicle's image is about 100 ms later than its cloud (5th to 95th percentile 73 to 128 ms), the unit's
within sigma 14 ms of its own. Poses: the error of the unit's position is exactly zero for a third of the
pairs, else about 0.9 m, at most 1.56 m; it is constant over a sequence.
"""

from __future__ import annotations

import numpy as np

CLOUD_LIMIT_MS = 30.0
OFFSET_LIMIT_M = 1.56


def cloud_delay_ns(rng: np.random.Generator) -> int:
    """Draw the time of a unit's cloud after (negative: before) the ego's, in whole µs as ns.

    A uniform spread over ±30 ms has the sigma 17.3 ms, the median 15 ms and the limit that were measured:
    two clocks that run freely, pairs taken within the limit.
    """
    return round(rng.uniform(-CLOUD_LIMIT_MS, CLOUD_LIMIT_MS) * 1e3) * 1000


def image_delay_ns(rng: np.random.Generator, kind: str) -> int:
    """Draw the time of a camera's image after the cloud of the same agent, in ns."""
    mean, sigma = (100.0, 16.7) if kind == "vehicle" else (0.0, 14.0)
    return round(float(np.clip(rng.normal(mean, sigma), mean - 2.5 * sigma, mean + 2.5 * sigma)) * 1e3) * 1000


def position_offset_m(rng: np.random.Generator) -> tuple[float, float]:
    """Draw the position error of a roadside unit: true minus claimed position in the world, metres."""
    if rng.random() < 1 / 3:
        return 0.0, 0.0
    while True:
        length = rng.normal(0.92, 0.27)
        if 0.2 < length < OFFSET_LIMIT_M:
            angle = rng.uniform(-np.pi, np.pi)
            # Two decimals, as the real lists have them.
            dx, dy = round(length * float(np.cos(angle)), 2), round(length * float(np.sin(angle)), 2)
            if np.hypot(dx, dy) <= OFFSET_LIMIT_M:
                return dx, dy
