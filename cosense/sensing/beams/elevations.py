"""Elevations of the beams of LiDARs on the market.

Those of the Pandar40P, VLP-16, VLP-32 and XT-32 were read off real scans (tier4/nebula, Apache-2.0), in which
the points of a beam share one elevation to some 1e-3 degrees; beams without a return there are those of the
data sheet. The HDL-64 has the two blocks of its data sheet.
"""

from __future__ import annotations

import numpy as np


def blocks(*parts: tuple[float, float, int]) -> tuple[float, ...]:
    """Return the elevations of blocks (lowest, highest, number) of evenly spaced beams."""
    return tuple(round(float(e), 4) for low, high, count in parts for e in np.linspace(low, high, count))


# fmt: off
PANDAR40P_DEG = (
    -25.0, -19.0, -14.018, -13.062, -12.094, -11.120, -10.133, -9.148, -8.147, -7.151, -6.149, -5.814, -5.479,
    -5.145, -4.808, -4.473, -4.138, -3.800, -3.463, -3.128, -2.788, -2.453, -2.116, -1.776, -1.439, -1.101,
    -0.763, -0.425, -0.088, 0.249, 0.587, 0.925, 1.263, 1.600, 1.940, 2.952, 4.969, 7.971, 10.944, 14.794,
)
VLP32_DEG = (
    -25.0, -15.639, -11.31, -8.843, -7.254, -6.148, -5.333, -4.667, -4.0, -3.667, -3.333, -3.0, -2.667,
    -2.333, -2.0, -1.667, -1.333, -1.0, -0.667, -0.333, 0.0, 0.333, 0.667, 1.0, 1.333, 1.667, 2.333, 3.333,
    4.667, 7.0, 10.333, 15.0,
)
# fmt: on
VLP16_DEG = blocks((-15, 15, 16))
XT32_DEG = blocks((-16, 15, 32))
HDL64_DEG = blocks((-24.33, -8.83, 32), (-8.33, 2.0, 32))

# The same in every unit, so that they tell the product.
PRODUCTS_DEG = {
    "Pandar40P": PANDAR40P_DEG,
    "VLP-16": VLP16_DEG,
    "VLP-32C": VLP32_DEG,
    "XT-32": XT32_DEG,
}
