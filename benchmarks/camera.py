"""What images are worth to one vehicle with few beams, and what is lost where they are worse or gone.

    python benchmarks/camera.py [--frames N] [--model camera-lite] [--data FOLDER]

Nobody helps: the vehicle's own boxes, by the detector for the LiDAR alone that the training of the model
began with, and by the model. Objects count that the vehicle's whole cloud has at least five points of, with
any number of beams the same ones; apart inside and outside of what its image shows, and by distance. Average
precision of vehicles in percent, bird's-eye IoU 0.5 (0.3 and 0.7 for all distances). The scenes are of
families that nothing is trained on, simulated once into results/camera; their images are 100 ms later than
the clouds, as DAIR-V2X's are.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timing import write

from cosense.data import open_dataset
from cosense.data.dataset import CooperativeFrame, Dataset
from cosense.evaluation.metrics.scoring import Outcome, pool, pooled_average_precision, score_frame
from cosense.evaluation.protocol import ALL, Protocol, load_protocol
from cosense.evaluation.run_files import FRAMES, FrameResult, frame_result
from cosense.evaluation.runs.runner import evaluate
from cosense.geometry.boxes import Boxes, points_in_boxes
from cosense.json_lines import read_lines
from cosense.methods.model import load_model
from cosense.sensing.projection import project

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("results/camera")
SCENES = "--scene unseen --sequence-frames 4 --seed 660000 --cameras"
USUAL_FRAMES = 96
BEAMS = (40, 16, 8, 4)
# What becomes of images, asked with as many beams.
CHANGES = ("lost", "off", "earlier", "unmoved", "later", "later,unmoved")
FEW_BEAMS = 8
DISTANCES_M = {"0-30": (0, 30), "30-50": (30, 50), "50-100": (50, 100)}


@dataclass(frozen=True)
class Case:
    """One run.

    Attributes:
        model: name or folder of the detector.
        beams: of the vehicle's LiDAR.
        images: what is done to images, empty for nothing.
    """

    model: str
    beams: int
    images: str = ""

    @property
    def folder(self) -> Path:
        changes = f"-{self.images.replace(',', '-')}" if self.images else ""
        return RESULTS / f"{Path(self.model).name}-{self.beams}{changes}"


@dataclass(frozen=True)
class Looks:
    """What does not depend on the case in a frame: which objects count, and what the image shows.

    Attributes:
        frame: the frame, whole.
        num_points: (K,) points on each object, of the vehicle's whole cloud or of whoever's counts.
    """

    frame: CooperativeFrame
    num_points: NDArray[np.int64]

    @classmethod
    def of(cls, frame: CooperativeFrame) -> Looks:
        return cls(frame, points_in_boxes(frame.ego.points, frame.ground_truth.boxes).sum(axis=1))

    def shown(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Return (M,) which boxes have their middle in an image of the vehicle."""
        inside = np.zeros(len(boxes), dtype=bool)
        for camera in self.frame.ego.cameras:
            placed = replace(camera, T_camera_agent=camera.T_image_agent)
            inside |= project(placed, boxes).is_inside
        return inside


def main() -> None:
    """Simulate what is missing, run the cases, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=USUAL_FRAMES)
    parser.add_argument("--model", default="camera-lite")
    parser.add_argument("--lidar", default="pillars-lite", help="the detector for the LiDAR alone")
    parser.add_argument("--data", type=Path, help="a data set with images instead of simulated scenes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = given.data or simulated(given.frames)
    whole = open_dataset(data, cameras=True)
    protocol = load_protocol("simulated_riders" if given.data is None else "opencood_participants")
    frames = [Looks.of(whole[index]) for index in range(min(given.frames, len(whole)))]
    rows = []
    for case in cases(given.lidar, given.model):
        dataset = open_dataset(data, cameras=True, beams=str(case.beams), images=case.images)
        rows.append(row(case, run(case, dataset, protocol, len(frames)), frames, protocol))
        print(rows[-1], flush=True)
    write("camera", rows, data=f"{whole.kind}, {len(frames)} frames")


def cases(lidar: str, model: str) -> Iterator[Case]:
    """Yield every run: with and without images, then with few beams and images that are worse."""
    for beams in BEAMS:
        yield Case(lidar, beams)
        yield Case(model, beams)
    for images in CHANGES:
        yield Case(model, FEW_BEAMS, images)


def simulated(frames: int) -> Path:
    """Return the folder of the scenes, which are simulated where they are missing."""
    folder = RESULTS / f"data-{frames}"
    if not (ROOT / folder / "cosense.json").is_file():
        words = f"simulate --out {folder} --frames {frames} {SCENES}".split()
        subprocess.run([Path(sys.executable).with_name("cosense"), *words], cwd=ROOT, check=True)
    return ROOT / folder


def run(case: Case, dataset: Dataset, protocol: Protocol, frames: int) -> Path:
    """Evaluate the vehicle alone, going on where that was stopped; return the file of frames."""
    out = ROOT / case.folder
    evaluate(dataset, load_model(case.model), protocol, fusion="none", out=out, limit=frames)
    return out / FRAMES


def row(case: Case, file: Path, frames: list[Looks], protocol: Protocol) -> dict[str, Any]:
    """Return the figures of one run."""
    ap = precision([frame_result(record) for record in read_lines(file)], frames, protocol)
    figures: dict[str, Any] = {
        "detector": Path(case.model).name,
        "beams": case.beams,
        "images": case.images or ("" if case.model.endswith("pillars-lite") else "as they are"),
    }
    for threshold in (0.3, 0.5, 0.7):
        figures[f"in view {threshold:g}"] = ap["in view", ALL, threshold]
    figures |= {band: ap["in view", band, 0.5] for band in DISTANCES_M if ("in view", band, 0.5) in ap}
    figures["outside 0.5"] = ap["outside", ALL, 0.5]
    return figures


def precision(
    results: Sequence[FrameResult], frames: Sequence[Looks], protocol: Protocol
) -> dict[tuple[str, str, float], float]:
    """Return the average precision in percent of the main class, by place, distance and overlap.

    Places are all, in view of the vehicle's image, and outside of it.
    """
    found: dict[tuple[str, str, float], list[Outcome]] = {}
    for result, looks in zip(results, frames, strict=True):
        assert result.frame_id == looks.frame.frame_id
        detected, true = looks.shown(result.detections.boxes), looks.shown(result.ground_truth.boxes)
        places = {
            ALL: (np.ones_like(detected), np.ones_like(true)),
            "in view": (detected, true),
            "outside": (~detected, ~true),
        }
        for place, (of_detections, of_truth) in places.items():
            outcomes = score_frame(
                result.detections[of_detections],
                result.ground_truth[of_truth],
                looks.num_points[of_truth],
                protocol,
                result.participants,
                result.labelled,
            )
            for (band, scored, kind, threshold), outcome in outcomes.items():
                if scored == protocol.main_class.name and kind == protocol.iou[0]:
                    found.setdefault((place, band, threshold), []).append(outcome)
    return {key: 100 * pooled_average_precision(pool(parts), protocol) for key, parts in found.items()}


if __name__ == "__main__":
    main()
