"""The family "car_park": rows of stalls between one-way aisles, beside a road, with a shop and islands.

Vehicles enter by the western gate, drive along one of the aisles and leave by the eastern gate; others pass
on the road. The plan is drawn with aisles along x and then rotated as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cosense.sensing.objects import ObjectClass
from cosense.simulation.scenes.bodies import make_body
from cosense.simulation.scenes.hinterland import hinterland
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh
from cosense.simulation.scenes.paths import Line, Route, through
from cosense.simulation.scenes.plan import light_enough, ways_of
from cosense.simulation.scenes.relief import Country, Hills, Slab, Values, shape
from cosense.simulation.scenes.roads import Arm, Profile, arm_line, paint_roads, vehicle_routes
from cosense.simulation.scenes.scene import Mast, Parked, Scene
from cosense.simulation.scenes.shapes import cylinder
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.scenes.surroundings.barriers import PIECE_M, draw_barrier
from cosense.simulation.scenes.surroundings.car_park_things import ISLANDS, RIM, SHOP_FRONT
from cosense.simulation.scenes.surroundings.frontages import furnish
from cosense.simulation.scenes.surroundings.house_fronts import House
from cosense.simulation.scenes.surroundings.houses import house
from cosense.simulation.scenes.surroundings.placing import occupy
from cosense.simulation.scenes.surroundings.plants import low_hedge
from cosense.simulation.scenes.surroundings.plots import stand
from cosense.simulation.scenes.surroundings.stock import Stock
from cosense.simulation.scenes.surroundings.style import Style

_STALL_M = (2.6, 5.2)
_ROAD_M = 170.0
# Steepest slope of a car park along and across its aisles.
_STEEPEST = 0.04


@dataclass(frozen=True)
class _Plan:
    """Dimensions of a car park in its own axes, in metres.

    Attributes:
        turn: rotation of the whole plan in radians.
        half_length_m: distance from the middle to the lanes at either end of the aisles.
        aisle_m: width of an aisle.
        aisles_y: y of the centre line of each aisle.
        road_y: y of the centre line of the road in front.
        profile: cross-section of that road.
    """

    turn: float
    half_length_m: float
    aisle_m: float
    aisles_y: tuple[float, ...]
    road_y: float
    profile: Profile

    @property
    def top_y(self) -> float:
        return self.aisles_y[-1] + self.aisle_m / 2 + _STALL_M[1]

    @property
    def bottom_y(self) -> float:
        return self.aisles_y[0] - self.aisle_m / 2 - _STALL_M[1]

    def line(self, points: list[tuple[float, float]]) -> Line:
        """Return points of the plan in the scene, (n,2)."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        return np.array(points, dtype=np.float64) @ np.array([[cos, sin], [-sin, cos]])

    def pose(self, x: float, y: float, yaw: float = 0.0) -> tuple[float, float, float]:
        """Return a pose of the plan in the scene."""
        at = self.line([(x, y)])[0]
        return float(at[0]), float(at[1]), yaw + self.turn


def car_park(rng: np.random.Generator) -> Scene:
    """Return a car park with 2 to 4 aisles and 40 to 90 % of the stalls in use."""
    plan = _draw_plan(rng)
    road = [
        Arm(
            arm_line(plan.turn + heading, _ROAD_M, 0.0) + plan.line([(0.0, plan.road_y)]),
            plan.profile,
            1.0,
            False,
        )
        for heading in (0.0, np.pi)
    ]
    ground = Ground()
    paint_roads(ground, road)
    _paint_park(ground, plan)
    style = Style.drawn(rng, rng.beta(2.2, 1.3))
    things = furnish(ground, road, style, rng)
    gates = [plan.line([(side * plan.half_length_m, plan.road_y)])[0] for side in (-1, 1)]
    things = [thing for thing in things if all(np.hypot(*(gate - thing.middle)) > 14 for gate in gates)]
    things += [*_around(plan, ground, rng), *hinterland(ground, style.built_up, rng)]
    country = Country.drawn(rng)
    shape(ground, country, ways_of(road), rng, [_slab(plan, country.crossfall)])
    parked = _parked(plan, rng)
    inside = _park_routes(plan)
    passing = vehicle_routes(road)
    return Scene(
        family="car_park",
        surroundings=tuple(ground.lifted(light_enough(things))),
        ground=ground,
        routes=(*inside, *passing, *_walks(plan)),
        masts=_masts(plan, rng),
        parked=tuple(parked),
        ego_routes=tuple(range(len(inside))),
        focus_m=tuple(_entrance(route, plan) for route in inside),
        movers={"vehicle": int(rng.integers(8, 15)), "pedestrian": int(rng.integers(3, 12))},
    )


def _draw_plan(rng: np.random.Generator) -> _Plan:
    profile = Profile(1, float(rng.uniform(3.2, 3.6)), 0.0, 0.0, float(rng.uniform(2.8, 3.6)), 10.0)
    aisle_m = float(rng.uniform(6.2, 7.2))
    count = int(rng.integers(2, 5))
    pitch = aisle_m + 2 * _STALL_M[1] + float(rng.uniform(0.0, 2.0))
    aisles_y = tuple(float((k - (count - 1) / 2) * pitch) for k in range(count))
    bottom = aisles_y[0] - aisle_m / 2 - _STALL_M[1]
    return _Plan(
        turn=float(rng.uniform(0, 2 * np.pi)),
        half_length_m=float(rng.uniform(24, 44)),
        aisle_m=aisle_m,
        aisles_y=aisles_y,
        road_y=bottom - profile.edge_m - float(rng.uniform(2, 8)),
        profile=profile,
    )


def _paint_park(ground: Ground, plan: _Plan) -> None:
    out = plan.half_length_m + 3.6
    rim = [(-out, plan.bottom_y), (out, plan.bottom_y), (out, plan.top_y), (-out, plan.top_y)]
    ground.paint(plan.line(rim), Material.ASPHALT)
    kerb = plan.road_y + plan.profile.kerb_m - 0.2
    for side in (-1, 1):
        x = side * plan.half_length_m
        gate = [(x - 3.6, kerb), (x + 3.6, kerb), (x + 3.6, plan.bottom_y), (x - 3.6, plan.bottom_y)]
        ground.paint(plan.line(gate), Material.ASPHALT)
    for x, y, _ in _stalls(plan):
        for edge in (x - _STALL_M[0] / 2, x + _STALL_M[0] / 2):
            low, high = y - _STALL_M[1] / 2, y + _STALL_M[1] / 2
            stripe = [(edge - 0.06, low), (edge + 0.06, low), (edge + 0.06, high), (edge - 0.06, high)]
            ground.paint(plan.line(stripe), Material.MARKING)


def _slab(plan: _Plan, fall: float) -> Slab:
    """Return the asphalt of the car park: a plane along the country, with gutters along the aisles."""
    out = plan.half_length_m + 3.6
    cos, sin = np.cos(plan.turn), np.sin(plan.turn)
    T_plan_scene = np.array([[cos, -sin], [sin, cos]])

    def outside(xy: Line) -> Values:
        x, y = (xy @ T_plan_scene).T
        beyond = np.maximum(np.maximum(plan.bottom_y - y, y - plan.top_y), 0)
        return np.asarray(np.hypot(np.maximum(np.abs(x) - out, 0), beyond))

    def height(xy: Line, hills: Hills) -> Values:
        x, y = (xy @ T_plan_scene).T
        low, high = plan.bottom_y, plan.top_y
        left, right, back = hills(plan.line([(-out, low), (out, low), (0.0, high)]))
        front = (left + right) / 2
        along = np.clip((right - left) / (2 * out), -_STEEPEST, _STEEPEST)
        across = np.clip((back - front) / (high - low), -_STEEPEST, _STEEPEST)
        gutter = np.abs(y[:, None] - np.array(plan.aisles_y)).min(axis=1)
        return np.asarray(front + along * x + across * (y - low) + fall * np.minimum(gutter, plan.aisle_m))

    return Slab(outside, height)


def _stalls(plan: _Plan) -> list[tuple[float, float, int]]:
    """Return the middle of each stall, and the side of the aisle that it lies on (+1 for larger y)."""
    usable = plan.half_length_m - 6.0
    count = int(2 * usable / _STALL_M[0])
    columns = (np.arange(count) - (count - 1) / 2) * _STALL_M[0]
    reach = plan.aisle_m / 2 + _STALL_M[1] / 2
    return [(float(x), y + side * reach, side) for y in plan.aisles_y for side in (-1, 1) for x in columns]


def _parked(plan: _Plan, rng: np.random.Generator) -> list[Parked]:
    share = rng.uniform(0.4, 0.9)
    parked = []
    for x, y, side in _stalls(plan):
        if rng.random() > share:
            if rng.random() < 0.06:
                # Somebody stands where a car may have been.
                place = plan.pose(
                    x + rng.uniform(-0.6, 0.6), y + side * rng.uniform(0.0, 1.2), rng.uniform(-np.pi, np.pi)
                )
                parked.append(Parked(make_body(ObjectClass.PEDESTRIAN, rng), *place))
            continue
        body = make_body(ObjectClass.CAR if rng.random() < 0.88 else ObjectClass.VAN, rng)
        if body.size[0] > _STALL_M[1]:
            # A long van finds no place here.
            continue
        # Cars face the aisle or turn their backs to it; a short one may be anywhere in its stall.
        slack = (_STALL_M[1] - body.size[0]) / 2
        heading = side * np.pi / 2 * (1 if rng.random() < 0.65 else -1)
        pose = plan.pose(
            x + rng.uniform(-0.15, 0.15), y + rng.uniform(-1, 1) * slack, heading + rng.normal(0, 0.025)
        )
        parked.append(Parked(body, *pose))
    return parked


def _around(plan: _Plan, ground: Ground, rng: np.random.Generator) -> list[Mesh]:
    """Return a shop and what stands before it, fences and plants around, things on islands, and lamps."""
    stock = Stock(rng)
    out, top = plan.half_length_m + 4.5, plan.top_y + 1.0
    depth, front = float(rng.uniform(12, 18)), float(rng.uniform(22, 50))
    shop = house(House(front, depth, int(rng.integers(1, 3)), True, False), rng)
    shop_x = float(rng.uniform(-10, 10))
    occupy(ground, (*plan.pose(shop_x, top + 3.5 + depth / 2)[:2], front, depth, plan.turn))
    made = [shop.at(*plan.pose(shop_x, top + 3.5 + depth / 2))]
    for x in np.arange(shop_x - front / 2 + 1.5, shop_x + front / 2 - 1.0, 2.8):
        item = stock.pick(SHOP_FRONT)
        if rng.random() < 0.5 and item.half_m[1] < 1.0:
            made.append(item.mesh.at(*plan.pose(float(x), top + 3.3 - item.half_m[1])))
    for side in (-1, 1):
        if rng.random() < 0.7:
            made += _fence(plan, (side * out, plan.bottom_y), (side * out, top), rng)
    if rng.random() < 0.7:
        half = plan.half_length_m - 6.0
        made += _fence(plan, (-half, plan.bottom_y - 0.8), (half, plan.bottom_y - 0.8), rng)
    return made + _islands(plan, stock) + _between_rows(plan, stock) + _rim(plan, ground, stock)


def _islands(plan: _Plan, stock: Stock) -> list[Mesh]:
    """Return what stands between the last stalls of the rows and the lanes at their ends."""
    made = []
    reach = plan.aisle_m / 2 + _STALL_M[1] / 2
    for y in plan.aisles_y:
        for side, offset in ((side, offset) for side in (-1, 1) for offset in (-1, 1)):
            item = stock.pick(ISLANDS)
            if stock.rng.random() < 0.7 and item.half_m[0] < 2.5 and item.half_m[1] < 1.15:
                place = plan.pose(side * (plan.half_length_m - 4.8), y + offset * reach, np.pi / 2)
                made.append(item.mesh.at(*place))
    return made


def _between_rows(plan: _Plan, stock: Stock) -> list[Mesh]:
    """Return lamps between rows that stand back to back, and hedges where there is room."""
    rng = stock.rng
    made = []
    lamp = cylinder((0, 0, 3.25), (0.18, 0.18, 7.5), Material.METAL)
    for low, high in zip(plan.aisles_y[:-1], plan.aisles_y[1:], strict=True):
        y, room = (low + high) / 2, high - low - plan.aisle_m - 2 * _STALL_M[1]
        for x in np.arange(-plan.half_length_m + 5.0, plan.half_length_m - 4.0, rng.uniform(16, 26)):
            made.append(lamp.at(*plan.pose(float(x), y)))
        if rng.random() < 0.4:
            continue
        for x in np.arange(-plan.half_length_m + 8.0, plan.half_length_m - 8.0, 3.0):
            item = stock.take(low_hedge)
            if 2 * item.half_m[1] < room - 0.3:
                made.append(item.mesh.at(*plan.pose(float(x), y)))
    return made


def _rim(plan: _Plan, ground: Ground, stock: Stock) -> list[Mesh]:
    """Return trees, bushes and other things on free ground within some metres of the car park."""
    rng = stock.rng
    out, made = plan.half_length_m + 5.5, []
    for _ in range(int(rng.uniform(10, 70))):
        x = float(rng.uniform(-out - 14, out + 14))
        y = float(rng.uniform(plan.bottom_y - 2, plan.top_y + 25))
        if abs(x) < out and y < plan.top_y + 5:
            continue
        thing = stand(ground, stock.pick(RIM), plan.pose(x, y, float(rng.uniform(0, 6))), 0.3)
        made += [] if thing is None else [thing]
    return made


def _fence(
    plan: _Plan, start: tuple[float, float], end: tuple[float, float], rng: np.random.Generator
) -> list[Mesh]:
    """Return pieces of a wall, a hedge or a fence between two places of the plan."""
    barrier = draw_barrier(rng, str(rng.choice(["wall", "hedge", "wire", "bars", "guard_rail"])))
    way = np.subtract(end, start)
    count = int(np.hypot(*way) / PIECE_M)
    yaw = float(np.arctan2(way[1], way[0]))
    made = []
    for share in (np.arange(count) + 0.5) / max(count, 1):
        x, y = start + way * share
        if rng.random() >= barrier.gap:
            made.append(barrier.piece(rng).at(*plan.pose(float(x), float(y), yaw)))
    return made


def _park_routes(plan: _Plan) -> list[Route]:
    """Return all routes of vehicles from the road along one aisle and back to the road."""
    lane = plan.profile.lane_m / 2
    east, west = plan.road_y - lane, plan.road_y + lane
    x = plan.half_length_m
    routes = []
    for y in plan.aisles_y:
        for start, start_y in ((-_ROAD_M, east), (_ROAD_M, west)):
            for end, end_y in ((_ROAD_M, east), (-_ROAD_M, west)):
                corners = [(start, start_y), (-x, start_y), (-x, y), (x, y), (x, end_y), (end, end_y)]
                way = through(plan.line(corners), 6.0)
                routes.append(Route.along(way, "vehicle", 7.0))
    return routes


def _entrance(route: Route, plan: _Plan) -> float:
    """Return the arc length at which a route passes the western gate."""
    gate = plan.line([(-plan.half_length_m, plan.bottom_y)])[0]
    return float(np.argmin(np.linalg.norm(route.line - gate, axis=1)) * route.step_m)


def _walks(plan: _Plan) -> list[Route]:
    """Return the routes of pedestrians along both edges of each aisle and along the shop."""
    x = plan.half_length_m - 7.0
    edges = [(y + side * 2.55, side) for y in plan.aisles_y for side in (-1, 1)]
    edges.append((plan.top_y + 1.6, 1))
    return [Route.along(plan.line([(-side * x, y), (side * x, y)]), "pedestrian", 1.2) for y, side in edges]


def _masts(plan: _Plan, rng: np.random.Generator) -> tuple[Mast, ...]:
    """Return a mast at each corner of the car park, looking inside, in random order."""
    out = plan.half_length_m + 3.9
    places = [(sx * out, y) for sx in (-1, 1) for y in (plan.bottom_y - 0.5, plan.top_y + 0.5)]
    masts = []
    for x, y in places:
        look_x, look_y = rng.uniform(-8, 8, 2)
        at_x, at_y, yaw = plan.pose(x, y, float(np.arctan2(look_y - y, look_x - x)))
        masts.append(Mast(at_x, at_y, float(rng.uniform(4.0, 9.0)), yaw))
    order = rng.permutation(len(masts))
    return tuple(masts[i] for i in order)
