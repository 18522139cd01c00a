"""From a coarse pose to a fine one: returns on matched nodes of b, fitted to the surfaces of a.

SG-Reg (arXiv 2504.14440, dense matching) matches learned features of the points of matched nodes. We differ:
the coarse pose is good to decimetres, so each return of b belongs to the nearest surface of a, point to
plane, in x, y, yaw. Two agents see different sides of an object, though, and no nearest point tells that: a
surface of a that turns its back on the sensor of b cannot have been measured by b, and does not count.

The coarse pose with its covariance takes part like a measurement, because returns along a wall leave a
direction open. Settings were chosen on simulated crossings, parked and curved roads.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.errors import counted
from cosense.geometry.transforms import Matrix, transform_from_planar, transform_points, wrap_angle
from cosense.messages.scene_graph import MAP_CLASSES, SceneGraph
from cosense.scene_graph.register.planar_pose import common_covariance
from cosense.scene_graph.register.result import RegistrationResult, planar
from cosense.sensing.thinning import thinned

# The points on a node lie within half its diagonal and this margin, no higher or lower than this from its
# position.
_MARGIN_M, _HIGHEST_M = 0.3, 4.0
_AROUND_M, _VOXEL_M, _NEIGHBOURS = 1.0, 0.1, 10
# A surface spreads less than this share of its next larger spread; it is upright where its normal is level.
_FLAT, _LEVEL = 0.15, 0.5
# Distance within which a return looks for its surface, in the first and in the last round.
_START_M, _END_M, _ROUNDS = 0.6, 0.2, 8
# Cosine between the normal of a surface and the direction to the sensor, below which there are no returns.
_FACING = 0.1
# Standard deviation of a return on a surface, and the distance beyond which it counts less. Returns on one
# node share their errors and count as two.
_SIGMA_M, _ROBUST_M, _RETURNS_OF_NODE = 0.05, 0.1, 2
_FEWEST = 10
# How many measurements the expected scale of the misfits counts for, and what all returns have in common.
_SCALE_RETURNS = 10.0
_COMMON_M, _COMMON_RAD = 0.03, float(np.deg2rad(0.04))
# Points of dynamic nodes are used between stamps that differ by no more than this.
_MOVED_NS = 50_000_000


def points_on(
    graph: SceneGraph, points: NDArray[np.float32], node_ids: Sequence[int], max_points: int
) -> dict[int, NDArray[np.float64]]:
    """Return by node id the returns (n,3) on the node, metres from its position.

    Args:
        graph: graph of the cloud, in its frame.
        points: (N,>=3) cloud that the graph was built from.
        node_ids: wanted nodes; those that are not in the graph are left out.
        max_points: largest number of returns per node; of more, every n-th in the order of the cloud.
    """
    row_of = {int(node): row for row, node in enumerate(graph.ids)}
    rows = [row_of[node] for node in node_ids if node in row_of]
    if not rows:
        return {}
    radius_m = np.hypot(graph.sizes[rows, 0], graph.sizes[rows, 1]) / 2 + _MARGIN_M
    near = cKDTree(points[:, :2]).query_ball_point(graph.positions[rows, :2], radius_m)
    found = {}
    for row, inside in zip(rows, near, strict=True):
        offset = points[np.sort(np.array(inside, np.int64)), :3].astype(np.float64) - graph.positions[row]
        offset = offset[np.abs(offset[:, 2]) < _HIGHEST_M]
        chosen = np.linspace(0, len(offset) - 1, min(len(offset), max_points)).astype(np.int64)
        found[int(graph.ids[row])] = offset[chosen]
    return found


@dataclass(frozen=True)
class _Surfaces:
    """Positions (K,3) on upright surfaces of a, and their normals (K,3) towards the sensor of a."""

    places: NDArray[np.float64]
    normals: NDArray[np.float64]
    tree: cKDTree


@dataclass(frozen=True)
class _Pairs:
    """Returns of b with the surfaces of a that they belong to.

    Attributes:
        rows: (R,) rows of the returns.
        places: (R,3) positions in a.
        normals: (R,2) normals of the surfaces seen from above.
        off_m: (R,) distances along the normals.
    """

    rows: NDArray[np.int64]
    places: NDArray[np.float64]
    normals: NDArray[np.float64]
    off_m: NDArray[np.float64]


def refined(
    result: RegistrationResult,
    graph_a: SceneGraph,
    points_a: NDArray[np.float32],
    graph_b: SceneGraph,
    points_b: Mapping[int, NDArray[np.float64]],
) -> RegistrationResult:
    """Return the result refined by points, or unchanged where they do not fit better afterwards.

    Args:
        result: result for both graphs; a refusal stays one.
        graph_a: graph of a.
        points_a: (N,>=3) cloud of a.
        graph_b: graph of b as it was registered.
        points_b: returns (n,3) on nodes of b by id, metres from the position of the node, see `points_on`.
            Dynamic nodes are predicted to the stamp of a, and left out if the stamps differ by more than 50
            ms.
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
            gain = f"refined by {counted(len(returns), 'return')} from {before_m:.3f} to {after_m:.3f} m off"
            reason = f"{result.reason}; {gain}"
            result = replace(result, reason=reason, T_a_b=fit[0], covariance=fit[1])
    return replace(result, time_ms=result.time_ms + (time.perf_counter() - start) * 1e3)


def _returns_of(
    graph: SceneGraph, points: Mapping[int, NDArray[np.float64]], stamp_ns: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return all returns (R,3) in the frame of the graph, and the number (R,) of the node of each return."""
    later_ns = stamp_ns - graph.stamp_ns
    usable = np.isin(graph.classes, MAP_CLASSES) | (abs(later_ns) <= _MOVED_NS)
    places = graph.positions.copy()
    places[:, :2] += np.nan_to_num(graph.velocities) * (later_ns / 1e9)
    rows = [row for row in np.flatnonzero(usable) if len(points.get(int(graph.ids[row]), ()))]
    parts = [places[row] + points[int(graph.ids[row])] for row in rows]
    node = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return np.concatenate([np.zeros((0, 3)), *parts]), node


def _surfaces_around(points: NDArray[np.float32], places: NDArray[np.float64]) -> _Surfaces | None:
    """Return the upright surfaces of a cloud within a metre of positions (K,3), None where there are none."""
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
    """Return those of the returns (R,3) of b that have a surface within reach which faces the sensor of b."""
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
    """Return the mean distance of the returns from their surfaces; without a surface the reach counts."""
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
    # How well the returns lie on their surfaces tells how far to believe them.
    measurements = float((weights * _SIGMA_M**2).sum())
    scale = (_SCALE_RETURNS + float(weights @ pairs.off_m**2)) / (_SCALE_RETURNS + max(measurements - 3, 0))
    data = jacobian.T @ (weights[:, None] * jacobian) / scale
    arm = weights @ arm / weights.sum()
    return T, np.linalg.inv(information + data) + common_covariance(arm, _COMMON_M, _COMMON_RAD)
