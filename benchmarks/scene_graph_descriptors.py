"""Learned and learning-free descriptors: `python benchmarks/scene_graph_descriptors.py`.

A vehicle and a roadside unit, and two vehicles, at T-junctions that nothing was trained or tuned on, boxes of
cosense-lite, graphs of one frame, the sender's as it comes out of a message, no prior. Recall: share of the
true matches (one group, each other's nearest within 1 m under the true pose) among the candidates; precision:
share of the candidates that are true. "right" is a pose within 1 m and 1 degree, "wrong" one that was
accepted and is farther off; "strangers" are pairs of different places, of which none should be accepted.
`max_candidates` 600 is what `register` takes. Writes results/benchmarks/scene_graph_descriptors.json.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from timing import measure, write

from cosense.fusion.models import load_model
from cosense.geometry.transforms import Matrix, invert, yaw_of
from cosense.scene_graph import Settings, register
from cosense.scene_graph.describe import describe as describe_without_learning
from cosense.scene_graph.descriptors import DESCRIPTORS, Describe, describer
from cosense.scene_graph.encoder import load_encoder
from cosense.training.config import SceneConfig
from cosense.training.graph_pairs import GraphPair, load_graph_pairs
from cosense.training.graph_validation import candidate_figures

# Not those of scene_graph_pairs.py.
SCENES = (SceneConfig(("t_junction",), 570_000, 60, vehicles=2),)
CACHE = Path("results/cache")
COUNTS = (50, 100, 150, 300, 600)
RIGHT = (1.0, 1.0)  # metres and degrees
STRANGERS = 1000


def is_right(T: Matrix, T_true: Matrix) -> bool:
    """Tell whether a pose is within `RIGHT`, seen from above."""
    off = invert(T_true) @ T
    return bool(np.hypot(*off[:2, 3]) <= RIGHT[0] and abs(np.rad2deg(yaw_of(off))) <= RIGHT[1])


def candidate_rows(pairs: list[GraphPair], kinds: dict[str, Describe]) -> list[dict[str, Any]]:
    """Return a row for each number of candidates and kind of descriptors."""
    rows = []
    for count in COUNTS:
        for kind, describe in kinds.items():
            found = candidate_figures(pairs, describe, count)
            rows.append(
                {
                    "job": "candidates",
                    "descriptors": kind,
                    "max_candidates": count,
                    "pairs": found.pairs,
                    "recall": found.recall,
                    "precision": found.precision,
                }
            )
    return rows


def registration_row(
    job: str, pairs: list[GraphPair], kind: str, describe: Describe, count: int
) -> dict[str, Any]:
    """Return how many pairs were registered rightly and wrongly without a prior."""
    settings = replace(Settings(), max_candidates=count)
    right = wrong = 0
    times_ms = []
    for pair in pairs:
        result = register(describe(pair.a), describe(pair.b), settings=settings)
        times_ms.append(result.time_ms)
        if result.T_a_b is not None:
            good = is_right(result.T_a_b, pair.T_a_b)
            right, wrong = right + good, wrong + (not good)
    return {
        "job": job,
        "descriptors": kind,
        "max_candidates": count,
        "pairs": len(pairs),
        "right": right,
        "wrong": wrong,
        "median_ms": float(np.median(times_ms)),
    }


def strangers_row(pairs: list[GraphPair], kind: str, describe: Describe) -> dict[str, Any]:
    """Return how many pairs of different places were accepted."""
    a, b = ([describe(graph) for graph in graphs] for graphs in ([p.a for p in pairs], [p.b for p in pairs]))
    scenes = [pair.name.rsplit("/", 1)[0] for pair in pairs]
    count = len(pairs)
    different = [(i, (i + step) % count) for step in range(1, count) for i in range(count)]
    different = [(i, j) for i, j in different if scenes[i] != scenes[j]][:STRANGERS]
    accepted = sum(register(a[i], b[j]).registered for i, j in different)
    return {"job": "strangers", "descriptors": kind, "pairs": len(different), "wrong": accepted}


def main() -> None:
    """Simulate, register, write."""
    pairs = load_graph_pairs(SCENES, CACHE, load_model("cosense-lite"))
    kinds = {kind: describer(kind) for kind in DESCRIPTORS}
    with_unit = [pair for pair in pairs if pair.name.endswith("infrastructure")]
    vehicles = [pair for pair in pairs if not pair.name.endswith("infrastructure")]
    rows = candidate_rows(pairs, kinds)
    for count in (150, Settings().max_candidates):
        for kind, describe in kinds.items():
            rows.append(registration_row("vehicle and unit", with_unit, kind, describe, count))
            rows.append(registration_row("two vehicles", vehicles, kind, describe, count))
    rows += [strangers_row(pairs, kind, describe) for kind, describe in kinds.items()]
    largest = max((pair.a for pair in pairs), key=len)
    encoder = load_encoder()
    for kind, describe in (("learned", encoder.describe), ("triplets", describe_without_learning)):
        job = f"describe a graph of {len(largest)} nodes"
        rows.append({"job": job, "descriptors": kind, "least_ms": measure(lambda d=describe: d(largest))})
    write("scene_graph_descriptors", rows)


if __name__ == "__main__":
    main()
