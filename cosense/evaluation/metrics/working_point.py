"""What the boxes that are acted upon are like: false alarms, misses by distance, headings, lengths, scores.

Average precision ranks boxes and says nothing of the score at which somebody has to decide. Here a box counts
that is above the working score of the protocol, and has found an object if it overlaps by the least threshold
of the class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from cosense.evaluation.metrics.scoring import Outcome, Question
from cosense.evaluation.protocol import ALL, Protocol, ScoredClass

# The last is beyond the range of every protocol.
_DISTANCES_M = (0, 15, 30, 50, 100, 150)


def working_point(
    pooled: Mapping[Question, Outcome],
    scored: ScoredClass,
    protocol: Protocol,
    num_working: Sequence[Mapping[str, int]],
) -> dict[str, Any]:
    """Return what one class is like above the working score, ready for JSON; None where nothing is defined.

    - `score`: the working score
    - `num_ground_truth`, `num_hits`, `num_false`: objects, boxes that found one, false alarms
    - `recall`: by IoU threshold
    - `recall_by_distance`: by metres from the ego ("0-15"), at the least threshold
    - `precision`: fraction of hits; `mean_score`: what the boxes themselves say, on average
    - `false_per_frame`: None without any labelled object, as then the class may not be labelled at all
    - `other_boxes_per_frame`: boxes within range that found none, also where nothing is labelled
    - `reversed`: fraction of the hits whose heading is more than 90 degrees off
    - `length_bias_m`: median of how much longer the hits are than the objects

    Args:
        pooled: answers of all frames.
        scored: the class.
        protocol: what is counted.
        num_working: for each frame, boxes above the working score by class.
    """
    first = pooled[ALL, scored.name, protocol.iou[0], min(scored.iou_thresholds)]
    is_hit = first.found_scores > protocol.working_score
    working = first.scores > protocol.working_score
    num_objects, num_hits = len(first.labels), int(is_hit.sum())
    num_false = int(np.count_nonzero(working & ~first.is_true_positive))
    frames = len(num_working)
    num_boxes = sum(counts[scored.name] for counts in num_working)
    return {
        "score": protocol.working_score,
        "num_ground_truth": num_objects,
        "num_hits": num_hits,
        "num_false": num_false,
        "recall": {
            threshold_key(threshold): _mean(
                pooled[ALL, scored.name, protocol.iou[0], threshold].found_scores > protocol.working_score
            )
            for threshold in scored.iou_thresholds
        },
        "recall_by_distance": {
            f"{near}-{far}": _mean(is_hit[(first.distances_m >= near) & (first.distances_m < far)])
            for near, far in pairwise(_DISTANCES_M)
        },
        "precision": num_hits / (num_hits + num_false) if num_objects and num_hits + num_false else None,
        "mean_score": _mean(first.scores[working]),
        "false_per_frame": num_false / frames if num_objects and frames else None,
        "other_boxes_per_frame": (num_boxes - num_hits) / frames if frames else None,
        "reversed": _mean(first.heading_errors_rad[is_hit] > np.pi / 2),
        "length_bias_m": float(np.median(first.length_errors_m[is_hit])) if num_hits else None,
    }


def threshold_key(threshold: float) -> str:
    """Return an IoU threshold as results name it: "0.5"."""
    return f"{threshold:g}"


def _mean(values: np.ndarray) -> float | None:
    """Return the mean, to the last digit the same in any order."""
    return math.fsum(values) / len(values) if len(values) else None
