"""Errors of time and position in real recordings, drawn as they were measured on DAIR-V2X-C.

Times: the clouds of vehicle and roadside unit differ with sigma 17.5 ms, median |dt| 15.2 ms, 30 ms at most;
the vehicle's image is about 100 ms later than its cloud (5th to 95th percentile 73 to 128 ms), the unit's
within sigma 14 ms of its cloud. Poses: the error of the unit's position is exactly zero for a third of the
pairs, else about 0.9 m, 1.56 m at most; it is constant over a sequence.
"""

from __future__ import annotations

import numpy as np

CLOUD_LIMIT_MS = 30.0
OFFSET_LIMIT_M = 1.56


def cloud_delay_ns(rng: np.random.Generator) -> int:
    """Draw the time in ns from the ego's cloud to that of another agent, rounded to microseconds.

    A uniform spread over ±30 ms has sigma 17.3 ms, median 15 ms and the limit that were measured, as expected
    from two clocks that run freely if pairs are formed within the limit.
    """
    return round(rng.uniform(-CLOUD_LIMIT_MS, CLOUD_LIMIT_MS) * 1e3) * 1000


def image_delay_ns(rng: np.random.Generator, kind: str) -> int:
    """Draw the time in ns from an agent's cloud to its image."""
    mean, sigma = (100.0, 16.7) if kind == "vehicle" else (0.0, 14.0)
    return round(float(np.clip(rng.normal(mean, sigma), mean - 2.5 * sigma, mean + 2.5 * sigma)) * 1e3) * 1000


def position_offset_m(rng: np.random.Generator) -> tuple[float, float]:
    """Draw the position error of a roadside unit: true minus claimed position in the world, in metres."""
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
