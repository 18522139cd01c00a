"""Two scene graphs: `python benchmarks/registration.py`.

Times are processor times of `register_graphs`, which prepares, describes, matches and tests, the least of
seven. Rates are over random scenes: a street or a field with four classes of objects, each agent with its own
noise; right is within 1 m and 1 degree. Keeps its figures beside the weights of the product profile and puts
them into docs/registration.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from registration_tables import keep
from timing import write

from cosense.geometry.transforms import invert, transform_from_planar, transform_points, yaw_of
from cosense.messages.scene_graph import NodeClass, SceneGraph
from cosense.scene_graph.register.pipeline import register_graphs

CLASSES = (NodeClass.VEHICLE, NodeClass.POLE, NodeClass.PERSON, NodeClass.WALL)
POLES = (NodeClass.POLE,)
EXTENT_M = 40.0
SCENES = 100


def graph(classes: np.ndarray, positions: np.ndarray, yaws: np.ndarray, sigma_m: float) -> SceneGraph:
    """Return a graph of N things at `positions` (N,3)."""
    count = len(classes)
    sizes = np.where((classes == NodeClass.VEHICLE)[:, None], [4.5, 1.8, 1.5], [0.5, 0.5, 3.0])
    yaws = np.where(np.isin(classes, (*POLES, NodeClass.PERSON)), np.nan, yaws)
    return SceneGraph(
        "agent", 0, np.eye(4), np.eye(3), np.arange(count), classes, positions, sizes, yaws,
        np.zeros((count, 2)),
        np.full(count, sigma_m), np.full(count, 0.9),
    )  # fmt: skip


def things(
    rng: np.random.Generator, count: int, classes: tuple[NodeClass, ...], street: bool
) -> list[np.ndarray]:
    """Return classes, positions and headings of things in a field or along a street."""
    kinds = np.array([classes[k % len(classes)] for k in range(count)], np.int64)
    positions = rng.uniform(-EXTENT_M, EXTENT_M, (count, 3)) * [1, 1, 0]
    yaws = rng.uniform(-np.pi, np.pi, count)
    if street:
        lanes = np.where(kinds == NodeClass.VEHICLE, rng.choice([1.8, 5.2], count), 8.0)
        lanes = np.where(kinds == NodeClass.WALL, 15.0, lanes) * rng.choice([-1, 1], count)
        positions[:, 1] = lanes + rng.normal(0, 0.3, count)
        yaws = rng.normal(0, 0.03, count)
    return [kinds, positions, yaws]


def scene(rng: np.random.Generator, common: int, private: int, sigma_m: float, **how: Any) -> tuple[Any, ...]:
    """Return two graphs and their T_a_b; without anything in common they are of two places."""
    how = {"classes": CLASSES, "street": False, **how}
    both = things(rng, common, **how)
    graphs, poses = [], []
    for _ in range(2):
        T = transform_from_planar(*rng.uniform(-15, 15, 2), rng.uniform(-np.pi, np.pi))
        kinds, positions, yaws = map(np.concatenate, zip(both, things(rng, private, **how), strict=True))
        local = transform_points(invert(T), positions) + rng.normal(0, sigma_m, positions.shape)
        headings = yaws - yaw_of(T) + rng.normal(0, 0.05, len(yaws))
        graphs.append(graph(kinds, local, headings, sigma_m))
        poses.append(T)
    return graphs[0], graphs[1], invert(poses[0]) @ poses[1]


def time_rows(rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = []
    for count in (10, 20, 40):
        common = scene(rng, count // 2, count - count // 2, 0.2)
        strangers = scene(rng, 0, count, 0.2, street=True)
        rows += [row(f"{count} x {count} things, half common", 30, common)]
        rows += [row(f"{count} x {count} things of two streets", 30, strangers)]
    turns = np.arange(60) * np.pi / 30
    x, y = np.meshgrid(np.arange(20) * 5.0, np.arange(20) * 5.0)
    grid = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3)
    spread = rng.uniform(-200, 200, (10_000, 3)) * [1, 1, 0.01]
    places = np.repeat(rng.uniform(-20, 20, (10, 3)) * [1, 1, 0], 10, axis=0) + rng.normal(0, 0.2, (100, 3))
    hostile = {
        "40 x 40 poles of one street": scene(rng, 20, 20, 0.2, classes=POLES, street=True)[0].positions,
        "grid of 400 poles": grid,
        "grid of 36 poles": grid[(grid < 30).all(axis=1)],
        "40 poles within 10 m": rng.uniform(-5, 5, (40, 3)) * [1, 1, 0],
        "128 poles within 20 m": rng.uniform(-10, 10, (128, 3)) * [1, 1, 0],
        "60 poles on a circle": 20 * np.column_stack([np.cos(turns), np.sin(turns), 0 * turns]),
        "200 poles at one place": np.zeros((200, 3)),
        "10 poles detected ten times": places,
        "10 000 poles": spread,
    }
    for name, positions in hostile.items():
        count = len(positions)
        one = graph(np.full(count, NodeClass.POLE), positions, np.zeros(count), 0.3)
        rows.append(row(f"{name}, with itself", 100, (one, one)))
    return rows


def row(job: str, limit_ms: float, graphs: tuple[Any, ...]) -> dict[str, Any]:
    result = register_graphs(*graphs[:2])
    return {
        "job": job,
        "ms": _processor_ms(graphs),
        "limit_ms": limit_ms,
        "status": result.status.value,
    }


def _processor_ms(graphs: tuple[Any, ...]) -> float:
    times = []
    for _ in range(7):
        start = time.thread_time()
        register_graphs(*graphs[:2])
        times.append(time.thread_time() - start)
    return min(times) * 1e3


def rate_rows(make: Callable[[int], tuple[Any, ...]], job: str) -> dict[str, Any]:
    """Return how many of `SCENES` scenes are accepted, how many of them rightly, and the median errors."""
    right, accepted, errors = 0, 0, []
    for seed in range(SCENES):
        a, b, T_true = make(seed)
        result = register_graphs(a, b)
        if result.registered:
            off = invert(T_true) @ result.T_a_b
            error = [np.hypot(*off[:2, 3]), abs(np.rad2deg(yaw_of(off)))]
            accepted, right = accepted + 1, right + int(max(error) <= 1)
            errors.append(error)
    median = np.median(errors, axis=0) if errors else [None, None]
    return {
        "job": job,
        "scenes": SCENES,
        "accepted": accepted,
        "right": right,
        "median_m": median[0],
        "median_degrees": median[1],
    }


def all_rate_rows() -> list[dict[str, Any]]:
    rows = []
    for street in (False, True):
        where = "street" if street else "field"
        for sigma_m in (0.1, 0.3):
            for common in (5, 8):
                rows.append(
                    rate_rows(
                        lambda seed, c=common, s=sigma_m, t=street: scene(
                            np.random.default_rng(seed), c, 10, s, street=t
                        ),
                        f"{where}: {common} common, 10 private each, {sigma_m} m",
                    )
                )
        for count in (10, 20):
            rows.append(
                rate_rows(
                    lambda seed, n=count, t=street: scene(np.random.default_rng(seed), 0, n, 0.3, street=t),
                    f"{where}: nothing common, {count} each",
                )
            )
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = [*time_rows(np.random.default_rng(0)), *all_rate_rows()]
    keep(write("registration", rows, "drawn at random"))
