"""Errors between agents as measured on DAIR-V2X-C and V2X-Seq: where they are, and when they measure.

Times: the clouds of vehicle and roadside unit differ with sigma 17.5 ms, median |dt| 15.2 ms, 30 ms at most;
the vehicle's image is about 100 ms later than its cloud (5th to 95th percentile 73 to 128 ms), the unit's
within sigma 14 ms of its cloud.

Positions: what the authors had to add to bring the clouds of the unit onto those of the vehicle
(`system_error_offset`). Its median is 0.7 to 0.9 m, its 95th percentile 1.28 m, 1.56 m at most; neither
component is above 1.1 m, which a part reaches exactly: the search for it was clipped. Over a sequence it has
a bias of 0.53 m (median) and standard deviations of 0.40 and 0.27 m about it; 39 % of neighbouring frames,
0.1 s apart, have the same value, others differ by 0.23 m (median), 0.82 m (95th percentile). After the
correction that the data set brings 0.2 to 0.3 m are left. A third of the pairs have no error at all, as
nobody searched for one: `PositionErrors` draws none of these.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CLOUD_LIMIT_MS = 30.0
_COMPONENT_LIMIT_M = 1.1
# Between two values of a sequence.
STEP_NS = 100_000_000
# Standard deviations of the components of the bias of a sequence, and of the values about it.
_BIAS_M, _ABOUT_BIAS_M = 0.44, np.array([0.52, 0.31])
# A value stays, or wanders by so much, or is a new one.
_STAYS, _IS_NEW, _WANDERS_M = 0.39, 0.15, 0.17
# What is left of an error after correction: 0.2 to 0.3 of 0.7 to 0.9 m.
LEFT_AFTER_CORRECTION = 0.3


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


class PositionErrors:
    """The position error of one agent over a sequence: a bias and a slow walk about it."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draw the bias and the first value."""
        self._rng = rng
        self._bias_m = rng.normal(0.0, _BIAS_M, 2)
        self._walk_m = rng.normal(0.0, _ABOUT_BIAS_M)

    @property
    def error_m(self) -> NDArray[np.float64]:
        """The error (x, y) at this step in metres, in the two decimals of the real lists."""
        error_m = np.clip(self._bias_m + self._walk_m, -_COMPONENT_LIMIT_M, _COMPONENT_LIMIT_M)
        return np.round(error_m, 2)

    def step(self) -> None:
        """Go on by `STEP_NS`."""
        if self._rng.random() < _STAYS:
            return
        if self._rng.random() < _IS_NEW:
            self._walk_m = self._rng.normal(0.0, _ABOUT_BIAS_M)
            return
        # Pulled back towards the bias, so that the spread about it stays the same.
        kept = np.sqrt(1 - (_WANDERS_M / _ABOUT_BIAS_M) ** 2)
        self._walk_m = kept * self._walk_m + self._rng.normal(0.0, _WANDERS_M, 2)
