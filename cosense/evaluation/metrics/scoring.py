"""One frame under one protocol: which detections and which objects count, and who found whom.

What is kept of a frame is small (scores, marks, classes), so that a whole split is pooled at once at the end
and the average precision so far can be shown at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from cosense.data.dataset import CooperativeFrame
from cosense.evaluation.metrics.average_precision import average_precision, dair_average_precision
from cosense.evaluation.metrics.matching import (
    NOT_MATCHED,
    IouKind,
    iou_matrix,
    match_by_detection,
    match_by_ground_truth,
)
from cosense.evaluation.metrics.participants import Places, is_ego_label, on_unlabelled
from cosense.evaluation.protocol import ALL, Band, Protocol, ScoredClass
from cosense.geometry.boxes import Boxes, bev_corners, box_corners, points_in_boxes, transform_boxes
from cosense.geometry.nms import rotated_nms
from cosense.geometry.transforms import invert, wrap_angle
from cosense.sensing.detections import Detections
from cosense.sensing.labelled_area import EVERYWHERE, LabelledArea
from cosense.sensing.objects import ObjectClass, Objects

# Neither an object that was found nor a false alarm; PARTICIPANT is around a vehicle that takes part.
NOT_COUNTED, PARTICIPANT = -2, -3
_MAIN_IOU = 0.5

# What is asked of a frame: name of the band, name of the class, kind of overlap, IoU threshold.
Question = tuple[str, str, IouKind, float]


@dataclass(frozen=True)
class Outcome:
    """The answer of one frame, or of several, to one question.

    Attributes:
        scores: (M,) scores of the detections that count, best first within each frame.
        is_true_positive: (M,) bool, which of them found an object.
        labels: (K,) `ObjectClass` of the ground truth that counts.
        lengths_m: (K,) longer horizontal edge of the ground truth.
        is_found: (K,) bool, which of the ground truth was found.
        distances_m: (K,) of the ground truth from the ego, seen from above.
        found_scores: (K,) scores of the detections that found it; NaN where none did, as are the following.
        length_errors_m: (K,) extent of these along the heading, minus that of the ground truth.
        heading_errors_rad: (K,) angles between the headings of the two, 0 to pi.
    """

    scores: NDArray[np.float32]
    is_true_positive: NDArray[np.bool_]
    labels: NDArray[np.int64]
    lengths_m: NDArray[np.float64]
    is_found: NDArray[np.bool_]
    distances_m: NDArray[np.float64]
    found_scores: NDArray[np.float64]
    length_errors_m: NDArray[np.float64]
    heading_errors_rad: NDArray[np.float64]


def score_frame(
    detections: Detections,
    ground_truth: Objects,
    num_points: NDArray[np.int64],
    protocol: Protocol,
    participants: Places,
    labelled: LabelledArea = EVERYWHERE,
) -> dict[Question, Outcome]:
    """Match one frame under every question of the protocol.

    Args:
        detections: what was found, in the ego frame.
        ground_truth: what there is to find, in the ego frame.
        num_points: (K,) LiDAR points on each ground truth, counted by the agent that has most.
        protocol: what counts.
        participants: (K,2) places of the vehicles that take part, in the ego frame.
        labelled: of what the labels say something, in the ego frame.
    """
    order, kept, seen, left_out, _ = _candidates(
        detections, ground_truth, num_points, protocol, participants, labelled
    )
    detections, ground_truth = detections[order], ground_truth[kept]
    overlaps = {kind: iou_matrix(detections.boxes, ground_truth.boxes, kind) for kind in protocol.iou}
    outcomes = {}
    for band_name, scored in questions(protocol):
        band = protocol.bands.get(band_name, Band())
        rows, columns = _within(detections, ground_truth, scored, band, protocol)
        for kind, overlap in overlaps.items():
            for threshold in scored.iou_thresholds:
                outcomes[band_name, scored.name, kind, threshold] = _outcome(
                    detections[rows],
                    ground_truth[columns],
                    seen[columns],
                    overlap[np.ix_(rows, columns)],
                    left_out[rows],
                    threshold,
                    protocol.matching == "by_ground_truth",
                )
    return outcomes


@dataclass(frozen=True)
class Verdict:
    """What a protocol says of every single detection and object of one frame.

    Attributes:
        found: (M,) index of the object that each detection found, `NOT_MATCHED` for a false alarm,
            `PARTICIPANT` and `NOT_COUNTED` for what counts neither way.
        is_counted: (K,) bool, which objects are to be found.
    """

    found: NDArray[np.int64]
    is_counted: NDArray[np.bool_]

    @property
    def is_found(self) -> NDArray[np.bool_]:
        """(K,) bool, which objects were found."""
        is_found = np.zeros_like(self.is_counted)
        is_found[self.found[self.found >= 0]] = True
        return is_found

    @property
    def is_missed(self) -> NDArray[np.bool_]:
        """(K,) bool, which objects were to be found and were not."""
        return self.is_counted & ~self.is_found


def verdict_of(
    detections: Detections,
    ground_truth: Objects,
    num_points: NDArray[np.int64],
    protocol: Protocol,
    participants: Places,
    labelled: LabelledArea = EVERYWHERE,
) -> Verdict:
    """Match one frame as `score_frame` does, at an IoU of 0.5 where the class has that; see there."""
    order, kept, seen, left_out, is_participant = _candidates(
        detections, ground_truth, num_points, protocol, participants, labelled
    )
    chosen, objects = detections[order], ground_truth[kept]
    overlap = iou_matrix(chosen.boxes, objects.boxes, protocol.iou[0])
    found = np.full(len(detections), NOT_COUNTED, dtype=np.int64)
    found[order[is_participant]] = PARTICIPANT
    is_counted = np.zeros(len(ground_truth), dtype=bool)
    for scored in protocol.classes:
        rows, columns = _within(chosen, objects, scored, Band(), protocol)
        hits, counts = _match(
            overlap[np.ix_(rows, columns)],
            chosen.scores[rows],
            seen[columns],
            left_out[rows],
            main_threshold(scored),
            protocol.matching == "by_ground_truth",
        )
        is_hit, expected = hits != NOT_MATCHED, kept[columns[seen[columns]]]
        found[order[rows[counts]]] = NOT_MATCHED
        found[order[rows[is_hit]]] = expected[hits[is_hit]]
        is_counted[expected] = True
    return Verdict(found, is_counted)


def main_threshold(scored: ScoredClass) -> float:
    """Return the overlap by which a class is shown: 0.5, or the first where it has no such."""
    return _MAIN_IOU if _MAIN_IOU in scored.iou_thresholds else scored.iou_thresholds[0]


def questions(protocol: Protocol) -> list[tuple[str, ScoredClass]]:
    """Return all pairs of band and class: each class over the whole range, the main class in each band."""
    whole = [(ALL, scored) for scored in protocol.classes]
    return whole + [(name, protocol.main_class) for name in protocol.bands]


def pool(outcomes: Sequence[Outcome]) -> Outcome:
    """Join the outcomes of several frames, at least one, in their order."""
    return Outcome(
        *(np.concatenate([getattr(outcome, field.name) for outcome in outcomes]) for field in fields(Outcome))
    )


def pooled_average_precision(outcome: Outcome, protocol: Protocol) -> float:
    """Return the average precision of pooled frames, as the protocol integrates it."""
    arguments = (outcome.scores, outcome.is_true_positive, len(outcome.labels))
    if protocol.average_precision == "dair":
        return dair_average_precision(*arguments)
    return average_precision(*arguments, global_sort=protocol.global_sort)


def most_points_of_one_agent(frame: CooperativeFrame) -> NDArray[np.int64]:
    """Return (K,) the LiDAR points on each ground truth, counted by the agent that has most."""
    most = np.zeros(len(frame.ground_truth), dtype=np.int64)
    for agent_id, agent in frame.agents.items():
        boxes = transform_boxes(invert(frame.T_ego_agent(agent_id)), frame.ground_truth.boxes)
        most = np.maximum(most, points_in_boxes(agent.points, boxes).sum(axis=1))
    return most


def admissible_detections(detections: Detections, protocol: Protocol) -> NDArray[np.int64]:
    """Return the indices of the detections that pass all rules except the range, best first."""
    names = [name for scored in protocol.classes for name in scored.detections]
    keep = has_label(detections.labels, names) & (detections.scores > protocol.score_threshold)
    if protocol.max_extent_m is not None:
        extents = np.ptp(bev_corners(detections.boxes), axis=1)
        keep &= (extents <= protocol.max_extent_m).all(axis=1)
    if protocol.detection_z_m is not None:
        keep &= _within_z(detections.boxes, protocol.detection_z_m, protocol.tolerance_m)
    kept = np.flatnonzero(keep)
    best_first = kept[np.argsort(-detections.scores[kept], kind="stable")]
    if protocol.nms_iou is None:
        return best_first
    chosen = detections[best_first]
    return best_first[rotated_nms(chosen.boxes, chosen.scores, protocol.nms_iou)]


def in_band(boxes: Boxes, band: Band, protocol: Protocol) -> NDArray[np.bool_]:
    """Return (M,): which boxes (M,7) in the ego frame count within a band."""
    low, high = np.reshape(band.range_m or protocol.range_m, (2, 3))
    low, high = low - protocol.tolerance_m, high + protocol.tolerance_m
    if protocol.range_rule == "any_corner":
        corners = box_corners(boxes)
        inside = np.any(np.all((corners >= low) & (corners <= high), axis=2), axis=1)
    elif protocol.range_rule == "all_corners_xy":
        corners = bev_corners(boxes)
        inside = np.all((corners >= low[:2]) & (corners <= high[:2]), axis=(1, 2))
    else:
        inside = np.all((boxes[:, :2] >= low[:2]) & (boxes[:, :2] <= high[:2]), axis=1)
    if band.distance_m is not None:
        distance_m = np.hypot(boxes[:, 0], boxes[:, 1])
        inside &= (distance_m >= band.distance_m[0]) & (distance_m < band.distance_m[1])
    return inside


def has_label(labels: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.bool_]:
    """Return (M,): which labels (M,) are among the classes named."""
    return np.isin(labels, [int(ObjectClass[name.upper()]) for name in names])


def _candidates(
    detections: Detections,
    ground_truth: Objects,
    num_points: NDArray[np.int64],
    protocol: Protocol,
    participants: Places,
    labelled: LabelledArea,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return what may count in any class and band.

    Returns:
        (M,) indices of detections, best first; (K,) indices of objects; (K,) bool, which of these were seen;
        (M,) bool, which of the detections are no false alarms; (M,) bool, which of these are participants.
    """
    order = admissible_detections(detections, protocol)
    is_participant = np.zeros(len(order), dtype=bool)
    is_kept = np.ones(len(ground_truth), dtype=bool)
    if protocol.participant_margin_m is not None:
        margin_m = protocol.participant_margin_m
        is_participant = on_unlabelled(detections[order], ground_truth, participants, margin_m)
        is_kept &= ~is_ego_label(ground_truth, participants)
    if protocol.ground_truth_z_m is not None:
        is_kept &= _within_z(ground_truth.boxes, protocol.ground_truth_z_m, protocol.tolerance_m)
    left_out = is_participant | labelled.leaves_open(detections.boxes[order])
    kept = np.flatnonzero(is_kept)
    return order, kept, num_points[kept] >= protocol.min_points, left_out, is_participant


def _within(
    detections: Detections, ground_truth: Objects, scored: ScoredClass, band: Band, protocol: Protocol
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the indices of the detections and of the objects of one class within one band."""
    rows = in_band(detections.boxes, band, protocol) & has_label(detections.labels, scored.detections)
    columns = in_band(ground_truth.boxes, band, protocol) & has_label(
        ground_truth.labels, scored.ground_truth
    )
    return np.flatnonzero(rows), np.flatnonzero(columns)


def _within_z(boxes: Boxes, z_m: tuple[float, float], tolerance_m: float) -> NDArray[np.bool_]:
    bottom, top = boxes[:, 2] - boxes[:, 5] / 2, boxes[:, 2] + boxes[:, 5] / 2
    return (bottom >= z_m[0] - tolerance_m) & (top <= z_m[1] + tolerance_m)


def _outcome(
    detections: Detections,
    ground_truth: Objects,
    is_seen: NDArray[np.bool_],
    overlap: NDArray[np.float64],
    is_left_out: NDArray[np.bool_],
    iou_threshold: float,
    by_ground_truth: bool,
) -> Outcome:
    """Match M detections with the objects that were seen.

    Detections of objects that were not seen are left out, and those marked so that match none.
    """
    found, counts = _match(overlap, detections.scores, is_seen, is_left_out, iou_threshold, by_ground_truth)
    is_match = found != NOT_MATCHED
    objects = ground_truth[is_seen]
    is_found = np.zeros(len(objects), dtype=bool)
    is_found[found[is_match]] = True
    found_scores, length_errors_m, heading_errors_rad = np.full((3, len(objects)), np.nan)
    found_scores[found[is_match]] = detections.scores[is_match]
    errors = detections.boxes[is_match] - objects.boxes[found[is_match]]
    length_errors_m[found[is_match]] = errors[:, 3]
    heading_errors_rad[found[is_match]] = np.abs(wrap_angle(errors[:, 6]))
    return Outcome(
        scores=detections.scores[counts],
        is_true_positive=is_match[counts],
        labels=objects.labels,
        lengths_m=objects.boxes[:, 3:5].max(axis=1, initial=0.0),
        is_found=is_found,
        distances_m=np.hypot(objects.boxes[:, 0], objects.boxes[:, 1]),
        found_scores=found_scores,
        length_errors_m=length_errors_m,
        heading_errors_rad=heading_errors_rad,
    )


def _match(
    overlap: NDArray[np.float64],
    scores: NDArray[np.float32],
    is_seen: NDArray[np.bool_],
    is_left_out: NDArray[np.bool_],
    iou_threshold: float,
    by_ground_truth: bool,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return for M detections which of the seen objects each found, and (M,) bool: which of them count."""
    match = match_by_ground_truth if by_ground_truth else match_by_detection
    found = match(overlap[:, is_seen], scores, iou_threshold)
    on_unseen = (overlap[:, ~is_seen] >= iou_threshold).any(axis=1)
    return found, (found != NOT_MATCHED) | ~(on_unseen | is_left_out)
