"""What a scene family builds: the surroundings, the ways through them and where the roadside units stand."""

from __future__ import annotations

from dataclasses import dataclass

from cosense.simulation.scenes.bodies import Body
from cosense.simulation.scenes.paths import Route
from cosense.simulation.scenes.solids import Primitives
from cosense.simulation.scenes.surface import Ground


@dataclass(frozen=True)
class Mast:
    """Where a roadside unit is: position in metres, heading of its sensors in radians, in the scene."""

    x: float
    y: float
    height_m: float
    yaw: float


@dataclass(frozen=True)
class Parked:
    """A vehicle that stands: its body and its pose in the scene."""

    body: Body
    x: float
    y: float
    yaw: float


@dataclass(frozen=True)
class Scene:
    """One place, without its traffic. Coordinates are metres around the middle of the place, z = 0 the road.

    Attributes:
        family: which builder made it.
        surroundings: solids that never move.
        ground: surfaces.
        routes: ways of vehicles, cyclists and pedestrians.
        masts: candidate places of roadside units.
        parked: vehicles that stand.
        ego_routes: rows of `routes` that suit an instrumented vehicle, as often as they should come up.
        focus_m: arc length on each of `ego_routes` at which the place is passed.
        vehicles: how many vehicles are on the move.
        pedestrians: how many people walk.
        cyclists: how many people cycle.
    """

    family: str
    surroundings: Primitives
    ground: Ground
    routes: tuple[Route, ...]
    masts: tuple[Mast, ...]
    parked: tuple[Parked, ...]
    ego_routes: tuple[int, ...]
    focus_m: tuple[float, ...]
    vehicles: int
    pedestrians: int
    cyclists: int
