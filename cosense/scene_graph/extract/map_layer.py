"""The slow layer of an agent's graph: what stands, gathered over many frames in its own world.

Each thing is a running mean. It is no surer than its best single sight: which side of a thing is in view, and
where a wall seems to end, is much the same in all of them. A thing that should be seen again and is not loses
stability and goes; one out of sight stays for a while, so that a vehicle tells of what it has just passed.
Positions hold in the world of the agent's own pose, right or wrong: only what changes of its error while a
thing is remembered does harm, and so nothing out of sight is remembered for longer than half a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.geometry.transforms import Matrix, invert, transform_points, yaw_of
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.extract.azimuths import Azimuths
from cosense.scene_graph.extract.static_objects import StaticObjects
from cosense.scene_graph.found import Nodes

# A thing and its sight in a new frame are each other's nearest within this; middles of walls move more.
_GATE_M, _WALL_GATE_M = 0.6, 1.0
# What a thing seems to move from sight to sight, and below which variance a mean does not become deaf.
_DRIFT_M, _LEAST_SIGMA_M = 0.02, 0.04
_EXPECTED_WITHIN_M = 40.0
_SEEN_ABOVE_M = 2.0
_BESIDE_RAD, _NEARER_M = np.radians(0.25), 0.5
_STABLE, _FEWEST_CHANCES = 0.5, 4
_FORGOTTEN_AFTER_NS = 30_000_000_000
_TOLD_WITHIN_M = 100.0
_LARGEST = 1000
# A pole may turn out to be a trunk when its crown comes into view.
_COLUMNS = (NodeClass.POLE, NodeClass.TRUNK)


@dataclass
class _Thing:
    """A thing in the world.

    `variance` is that of the running mean if all sights were independent, `best` that of the best sight.
    """

    thing_id: int
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
        """Return in what share of the frames that could show it it was seen, one of each added."""
        return (self.seen + 1) / (self.chances + 2)


class MapLayer:
    """Call `update` with each frame, then ask for `nodes`."""

    def __init__(self) -> None:
        self._things: list[_Thing] = []
        self._started = 0

    def __len__(self) -> int:
        return len(self._things)

    @property
    def thing_ids(self) -> NDArray[np.int64]:
        """(N,) of all that is remembered, told or not, counted from 0."""
        return np.array([thing.thing_id for thing in self._things], dtype=np.int64)

    def update(self, stamp_ns: int, T_world_agent: Matrix, found: StaticObjects) -> None:
        """Take in what a frame shows.

        Args:
            stamp_ns: of the frame; going back in time starts over.
            T_world_agent: (4,4) where the agent believes to be.
            found: in the agent frame.
        """
        if any(thing.seen_ns > stamp_ns for thing in self._things):
            self._things = []
        T_agent_world = invert(T_world_agent)
        places = transform_points(T_world_agent, found.nodes.positions)
        again = self._matches(found.nodes, places)
        for index, thing in enumerate(self._things):
            if index in again.values():
                continue
            if _could_be_seen(transform_points(T_agent_world, thing.place[None])[0], found.azimuths):
                thing.chances += 1
        heading = yaw_of(T_world_agent)
        for row in range(len(found.nodes)):
            sight = self._thing(found.nodes, row, places[row], heading, stamp_ns)
            if row in again:
                _merge(self._things[again[row]], sight)
            else:
                sight.thing_id = self._started
                self._started += 1
                self._things.append(sight)
        self._forget(stamp_ns, T_world_agent[:3, 3])

    def nodes(self, T_world_agent: Matrix) -> tuple[Nodes, NDArray[np.int64]]:
        """Return the stable things within 100 m in the agent frame, and the id of each, counted from 0."""
        near = [
            thing
            for thing in self._things
            if thing.stability >= _STABLE
            and np.hypot(*(thing.place - T_world_agent[:3, 3])[:2]) <= _TOLD_WITHIN_M
        ]
        places = np.array([thing.place for thing in near]).reshape(-1, 3)
        yaws = np.array([thing.yaw for thing in near]) - yaw_of(T_world_agent)
        nodes = Nodes.standing(
            classes=np.array([thing.kind for thing in near], dtype=np.int64),
            positions=transform_points(invert(T_world_agent), places),
            sizes=np.array([thing.size for thing in near]),
            sigmas_m=np.sqrt([max(thing.variance, thing.best) for thing in near]),
            scores=np.array([thing.score * thing.stability for thing in near]),
            yaws=yaws % np.pi,
        )
        return nodes, np.array([thing.thing_id for thing in near], dtype=np.int64)

    @staticmethod
    def _thing(nodes: Nodes, row: int, place: NDArray[np.float64], heading: float, stamp_ns: int) -> _Thing:
        return _Thing(
            thing_id=-1,
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
        """Return for rows of `nodes` the index of the thing that they show again."""
        pairs: dict[int, int] = {}
        kinds = np.array([thing.kind for thing in self._things], dtype=np.int64)
        for group in (_COLUMNS, (NodeClass.CORNER,), (NodeClass.WALL,)):
            rows = np.flatnonzero(np.isin(nodes.classes, group))
            known = np.flatnonzero(np.isin(kinds, group))
            if not (len(rows) and len(known)):
                continue
            here, there = places[rows, :2], np.array([self._things[index].place[:2] for index in known])
            distance, nearest = cKDTree(there).query(here)
            _, back = cKDTree(here).query(there)
            gate = _WALL_GATE_M if group == (NodeClass.WALL,) else _GATE_M
            for k, row in enumerate(rows):
                if distance[k] <= gate and back[nearest[k]] == k:
                    pairs[int(row)] = int(known[nearest[k]])
        return pairs

    def _forget(self, stamp_ns: int, position: NDArray[np.float64]) -> None:
        """Drop what was not seen for long, what is not stable, and the oldest of too many."""
        kept = [
            thing
            for thing in self._things
            if stamp_ns - thing.seen_ns <= _FORGOTTEN_AFTER_NS
            and (thing.chances < _FEWEST_CHANCES or thing.stability >= _STABLE / 2)
        ]
        if len(kept) > _LARGEST:
            kept.sort(key=lambda thing: (-thing.seen_ns, float(np.linalg.norm(thing.place - position))))
        self._things = kept[:_LARGEST]


def _merge(thing: _Thing, sight: _Thing) -> None:
    """Move a thing towards a new sight of it."""
    variance = thing.variance + _DRIFT_M**2
    share = variance / (variance + sight.variance)
    thing.place = thing.place + share * (sight.place - thing.place)
    thing.variance = max((1 - share) * variance, _LEAST_SIGMA_M**2)
    thing.best = min(thing.best, sight.best)
    thing.kind = NodeClass.TRUNK if NodeClass.TRUNK in (thing.kind, sight.kind) else thing.kind
    thing.yaw, thing.size = sight.yaw, np.maximum(thing.size, sight.size)
    thing.score, thing.seen_ns = max(thing.score, sight.score), sight.seen_ns
    thing.seen, thing.chances = thing.seen + 1, thing.chances + 1


def _could_be_seen(place: NDArray[np.float64], azimuths: Azimuths) -> bool:
    """Tell whether the view goes past a place (3,) in the agent frame: a thing of 2 m there would be hit."""
    range_m = float(np.hypot(place[0], place[1]))
    if not 1.0 < range_m <= _EXPECTED_WITHIN_M:
        return False
    azimuth = float(np.arctan2(place[1], place[0]))
    ranges, slopes = azimuths.between(azimuth - _BESIDE_RAD, azimuth + _BESIDE_RAD)
    top = (place[2] + _SEEN_ABOVE_M) / range_m
    return bool(np.count_nonzero((ranges > range_m - _NEARER_M) & (slopes < top)) >= _FEWEST_CHANCES)
