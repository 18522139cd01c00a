"""Finding in a recording what was measured at a moment.

A recording may hold a stamp more than once: data sets count each scenario from its start, bags are looped. So
a moment is a stamp and the turn at which it comes: of two topics that have the stamp equally often, the first
belongs to the first, the second to the second. Elsewhere the time of recording tells the passes apart; it is
not enough by itself, as a recorder that is short of time writes down one topic long after another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

# Neighbours that were recorded further apart are of two passes.
_ONE_PASS_NS = 1_000_000_000
# Two topics reach the recorder this much apart, though they were measured at the same moment.
_JITTER_NS = 150_000_000


@dataclass(frozen=True)
class Moment:
    """When something was measured.

    Attributes:
        stamp_ns: by the clock of who measured.
        log_ns: when it was recorded.
        turn: how often the stamp had come before.
        turns: how often it comes in all.
    """

    stamp_ns: int
    log_ns: int
    turn: int = 0
    turns: int = 1


def with_turns(moments: Sequence[Moment]) -> list[Moment]:
    """Return moments, in the order of the recording, with how often each stamp has come and comes."""
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
        stamps_ns: when each was measured.
        logs_ns: when each was recorded.
        values: the values.
    """

    def __init__(self, stamps_ns: Sequence[int], logs_ns: Sequence[int], values: Sequence[T]) -> None:
        order = np.argsort(np.asarray(stamps_ns, dtype=np.int64), kind="stable")
        self.stamps_ns: NDArray[np.int64] = np.asarray(stamps_ns, dtype=np.int64)[order]
        self.logs_ns: NDArray[np.int64] = np.asarray(logs_ns, dtype=np.int64)[order]
        self.values = [values[index] for index in order]

    def __len__(self) -> int:
        return len(self.values)

    def nearest(self, moment: Moment, tolerance_ns: int) -> int | None:
        """Return the index of what was measured nearest to a moment, None if nothing within the tolerance."""
        first, last = np.searchsorted(self.stamps_ns, (moment.stamp_ns, moment.stamp_ns + 1))
        if last - first == moment.turns:
            return int(first) + moment.turn
        return self._nearest(moment, moment.stamp_ns - tolerance_ns, moment.stamp_ns + tolerance_ns)

    def around(self, moment: Moment, tolerance_ns: int) -> tuple[int, int] | None:
        """Return the indices of the neighbours before and after a moment, to interpolate between them.

        The two are the same where something was measured at the very moment, or where only one side has
        something within the tolerance. None where neither has.
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
