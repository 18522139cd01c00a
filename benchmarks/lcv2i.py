"""What a roadside unit's regions are worth to a vehicle with a camera and few beams, beside other ways.

    python benchmarks/lcv2i.py [--frames N] [--model lcv2i] [--data FOLDER] [--workers N]

The scenes are those of benchmarks/camera.py (`--data` takes what it has left in results/camera): families
that nothing is trained on, one vehicle with a camera, one unit with a camera and all its beams. Objects count
that either of the two whole clouds has at least five points of, with any number of beams the same ones; apart
inside and outside of what the vehicle's image shows. Average precision of vehicles in percent, bird's-eye
IoU. Agents remember: a setting is a team of its own, frame after frame, and all teams share what their
detectors see.

What is sent and by whom, under true poses and as DAIR-V2X was measured (with registration); with 8 beams also
rules that rank the regions, at equal bytes, and images that are worse or gone.
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from camera import DISTANCES_M, USUAL_FRAMES, Looks, precision, simulated
from timing import write

from cosense.cooperation.kinds import default_registration
from cosense.cooperation.offline import Cooperation
from cosense.data import open_dataset
from cosense.data.dataset import CooperativeFrame
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.evaluation.protocol import ALL, load_protocol
from cosense.evaluation.run_files import FrameResult, result_of
from cosense.evaluation.runs.pose_noise import BelievedPoses
from cosense.evaluation.runs.sequences import goes_on
from cosense.evaluation.sweep.lockstep import SharedPerception
from cosense.evaluation.sweep.point import Point
from cosense.methods.model import Model, load_model

LIDAR = "cosense-lite"
BEAMS = (40, 16, 8, 4)
FEW_BEAMS = 8
SMALL_BYTES, LARGE_BYTES = 2_000, 20_000
RULES = ("lcv2i", "score", "supply_demand", "random")
CHANGES = ("lost", "off", "earlier", "unmoved")
WITH_IMAGES = ("LiDAR + camera alone", "late, images", "lcv2i, 20 kB")


@dataclass(frozen=True)
class Case:
    """One team: a row of a table.

    Attributes:
        name: what the row is called.
        point: who works together how.
    """

    name: str
    point: Point


class Team:
    """The agents of one case on their way through the frames."""

    def __init__(self, case: Case, model: Model) -> None:
        self.case, self.results = case, list[FrameResult]()
        self._model = model

    def begin(self) -> None:
        """Start a sequence: agents who remember nothing."""
        point = self.case.point
        self.cooperation = Cooperation(
            self._model,
            point.fusion,
            budget_bytes=point.budget_bytes,
            selection=point.selection,
            registration=point.registration,
        )


@dataclass(frozen=True)
class Sight:
    """What the vehicle measures, and all teams that see it so.

    Attributes:
        name: first part of the names of the rows.
        data: folder of the data set.
        frames: number of its frames.
        beams: of the vehicle's LiDAR.
        images: what is done to images, empty for nothing.
        cases: the teams.
    """

    name: str
    data: Path
    frames: int
    beams: int
    images: str
    cases: tuple[Case, ...]


def main() -> None:
    """Simulate what is missing, run all teams, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=USUAL_FRAMES)
    parser.add_argument("--model", default="lcv2i")
    parser.add_argument("--data", type=Path, help="a data set with images instead of simulated scenes")
    parser.add_argument("--workers", type=int, default=1, help="processes beside each other")
    given = parser.parse_args()
    data = given.data or simulated(given.frames)
    rows: list[dict[str, Any]] = []
    processes = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(given.workers, processes, torch.set_num_threads, (1,)) as pool:
        for some in pool.map(measured, sights(data, given.frames, given.model)):
            for row in some:
                print(row, flush=True)
            rows += some
    torch.set_num_threads(1)
    write("lcv2i", rows, data=f"{open_dataset(data).kind}, {given.frames} frames")


def sights(data: Path, frames: int, model: str) -> Iterator[Sight]:
    """Yield everything that is measured."""
    for beams in BEAMS:
        cases = [*sharing(model), *(ranking(model) if beams == FEW_BEAMS else ())]
        yield Sight(f"{beams} beams", data, frames, beams, "", tuple(cases))
    for images in CHANGES:
        few = tuple(case for case in sharing(model) if case.name in WITH_IMAGES)
        yield Sight(f"{FEW_BEAMS} beams, images {images}", data, frames, FEW_BEAMS, images, few)


def sharing(model: str) -> Iterator[Case]:
    """Yield who sends what, under true poses and under wrong ones that are corrected."""
    yield Case("LiDAR alone", Point(LIDAR, "none"))
    yield Case("LiDAR + camera alone", Point(model, "none"))
    for said, errors in (("", {}), (", dair", {"pose_error": "dair"})):
        extra = errors and {**errors, "registration": default_registration("hybrid")}
        yield Case(f"late{said}", Point(LIDAR, "late", **extra))
        yield Case(f"late, images{said}", Point(model, "late", **extra))
        large = f"{LARGE_BYTES // 1000} kB{said}"
        if not errors:
            yield Case(f"cosdh, {large}", Point("cosdh", "hybrid", budget_bytes=LARGE_BYTES))
        yield Case(f"patches, {large}", Point(LIDAR, "hybrid", budget_bytes=LARGE_BYTES, **extra))
        yield Case(f"lcv2i, {large}", Point(model, "hybrid", budget_bytes=LARGE_BYTES, **extra))
        small = f"{SMALL_BYTES // 1000} kB{said}"
        yield Case(f"lcv2i, {small}", Point(model, "hybrid", budget_bytes=SMALL_BYTES, **extra))


def ranking(model: str) -> Iterator[Case]:
    """Yield the rules that rank regions, of features alone and beside boxes."""
    for fusion in ("intermediate", "hybrid"):
        for budget in (SMALL_BYTES, 4 * SMALL_BYTES):
            for rule in RULES:
                name = f"{fusion}, {budget // 1000} kB by {rule}"
                yield Case(name, Point(model, fusion, selection=rule, budget_bytes=budget))


def measured(sight: Sight) -> list[dict[str, Any]]:
    """Return the row of each case, all of them taken through the frames at once."""
    whole = open_dataset(sight.data, cameras=True)
    dataset = open_dataset(sight.data, cameras=True, beams=str(sight.beams), images=sight.images)
    models = {name: load_model(name) for name in {case.point.model for case in sight.cases}}
    shared = SharedPerception(models)
    teams = [Team(case, models[case.point.model]) for case in sight.cases]
    poses = {noise: BelievedPoses(noise, 0) for noise in {case.point.noise for case in sight.cases}}
    looks: list[Looks] = []
    previous: CooperativeFrame | None = None
    for index in range(min(sight.frames, len(whole))):
        looks.append(Looks(whole[index], most_points_of_one_agent(whole[index])))
        frame = dataset[index]
        if not goes_on(previous, frame):
            shared.begin()
            for team in teams:
                team.begin()
        previous = frame
        seen = shared.perceive(frame)
        believed = {noise: there.of(frame, index) for noise, there in poses.items()}
        for team in teams:
            point = team.case.point
            agents = [seen[point.model][agent.agent_id].at_pose_of(agent) for agent in believed[point.noise]]
            exchange = team.cooperation.step_perceived(agents, index)
            found, sent = exchange.result.detections, exchange.bytes_per_sender
            team.results.append(result_of(frame, looks[-1].num_points, found, sent, float("nan")))
    return [{"setting": f"{sight.name}, {team.case.name}"} | figures(team.results, looks) for team in teams]


def figures(results: Sequence[FrameResult], looks: Sequence[Looks]) -> dict[str, Any]:
    """Return the columns of one row."""
    ap = precision(results, looks, load_protocol("simulated_riders"))
    sent = [bytes_ for result in results for bytes_ in result.bytes_per_sender.values()]
    columns: dict[str, Any] = {"bytes": round(float(np.mean(sent))) if sent else 0}
    for place in (ALL, "in view", "outside"):
        columns |= {f"{place} {threshold:g}": ap[place, ALL, threshold] for threshold in (0.3, 0.5, 0.7)}
    return columns | {f"{band} m": ap[ALL, band, 0.5] for band in DISTANCES_M}


if __name__ == "__main__":
    main()
