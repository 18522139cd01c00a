"""From a coarse pose to a fine one: the returns on the nodes that agree, laid upon the other agent's cloud.

SG-Reg (arXiv 2504.14440) matches learned features of the points of matched nodes. We differ: the coarse pose
is good to decimetres, so each return of b belongs to the nearest surface of a, point to plane, in x, y, yaw.
Two agents see different sides of a thing, though, and no nearest point tells that: a surface of a that turns
its back on b's sensor is none that b can have measured, and does not count.

The coarse pose with its covariance takes part like a measurement: what the returns do not tell (along a wall)
it does. Settings were chosen on simulated crossings, parked and curved roads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.geometry.transforms import Matrix, transform_from_planar, transform_points, wrap_angle
from cosense.messages.scene_graph import MAP_CLASSES, SceneGraph
from cosense.scene_graph.baselines.icp import thinned
from cosense.scene_graph.register.result import Registration, planar

_AROUND_M, _VOXEL_M, _NEIGHBOURS = 1.0, 0.1, 10
# A surface: spread across it less than this share of the next larger one; upright where its normal is level.
_FLAT, _LEVEL = 0.15, 0.5
# Returns reach so far for their surface at first and in the end.
_START_M, _END_M, _ROUNDS = 0.6, 0.2, 8
# Cosine between a surface's normal and the way to the sensor: below it nothing comes back.
_FACING = 0.1
# A return on a surface, and beyond which distance it counts less; those on one node share their errors and
# count as two.
_SIGMA_M, _ROBUST_M, _RETURNS_OF_NODE = 0.05, 0.1, 2
_FEWEST = 10
_MOVED_NS = 50_000_000


@dataclass(frozen=True)
class _Surfaces:
    """Places (K,3) on upright surfaces of a, and their normals (K,3) towards a's sensor."""

    places: NDArray[np.float64]
    normals: NDArray[np.float64]
    tree: cKDTree


@dataclass(frozen=True)
class _Pairs:
    """Which returns of b (R,) have a surface, where they lie, its normals and how far off they are.

    Attributes:
        rows: (R,) of the returns.
        places: (R,3) in a.
        normals: (R,2) seen from above.
        off_m: (R,) along the normal.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.float64]
    normals: NDArray[np.float64]
    off_m: NDArray[np.float64]


def refined(
    result: Registration,
    graph_a: SceneGraph,
    points_a: NDArray[np.float32],
    graph_b: SceneGraph,
    points_b: Mapping[int, NDArray[np.float64]],
) -> Registration:
    """Return the registration set right by returns, or as it is where they do not fit better then.

    Args:
        result: of both graphs; a refusal stays one.
        graph_a: of `points_a`.
        points_a: (N,>=3) the cloud of a.
        graph_b: as it was registered.
        points_b: of nodes of b by id, (n,3) metres from the node's position, as a REPLY brings them. What may
            move is taken where it is at a's stamp, and left out if that is more than 50 ms off.
    """
    if result.T_a_b is None or result.covariance is None:
        return result
    start = time.perf_counter()
    returns, node = _returns_of(graph_b, points_b, graph_a.stamp_ns)
    surfaces = _surfaces_around(points_a, transform_points(result.T_a_b, returns))
    fit = None if surfaces is None else _fitted(result.T_a_b, result.covariance, surfaces, returns, node)
    if surfaces is not None and fit is not None:
        before_m, after_m = (_misfit_m(surfaces, T, returns) for T in (result.T_a_b, fit[0]))
        if after_m < before_m:
            gain = f"refined by {len(returns)} returns from {before_m:.3f} to {after_m:.3f} m off"
            reason = f"{result.reason}; {gain}"
            result = replace(result, reason=reason, T_a_b=fit[0], covariance=fit[1])
    return replace(result, time_ms=result.time_ms + (time.perf_counter() - start) * 1e3)


def _returns_of(
    graph: SceneGraph, points: Mapping[int, NDArray[np.float64]], stamp_ns: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return all returns (R,3) in the frame of the graph, and the number (R,) of the node of each."""
    later_ns = stamp_ns - graph.stamp_ns
    usable = np.isin(graph.classes, MAP_CLASSES) | (abs(later_ns) <= _MOVED_NS)
    places = graph.positions.copy()
    places[:, :2] += np.nan_to_num(graph.velocities) * (later_ns / 1e9)
    rows = [row for row in np.flatnonzero(usable) if len(points.get(int(graph.ids[row]), ()))]
    parts = [places[row] + points[int(graph.ids[row])] for row in rows]
    node = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return np.concatenate([np.zeros((0, 3)), *parts]), node


def _surfaces_around(points: NDArray[np.float32], places: NDArray[np.float64]) -> _Surfaces | None:
    """Return the upright surfaces of a cloud within a metre of places (K,3), None where there are none."""
    xyz = np.asarray(points[:, :3], np.float64)
    if not len(places):
        return None
    distance, _ = cKDTree(places).query(xyz, distance_upper_bound=_AROUND_M)
    near = thinned(xyz[np.isfinite(distance)], _VOXEL_M)
    if len(near) < _NEIGHBOURS:
        return None
    _, neighbours = cKDTree(near).query(near, _NEIGHBOURS)
    spread = near[neighbours] - near[neighbours].mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(np.swapaxes(spread, 1, 2) @ spread)
    normals = vectors[:, :, 0] * -np.sign((vectors[:, :, 0] * near).sum(axis=1))[:, None]
    upright = (values[:, 0] < _FLAT * values[:, 1]) & (np.abs(normals[:, 2]) < _LEVEL)
    if not upright.any():
        return None
    return _Surfaces(near[upright], normals[upright], cKDTree(near[upright]))


def _pairs(surfaces: _Surfaces, T_a_b: Matrix, returns: NDArray[np.float64], reach_m: float) -> _Pairs:
    """Return the returns (R,3) that have a surface within reach which faces the sensor of b."""
    places = transform_points(T_a_b, returns)
    distance, nearest = surfaces.tree.query(places, distance_upper_bound=reach_m)
    rows = np.flatnonzero(np.isfinite(distance))
    to_sensor = T_a_b[:3, 3] - places[rows]
    normals = surfaces.normals[nearest[rows]]
    facing = (to_sensor * normals).sum(axis=1) > _FACING * np.linalg.norm(to_sensor, axis=1)
    rows, normals = rows[facing], normals[facing]
    apart = places[rows] - surfaces.places[nearest[rows]]
    return _Pairs(rows, places[rows], normals[:, :2], (apart[:, :2] * normals[:, :2]).sum(axis=1))


def _misfit_m(surfaces: _Surfaces, T_a_b: Matrix, returns: NDArray[np.float64]) -> float:
    """Return how far off the returns are on average; one without a surface counts as the reach."""
    pairs = _pairs(surfaces, T_a_b, returns, _START_M)
    without = len(returns) - len(pairs.rows)
    return float((np.abs(pairs.off_m).sum() + without * _START_M) / len(returns))


def _fitted(
    T_start: Matrix,
    covariance: NDArray[np.float64],
    surfaces: _Surfaces,
    returns: NDArray[np.float64],
    node: NDArray[np.int64],
) -> tuple[Matrix, NDArray[np.float64]] | None:
    """Return pose and covariance by Gauss-Newton, None where too few returns have a surface."""
    information, count = np.linalg.inv(covariance), np.bincount(node)
    begin, pose, T = planar(T_start), planar(T_start), T_start
    for reach_m in np.geomspace(_START_M, _END_M, _ROUNDS):
        pairs = _pairs(surfaces, T, returns, reach_m)
        if len(pairs.rows) < _FEWEST:
            return None
        weights = np.minimum(1, _RETURNS_OF_NODE / count[node[pairs.rows]]) / _SIGMA_M**2
        weights /= 1 + (pairs.off_m / _ROBUST_M) ** 2
        arm = pairs.places[:, :2] - pose[:2]
        turn = pairs.normals[:, 1] * arm[:, 0] - pairs.normals[:, 0] * arm[:, 1]
        jacobian = np.column_stack([pairs.normals, turn])
        moved = pose - begin
        moved[2] = wrap_angle(moved[2])
        hessian = information + jacobian.T @ (weights[:, None] * jacobian)
        gradient = information @ moved + jacobian.T @ (weights * pairs.off_m)
        pose = pose - np.linalg.solve(hessian, gradient)
        T = transform_from_planar(pose[0], pose[1], pose[2], T_start[2, 3])
    return T, np.linalg.inv(hessian)
