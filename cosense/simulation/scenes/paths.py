"""Polylines in the plane with arc length: centre lines of roads, and routes of road users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Line = NDArray[np.float64]
STEP_M = 0.5


def resample(points: Line) -> Line:
    """Return a polyline (n,2) with its points at equal distances of about `STEP_M`."""
    gaps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    points = points[np.concatenate([[True], gaps > 1e-6])]
    along = np.concatenate([[0.0], np.cumsum(gaps[gaps > 1e-6])])
    at = np.linspace(0.0, along[-1], max(2, round(along[-1] / STEP_M) + 1))
    return np.column_stack([np.interp(at, along, points[:, 0]), np.interp(at, along, points[:, 1])])


def length_of(line: Line) -> float:
    """Return the length of a polyline in metres."""
    return float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())


def normals(line: Line) -> Line:
    """Return unit normals (n,2) that point to the left of the polyline."""
    # As np.gradient does it, in half the time for short lines.
    tangent = np.empty(line.shape)
    tangent[1:-1] = (line[2:] - line[:-2]) / 2
    tangent[0], tangent[-1] = line[1] - line[0], line[-1] - line[-2]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    return np.asarray(tangent[:, ::-1] * [-1.0, 1.0])


def offset(line: Line, left_m: float) -> Line:
    """Return the polyline shifted sideways, to the left for positive values."""
    return line + normals(line) * left_m


def ribbon(line: Line, left_m: float, right_m: float) -> Line:
    """Return the outline of the strip between two sideways offsets (left is positive) of a polyline."""
    return np.concatenate([offset(line, left_m), offset(line, right_m)[::-1]])


def part(line: Line, start_m: float, end_m: float) -> Line:
    """Return the part of a polyline between two arc lengths."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(max(start_m, 0.0), min(end_m, along[-1]), max(2, round((end_m - start_m) / STEP_M) + 1))
    return np.column_stack([np.interp(at, along, line[:, 0]), np.interp(at, along, line[:, 1])])


def connect(before: Line, after: Line) -> Line:
    """Join two polylines by a smooth curve that leaves the first and enters the second along its tangent."""
    start, end = before[-1], after[0]
    leave, arrive = before[-1] - before[-2], after[1] - after[0]
    reach = np.linalg.norm(end - start) * 0.39
    first = start + leave / np.linalg.norm(leave) * reach
    second = end - arrive / np.linalg.norm(arrive) * reach
    t = np.linspace(0, 1, 41)[:, None]
    curve = (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3 * end
    return np.concatenate([before[:-1], curve, after[1:]])


def through(corners: Line, radius_m: float) -> Line:
    """Return the polyline through corners (n,2), each rounded over at most `radius_m` of either leg."""
    line = corners[:1]
    for before, corner, after in zip(corners[:-2], corners[1:-1], corners[2:], strict=True):
        into, out = before - corner, after - corner
        cut = min(radius_m, np.linalg.norm(into) / 2.01, np.linalg.norm(out) / 2.01)
        start = corner + into / np.linalg.norm(into) * cut
        end = corner + out / np.linalg.norm(out) * cut
        t = np.linspace(0, 1, 13)[:, None]
        line = np.concatenate([line, (1 - t) ** 2 * start + 2 * t * (1 - t) * corner + t**2 * end])
    return np.concatenate([line, corners[-1:]])


@dataclass(frozen=True, eq=False)
class Route:
    """The way of a kind of road user, from where it appears to where it leaves.

    Attributes:
        line: (n,2) polyline in steps of `step_m`.
        step_m: distance between points, very nearly `STEP_M`.
        user: kind of road user: "vehicle", "cyclist" or "pedestrian".
        speed_mps: usual or permitted speed.
        large: whether trucks and buses fit around its bends.
        tree: search tree for the nearest points of the line.
        limits_mps: (n,) speed that the bends, and braking before them, allow.
    """

    line: Line
    step_m: float
    user: str
    speed_mps: float
    large: bool
    tree: cKDTree
    limits_mps: NDArray[np.float64]

    @classmethod
    def along(cls, line: Line, user: str, speed_mps: float) -> Route:
        """Return a route along a polyline; bends limit the speed to a lateral acceleration of 2 m/s^2."""
        line = resample(line)
        tangent = np.diff(line, axis=0)
        heading = np.unwrap(np.arctan2(tangent[:, 1], tangent[:, 0]))
        bend = np.zeros(len(line))
        bend[1:-1] = np.abs(np.diff(heading)) / STEP_M
        bend = np.convolve(np.pad(bend, 2, mode="edge"), np.full(5, 0.2), mode="valid")
        limits = np.minimum(speed_mps, np.sqrt(2.0 / np.maximum(bend, 1e-6)))
        for i in range(len(limits) - 2, -1, -1):
            limits[i] = min(limits[i], np.sqrt(limits[i + 1] ** 2 + 2 * 1.5 * STEP_M))
        step_m = length_of(line) / (len(line) - 1)
        return cls(line, step_m, user, speed_mps, bool(bend.max() < 1 / 22.0), cKDTree(line), limits)

    @property
    def length_m(self) -> float:
        return (len(self.line) - 1) * self.step_m


@dataclass(frozen=True)
class Routes:
    """The lines of many routes in one array, to look up many places at once.

    Attributes:
        points: (n,2) points of all routes.
        first, last: (routes,) rows of `points` at which each route begins and ends.
        step_m: (routes,) distance between the points of each route.
    """

    points: Line
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    step_m: NDArray[np.float64]

    @classmethod
    def of(cls, routes: Sequence[Route]) -> Routes:
        ends = np.cumsum([len(route.line) for route in routes])
        first = np.concatenate([[0], ends[:-1]])
        return cls(
            np.concatenate([route.line for route in routes]),
            first,
            ends - 1,
            np.array([route.step_m for route in routes]),
        )

    def at(self, route: NDArray[np.int64], along_m: NDArray[np.float64]) -> Line:
        """Return points (n,2) at arc lengths (n,) of routes (n,); beyond their ends they go on straight."""
        position = self.first[route] + along_m / self.step_m[route]
        index = np.clip(np.floor(position).astype(np.int64), self.first[route], self.last[route] - 1)
        fraction = (position - index)[:, None]
        return self.points[index] + (self.points[index + 1] - self.points[index]) * fraction
