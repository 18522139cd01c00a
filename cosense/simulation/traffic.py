"""Traffic that moves plausibly and without collisions.

Every road user follows a route. Its speed is that of the Intelligent Driver Model (Treiber et al., 2000)
behind the nearest body on its way, reduced in bends. Where two routes cross or merge, a stretch of both is a
conflict. A road user asks for it before it would have to brake, is granted it if nobody on the other route
has it or is inside, and keeps it until its rear is out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.sensing.objects import ObjectClass
from cosense.simulation.chance import draw
from cosense.simulation.conflicts import Conflicts, find_conflicts
from cosense.simulation.scenes.bodies import Body, make_body
from cosense.simulation.scenes.paths import Routes
from cosense.simulation.scenes.scene import Scene

STEP_S = 0.1
MAX_ACCELERATION, MAX_BRAKING = 1.8, 6.0
_COMFORT_BRAKING = 2.0
_HEADWAY_S, _STANDSTILL_M = 1.2, 2.0
_LATERAL_MARGIN_M = 0.25
# Points along a body, relative to its length, at which others look for it on their way.
_SAMPLES = np.linspace(-0.5, 0.5, 5)
# Shares of the classes on the routes of each kind of user.
_MIX = {
    "vehicle": {
        ObjectClass.CAR: 0.66,
        ObjectClass.VAN: 0.12,
        ObjectClass.TRUCK: 0.08,
        ObjectClass.BUS: 0.05,
        ObjectClass.MOTORCYCLIST: 0.07,
        ObjectClass.TRICYCLIST: 0.02,
    },
    "cyclist": {ObjectClass.CYCLIST: 0.9, ObjectClass.MOTORCYCLIST: 0.1},
    "pedestrian": {ObjectClass.PEDESTRIAN: 1.0},
}
# What carries sensors.
_INSTRUMENTED_MIX = {ObjectClass.CAR: 0.75, ObjectClass.VAN: 0.15, ObjectClass.TRUCK: 0.10}
_LARGE = (ObjectClass.TRUCK, ObjectClass.BUS)


@dataclass
class Mover:
    """A road user on its route.

    Attributes:
        identity: name that is constant over time.
        body: shape of the road user.
        route: row of the route in the scene.
        along_m: arc length of its middle on the route.
        speed_mps: present speed.
        desired: speed that it aims at, as a share of what the route allows.
        granted: groups of conflicts on its route that it may enter.
    """

    identity: str
    body: Body
    route: int
    along_m: float
    speed_mps: float
    desired: float
    granted: set[int] = field(default_factory=set)

    @property
    def front_m(self) -> float:
        return self.along_m + self.body.size[0] / 2

    @property
    def rear_m(self) -> float:
        return self.along_m - self.body.size[0] / 2


@dataclass
class Traffic:
    """All road users of one scene over time.

    Attributes:
        scene: the scene.
        rng: draws bodies, routes and speeds.
        conflicts: conflicts among the routes.
        ways: lines of the routes.
        movers: road users in the order of their appearance.
        ego_ids: instrumented vehicles, which never leave, but stop at the end of their route.
    """

    scene: Scene
    rng: np.random.Generator
    conflicts: Conflicts
    ways: Routes
    movers: list[Mover] = field(default_factory=list)
    ego_ids: tuple[str, ...] = ()
    _born: int = 0

    @classmethod
    def start(cls, scene: Scene, rng: np.random.Generator, instrumented: int, warm_up_s: float) -> Traffic:
        """Fill a scene and let it move for a while; instrumented vehicles then approach its middle."""
        traffic = cls(scene, rng, find_conflicts(scene.routes), Routes.of(scene.routes))
        for number in range(instrumented):
            traffic._place_instrumented(number, warm_up_s)
        traffic.ego_ids = tuple(mover.identity for mover in traffic.movers)
        for user, count in scene.movers.items():
            traffic._fill(user, count)
        for _ in range(round(warm_up_s / STEP_S)):
            traffic.step()
        return traffic

    def poses(self, later_s: float = 0.0) -> NDArray[np.float64]:
        """Return x, y, yaw (M,3) of the movers at a time after (before, if negative) the present step."""
        route = np.array([mover.route for mover in self.movers], dtype=np.int64)
        along = np.array([mover.along_m + mover.speed_mps * later_s for mover in self.movers])
        # The front and the rear axle lie on the route.
        wheelbase = 0.6 * np.array([mover.body.size[0] for mover in self.movers])
        rear, front = (self.ways.at(route, along + side * wheelbase / 2) for side in (-1, 1))
        heading = front - rear
        return np.column_stack([(rear + front) / 2, np.arctan2(heading[:, 1], heading[:, 0])])

    def samples(self, poses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points (M,5,2) along the bodies of the movers at poses (M,3)."""
        heading = np.column_stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])])
        lengths = np.array([mover.body.size[0] for mover in self.movers])
        return np.asarray(
            poses[:, None, :2] + (_SAMPLES * lengths[:, None])[..., None] * heading[:, None], dtype=np.float64
        )

    def step(self) -> None:
        """Move all road users by `STEP_S`."""
        seen = _Seen.of(self)
        self._ask(seen)
        accelerations = [self._acceleration(mover, row, seen) for row, mover in enumerate(self.movers)]
        for mover, acceleration in zip(self.movers, accelerations, strict=True):
            after = max(0.0, mover.speed_mps + acceleration * STEP_S)
            mover.along_m += (mover.speed_mps + after) / 2 * STEP_S
            mover.speed_mps = after
            clusters = self.conflicts[mover.route]
            mover.granted = {g for g in mover.granted if mover.rear_m < clusters[g].end_m}
        self.movers = [mover for mover in self.movers if not self._has_left(mover)]
        self._refill()

    def _has_left(self, mover: Mover) -> bool:
        length = self.scene.routes[mover.route].length_m
        return mover.identity not in self.ego_ids and mover.front_m > length - 1.0

    def _acceleration(self, mover: Mover, row: int, seen: _Seen) -> float:
        """Return the acceleration of the Intelligent Driver Model behind leader, stop line or route end."""
        route = self.scene.routes[mover.route]
        index = int(np.clip(mover.along_m / route.step_m, 0, len(route.line) - 1))
        wanted = max(0.5, float(route.limits_mps[index]) * mover.desired)
        speed = mover.speed_mps
        pedestrian = mover.body.label == ObjectClass.PEDESTRIAN
        standstill = 0.5 if pedestrian else _STANDSTILL_M
        free = MAX_ACCELERATION * (1 - (speed / wanted) ** 4)
        worst = max(free, -_COMFORT_BRAKING)
        gap, leader_speed = seen.leader(mover, row)
        stops = [(gap, leader_speed)]
        stops += [(line + standstill - 0.3, 0.0) for line in self._closed_lines(mover)]
        if mover.identity in self.ego_ids:
            stops.append((route.length_m - mover.front_m - 2.0, 0.0))
        for distance, other_speed in stops:
            braking = speed * (speed - other_speed) / (2 * np.sqrt(MAX_ACCELERATION * _COMFORT_BRAKING))
            desired_gap = standstill + max(0.0, speed * _HEADWAY_S + braking)
            ratio = desired_gap / max(distance, 0.1)
            worst = min(worst, free - MAX_ACCELERATION * ratio**2)
        return float(np.clip(worst, -MAX_BRAKING, MAX_ACCELERATION))

    def _closed_lines(self, mover: Mover) -> list[float]:
        """Return the distances to the stop lines ahead that the mover may not pass yet."""
        return [
            cluster.start_m - mover.front_m
            for number, cluster in enumerate(self.conflicts[mover.route])
            if number not in mover.granted and cluster.end_m > mover.rear_m and cluster.start_m > mover.rear_m
        ]

    def _ask(self, seen: _Seen) -> None:
        """Grant conflicts that are clear, first to the movers that reach them first."""
        queue = []
        for row, mover in enumerate(self.movers):
            reach = 4.0 + mover.speed_mps * 1.0 + mover.speed_mps**2 / (2 * _COMFORT_BRAKING)
            if mover.body.label == ObjectClass.PEDESTRIAN:
                reach = 1.5
            for number, cluster in enumerate(self.conflicts[mover.route]):
                distance = cluster.start_m - mover.front_m
                if number not in mover.granted and mover.rear_m < cluster.end_m and distance < reach:
                    queue.append((distance / max(mover.speed_mps, 1.0), row, number))
        for _, row, number in sorted(queue):
            mover = self.movers[row]
            if self._is_clear(mover, number):
                mover.granted.add(number)

    def _is_clear(self, mover: Mover, number: int) -> bool:
        """Return whether no mover on another route has been granted the conflict or is inside it."""
        cluster = self.conflicts[mover.route][number]
        for other in self.movers:
            if other is mover:
                continue
            theirs = self.conflicts[other.route]
            for conflict in cluster.conflicts:
                if conflict.other != other.route or other.rear_m > conflict.other_end_m + 0.5:
                    continue
                if other.front_m > conflict.other_start_m or any(
                    theirs[g].start_m <= conflict.other_start_m <= theirs[g].end_m for g in other.granted
                ):
                    return False
        return True

    def _new(self, route: int, label: ObjectClass, along_m: float, share: float) -> Mover:
        self._born += 1
        body = make_body(label, self.rng)
        name = f"{label.name.lower()}_{self._born}"
        return Mover(
            name, body, route, along_m, self._first_speed(route, share), float(np.clip(share, 0.6, 1.15))
        )

    def _first_speed(self, route: int, share: float) -> float:
        """Return the speed in m/s at which somebody appears."""
        return self.scene.routes[route].speed_mps * share * 0.8

    def _place_instrumented(self, number: int, warm_up_s: float) -> None:
        """Place an instrumented vehicle that will be some tens of metres before the middle after warm-up."""
        for attempt in range(200):
            choice = int(self.rng.integers(len(self.scene.ego_routes)))
            route = self.scene.ego_routes[choice]
            travelled = warm_up_s * self.scene.routes[route].speed_mps * 0.75
            # The more attempts have failed, the farther away it may be.
            before = self.rng.uniform(18, 60 + attempt) + travelled
            along = max(6.0, self.scene.focus_m[choice] - before)
            mover = self._new(
                route, self._draw(route, _INSTRUMENTED_MIX), along, float(self.rng.uniform(0.85, 1.0))
            )
            if not self._is_in_conflict(mover) and self._has_room(mover):
                mover.identity = "vehicle" if number == 0 else f"vehicle_{number + 1}"
                self.movers.append(mover)
                return
        raise CosenseError(
            f"{number + 1} instrumented vehicles: this {self.scene.family} has no room; ask for fewer, "
            "or take another seed"
        )

    def _fill(self, user: str, count: int) -> None:
        """Place movers at random on the routes of one kind of user, clear of each other and of conflicts."""
        routes = [row for row, route in enumerate(self.scene.routes) if route.user == user]
        placed = 0
        for _ in range(count * 12 if routes else 0):
            if placed == count:
                break
            route = int(self.rng.choice(routes))
            along = float(self.rng.uniform(8.0, self.scene.routes[route].length_m - 10))
            share = float(self.rng.normal(0.95, 0.1))
            if self._conflicts_at(route, along, along, self._first_speed(route, share)):
                continue
            mover = self._new(route, self._draw_label(route), along, share)
            if not self._is_in_conflict(mover) and self._has_room(mover):
                self.movers.append(mover)
                placed += 1

    def _draw_label(self, route: int) -> ObjectClass:
        return self._draw(route, _MIX[self.scene.routes[route].user])

    def _draw(self, route: int, mix: dict[ObjectClass, float]) -> ObjectClass:
        """Draw a class; where large vehicles do not fit, a car takes their place."""
        label = draw(mix, self.rng)
        return label if self.scene.routes[route].large or label not in _LARGE else ObjectClass.CAR

    def _is_in_conflict(self, mover: Mover) -> bool:
        """Return whether a mover would be in a conflict, or could no longer stop before it."""
        return self._conflicts_at(mover.route, mover.rear_m, mover.front_m, mover.speed_mps)

    def _conflicts_at(self, route: int, rear_m: float, front_m: float, speed_mps: float) -> bool:
        braking = speed_mps**2 / (2 * _COMFORT_BRAKING) + 5.0
        return any(
            cluster.start_m < front_m + braking and rear_m < cluster.end_m + 1.0
            for cluster in self.conflicts[route]
        )

    def _has_room(self, mover: Mover) -> bool:
        """Return whether a new mover touches nobody and has gaps before and behind it."""
        gap = 2.0 if mover.body.label == ObjectClass.PEDESTRIAN else 9.0
        along = np.linspace(mover.rear_m - gap, mover.front_m + gap, 24)
        line = self.ways.at(np.full(len(along), mover.route), along)
        distance = np.linalg.norm(line[:, None, None] - self.samples(self.poses()), axis=3).min(axis=(0, 2))
        widths = np.array([other.body.size[1] for other in self.movers])
        return bool((distance >= (mover.body.size[1] + widths) / 2 + 0.6).all())

    def _refill(self) -> None:
        """Let new movers appear at the start of routes now and then, as many as have left."""
        scene = self.scene
        for user, count in scene.movers.items():
            present = sum(scene.routes[mover.route].user == user for mover in self.movers)
            if present >= count or self.rng.random() > 0.12:
                continue
            routes = [row for row, route in enumerate(scene.routes) if route.user == user]
            if not routes:
                continue
            route = int(self.rng.choice(routes))
            label = self._draw_label(route)
            mover = self._new(route, label, 0.0, float(self.rng.normal(0.95, 0.1)))
            mover.along_m = mover.body.size[0] / 2 + 0.2
            if not self._is_in_conflict(mover) and self._has_room(mover):
                self.movers.append(mover)


@dataclass(frozen=True)
class _Seen:
    """The places of all M bodies relative to all routes, at one moment.

    Attributes:
        along_m: arc length (M,5) nearest to the sample points of each mover, on each route.
        aside_m: distance (M,5) of the sample points from each route.
        tangent: step (M,5,2) of the line of each route at those arc lengths.
        speed: (M,) speeds in m/s.
        heading: (M,2) unit vectors.
        half_width: (M,) half widths in metres.
    """

    along_m: dict[int, NDArray[np.float64]]
    aside_m: dict[int, NDArray[np.float64]]
    tangent: dict[int, NDArray[np.float64]]
    speed: NDArray[np.float64]
    heading: NDArray[np.float64]
    half_width: NDArray[np.float64]

    @classmethod
    def of(cls, traffic: Traffic) -> _Seen:
        movers, routes = traffic.movers, traffic.scene.routes
        poses = traffic.poses()
        heading = np.column_stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])])
        samples = traffic.samples(poses)
        along, aside, tangent = {}, {}, {}
        for number in {mover.route for mover in movers}:
            route = routes[number]
            distance, index = route.tree.query(samples, distance_upper_bound=4.0)
            along[number], aside[number] = index * route.step_m, distance
            low = np.minimum(index, len(route.line) - 2)
            tangent[number] = route.line[low + 1] - route.line[low]
        return cls(
            along,
            aside,
            tangent,
            np.array([mover.speed_mps for mover in movers]),
            heading,
            np.array([mover.body.size[1] / 2 for mover in movers]),
        )

    def leader(self, mover: Mover, row: int) -> tuple[float, float]:
        """Return the gap in metres to the nearest body ahead on the mover's way, and its speed along it."""
        along, aside = self.along_m[mover.route], self.aside_m[mover.route]
        reach = self.half_width + self.half_width[row] + _LATERAL_MARGIN_M
        on_way = (aside < reach[:, None]) & (along > mover.along_m)
        on_way[row] = False
        if not on_way.any():
            return np.inf, 0.0
        gaps = np.where(on_way, along - mover.front_m, np.inf)
        other, sample = np.unravel_index(np.argmin(gaps), gaps.shape)
        way = self.tangent[mover.route][other, sample]
        forward = float(self.heading[other] @ way / np.linalg.norm(way))
        return float(gaps[other, sample]), float(max(0.0, self.speed[other] * forward))
