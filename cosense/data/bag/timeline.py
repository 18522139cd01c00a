"""Finds what was measured at a moment of a recording.

A recording may hold a stamp more than once: data sets count each scenario from its start, and bags are played
in a loop. A moment is therefore a stamp and its turn, which counts its earlier occurrences. If two topics
have a stamp equally often, the first occurrences belong together, then the second, and so on. Otherwise the
time of recording tells the passes apart; it does not suffice alone, because a busy recorder may write one
topic long after another.

Stamps that step back are not yet another pass: messages are overtaken, sent twice, or come from two
publishers. `passes_of` tells these from a recording that starts again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

# No message is overtaken by one that was measured so much later.
_JUMP_NS = 1_000_000_000
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


def passes_of(stamps_ns: Sequence[int]) -> NDArray[np.int64]:
    """Return (N,): how often the recording of a topic has started again before each message.

    It has where stamps go back by a second or more and stay there, or where they go back by less and then
    cover the same time once more, message by message.

    Args:
        stamps_ns: time of measurement of each message, in the order of the recording.
    """
    stamps = [int(stamp) for stamp in stamps_ns]
    passes = np.zeros(len(stamps), dtype=np.int64)
    start, high = 0, -(2**62)
    for index, stamp in enumerate(stamps):
        if index and stamp < stamps[index - 1]:
            if index - start > 1 and stamps[index - 2] < stamp <= stamps[index - 1] - _JUMP_NS:
                # A single stamp was far ahead of those before and after it.
                high = stamp
            elif _starts_again(stamps, start, index, high):
                passes[index:] += 1
                start, high = index, stamp
        high = max(high, stamp)
    return passes


def _starts_again(stamps: Sequence[int], start: int, index: int, high: int) -> bool:
    """Return whether a new pass begins at `index`, where stamps have stepped back from `high`."""
    back_ns = high - stamps[index]
    if back_ns >= _JUMP_NS:
        return all(stamp <= high for stamp in stamps[index : index + 2])
    end = index + 1
    while end < len(stamps) and stamps[end - 1] <= stamps[end] <= high:
        end += 1
    if 2 * (stamps[end - 1] - stamps[index]) < back_ns:
        return False
    count = end - index
    overtaken = sum(stamp > stamps[index] for stamp in stamps[max(start, index - 2 * count) : index])
    return 2 * overtaken >= count


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
        passes = passes_of(stamps_ns)[order]
        self._passes = [np.flatnonzero(passes == number) for number in np.unique(passes)]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def span_ns(self) -> tuple[int, int]:
        """The first and the last stamp."""
        return int(self.stamps_ns[0]), int(self.stamps_ns[-1])

    @property
    def delay_ns(self) -> float:
        """How long after its stamp a value was recorded, in the median: how far two clocks are apart."""
        return float(np.median(self.logs_ns - self.stamps_ns))

    @property
    def period_ns(self) -> float:
        """The median time between two values, 0 for less than two."""
        stamps_ns = np.unique(self.stamps_ns)
        return float(np.median(np.diff(stamps_ns))) if len(stamps_ns) > 1 else 0.0

    def nearest(self, moment: Moment, tolerance_ns: int) -> int | None:
        """Return the index of the value measured nearest to a moment, None if none is near enough."""
        first, last = np.searchsorted(self.stamps_ns, (moment.stamp_ns, moment.stamp_ns + 1))
        if last - first == moment.turns:
            return int(first) + moment.turn
        return self._nearest(moment, moment.stamp_ns - tolerance_ns, moment.stamp_ns + tolerance_ns)

    def around(
        self, moment: Moment, is_usable: Callable[[T], bool] = lambda _: True
    ) -> tuple[list[T], list[T]]:
        """Return what was measured before and after a moment, however far away, to interpolate between.

        Each is a list of all values of the nearest two stamps, in the order of time. A value of the very
        moment is in both. All are of one pass over the recording.

        Args:
            moment: the moment.
            is_usable: whether a value counts.
        """
        first, last = np.searchsorted(self.stamps_ns, (moment.stamp_ns, moment.stamp_ns + 1))
        if last - first == moment.turns and is_usable(value := self.values[int(first) + moment.turn]):
            return [value], [value]
        found = [self._around(indices, moment.stamp_ns, is_usable) for indices in self._passes]
        nearest = min(found, key=lambda pair: self._late_ns(pair, moment), default=([], []))
        before, after = ([self.values[index] for index in indices] for indices in nearest)
        return before, after

    def _around(
        self, indices: NDArray[np.int64], stamp_ns: int, is_usable: Callable[[T], bool]
    ) -> tuple[list[int], list[int]]:
        """Return the indices of what `around` does, of one pass: its indices, sorted by stamp."""
        stamps_ns = self.stamps_ns[indices]
        last = int(np.searchsorted(stamps_ns, stamp_ns, "right"))
        first = int(np.searchsorted(stamps_ns, stamp_ns, "left"))
        before = self._two_moments(indices[:last][::-1], is_usable)
        return before[::-1], self._two_moments(indices[first:], is_usable)

    def _two_moments(self, indices: NDArray[np.int64], is_usable: Callable[[T], bool]) -> list[int]:
        """Return those of these indices that are usable, of the first two stamps."""
        found: list[int] = []
        stamps_ns: set[int] = set()
        for index in map(int, indices):
            if is_usable(self.values[index]):
                stamps_ns.add(int(self.stamps_ns[index]))
                if len(stamps_ns) > 2:
                    break
                found.append(index)
        return found

    def _late_ns(self, pair: tuple[list[int], list[int]], moment: Moment) -> float:
        """Return how far from a moment the values around it were recorded."""
        before, after = pair
        logs_ns = [self.logs_ns[index] for index in (*before[-1:], *after[:1])]
        return abs(float(np.mean(logs_ns)) - moment.log_ns) if logs_ns else np.inf

    def _nearest(self, moment: Moment, low_ns: int, high_ns: int) -> int | None:
        first, last = np.searchsorted(self.stamps_ns, (low_ns, high_ns + 1))
        if first == last:
            return None
        late_ns = np.abs(self.logs_ns[first:last] - moment.log_ns)
        away_ns = np.abs(self.stamps_ns[first:last] - moment.stamp_ns)
        is_this_pass = late_ns <= late_ns.min() + _JITTER_NS
        return int(first + np.lexsort((late_ns, away_ns, ~is_this_pass))[0])
