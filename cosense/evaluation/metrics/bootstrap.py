"""How sure a difference of two average precisions is: both on the same frames, drawn again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.evaluation.metrics.scoring import Outcome

RESAMPLES = 300
_INTERVAL_PERCENT = (2.5, 97.5)


@dataclass(frozen=True)
class Resampled:
    """Average precisions of one setting on frames drawn with replacement, (R,) in [0, 1]."""

    average_precisions: NDArray[np.float64]

    def difference_interval(self, other: Resampled) -> tuple[float, float]:
        """Return the interval that holds 95 % of the differences to another setting on the same draws."""
        differences = self.average_precisions - other.average_precisions
        low, high = np.nanpercentile(differences, _INTERVAL_PERCENT)
        return float(low), float(high)


def frame_draws(num_frames: int, seed: int) -> NDArray[np.int64]:
    """Return (R,F): how often each frame is in each draw of as many frames."""
    random = np.random.default_rng([seed, num_frames])
    return random.multinomial(num_frames, np.full(num_frames, 1 / num_frames), size=RESAMPLES)


def resample(outcomes: Sequence[Outcome], draws: NDArray[np.int64]) -> Resampled:
    """Return the average precision of each draw, VOC 2010 with all detections ranked together.

    Args:
        outcomes: of each frame, to one question.
        draws: (R,F) of the same frames.
    """
    num_objects = draws @ np.array([len(outcome.labels) for outcome in outcomes])
    frame_of = np.repeat(np.arange(len(outcomes)), [len(outcome.scores) for outcome in outcomes])
    scores = np.concatenate([outcome.scores for outcome in outcomes])
    order = np.argsort(-scores, kind="stable")
    hits = np.concatenate([outcome.is_true_positive for outcome in outcomes])[order]
    times = draws[:, frame_of[order]]
    found = np.cumsum(times * hits, axis=1)
    # A frame drawn twice is two frames in a row: among equal detections the last precision is the best one.
    precision = found / np.maximum(np.cumsum(times, axis=1), 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    areas = np.sum(np.diff(found, prepend=0, axis=1) * envelope, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Resampled(np.where(num_objects > 0, areas / num_objects, np.nan))
