"""Learned and learning-free descriptors: `python benchmarks/scene_graph_descriptors.py`.

A vehicle and a roadside unit, and two vehicles, at T-junctions that nothing was trained or tuned on, boxes of
cosense-lite, the sender's graph as it comes out of a message. Graphs of one frame; those of 5 frames are of a
`SceneGraphBuilder`, at other places. Recall: share of the true matches (one group, each other's nearest
within 1 m under the true pose) among the candidates; precision: share of the candidates that are true.
"right" is a pose within 1 m and 1 degree, with a prior (off by 2 m and 2 degrees) within 0.3 m and 0.5
degrees; "wrong" one that was accepted and is farther off. "strangers" are pairs of different places, of which
none should be accepted. `register_graphs` takes 150 candidates by learned descriptors and 600 by others;
times are with describing both graphs. Writes results/benchmarks/scene_graph_descriptors.json.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from scene_graph_pairs import AT_ALL, FRAMES, OFF_DEGREES, OFF_M, WITH_PRIOR, errors_of, pairs_of
from timing import measure, write

from cosense.geometry.transforms import Matrix, transform_from_planar
from cosense.methods.model import load_model
from cosense.scene_graph.describe.node_encoder import load_encoder
from cosense.scene_graph.describe.triplets import describe_graph
from cosense.scene_graph.register.descriptors import (
    DESCRIPTORS,
    describer,
    graph_registration,
    max_candidates_of,
)
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import Prior
from cosense.training.graph_pairs import GraphPair, candidate_figures, load_graph_pairs
from cosense.training.run_config import SceneConfig

# Not the seeds of scene_graph_pairs.py.
SCENES = (SceneConfig(("t_junction",), 570_000, 60, vehicles=2),)
FIRST_OF_SEVERAL, PLACES_OF_SEVERAL = 571_000, 40
CACHE = Path("results/cache")
COUNTS = (50, 100, 150, 300, 600)
STRANGERS = 1000


def several_frames() -> list[GraphPair]:
    """Return pairs of vehicle and unit after `FRAMES` frames."""
    detector = load_model("cosense-lite").detector
    pairs = []
    for seed in range(FIRST_OF_SEVERAL, FIRST_OF_SEVERAL + PLACES_OF_SEVERAL):
        _, last = pairs_of(seed, detector)
        pairs.append(GraphPair(f"t_junction/{seed}/several", last.graph_a, last.graph_b, last.T_a_b))
    return pairs


def candidate_rows(pairs: list[GraphPair]) -> list[dict[str, Any]]:
    """Return a row for each number of candidates and kind of descriptors."""
    rows = []
    for count in COUNTS:
        for kind in DESCRIPTORS:
            found = candidate_figures(pairs, describer(kind), count)
            rows.append(
                {
                    "job": "candidates, no prior",
                    "descriptors": kind,
                    "max_candidates": count,
                    "pairs": found.pairs,
                    "recall": found.recall,
                    "precision": found.precision,
                }
            )
    return rows


def registration_row(
    job: str, pairs: list[GraphPair], kind: str, max_candidates: int, limits: tuple[float, float], off: bool
) -> dict[str, Any]:
    """Return how many pairs were registered rightly and wrongly, without a prior or with one that is off."""
    rng = np.random.default_rng(0)
    describe = describer(kind)
    right = wrong = 0
    times_ms = []
    for pair in pairs:
        prior = prior_of(pair.T_a_b, rng) if off else None
        start = time.perf_counter()
        result = register_graphs(describe(pair.a), describe(pair.b), prior, max_candidates)
        times_ms.append((time.perf_counter() - start) * 1e3)
        if result.T_a_b is not None:
            metres, degrees = errors_of(result.T_a_b, pair.T_a_b)
            good = metres <= limits[0] and degrees <= limits[1]
            right, wrong = right + good, wrong + (not good)
    return {
        "job": job,
        "descriptors": kind,
        "max_candidates": max_candidates,
        "pairs": len(pairs),
        "right": right,
        "wrong": wrong,
        "median_ms": float(np.median(times_ms)),
    }


def prior_of(T_true: Matrix, rng: np.random.Generator) -> Prior:
    """Return a prior that is off by `OFF_M` in some direction and `OFF_DEGREES` to either side."""
    direction, side = rng.uniform(-np.pi, np.pi), rng.choice([-1, 1])
    T = T_true @ transform_from_planar(0, 0, side * np.deg2rad(OFF_DEGREES))
    T[:2, 3] += OFF_M * np.array([np.cos(direction), np.sin(direction)])
    return Prior(T, np.diag([OFF_M, OFF_M, np.deg2rad(OFF_DEGREES)]) ** 2)


def strangers_row(pairs: list[GraphPair], kind: str) -> dict[str, Any]:
    """Return how many pairs of different places were accepted."""
    registration = graph_registration(kind)
    scenes = [pair.name.rsplit("/", 1)[0] for pair in pairs]
    count = len(pairs)
    different = [(i, (i + step) % count) for step in range(1, count) for i in range(count)]
    different = [(i, j) for i, j in different if scenes[i] != scenes[j]][:STRANGERS]
    accepted = sum(registration(pairs[i].a, pairs[j].b, None).registered for i, j in different)
    return {
        "job": "no prior: strangers",
        "descriptors": kind,
        "max_candidates": max_candidates_of(kind),
        "pairs": len(different),
        "wrong": accepted,
    }


def main() -> None:
    """Simulate, register, write."""
    pairs = load_graph_pairs(SCENES, CACHE, "cosense-lite")
    groups = {
        "vehicle and unit": [pair for pair in pairs if pair.name.endswith("infrastructure")],
        "two vehicles": [pair for pair in pairs if not pair.name.endswith("infrastructure")],
        f"vehicle and unit, {FRAMES} frames": several_frames(),
    }
    rows = candidate_rows(pairs)
    for name, group in groups.items():
        for count in sorted({max_candidates_of(kind) for kind in DESCRIPTORS}):
            for kind in DESCRIPTORS:
                rows.append(registration_row(f"no prior: {name}", group, kind, count, AT_ALL, off=False))
        for kind in DESCRIPTORS:
            job = f"prior off {OFF_M:g} m, {OFF_DEGREES:g} degrees: {name}"
            rows.append(registration_row(job, group, kind, max_candidates_of(kind), WITH_PRIOR, off=True))
    rows += [strangers_row(pairs, kind) for kind in DESCRIPTORS]
    largest = max((pair.a for pair in pairs), key=len)
    encoder = load_encoder()
    for kind, describe in (("learned", encoder.describe), ("triplets", describe_graph)):
        job = f"describe a graph of {len(largest)} nodes"
        rows.append({"job": job, "descriptors": kind, "least_ms": measure(lambda d=describe: d(largest))})
    write("scene_graph_descriptors", rows)


if __name__ == "__main__":
    main()
