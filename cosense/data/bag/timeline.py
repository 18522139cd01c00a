"""Finds what was measured at a moment of a recording.

A recording may hold a stamp more than once: data sets count each scenario from its start, and bags are played
in a loop. A moment is therefore a stamp and its turn, which counts its earlier occurrences. If two topics
have a stamp equally often, the first occurrences belong together, then the second, and so on. Otherwise the
time of recording tells the passes apart; it does not suffice alone, because a busy recorder may write one
topic long after another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

# Neighbours that were recorded further apart belong to two passes.
_ONE_PASS_NS = 1_000_000_000
# Two topics that were measured at the same moment reach the recorder this far apart at most.
_JITTER_NS = 150_000_000


@dataclass(frozen=True)
class Moment:
    """When something was measured.

    Attributes:
        stamp_ns: time of measurement, by the clock of the sensor.
        log_ns: time of recording.
        turn: number of earlier occurrences of the stamp.
        turns: number of all occurrences of the stamp.
    """

    stamp_ns: int
    log_ns: int
    turn: int = 0
    turns: int = 1


def with_turns(moments: Sequence[Moment]) -> list[Moment]:
    """Return the same moments, in the order of the recording, with `turn` and `turns` counted."""
    turns = Counter(moment.stamp_ns for moment in moments)
    came: Counter[int] = Counter()
    counted = []
    for moment in moments:
        stamp_ns = moment.stamp_ns
        counted.append(Moment(stamp_ns, moment.log_ns, came[stamp_ns], turns[stamp_ns]))
        came[stamp_ns] += 1
    return counted


class Timeline(Generic[T]):
    """Values with their stamps, in the order of the recording.

    Args:
        stamps_ns: time of measurement of each value.
        logs_ns: time of recording of each value.
        values: the values, e.g. messages or transforms.
    """

    def __init__(self, stamps_ns: Sequence[int], logs_ns: Sequence[int], values: Sequence[T]) -> None:
        order = np.argsort(np.asarray(stamps_ns, dtype=np.int64), kind="stable")
        self.stamps_ns: NDArray[np.int64] = np.asarray(stamps_ns, dtype=np.int64)[order]
        self.logs_ns: NDArray[np.int64] = np.asarray(logs_ns, dtype=np.int64)[order]
        self.values = [values[index] for index in order]

    def __len__(self) -> int:
        return len(self.values)

    def nearest(self, moment: Moment, tolerance_ns: int) -> int | None:
        """Return the index of the value measured nearest to a moment, None if none is near enough."""
        first, last = np.searchsorted(self.stamps_ns, (moment.stamp_ns, moment.stamp_ns + 1))
        if last - first == moment.turns:
            return int(first) + moment.turn
        return self._nearest(moment, moment.stamp_ns - tolerance_ns, moment.stamp_ns + tolerance_ns)

    def around(self, moment: Moment, tolerance_ns: int) -> tuple[int, int] | None:
        """Return the indices of the values before and after a moment, to interpolate between them.

        The two are equal if a value was measured at that very moment, or if only one side has a value within
        the tolerance. None if neither side has one.
        """
        found = self.nearest(moment, tolerance_ns)
        stamp_ns = moment.stamp_ns
        if found is None or self.stamps_ns[found] == stamp_ns:
            return None if found is None else (found, found)
        if self.stamps_ns[found] < stamp_ns:
            other = self._nearest(moment, stamp_ns, stamp_ns + tolerance_ns)
            pair = (found, found if other is None else other)
        else:
            other = self._nearest(moment, stamp_ns - tolerance_ns, stamp_ns)
            pair = (found if other is None else other, found)
        is_one_pass = abs(int(self.logs_ns[pair[0]]) - int(self.logs_ns[pair[1]])) <= _ONE_PASS_NS
        return pair if is_one_pass else (found, found)

    def _nearest(self, moment: Moment, low_ns: int, high_ns: int) -> int | None:
        first, last = np.searchsorted(self.stamps_ns, (low_ns, high_ns + 1))
        if first == last:
            return None
        late_ns = np.abs(self.logs_ns[first:last] - moment.log_ns)
        away_ns = np.abs(self.stamps_ns[first:last] - moment.stamp_ns)
        is_this_pass = late_ns <= late_ns.min() + _JITTER_NS
        return int(first + np.lexsort((late_ns, away_ns, ~is_this_pass))[0])
