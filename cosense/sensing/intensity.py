"""Brings the intensities of one sensor to [0, 1], by one number for all its clouds.

Neither files nor messages say what their full scale is: DAIR-V2X has 0 to 255 on the vehicle and 0 to 1 on
the roadside, drivers of Ouster photon counts of 12 or 16 bits, all of them as real numbers or as integers.

- Integers of 8 bits are divided by 255.
- Other numbers are divided by the smallest usual full scale that holds all but a thousandth of those that are
  positive: 1 (real numbers only), 255, 1023, 4095 or 65535; by the number itself where it is beyond these.

The same material keeps its value only if this is decided once. A recorded sequence is looked at from its
first to its last cloud before the first one is used, and what was decided then holds. A live stream cannot be
looked at in advance: the first cloud with an intensity decides, and only one that is brighter than the scale
holds, in more than a thousandth of its points, decides again, upwards.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_FULL_SCALES = (1.0, 255.0, 1023.0, 4095.0, 65535.0)
# Of the values that are positive: a few glints do not decide for all.
_BEYOND = 1e-3
# Up to here, real numbers that go to 1 may go by the rounding of their writer.
_ONE_ROUNDED = 1.001


class IntensityScale:
    """The numbers by which the intensities of one sensor are divided, one for each type of its field.

    Args:
        sequence: intensities (N,) of clouds from all over a recorded sequence; None for a live stream.

    Attributes:
        assumed: a sentence for each decision.
        cut: a sentence for each way in which intensities were cut to get into [0, 1].
    """

    def __init__(self, sequence: Iterable[NDArray] | None = None) -> None:
        self._is_live = sequence is None
        self._full_scales: dict[np.dtype, float] = {}
        self.assumed: list[str] = []
        self.cut: list[str] = []
        self._is_cut: set[str] = set()
        seen: dict[np.dtype, list[NDArray]] = {}
        for intensity in sequence or ():
            seen.setdefault(intensity.dtype, []).append(_positive(intensity))
            if intensity.dtype.itemsize == 1:
                break
        for dtype, values in seen.items():
            self._decide(dtype, np.concatenate(values))

    def __call__(self, intensity: NDArray) -> NDArray[np.float32]:
        """Return intensities (N,) in [0, 1]; whatever is cut to get there is said once.

        Args:
            intensity: (N,) finite intensities of one cloud, in the type of their field.
        """
        dtype = intensity.dtype
        if self._is_live or dtype not in self._full_scales:
            self._look_at(intensity)
        full_scale = self._full_scales.get(dtype, 1.0)
        values: NDArray = intensity.astype(np.float32 if full_scale == 1 else np.float64)
        self._count_cut(values > _highest(full_scale), f"above {full_scale:g} and become 1")
        self._count_cut(values < 0, "below 0 and become 0")
        shares: NDArray = np.clip(values, 0, full_scale) / full_scale
        return shares.astype(np.float32)

    def _look_at(self, intensity: NDArray) -> None:
        """Decide by one cloud, or decide again where it is brighter than what was decided."""
        dtype = intensity.dtype
        positive = _positive(intensity)
        full_scale = self._full_scales.get(dtype)
        if not len(positive):
            return
        beyond = 0 if full_scale is None else np.count_nonzero(positive > _highest(full_scale))
        if full_scale is None or beyond > _BEYOND * len(positive):
            self._decide(dtype, positive)

    def _decide(self, dtype: np.dtype, positive: NDArray) -> None:
        """Choose the full scale for intensities (N,), all positive."""
        if not len(positive):
            return
        last = int(np.ceil((1 - _BEYOND) * (len(positive) - 1)))
        high = float(np.partition(positive, last)[last])
        if dtype.itemsize == 1:
            full_scale = 255.0
        else:
            usual = _FULL_SCALES if dtype.kind == "f" else _FULL_SCALES[1:]
            full_scale = next((scale for scale in usual if high <= _highest(scale)), high)
        is_first = dtype not in self._full_scales
        self._full_scales[dtype] = full_scale
        if full_scale != 1 and dtype.itemsize > 1:
            again = "" if is_first else "from now on "
            given = f"intensities ({dtype.name}, up to {positive.max():g})"
            self.assumed.append(f"{given} are {again}divided by {full_scale:g}")

    def _count_cut(self, is_cut: NDArray[np.bool_], how: str) -> None:
        """Say once that intensities (N,) are cut."""
        if is_cut.any() and how not in self._is_cut:
            self._is_cut.add(how)
            self.cut.append(f"{np.count_nonzero(is_cut)} of {len(is_cut)} intensities of a cloud are {how}")


def _highest(full_scale: float) -> float:
    """Return the highest intensity that is on a scale."""
    return _ONE_ROUNDED if full_scale == 1 else full_scale


def _positive(intensity: NDArray) -> NDArray:
    """Return the values that are positive and finite."""
    return intensity[(intensity > 0) & np.isfinite(intensity)]
