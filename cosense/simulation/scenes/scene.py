"""The struct that describes a scene: surroundings, routes, parked vehicles and places of roadside units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cosense.simulation.scenes.bodies import Body
from cosense.simulation.scenes.mesh import Mesh
from cosense.simulation.scenes.paths import Route
from cosense.simulation.scenes.surface import Ground


@dataclass(frozen=True)
class Mast:
    """Place of a roadside unit in the scene: position in metres, heading of its sensors in radians."""

    x: float
    y: float
    height_m: float
    yaw: float


@dataclass(frozen=True)
class Parked:
    """A parked vehicle or somebody who stands: the body and its pose in the scene, in metres and radians."""

    body: Body
    x: float
    y: float
    yaw: float


@dataclass(frozen=True)
class Scene:
    """One place without its traffic, in metres relative to its middle, with the road at z = 0.

    Attributes:
        family: name of the family of scenes.
        surroundings: static things, each standing on the ground.
        ground: surfaces of the ground.
        routes: routes of vehicles, cyclists and pedestrians.
        masts: candidate places of roadside units.
        parked: parked vehicles, and people who stand about.
        ego_routes: rows of `routes` for instrumented vehicles; a row may be repeated to be drawn more often.
        focus_m: arc length on each of `ego_routes` at which it passes the middle of the place.
        movers: numbers of moving vehicles, cyclists and pedestrians, by the `user` of their routes.
    """

    family: str
    surroundings: tuple[Mesh, ...]
    ground: Ground
    routes: tuple[Route, ...]
    masts: tuple[Mast, ...]
    parked: tuple[Parked, ...]
    ego_routes: tuple[int, ...]
    focus_m: tuple[float, ...]
    movers: Mapping[str, int]
