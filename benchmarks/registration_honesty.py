"""How wrong is a registration, and does it know? `python benchmarks/registration_honesty.py [FOLDER]`.

Per family of the simulation, places that nothing was trained on, two vehicles and a unit: the pairs of agents
that see one place, by graphs as they come out of one packet. And the KITTI drive in FOLDER/real_frames (or
COSENSE_SHARED_DATA, or shared/data beside the repository), two scans 5 to 30 m apart, as bare clouds; its
poses are known to about 0.1 m in 95 %, so 0.04 m per axis are added to its covariances, and 0.05 degrees: its
GNSS/INS (OxTS RT3003) tells headings to 0.1 degrees, of which two moments of one drive have a part in common.

- `in 68 %`, `in 95 %`: share of the true errors of x, y, yaw inside the ellipsoid that the covariance claims
  to hold so many; `anees`: mean squared error in standard deviations, 1 where the covariance holds.
- success: by the number of things that both could see, see `scene_graph_pairs.py`; and how often agents of
  two places, half of these of one family, are taken for neighbours.
- priors: off by 0 to 40 m in any direction, with a claimed sigma of 2 m and 2 degrees.
- packets: what is lost where fewer nodes are sent.
- time: building the graph and registering 40 x 40 nodes, least processor time of five, as a ratio to a
  reference job in the same run: a tree of 50 000 points asked for 50 000 neighbours.

--places, --model and --families make it small or other. Keeps its figures like the other benchmarks of
registration.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from registration_tables import ROOT, keep
from scene_graph_pairs import visible_to_both
from scipy.spatial import cKDTree
from scipy.stats import chi2
from timing import measure_processor, write

from cosense.data import open_dataset
from cosense.detectors.base import Detector
from cosense.geometry.transforms import Matrix, invert, transform_from_planar, wrap_angle
from cosense.messages.scene_graph import MAX_NODES, SceneGraph, coarse_nodes, transmitted
from cosense.methods.model import load_model
from cosense.scene_graph.extract.builder import build
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import Prior, RegistrationResult, planar
from cosense.sensing.levelling import LevelFrame, levelled
from cosense.simulation import FAMILIES, simulate

FIRST_SEED = 592_000
KITTI, APART_M = "kitti_drive", (5.0, 30.0)
DATA = "simulated by cosense; kitti_drive recorded by others"
# Standard deviations of the poses of the drive per axis, and of their yaw.
EXACT, GNSS_INS = np.zeros(3), np.array([0.04, 0.04, np.deg2rad(0.05)])
# Agents farther apart than this see two places.
FARTHEST_M = 80.0
WRONG_M, WRONG_DEGREES = 1.0, 1.0
OFF_M, SIGMA_M, SIGMA_DEGREES = (0, 2, 5, 8, 12, 20, 40), 2.0, 2.0
LEAST_COMMON = (0, 5, 8)
STRANGERS = 1000
NODES = (35, 50, coarse_nodes("infrastructure"), MAX_NODES)
TIMED_NODES, LIMIT_MS = 40, 30


@dataclass(frozen=True)
class Sight:
    """What one agent sees: its levelled frame and the graph of it."""

    frame: LevelFrame
    graph: SceneGraph


@dataclass(frozen=True)
class Pair:
    """Two agents, and the pose of the second in the frame of the first."""

    name: str
    a: Sight
    b: Sight

    @property
    def T_a_b(self) -> Matrix:
        return invert(self.a.frame.T_world_agent) @ self.b.frame.T_world_agent

    def register(self, prior: Prior | None = None, nodes: int | None = None) -> RegistrationResult:
        """Return what a makes of b's message."""
        return register_graphs(self.a.graph, transmitted(self.b.graph, nodes)[0], prior)

    def error(self, result: RegistrationResult) -> np.ndarray:
        """Return the error of x, y, yaw."""
        assert result.T_a_b is not None
        error = planar(result.T_a_b) - planar(self.T_a_b)
        error[2] = wrap_angle(error[2])
        return np.asarray(error)


def simulated_pairs(family: str, places: int, detector: Detector) -> Iterator[Pair]:
    """Yield the pairs of agents of one family that are not too far from each other."""
    for seed in range(FIRST_SEED, FIRST_SEED + places):
        (simulated,) = simulate(family, seed, 1, vehicles=2)
        sights = {name: sight(frame, detector) for name, frame in simulated.frame.agents.items()}
        for a, b in combinations(sorted(sights), 2):
            pair = Pair(f"{family} {seed} {a} {b}", sights[a], sights[b])
            if np.hypot(*pair.T_a_b[:2, 3]) <= FARTHEST_M:
                yield pair


def drive_pairs(folder: Path, detector: Detector) -> list[Pair]:
    """Return all pairs of scans of the drive, the later one second; none where it is absent."""
    path = folder / "real_frames" / KITTI
    if not path.is_dir():
        return []
    # Bare clouds have no stamps: parked cars then count, as they do between two agents of one moment.
    sights = [sight(replace(frame.ego, stamp_ns=0), detector) for frame in open_dataset(path)]
    pairs = [Pair(KITTI, a, b) for a, b in combinations(sights, 2)]
    return [pair for pair in pairs if APART_M[0] <= np.hypot(*pair.T_a_b[:2, 3]) <= APART_M[1]]


def sight(frame: Any, detector: Detector) -> Sight:
    level = levelled(frame, detector.site)
    return Sight(level, build(level, detector.detect(level), detector.site))


def honesty_row(
    job: str, pairs: Sequence[Pair], results: Sequence[RegistrationResult], reference: np.ndarray
) -> dict[str, Any]:
    """Return how often poses were found, how wrong they are, and how well their covariances hold."""
    found = [(pair, result) for pair, result in zip(pairs, results, strict=True) if result.registered]
    errors = np.array([pair.error(result) for pair, result in found]).reshape(-1, 3)
    added = np.diag(reference) ** 2
    squares = np.array(
        [
            error @ np.linalg.solve(result.covariance + added, error)
            for error, (_, result) in zip(errors, found, strict=True)
        ]
    )
    off_m, off_degrees = np.hypot(errors[:, 0], errors[:, 1]), np.abs(np.rad2deg(errors[:, 2]))
    refused = Counter(result.status.value for result in results if not result.registered)
    return {
        "job": job,
        "pairs": len(pairs),
        "registered": len(found),
        "wrong": int(((off_m > WRONG_M) | (off_degrees > WRONG_DEGREES)).sum()),
        "refused": ", ".join(f"{count} {status}" for status, count in refused.most_common()) or "0",
        "median_m": float(np.median(off_m)) if found else None,
        "median_degrees": float(np.median(off_degrees)) if found else None,
        "p90_m": float(np.percentile(off_m, 90)) if found else None,
        "anees": f"{squares.mean() / 3:.2f}" if found else None,
        "in 68 %": float(100 * (squares < chi2.ppf(0.68, 3)).mean()) if found else None,
        "in 95 %": float(100 * (squares < chi2.ppf(0.95, 3)).mean()) if found else None,
    }


def success_row(pairs: Sequence[Pair], results: Sequence[RegistrationResult], least: int) -> dict[str, Any]:
    """Return how often a pose is found where both could see so many things."""
    right = wrong = total = 0
    for pair, result in zip(pairs, results, strict=True):
        if visible_to_both((pair.a.frame, pair.b.frame), (pair.a.graph, pair.b.graph)) < least:
            continue
        total += 1
        if result.registered:
            error = pair.error(result)
            good = np.hypot(*error[:2]) <= WRONG_M and abs(np.rad2deg(error[2])) <= WRONG_DEGREES
            right, wrong = right + good, wrong + (not good)
    return {
        "job": f"simulated: at least {least} things that both could see",
        "pairs": total,
        "right": int(right),
        "right_percent": 100 * right / max(total, 1),
        "wrong": int(wrong),
    }


def strangers_row(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return how often agents of two places are registered."""
    rng = np.random.default_rng(0)
    places = [pair.name.split()[:2] for pair in pairs]
    accepted = counted = 0
    for number in range(STRANGERS):
        one = int(rng.integers(len(pairs)))
        others = [index for index, place in enumerate(places) if place != places[one]]
        if number % 2:
            others = [index for index in others if places[index][0] == places[one][0]]
        if others:
            other = pairs[others[rng.integers(len(others))]]
            accepted += Pair("", pairs[one].a, other.b).register().registered
            counted += 1
    return {"job": "simulated: two places", "pairs": counted, "wrong": accepted}


def prior_row(job: str, pairs: Sequence[Pair], off_m: float, reference: np.ndarray) -> dict[str, Any]:
    """Return what is made of priors that are off by so much in a direction drawn for each pair."""
    rng = np.random.default_rng(round(off_m))
    covariance = np.diag([SIGMA_M, SIGMA_M, np.deg2rad(SIGMA_DEGREES)]) ** 2
    right = wrong = beyond = 0
    refused: Counter[str] = Counter()
    for pair in pairs:
        direction, turn = rng.uniform(-np.pi, np.pi), rng.normal(0, np.deg2rad(SIGMA_DEGREES))
        T = pair.T_a_b @ transform_from_planar(0, 0, turn)
        T[:2, 3] += off_m * np.array([np.cos(direction), np.sin(direction)])
        result = pair.register(Prior(T, covariance))
        if not result.registered:
            refused[result.status.value] += 1
            continue
        error = pair.error(result)
        good = np.hypot(*error[:2]) <= WRONG_M and abs(np.rad2deg(error[2])) <= WRONG_DEGREES
        right, wrong = right + good, wrong + (not good)
        beyond += error @ np.linalg.solve(result.covariance + np.diag(reference) ** 2, error) > 25
    return {
        "job": f"{job}: prior off by {off_m:g} m",
        "pairs": len(pairs),
        "right": int(right),
        "wrong": int(wrong),
        "beyond 5 sigma": int(beyond),
        "refused": ", ".join(f"{count} {status}" for status, count in refused.most_common()) or "0",
    }


def packet_row(pairs: Sequence[Pair], nodes: int) -> dict[str, Any]:
    """Return how many pairs are found where at most so many nodes are sent, and the largest message."""
    results = [pair.register(nodes=nodes) for pair in pairs]
    return {
        "job": f"at most {nodes} nodes",
        "pairs": len(pairs),
        "registered": sum(result.registered for result in results),
        "mean matches": f"{np.mean([len(result.inliers) for result in results]):.1f}",
        "largest B": max(transmitted(pair.b.graph, nodes)[1] for pair in pairs),
    }


def time_row(pairs: Sequence[Pair], detector: Detector) -> dict[str, Any]:
    """Return the times of graphs of 40 nodes and more, cut to 40 each."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (50_000, 3))
    reference_ms = measure_processor(lambda: cKDTree(points).query(points))
    spent = []
    for pair in pairs:
        a, b = (transmitted(seen.graph, TIMED_NODES)[0] for seen in (pair.a, pair.b))
        if min(len(a), len(b)) == TIMED_NODES:
            boxes = detector.detect(pair.a.frame)
            build_ms = measure_processor(lambda p=pair, d=boxes: build(p.a.frame, d))
            spent.append((build_ms, measure_processor(lambda one=a, other=b: register_graphs(one, other))))
    build_ms, register_ms = np.median(spent, axis=0)
    both = np.sum(spent, axis=1)
    return {
        "job": f"{TIMED_NODES} x {TIMED_NODES} nodes: build, match and register",
        "asked": f"{LIMIT_MS} ms",
        "pairs": len(spent),
        "build_ms": float(build_ms),
        "register_ms": float(register_ms),
        "median_ms": float(np.median(both)),
        "worst_ms": float(both.max()),
        "reference_ms": reference_ms,
        "ratio": f"{np.median(both) / reference_ms:.2f}",
    }


def main() -> None:
    """Simulate, register, write."""
    parser = argparse.ArgumentParser()
    usual = os.environ.get("COSENSE_SHARED_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(usual))
    parser.add_argument("--places", type=int, default=3)
    parser.add_argument("--families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--model", default="cosense-lite")
    given = parser.parse_args()
    torch.set_num_threads(1)
    detector = load_model(given.model).detector
    rows, everything = [], []
    for family in given.families:
        pairs = list(simulated_pairs(family, given.places, detector))
        everything += pairs
        rows.append(honesty_row(family, pairs, [pair.register() for pair in pairs], EXACT))
        print(rows[-1], flush=True)
    drive = drive_pairs(given.folder, detector)
    kinds = (("simulated", everything, EXACT), (KITTI, drive, GNSS_INS))
    for job, pairs, reference in kinds:
        if pairs:
            results = [pair.register() for pair in pairs]
            rows.append(honesty_row(f"{job}: all", pairs, results, reference))
        if pairs is everything:
            rows += [success_row(pairs, results, least) for least in LEAST_COMMON]
            rows.append(strangers_row(pairs))
    for job, pairs, reference in kinds:
        rows += [prior_row(job, pairs, off_m, reference) for off_m in OFF_M if pairs]
    rows += [packet_row(everything, nodes) for nodes in NODES]
    rows.append(time_row(everything, detector))
    path = write("registration_honesty", rows, DATA)
    if given.places >= parser.get_default("places"):
        keep(path)


if __name__ == "__main__":
    main()
