"""The static layer of a scene graph: poles, trunks, corners and walls of one cloud and of many frames.

Over many frames each object is a landmark with a running mean. It is no more certain than its best single
sight: which side of an object is in view, and where a wall seems to end, is much the same in all of them. A
landmark that should be seen again and is not loses stability and is dropped; one out of sight stays for a
while, so that a vehicle reports what it has just passed. Positions hold in the world of the agent's own pose,
right or wrong: only a change of its error while a landmark is remembered does harm, and so none out of sight
is remembered for longer than half a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import Matrix, invert, transform_points, yaw_of
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.extract.cloud_index import Azimuths, upright_cells
from cosense.scene_graph.extract.poles import crown_places, poles_and_trunks
from cosense.scene_graph.extract.walls import corners_and_walls, find_walls
from cosense.scene_graph.nodes import Nodes
from cosense.sensing.ground import GroundSurface

# No LiDAR measures farther; such returns are mistakes of the file.
_FARTHEST_M = 10_000.0
# A landmark and its sight in a new frame are each other's nearest within this; middles of walls move more.
_GATE_M, _WALL_GATE_M = 0.6, 1.0
# What a landmark seems to move from sight to sight, and the least sigma that keeps the mean able to follow.
_DRIFT_M, _LEAST_SIGMA_M = 0.02, 0.04
_EXPECTED_WITHIN_M = 40.0
_SEEN_ABOVE_M = 2.0
_BESIDE_RAD, _NEARER_M = np.radians(0.25), 0.5
_STABLE, _FEWEST_CHANCES = 0.5, 4
_FORGOTTEN_AFTER_NS = 30_000_000_000
_SHARED_WITHIN_M = 100.0
_LARGEST = 1000
# A pole may turn out to be a trunk when its crown comes into view.
_COLUMNS = (NodeClass.POLE, NodeClass.TRUNK)


@dataclass(frozen=True)
class StaticObjects:
    """The static objects of one cloud.

    Attributes:
        nodes: their nodes in the frame of the cloud.
        azimuths: all returns, to tell what else could have been seen.
    """

    nodes: Nodes
    azimuths: Azimuths


def static_objects(
    points: NDArray[np.float32], ground: GroundSurface, boxes: Boxes, nearest_m: float
) -> StaticObjects:
    """Find poles, trunks, corners and walls within 70 m of the sensor.

    Low compact objects (bins, bollards, bushes) become no nodes: of 20 that a vehicle had found in common
    view a unit on a mast had found one.

    Args:
        points: (N,>=3) x, y, z in metres in a levelled frame, the sensor at the origin; all finite.
        ground: ground in that frame.
        boxes: (M,7) detected vehicles and people, inside which there is nothing static.
        nearest_m: horizontal distance below which returns show the roof or the mast that carries the sensor.
    """
    xyz = np.ascontiguousarray(points[:, :3].T, dtype=np.float32)
    farthest_m = max(xyz.max(initial=0.0), -xyz.min(initial=0.0))
    if farthest_m > _FARTHEST_M:
        points = points[(np.abs(xyz) <= _FARTHEST_M).all(axis=0)]
        xyz = np.ascontiguousarray(points[:, :3].T, dtype=np.float32)
    above_m = ground.heights(points)
    cells = upright_cells(xyz, above_m, boxes, nearest_m=nearest_m)
    azimuths = Azimuths.of(xyz)
    columns = poles_and_trunks(cells, crown_places(xyz, above_m), ground)
    walls = corners_and_walls(find_walls(cells), azimuths, ground)
    return StaticObjects(Nodes.concatenate([columns, walls]), azimuths)


@dataclass
class _Landmark:
    """A static object in the world.

    `variance` is that of the running mean if all sights were independent, `best` that of the best sight.
    """

    landmark_id: int
    kind: int
    place: NDArray[np.float64]
    yaw: float
    size: NDArray[np.float64]
    variance: float
    best: float
    score: float
    seen_ns: int
    seen: int = 1
    chances: int = 1

    @property
    def stability(self) -> float:
        """Share of the frames that could show the landmark in which it was seen, one of each added."""
        return (self.seen + 1) / (self.chances + 2)


class StaticLayer:
    """The static objects around one agent: call `update` with each frame, then ask for `nodes`."""

    def __init__(self) -> None:
        self._landmarks: list[_Landmark] = []
        self._started = 0

    def __len__(self) -> int:
        return len(self._landmarks)

    @property
    def landmark_ids(self) -> NDArray[np.int64]:
        """(N,) identity of each remembered landmark, stable or not, counted from 0."""
        return np.array([landmark.landmark_id for landmark in self._landmarks], dtype=np.int64)

    def update(self, stamp_ns: int, T_world_agent: Matrix, found: StaticObjects) -> None:
        """Take in the static objects of a frame.

        Args:
            stamp_ns: measurement time; a step back in time starts over.
            T_world_agent: (4,4) pose that the agent believes in.
            found: static objects in the agent frame.
        """
        if any(landmark.seen_ns > stamp_ns for landmark in self._landmarks):
            self._landmarks = []
        T_agent_world = invert(T_world_agent)
        places = transform_points(T_world_agent, found.nodes.positions)
        again = self._matches(found.nodes, places)
        for index, landmark in enumerate(self._landmarks):
            if index in again.values():
                continue
            if _could_be_seen(transform_points(T_agent_world, landmark.place[None])[0], found.azimuths):
                landmark.chances += 1
        heading = yaw_of(T_world_agent)
        for row in range(len(found.nodes)):
            sight = self._sight(found.nodes, row, places[row], heading, stamp_ns)
            if row in again:
                _merge(self._landmarks[again[row]], sight)
            else:
                sight.landmark_id = self._started
                self._started += 1
                self._landmarks.append(sight)
        self._forget(stamp_ns, T_world_agent[:3, 3])

    def nodes(self, T_world_agent: Matrix) -> tuple[Nodes, NDArray[np.int64]]:
        """Return the stable landmarks within 100 m in the agent frame, and the id of each, counted from 0."""
        near = [
            landmark
            for landmark in self._landmarks
            if landmark.stability >= _STABLE
            and np.hypot(*(landmark.place - T_world_agent[:3, 3])[:2]) <= _SHARED_WITHIN_M
        ]
        places = np.array([landmark.place for landmark in near]).reshape(-1, 3)
        yaws = np.array([landmark.yaw for landmark in near]) - yaw_of(T_world_agent)
        nodes = Nodes.static(
            classes=np.array([landmark.kind for landmark in near], dtype=np.int64),
            positions=transform_points(invert(T_world_agent), places),
            sizes=np.array([landmark.size for landmark in near]),
            sigmas_m=np.sqrt([max(landmark.variance, landmark.best) for landmark in near]),
            scores=np.array([landmark.score * landmark.stability for landmark in near]),
            yaws=yaws % np.pi,
        )
        return nodes, np.array([landmark.landmark_id for landmark in near], dtype=np.int64)

    @staticmethod
    def _sight(
        nodes: Nodes, row: int, place: NDArray[np.float64], heading: float, stamp_ns: int
    ) -> _Landmark:
        return _Landmark(
            landmark_id=-1,
            kind=int(nodes.classes[row]),
            place=place,
            yaw=float(nodes.yaws[row]) + heading,
            size=nodes.sizes[row],
            variance=float(nodes.sigmas_m[row]) ** 2,
            best=float(nodes.sigmas_m[row]) ** 2,
            score=float(nodes.scores[row]),
            seen_ns=stamp_ns,
        )

    def _matches(self, nodes: Nodes, places: NDArray[np.float64]) -> dict[int, int]:
        """Return by row of `nodes` the index of the landmark that the node shows again."""
        pairs: dict[int, int] = {}
        kinds = np.array([landmark.kind for landmark in self._landmarks], dtype=np.int64)
        for group in (_COLUMNS, (NodeClass.CORNER,), (NodeClass.WALL,)):
            rows = np.flatnonzero(np.isin(nodes.classes, group))
            known = np.flatnonzero(np.isin(kinds, group))
            if not (len(rows) and len(known)):
                continue
            here, there = places[rows, :2], np.array([self._landmarks[index].place[:2] for index in known])
            distance, nearest = cKDTree(there).query(here)
            _, back = cKDTree(here).query(there)
            gate = _WALL_GATE_M if group == (NodeClass.WALL,) else _GATE_M
            for k, row in enumerate(rows):
                if distance[k] <= gate and back[nearest[k]] == k:
                    pairs[int(row)] = int(known[nearest[k]])
        return pairs

    def _forget(self, stamp_ns: int, position: NDArray[np.float64]) -> None:
        """Drop landmarks that were not seen for long or are not stable, and the oldest of too many."""
        kept = [
            landmark
            for landmark in self._landmarks
            if stamp_ns - landmark.seen_ns <= _FORGOTTEN_AFTER_NS
            and (landmark.chances < _FEWEST_CHANCES or landmark.stability >= _STABLE / 2)
        ]
        if len(kept) > _LARGEST:
            kept.sort(
                key=lambda landmark: (-landmark.seen_ns, float(np.linalg.norm(landmark.place - position)))
            )
        self._landmarks = kept[:_LARGEST]


def _merge(landmark: _Landmark, sight: _Landmark) -> None:
    """Move a landmark towards a new sight of it."""
    variance = landmark.variance + _DRIFT_M**2
    share = variance / (variance + sight.variance)
    landmark.place = landmark.place + share * (sight.place - landmark.place)
    landmark.variance = max((1 - share) * variance, _LEAST_SIGMA_M**2)
    landmark.best = min(landmark.best, sight.best)
    landmark.kind = NodeClass.TRUNK if NodeClass.TRUNK in (landmark.kind, sight.kind) else landmark.kind
    landmark.yaw, landmark.size = sight.yaw, np.maximum(landmark.size, sight.size)
    landmark.score, landmark.seen_ns = max(landmark.score, sight.score), sight.seen_ns
    landmark.seen, landmark.chances = landmark.seen + 1, landmark.chances + 1


def _could_be_seen(place: NDArray[np.float64], azimuths: Azimuths) -> bool:
    """Tell whether the beams pass a place (3,) in the agent frame: an object of 2 m there would be hit."""
    range_m = float(np.hypot(place[0], place[1]))
    if not 1.0 < range_m <= _EXPECTED_WITHIN_M:
        return False
    azimuth = float(np.arctan2(place[1], place[0]))
    ranges, slopes = azimuths.between(azimuth - _BESIDE_RAD, azimuth + _BESIDE_RAD)
    top = (place[2] + _SEEN_ABOVE_M) / range_m
    return bool(np.count_nonzero((ranges > range_m - _NEARER_M) & (slopes < top)) >= _FEWEST_CHANCES)
