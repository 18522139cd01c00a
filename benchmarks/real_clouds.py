"""Clouds that others have recorded find each other: `python benchmarks/real_clouds.py [FOLDER]`.

FOLDER, COSENSE_SHARED_DATA or shared/data beside the repository, has KITTI frames, four single scans and an
OPV2V frame; nothing was tuned on these. Two real scans of one place, metres apart, are not among them. The
nearest to that: the returns of a KITTI scan are dealt at random into two halves, so that the clouds have no
return in common, and the second half is seen from a place some metres along the road: returns on surfaces
that turn their back on the new place, and those behind others of that half within 0.4 degrees, are dropped.
What only the new place would see is missing; noise, ground and moving things are those of one moment. Boxes
of cosense-lite. Keeps its figures beside the weights of the product profile and puts them into
docs/registration.md.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from registration_tables import ROOT, keep
from scene_graph_pairs import AT_ALL, OFF_DEGREES, OFF_M, errors_of
from timing import write

from cosense.data import open_dataset
from cosense.detectors.base import Detector
from cosense.geometry.transforms import Matrix, invert, transform_from_planar, transform_points
from cosense.messages.scene_graph import SceneGraph, transmitted
from cosense.methods.model import load_model
from cosense.scene_graph.baselines.icp import normals_of
from cosense.scene_graph.extract.builder import build
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import Prior, RegistrationResult
from cosense.sensing.cloud_formats.cloud_files import read_cloud
from cosense.sensing.frame import AgentFrame
from cosense.sensing.levelling import levelled

ITSELF = transform_from_planar(6.0, -3.0, np.deg2rad(70))
AHEAD_M, DRAWS = (2.0, 5.0, 10.0), 10
BEHIND_RAD, BEHIND_M = np.deg2rad(0.4), 0.5
Outcome = tuple[RegistrationResult, Matrix | None]


def row(job: str, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return how many were right (within 1 m and 1 degree), wrong and refused; None is no pose at all."""
    refused: Counter[str] = Counter()
    errors, count = [], 0
    for result, T_true in outcomes:
        count += 1
        if result.T_a_b is None:
            refused[result.status.value] += 1
        else:
            errors.append((np.inf, np.inf) if T_true is None else errors_of(result.T_a_b, T_true))
    right = sum(metres <= AT_ALL[0] and degrees <= AT_ALL[1] for metres, degrees in errors)
    median = np.median(errors, axis=0) if errors else [None, None]
    return {
        "job": job,
        "pairs": count,
        "right": right,
        "wrong": len(errors) - right,
        "refused": ", ".join(f"{number} {status}" for status, number in refused.most_common()) or "0",
        "median_m": median[0],
        "median_degrees": median[1],
    }


def graph_of(points: np.ndarray, detector: Detector) -> SceneGraph:
    return build(points, detector.detect(AgentFrame("", "vehicle", 0, np.eye(4), points)))


def registered(a: SceneGraph, b: SceneGraph, prior: Prior | None = None) -> RegistrationResult:
    """Register with b's graph as it comes out of a message."""
    return register_graphs(a, transmitted(replace(b, agent_id="b"))[0], prior)


def moved(points: np.ndarray, T_a_b: Matrix) -> np.ndarray:
    """Return a cloud of a in the frame of b."""
    there = points.copy()
    there[:, :3] = transform_points(invert(T_a_b), points[:, :3])
    return there


def halves(
    points: np.ndarray, normals: np.ndarray, T_a_b: Matrix, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return one half of the returns, and what of the other half can be seen from b, in its frame.

    Args:
        points: (N,4) a cloud.
        normals: (N,3) of its surfaces, towards its sensor.
        T_a_b: the new place.
        seed: deals the returns.
    """
    first = np.random.default_rng(seed).random(len(points)) < 0.5
    facing = ((T_a_b[:3, 3] - points[:, :3]) * normals).sum(axis=1) > 0
    there = moved(points[~first & facing], T_a_b)
    distance = np.linalg.norm(there[:, :3], axis=1)
    azimuth, elevation = np.arctan2(there[:, 1], there[:, 0]), np.arcsin(there[:, 2] / distance)
    _, cell = np.unique(
        np.floor(np.column_stack([azimuth, elevation]) / BEHIND_RAD), axis=0, return_inverse=True
    )
    nearest = np.full(cell.max() + 1, np.inf)
    np.minimum.at(nearest, cell.ravel(), distance)
    return points[first], there[distance < nearest[cell.ravel()] + BEHIND_M]


def half_rows(name: str, points: np.ndarray, detector: Detector) -> list[dict[str, Any]]:
    """Return a row for each distance."""
    normals = normals_of(points[:, :3].astype(np.float64))
    normals *= -np.sign((normals * points[:, :3]).sum(axis=1))[:, None]
    rows = []
    for ahead_m in AHEAD_M:
        outcomes = []
        for seed in range(DRAWS):
            turn = np.random.default_rng(seed).uniform(-np.pi, np.pi)
            T_a_b = transform_from_planar(ahead_m, 0, turn)
            a, b = halves(points, normals, T_a_b, seed)
            outcomes.append((registered(graph_of(a, detector), graph_of(b, detector)), T_a_b))
        rows.append(row(f"{name}, two halves, the second from {ahead_m:g} m ahead", outcomes))
    return rows


def main(folder: Path) -> None:
    """Read, register, write."""
    torch.set_num_threads(1)
    detector = load_model("cosense-lite").detector
    velodyne = sorted((folder / "kitti_frames" / "training" / "velodyne").glob("*.bin"))
    kitti = {f"KITTI {path.stem}": read_cloud(path).points for path in velodyne}
    single = {path.stem: read_cloud(path).points for path in sorted((folder / "lidar_scans").glob("*.pcd"))}
    clouds = {name: points[np.isfinite(points).all(axis=1)] for name, points in {**kitti, **single}.items()}
    graphs = {name: graph_of(points, detector) for name, points in clouds.items()}
    rows = []
    for kind, names in (("KITTI scans", list(kitti)), ("four single scans", list(single))):
        with_itself = [
            (registered(graphs[name], graph_of(moved(clouds[name], ITSELF), detector)), ITSELF)
            for name in names
        ]
        rows.append(row(f"{kind}, each with itself moved by 6.7 m and 70 degrees", with_itself))
    different = [(registered(graphs[one], graphs[other]), None) for one, other in combinations(graphs, 2)]
    rows.append(row("all pairs of these, different places", different))
    for name in kitti:
        rows += half_rows(name, clouds[name], detector)
    rows += three_vehicles(folder / "v2xset_frame", detector)
    keep(write("real_clouds", rows, "recorded by others"))


def three_vehicles(folder: Path, detector: Detector) -> list[dict[str, Any]]:
    """Return rows of a CARLA frame in OPV2V layout, without and with a prior that is off."""
    agents = [levelled(agent) for agent in open_dataset(folder)[0].agents.values()]
    graphs = {agent.agent_id: build(agent, detector.detect(agent)) for agent in agents}
    covariance = np.diag([OFF_M, OFF_M, np.deg2rad(OFF_DEGREES)]) ** 2
    without, with_prior = [], []
    for a, b in combinations(agents, 2):
        T_a_b = invert(a.T_world_agent) @ b.T_world_agent
        off = T_a_b @ transform_from_planar(OFF_M, 0, np.deg2rad(OFF_DEGREES))
        one, other = graphs[a.agent_id], graphs[b.agent_id]
        without.append((registered(one, other), T_a_b))
        with_prior.append((registered(one, other, Prior(off, covariance)), T_a_b))
    return [
        row("three vehicles of a CARLA frame, 43 to 48 m apart, no prior", without),
        row(f"the same, prior off by {OFF_M:g} m and {OFF_DEGREES:g} degrees", with_prior),
    ]


if __name__ == "__main__":
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("COSENSE_SHARED_DATA")
    data = Path(given) if given else ROOT / "shared" / "data"
    if not (data / "kitti_frames").is_dir():
        print(f"skipped: no third-party clouds in {data}; name their folder or set COSENSE_SHARED_DATA")
    else:
        main(data)
