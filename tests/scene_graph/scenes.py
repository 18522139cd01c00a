"""Scenes whose registration is known: things in a world, and what two agents that stand in it see of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cosense.geometry.transforms import invert, transform_from_planar, transform_points, wrap_angle, yaw_of
from cosense.messages.scene_graph import NodeClass, SceneGraph

FOUR_CLASSES = (NodeClass.VEHICLE, NodeClass.POLE, NodeClass.PERSON, NodeClass.WALL)
SIZES = {
    NodeClass.VEHICLE: (4.5, 1.8, 1.5),
    NodeClass.PERSON: (0.6, 0.6, 1.7),
    NodeClass.RIDER: (1.8, 0.6, 1.7),
    NodeClass.WALL: (5.0, 0.3, 3.0),
    NodeClass.KERB: (5.0, 0.2, 0.15),
}
THIN = (0.3, 0.3, 5.0)


def graph_of(classes, positions, yaws=None, agent_id="a", stamp_ns=0, sigma_m=0.3, **fields) -> SceneGraph:
    """Return a graph of things at `positions` (N,3) with usual sizes; NaN headings without `yaws`."""
    count = len(classes)
    values = {
        "agent_id": agent_id,
        "stamp_ns": stamp_ns,
        "T_world_agent": np.eye(4),
        "pose_covariance": np.diag([1.0, 1.0, 0.01]),
        "ids": np.arange(count),
        "classes": np.asarray(classes, np.int64).reshape(count),
        "positions": np.asarray(positions, np.float64).reshape(count, 3),
        "sizes": np.array([SIZES.get(NodeClass(c), THIN) for c in classes], np.float64).reshape(count, 3),
        "yaws": np.full(count, np.nan) if yaws is None else np.asarray(yaws, np.float64),
        "velocities": np.zeros((count, 2)),
        "sigmas_m": np.full(count, sigma_m),
        "scores": np.full(count, 0.9),
    }
    return SceneGraph(**{**values, **fields})


def things(rng, count, classes=FOUR_CLASSES, extent_m=40.0, apart_m=2.0, street=False):
    """Return classes (N,), positions (N,3) and headings (N,) of things `apart_m` from each other.

    In a `street` vehicles drive on four lanes, poles stand on two lines and walls behind them.
    """
    kinds, places, yaws = [], [], []
    while len(kinds) < count:
        kind = classes[len(kinds) % len(classes)]
        x, y = rng.uniform(-extent_m, extent_m, 2)
        yaw = rng.uniform(-np.pi, np.pi)
        if street:
            lanes = {NodeClass.VEHICLE: (-5.2, -1.8, 1.8, 5.2), NodeClass.WALL: (-15.0, 15.0)}
            lane = rng.choice(lanes.get(kind, (-8.0, 8.0)))
            y, yaw = lane + rng.normal(0, 0.3), rng.normal(0, 0.03) + np.pi * (lane < 0)
        z = rng.normal(0, 0.2)
        if all(np.hypot(x - px, y - py) > apart_m for px, py, _ in places):
            kinds.append(kind)
            places.append((x, y, z))
            yaws.append(yaw)
    return np.array(kinds, np.int64), np.array(places).reshape(-1, 3), np.array(yaws)


def seen(rng, world, T_world_agent, sigma_m, agent_id) -> SceneGraph:
    """Return what an agent at `T_world_agent` has of `world` (classes, positions, headings), shuffled."""
    classes, positions, yaws = world
    order = rng.permutation(len(classes))
    local = transform_points(invert(T_world_agent), positions)[order]
    local += rng.normal(0, 1, local.shape) * sigma_m
    headed = np.isin(classes[order], [NodeClass.VEHICLE, NodeClass.WALL, NodeClass.KERB])
    heading = wrap_angle(
        yaws[order] - yaw_of(T_world_agent) + rng.normal(0, 0.05, len(order)) * (sigma_m > 0)
    )
    yaws = np.where(headed, heading, np.nan)
    return graph_of(
        classes[order], local, yaws, agent_id, sigma_m=max(sigma_m, 0.05), T_world_agent=T_world_agent
    )


def pair(rng, common, private, sigma_m=0.3, **how):
    """Return two graphs with `common` things and `private` further ones each, and the true T_a_b."""
    classes, positions, yaws = things(rng, common + 2 * private, **how)
    # Not the last ones: classes alternate.
    part = rng.permutation(np.repeat([0, 1, 2], [common, private, private]))
    T_world_a = transform_from_planar(*rng.uniform(-15, 15, 2), rng.uniform(-np.pi, np.pi), 0.5)
    T_world_b = transform_from_planar(*rng.uniform(-15, 15, 2), rng.uniform(-np.pi, np.pi), -0.3)
    graphs = []
    for mine, T, name in ((1, T_world_a, "a"), (2, T_world_b, "b")):
        rows = (part == 0) | (part == mine)
        graphs.append(seen(rng, (classes[rows], positions[rows], yaws[rows]), T, sigma_m, name))
    return graphs[0], graphs[1], invert(T_world_a) @ T_world_b


def strangers(rng, count, sigma_m=0.3, **how):
    """Return two graphs of different places."""
    T = transform_from_planar(*rng.uniform(-15, 15, 2), rng.uniform(-np.pi, np.pi))
    return tuple(seen(rng, things(rng, count, **how), T, sigma_m, name) for name in "ab")


def errors(T, T_true):
    """Return how far apart two poses are seen from above: metres and degrees."""
    off = invert(T_true) @ T
    return float(np.hypot(*off[:2, 3])), abs(float(np.rad2deg(yaw_of(off))))


def shuffled(rng, graph):
    """Return the graph with its nodes in another order, and that order."""
    order = rng.permutation(len(graph))
    rows = ("ids", "classes", "positions", "sizes", "yaws", "velocities", "sigmas_m", "scores")
    return replace(graph, **{name: getattr(graph, name)[order] for name in rows}), order
