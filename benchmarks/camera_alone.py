"""What a vehicle finds with its camera alone, against chance.

    python benchmarks/camera_alone.py [--frames N] [--model camera-lite] [--data FOLDER]

The vehicle has no LiDAR (`--beams 0`), nobody helps. Vehicles count that its image shows 10 to 60 m away and
that its cloud, which it does not have, has at least five points of. Average precision in percent (bird's-eye
IoU 0.3 and 0.5, and the middle within 2 m), and, of boxes with a score above 0.2, how many objects they find
within 2 m, and how many boxes a frame there are.

Chance is what as many boxes with the same scores reach at other places which the image shows at these
distances: those of another place ("elsewhere"), and evenly spread over the area, of one size and turned at
random ("anywhere"); the mean of ten draws. The scenes are those of benchmarks/camera.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from camera import USUAL_FRAMES, Case, Looks, run, simulated
from numpy.typing import NDArray
from timing import write

from cosense.data import open_dataset
from cosense.evaluation.metrics.average_precision import average_precision
from cosense.evaluation.metrics.matching import NOT_MATCHED, match_by_detection
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import frame_result
from cosense.geometry.boxes import Boxes
from cosense.geometry.iou import bev_iou
from cosense.json_lines import read_lines
from cosense.sensing.detections import Detections
from cosense.sensing.objects import VEHICLES

JUDGED_M = (10.0, 60.0)
NEAR_M, SURE, DRAWS = 2.0, 0.2, 10
_SIZE_M = (4.4, 1.85, 1.6)
# Overlap of a box with an object, and from which on it is found.
Overlap = tuple[Callable[[Boxes, Boxes], NDArray[np.float64]], float]


def nearness(boxes: Boxes, others: Boxes) -> NDArray[np.float64]:
    """Return (M,K) 1 where middles are in one place, 0 where they are `NEAR_M` apart, less farther on."""
    apart = np.linalg.norm(boxes[:, None, :2] - others[None, :, :2], axis=2)
    return 1 - apart / NEAR_M


OVERLAPS: dict[str, Overlap] = {"0.3": (bev_iou, 0.3), "0.5": (bev_iou, 0.5), "2 m": (nearness, 0.0)}


class Frames:
    """Objects and boxes of frames, of which those count that an image shows, near enough."""

    def __init__(self, looks: list[Looks], boxes: list[Detections]) -> None:
        self.looks = looks
        self.found = [each[self.judged(i, each.boxes)] for i, each in enumerate(boxes)]
        self.truth, self.hidden = [], []
        for index, one in enumerate(looks):
            truth = one.frame.ground_truth
            inside = np.isin(truth.labels, list(VEHICLES)) & self.judged(index, truth.boxes)
            self.truth.append(truth.boxes[inside & (one.num_points >= 5)])
            self.hidden.append(truth.boxes[inside & (one.num_points < 5)])

    def judged(self, index: int, boxes: Boxes) -> NDArray[np.bool_]:
        """Return (M,) which boxes count in a frame."""
        distance_m = np.hypot(boxes[:, 0], boxes[:, 1])
        return (distance_m >= JUDGED_M[0]) & (distance_m < JUDGED_M[1]) & self.looks[index].shown(boxes)

    def figures(self, found: list[Detections]) -> dict[str, float]:
        """Return the figures of boxes, one `Detections` a frame."""
        figures, objects = {}, sum(map(len, self.truth))
        for name, (overlap, least) in OVERLAPS.items():
            hits, scores = [], []
            for boxes, truth, hidden in zip(found, self.truth, self.hidden, strict=True):
                match = match_by_detection(overlap(boxes.boxes, truth), boxes.scores, least)
                spared = match_by_detection(overlap(boxes.boxes, hidden), boxes.scores, least) != NOT_MATCHED
                counted = (match != NOT_MATCHED) | ~spared
                hits.append((match != NOT_MATCHED)[counted])
                scores.append(boxes.scores[counted])
            hit, score = np.concatenate(hits), np.concatenate(scores)
            figures[f"AP@{name}"] = 100 * average_precision(score, hit, objects)
            if name == "2 m":
                figures["found % within 2 m"] = 100 * hit[score > SURE].sum() / objects
        figures["boxes"] = sum(int((boxes.scores > SURE).sum()) for boxes in found) / len(found)
        return figures

    def anywhere(self, index: int, count: int, rng: np.random.Generator) -> Boxes:
        """Return boxes (count,7) of one size, evenly spread over what the image of a frame shows."""
        boxes = np.zeros((0, 7))
        height_m = float(np.median(self.looks[index].frame.ground_truth.boxes[:, 2]))
        while len(boxes) < count:
            xy = rng.uniform(-JUDGED_M[1], JUDGED_M[1], (200, 2))
            yaw = rng.uniform(-np.pi, np.pi, 200)
            drawn = np.column_stack([xy, np.full(200, height_m), np.tile(_SIZE_M, (200, 1)), yaw])
            boxes = np.concatenate([boxes, drawn[self.judged(index, drawn)]])
        return boxes[:count]

    def by_chance(self, way: str, rng: np.random.Generator) -> list[Detections]:
        """Return as many boxes with the same scores at other places."""
        frames = len(self.looks)
        # Frames of one sequence follow each other: half of all on, it is another place.
        other = np.concatenate([each.boxes for each in self.found])
        made = []
        for index, own in enumerate(self.found):
            if way == "anywhere":
                boxes = self.anywhere(index, len(own), rng)
            else:
                there = (index + frames // 2 + int(rng.integers(-frames // 4, frames // 4))) % frames
                boxes = self.found[there].boxes
                more = other[rng.integers(len(other), size=max(0, len(own) - len(boxes)))]
                boxes = np.concatenate([boxes, more])[: len(own)]
            made.append(Detections(boxes, own.scores, own.labels, own.sources))
        return made


def main() -> None:
    """Simulate what is missing, run the vehicle alone, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=USUAL_FRAMES)
    parser.add_argument("--model", default="camera-lite")
    parser.add_argument("--data", type=Path, help="a data set with images instead of simulated scenes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = given.data or simulated(given.frames)
    whole = open_dataset(data, cameras=True)
    protocol = load_protocol("simulated_riders" if given.data is None else "opencood_participants")
    count = min(given.frames, len(whole))
    looks = [Looks.of(whole[index]) for index in range(count)]
    blind = open_dataset(data, cameras=True, beams="0")
    file = run(Case(given.model, 0), blind, protocol, count)
    boxes = [frame_result(record).detections for record in read_lines(file)]
    frames = Frames(looks, [each[np.isin(each.labels, list(VEHICLES))] for each in boxes])
    rows = [_row("images alone", frames.figures(frames.found))]
    for way in ("elsewhere", "anywhere"):
        drawn = [frames.figures(frames.by_chance(way, np.random.default_rng(seed))) for seed in range(DRAWS)]
        rows.append(_row(way, {key: float(np.mean([each[key] for each in drawn])) for key in drawn[0]}))
    for row in rows:
        print(row, flush=True)
    objects = sum(map(len, frames.truth))
    write("camera_alone", rows, data=f"{whole.kind}, {count} frames, {objects} vehicles")


def _row(name: str, figures: dict[str, float]) -> dict[str, Any]:
    return {"boxes of": name, **figures}


if __name__ == "__main__":
    main()
