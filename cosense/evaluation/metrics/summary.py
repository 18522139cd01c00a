"""The numbers of a run from the results of its frames, and how sure a difference between two runs is.

The same for offline runs and for live ones. Two settings are compared on the same frames, drawn with
replacement again and again (bootstrap).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.evaluation.metrics.participants import MARGIN_M, on_unlabelled
from cosense.evaluation.metrics.scoring import (
    Outcome,
    Question,
    admissible_detections,
    has_label,
    in_band,
    main_threshold,
    pool,
    pooled_average_precision,
    questions,
    score_frame,
)
from cosense.evaluation.metrics.working_point import threshold_key, working_point
from cosense.evaluation.protocol import ALL, NEAR, Band, Protocol
from cosense.evaluation.run_files import FrameResult
from cosense.sensing.detections import Detections
from cosense.sensing.objects import ObjectClass, Objects

# Vehicles above this length exceed the limit for large boxes of the protocol `opencood`.
LONG_VEHICLE_M = 6.0
_RESAMPLES = 300
_INTERVAL_PERCENT = (2.5, 97.5)


@dataclass(frozen=True)
class FrameScore:
    """What is kept of a frame for the numbers of the run.

    Attributes:
        outcomes: answer to each question of the protocol.
        num_on_participants: detections within range of vehicles that take part and have no label.
        num_working: detections within range above the working score by class, also where there are no labels.
        bytes_per_sender, elapsed_ms: as in `FrameResult`.
    """

    outcomes: dict[Question, Outcome]
    num_on_participants: int
    num_working: Mapping[str, int]
    bytes_per_sender: Mapping[str, int]
    elapsed_ms: float


def score(result: FrameResult, protocol: Protocol) -> FrameScore:
    """Match one frame and keep what the numbers of the run need."""
    found, truth, places = result.detections, result.ground_truth, result.participants
    outcomes = score_frame(found, truth, result.num_points, protocol, places, result.labelled)
    within = found[admissible_detections(found, protocol)]
    within = within[in_band(within.boxes, Band(), protocol)]
    margin_m = protocol.participant_margin_m
    of_participants = on_unlabelled(within, truth, places, MARGIN_M if margin_m is None else margin_m)
    working = within.labels[within.scores > protocol.working_score]
    return FrameScore(
        outcomes,
        int(np.count_nonzero(of_participants)),
        {c.name: int(has_label(working, c.detections).sum()) for c in protocol.classes},
        result.bytes_per_sender,
        result.elapsed_ms,
    )


def summarise(results: Iterable[FrameResult], protocol: Protocol) -> dict[str, Any]:
    """Return the numbers of a run, ready for JSON; see `summarise_scores`."""
    return summarise_scores([score(result, protocol) for result in results], protocol)


def summarise_scores(scores: Sequence[FrameScore], protocol: Protocol) -> dict[str, Any]:
    """Return the numbers of a run, ready for JSON; what is not defined (nothing to find, no frame) is None.

    - `ap`: average precision by IoU threshold ("0.5") for the main class and the main kind of overlap
    - `ap_3d`: the same for volumes, where the protocol has both kinds
    - `ap_near`: the same for the band "near", where the protocol has it
    - `ap_per_class`, `ap_per_band`: average precision by kind of overlap and IoU threshold
    - `recall`: recall by class of the ground truth; `recall_long_vehicles`: recall of vehicles above 6 m
    - `working`: what boxes above the working score are like by class, see `working_point`
    - `num_ground_truth`, `num_detections`: objects and detections that count, over all classes
    - `detections_on_participants`: detections of vehicles that take part and have no label, and what they
      `count_as`
    - `bytes_per_frame`: mean, p50 and p95 of what one collaborator sends in one frame; `bytes_total`
    - `ms_per_frame`: mean, p50 and p95
    """
    pooled = _pool_all(scores, protocol)
    main, main_iou = protocol.main_class, protocol.iou[0]

    def ap(band: str, class_name: str, kind: str) -> dict[str, float | None]:
        return {
            threshold_key(threshold): _defined(pooled_average_precision(outcome, protocol))
            for (a_band, a_class, a_kind, threshold), outcome in pooled.items()
            if (a_band, a_class, a_kind) == (band, class_name, kind)
        }

    summary: dict[str, Any] = {"ap": ap(ALL, main.name, main_iou)}
    if "3d" in protocol.iou[1:]:
        summary["ap_3d"] = ap(ALL, main.name, "3d")
    if NEAR in protocol.bands:
        summary["ap_near"] = ap(NEAR, main.name, main_iou)
    per_class: dict[str, Any] = {}
    per_band: dict[str, Any] = {}
    for band, scored in questions(protocol):
        of_kind: dict[str, Any] = {kind: ap(band, scored.name, kind) for kind in protocol.iou}
        objects = pooled[band, scored.name, main_iou, scored.iou_thresholds[0]].labels
        entry = of_kind | {"num_ground_truth": len(objects)}
        if band == ALL:
            per_class[scored.name] = entry
        else:
            per_band[band] = entry
    summary |= {"ap_per_class": per_class, "ap_per_band": per_band}
    summary |= _recalls(pooled, protocol) | _counts(pooled, protocol)
    summary["working"] = {
        scored.name: working_point(pooled, scored, protocol, [s.num_working for s in scores])
        for scored in protocol.classes
    }
    summary["detections_on_participants"] = {
        "number": sum(score.num_on_participants for score in scores),
        "count_as": "false alarms" if protocol.participant_margin_m is None else "nothing",
    }
    elapsed_ms = [score.elapsed_ms for score in scores if not math.isnan(score.elapsed_ms)]
    return summary | _bytes(scores) | {"ms_per_frame": _spread(elapsed_ms)}


def main_question(protocol: Protocol) -> Question:
    """Return what runs are compared by: the main class, at an IoU of 0.5 where the protocol has that."""
    scored = protocol.main_class
    return ALL, scored.name, protocol.iou[0], main_threshold(scored)


def average_precision_so_far(scores: Sequence[FrameScore], protocol: Protocol) -> tuple[float, float]:
    """Return IoU threshold and average precision of the main question; NaN with nothing to find."""
    question = main_question(protocol)
    if not scores:
        return question[3], math.nan
    return question[3], pooled_average_precision(pool([s.outcomes[question] for s in scores]), protocol)


@dataclass(frozen=True)
class Resampled:
    """What one setting reaches on frames drawn with replacement, see `draws_of`.

    Attributes:
        average_precisions: (R,) one for each draw, in [0, 1].
    """

    average_precisions: NDArray[np.float64]

    def difference_interval(self, other: Resampled) -> tuple[float, float]:
        """Return the interval that holds 95 % of the differences to another setting on the same draws."""
        differences = self.average_precisions - other.average_precisions
        low, high = np.nanpercentile(differences, _INTERVAL_PERCENT)
        return float(low), float(high)

    @property
    def interval(self) -> tuple[float, float]:
        """The interval that holds 95 % of the average precisions."""
        low, high = np.nanpercentile(self.average_precisions, _INTERVAL_PERCENT)
        return float(low), float(high)

    @property
    def deviation(self) -> float | None:
        """The standard deviation over the draws, None where there is nothing to find."""
        known = self.average_precisions[~np.isnan(self.average_precisions)]
        return float(known.std()) if len(known) else None


def draws_of(sequences: Sequence[int], seed: int) -> NDArray[np.int64]:
    """Return (R,F) how often each frame is in each of R draws with replacement.

    Whole sequences are drawn, as many as there are: frames of one place are alike, and errors of poses stay
    the same over a sequence. The frames of a single sequence are drawn one by one.

    Args:
        sequences: number of the sequence of each of the F frames.
        seed: of the draws.
    """
    names, block_of = np.unique(sequences, return_inverse=True)
    count = len(names)
    if count < 2:
        block_of = np.arange(len(sequences))
        count = len(sequences)
    random = np.random.default_rng([seed, count])
    draws: NDArray[np.int64] = random.multinomial(count, np.full(count, 1 / count), size=_RESAMPLES)
    return draws[:, block_of]


def resample(outcomes: Sequence[Outcome], draws: NDArray[np.int64], *, global_sort: bool = True) -> Resampled:
    """Return the average precision of each draw, by VOC 2010.

    Args:
        outcomes: answer of each frame to one question.
        draws: (R,F) how often each of these frames is in each draw.
        global_sort: whether the detections of all frames are ranked together, or stay frame after frame.
    """
    num_objects = draws @ np.array([len(outcome.labels) for outcome in outcomes])
    frame_of = np.repeat(np.arange(len(outcomes)), [len(outcome.scores) for outcome in outcomes])
    scores = np.concatenate([outcome.scores for outcome in outcomes])
    order = np.argsort(-scores, kind="stable") if global_sort else np.arange(len(scores))
    hits = np.concatenate([outcome.is_true_positive for outcome in outcomes])[order]
    times = draws[:, frame_of[order]]
    found = np.cumsum(times * hits, axis=1)
    # A frame drawn twice is two frames in a row: among equal detections the last precision is the best one.
    precision = found / np.maximum(np.cumsum(times, axis=1), 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    areas = np.sum(np.diff(found, prepend=0, axis=1) * envelope, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return Resampled(np.where(num_objects > 0, areas / num_objects, np.nan))


def _pool_all(scores: Sequence[FrameScore], protocol: Protocol) -> dict[Question, Outcome]:
    if not scores:
        nothing = np.zeros(0, dtype=np.int64)
        nobody = np.zeros((0, 2))
        empty = FrameResult("", Detections.empty(), Objects.empty(), nothing, nobody, {}, 0.0)
        scores = [score(empty, protocol)]
    return {question: pool([s.outcomes[question] for s in scores]) for question in scores[0].outcomes}


def _recalls(pooled: Mapping[Question, Outcome], protocol: Protocol) -> dict[str, Any]:
    """Return the recall of each class of ground truth, and that of long vehicles."""
    recall: dict[str, Any] = {}
    for scored in protocol.classes:
        outcomes = {t: pooled[ALL, scored.name, protocol.iou[0], t] for t in scored.iou_thresholds}
        for label_name in scored.ground_truth:
            label = ObjectClass[label_name.upper()]
            recall[label_name] = _recall({t: (o, o.labels == label) for t, o in outcomes.items()})
    main = protocol.main_class
    outcomes = {t: pooled[ALL, main.name, protocol.iou[0], t] for t in main.iou_thresholds}
    long_ones = _recall({t: (o, o.lengths_m > LONG_VEHICLE_M) for t, o in outcomes.items()})
    return {"recall": recall, "recall_long_vehicles": long_ones}


def _recall(chosen: Mapping[float, tuple[Outcome, NDArray[np.bool_]]]) -> dict[str, Any]:
    """Return how many objects a mask (K,) chooses, and by threshold the fraction of them that was found."""
    entry: dict[str, Any] = {"num_ground_truth": int(next(iter(chosen.values()))[1].sum())}
    for threshold, (outcome, mask) in chosen.items():
        entry[threshold_key(threshold)] = float(outcome.is_found[mask].mean()) if mask.any() else None
    return entry


def _counts(pooled: Mapping[Question, Outcome], protocol: Protocol) -> dict[str, int]:
    """Return the numbers of objects and detections that count, over all classes."""
    first = [
        pooled[ALL, scored.name, protocol.iou[0], scored.iou_thresholds[0]] for scored in protocol.classes
    ]
    return {
        "num_ground_truth": sum(len(outcome.labels) for outcome in first),
        "num_detections": sum(len(outcome.scores) for outcome in first),
    }


def _bytes(scores: Sequence[FrameScore]) -> dict[str, Any]:
    sent = [count for score in scores for count in score.bytes_per_sender.values()]
    spread = _spread(sent) if sent else {"mean": 0.0, "p50": 0.0, "p95": 0.0}
    return {"bytes_per_frame": spread, "bytes_total": sum(sent)}


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {"mean": None, "p50": None, "p95": None}
    return {
        "mean": float(np.mean(values)),
        "p50": float(np.percentile(values, 50)),
        "p95": float(np.percentile(values, 95)),
    }


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
