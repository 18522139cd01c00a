"""Roads as arms that leave a middle: their cross-sections, their markings, and the routes along them.

From the centre line outwards, each side has half of a median, lanes, a strip for cyclists, a service lane
behind a separator, a strip for parking, a kerb and a walkway; most of these may be missing. Traffic keeps to
the right. A road that only passes consists of two arms.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.paths import (
    STEP_M,
    Line,
    Route,
    connect,
    length_of,
    normals,
    offset,
    part,
    ribbon,
    through,
)
from cosense.simulation.scenes.surface import Ground

# Pedestrians of the two directions use different lines of a walkway, at these distances from its outer edge.
WALK_IN_M, WALK_OUT_M = 1.6, 0.5
WALK_ROUTE_M = 75.0


class Stalls(Enum):
    """How vehicles stand in a strip for parking: the angle in degrees between them and the road."""

    PARALLEL = 0
    ANGLED = 60
    ACROSS = 90


# Width of the strip between the lanes and a service lane.
_SEPARATOR_M = 1.8


@dataclass(frozen=True)
class Profile:
    """Cross-section of a road, the same on both sides.

    Attributes:
        lanes: number of lanes in each direction.
        lane_m: width of a lane.
        cycle_m: width of the strip for cyclists, 0 if there is none.
        parking_m: width of the parking strip, 0 if there is none.
        walk_m: width of the walkway.
        speed_mps: permitted speed of vehicles.
        stalls: how vehicles stand in the parking strip.
        median_m: width of the median, 0 if there is none.
        service_m: width of a lane that serves the parking strip, 0 if there is none.
        blocked: whether double-parked vehicles keep the outermost lane to themselves.
        walkway: what the walkway is made of.
        marked: whether lines are painted on the road.
    """

    lanes: int
    lane_m: float
    cycle_m: float
    parking_m: float
    walk_m: float
    speed_mps: float
    stalls: Stalls = Stalls.PARALLEL
    median_m: float = 0.0
    service_m: float = 0.0
    blocked: bool = False
    walkway: Material = Material.PAVING
    marked: bool = True

    @property
    def open_lanes(self) -> int:
        """Number of lanes in each direction that traffic uses."""
        return self.lanes - self.blocked

    @property
    def lanes_m(self) -> float:
        """Distance from the centre line to the outer edge of the lanes."""
        return self.median_m / 2 + self.lanes * self.lane_m

    @property
    def separator_m(self) -> tuple[float, float] | None:
        """Distances from the centre line to both edges of the separator."""
        inner = self.lanes_m + self.cycle_m
        return (inner, inner + _SEPARATOR_M) if self.service_m else None

    @property
    def parking_from_m(self) -> float:
        """Distance from the centre line to the inner edge of the parking strip."""
        return self.lanes_m + self.cycle_m + (_SEPARATOR_M + self.service_m if self.service_m else 0.0)

    @property
    def kerb_m(self) -> float:
        """Distance of the kerb from the centre line."""
        return self.parking_from_m + self.parking_m

    @property
    def edge_m(self) -> float:
        """Distance of the walkway's outer edge from the centre line."""
        return self.kerb_m + self.walk_m

    def lane_middle_m(self, lane: int) -> float:
        """Return the distance of the middle of a lane from the centre line; lane 0 is the innermost."""
        return self.median_m / 2 + (lane + 0.5) * self.lane_m


@dataclass(frozen=True)
class Arm:
    """One road that leaves the middle.

    Attributes:
        line: centre line, outwards from the middle.
        profile: cross-section.
        mouth_m: arc length at which the area of the junction ends.
        crossing: whether pedestrians cross the arm there.
    """

    line: Line
    profile: Profile
    mouth_m: float
    crossing: bool

    def inbound(self, from_centre_m: float) -> Line:
        """Return the line towards the middle, up to the mouth, at a distance from the centre line."""
        return part(offset(self.line, from_centre_m), self.mouth_m, length_of(self.line))[::-1]

    def outbound(self, from_centre_m: float) -> Line:
        """Return the line from the mouth outwards, at a distance from the centre line."""
        return part(offset(self.line, -from_centre_m), self.mouth_m, length_of(self.line))

    def pose(self, along_m: float, left_m: float) -> tuple[float, float, float]:
        """Return x, y and the outward heading at an arc length, shifted to the left."""
        index = min(int(along_m / STEP_M), len(self.line) - 2)
        step = self.line[index + 1] - self.line[index]
        yaw = float(np.arctan2(step[1], step[0]))
        x, y = self.line[index] + step * min(along_m / STEP_M - index, 1.0)
        return float(x - np.sin(yaw) * left_m), float(y + np.cos(yaw) * left_m), yaw

    @property
    def heading(self) -> float:
        """Direction in which the arm leaves the middle, in radians."""
        step = self.line[1] - self.line[0]
        return float(np.arctan2(step[1], step[0]))


def arm_line(heading: float, length_m: float, bend_per_m: float) -> Line:
    """Return a centre line from the origin, with a constant bend (1/radius, positive to the left)."""
    along = np.arange(0.0, length_m + STEP_M, STEP_M)
    turned = heading + bend_per_m * along
    steps = np.column_stack([np.cos(turned), np.sin(turned)])[:-1] * STEP_M
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])


def mouth_of(heading: float, profile: Profile, others: list[tuple[float, Profile]], fillet_m: float) -> float:
    """Return the distance from the middle at which an arm is clear of the others, with rounded corners."""
    clear = 0.0
    for other, other_profile in others:
        between = abs((other - heading + np.pi) % (2 * np.pi) - np.pi)
        if between < np.radians(150):
            reach = (other_profile.kerb_m + profile.kerb_m * np.cos(between)) / np.sin(between)
            clear = max(clear, reach)
    return clear + fillet_m


def paint_roads(ground: Ground, arms: list[Arm]) -> None:
    """Paint the walkways, carriageways, markings and crossings of arms that are sorted by heading."""
    walkway = arms[0].profile.walkway
    for level, material in (("edge_m", walkway), ("kerb_m", Material.ASPHALT)):
        rim = []
        for arm in arms:
            half = getattr(arm.profile, level)
            ground.paint(ribbon(arm.line, half, -half), material)
            at = int(arm.mouth_m / STEP_M)
            across = normals(arm.line)[at] * half
            rim += [arm.line[at] + across, arm.line[at] - across]
        if len(arms) > 2:
            hull = cv2.convexHull(np.array(rim, dtype=np.float32))[:, 0].astype(np.float64)
            ground.paint(hull, material)
    for arm in arms:
        _paint_islands(ground, arm)
        if arm.profile.marked:
            _paint_markings(ground, arm)
        if arm.crossing:
            _paint_crossing(ground, arm)


def _paint_islands(ground: Ground, arm: Arm) -> None:
    """Paint the median and the separators, with gaps where people or vehicles pass."""
    profile, end = arm.profile, length_of(arm.line)
    start = arm.mouth_m + (6.0 if arm.crossing else 0.0)
    if profile.median_m:
        middle = part(arm.line, start if arm.crossing else 0.0, end)
        ground.paint(ribbon(middle, profile.median_m / 2, -profile.median_m / 2), Material.GRASS)
    if profile.separator_m is not None:
        inner, outer = profile.separator_m
        for first, last in ((start + 2.0, 70.0), (80.0, end)):
            for side in (-1, 1):
                island = part(arm.line, first, last)
                ground.paint(ribbon(island, side * inner, side * outer), Material.PAVING)


def _paint_markings(ground: Ground, arm: Arm) -> None:
    profile = arm.profile
    start = arm.mouth_m + (5.0 if arm.crossing else 1.0)
    end = length_of(arm.line)
    marked = part(arm.line, start, end)
    if not profile.median_m:
        ground.paint(ribbon(marked, 0.08, -0.08), Material.MARKING)
    for side in (-1, 1):
        for lane in range(1, profile.lanes):
            for dash in np.arange(start, end - 4.0, 9.0):
                middle = side * (profile.median_m / 2 + lane * profile.lane_m)
                _stripe(ground, arm.line, dash, dash + 4.0, middle)
        rural = profile.walkway != Material.PAVING
        if profile.cycle_m or profile.parking_m or rural:
            edge = side * (profile.lanes_m - (0.2 if rural else 0.0))
            ground.paint(ribbon(marked, edge + 0.06, edge - 0.06), Material.MARKING)
        if profile.stalls is not Stalls.PARALLEL and profile.parking_m:
            for along in stall_places(arm):
                _paint_stall(ground, arm, along, side)


def _paint_crossing(ground: Ground, arm: Arm) -> None:
    """Paint a zebra crossing with dropped kerbs at both ends, and the line where vehicles stop."""
    profile = arm.profile
    zebra = part(arm.line, arm.mouth_m + 0.6, arm.mouth_m + 3.6)
    for left in np.arange(-profile.kerb_m + 0.4, profile.kerb_m - 0.6, 1.0):
        ground.paint(ribbon(zebra, left + 0.5, left), Material.MARKING)
    for side in (-1, 1):
        ground.paint(
            ribbon(zebra, side * (profile.kerb_m - 0.05), side * (profile.kerb_m + 0.9)), Material.CONCRETE
        )
    stop = part(arm.line, arm.mouth_m + 4.6, arm.mouth_m + 5.0)
    ground.paint(ribbon(stop, profile.lanes_m, profile.median_m / 2 + 0.1), Material.MARKING)


STALL_M = 2.6


def stall_pitch_m(stalls: Stalls) -> float:
    """Return the length of kerb for each vehicle that stands at an angle."""
    return float(STALL_M / np.sin(np.radians(stalls.value)))


def stall_places(arm: Arm) -> NDArray[np.float64]:
    """Return the arc lengths of the middles of the stalls at an angle along an arm."""
    return np.arange(
        arm.mouth_m + (14.0 if arm.crossing else 5.0),
        length_of(arm.line) - 12,
        stall_pitch_m(arm.profile.stalls),
    )


def _paint_stall(ground: Ground, arm: Arm, along_m: float, side: int) -> None:
    """Paint the line before a stall, from the kerb to the traffic, slanting against its direction."""
    profile = arm.profile
    slant = profile.parking_m / np.tan(np.radians(profile.stalls.value))
    half = stall_pitch_m(profile.stalls) / 2
    inner, outer = profile.parking_from_m, profile.kerb_m
    # The right side drives outwards, the left side inwards.
    before = along_m + half * side + slant / 2 * side
    ends = []
    for along, left in ((before, inner), (before - slant * side, outer)):
        at = part(arm.line, along, along + 0.5)
        ends.append(at[0] + normals(at)[0] * side * left)
    ground.paint(ribbon(np.array(ends), 0.05, -0.05), Material.MARKING)


def _stripe(ground: Ground, line: Line, start_m: float, end_m: float, left_m: float) -> None:
    ground.paint(ribbon(part(line, start_m, end_m), left_m + 0.07, left_m - 0.07), Material.MARKING)


def vehicle_routes(arms: list[Arm]) -> list[Route]:
    """Return all routes of vehicles: straight on each lane, left on the inner, right on the outer."""
    routes = []
    for origin in arms:
        for target in arms:
            if target is origin:
                continue
            turn = (target.heading - origin.heading - np.pi + np.pi) % (2 * np.pi) - np.pi
            lanes, leaving = origin.profile.open_lanes, target.profile.open_lanes
            if abs(turn) < np.radians(40):
                pairs = [(lane, min(lane, leaving - 1)) for lane in range(lanes)]
            elif turn > 0:
                pairs = [(0, 0)]
            else:
                pairs = [(lanes - 1, leaving - 1)]
            for entry, leave in pairs:
                way = connect(
                    origin.inbound(origin.profile.lane_middle_m(entry)),
                    target.outbound(target.profile.lane_middle_m(leave)),
                )
                routes.append(Route.along(way, "vehicle", origin.profile.speed_mps))
            if origin.profile.service_m and len(arms) == 2:
                middle = origin.profile.parking_from_m - origin.profile.service_m / 2
                way = connect(origin.inbound(middle), target.outbound(middle))
                routes.append(Route.along(way, "vehicle", 6.0))
    return routes


def cyclist_routes(arms: list[Arm]) -> list[Route]:
    """Return the routes of cyclists on their strips, straight on and to the right."""
    routes = []
    with_strip = [arm for arm in arms if arm.profile.cycle_m > 0]
    for origin in with_strip:
        for target in with_strip:
            turn = (target.heading - origin.heading) % (2 * np.pi) - np.pi
            if target is not origin and turn < np.radians(40):
                way = connect(*(_cycle_way(arm, arm is origin) for arm in (origin, target)))
                routes.append(Route.along(way, "cyclist", 4.5))
    return routes


def _cycle_way(arm: Arm, inbound: bool) -> Line:
    middle = arm.profile.lanes_m + arm.profile.cycle_m * 0.5
    return arm.inbound(middle) if inbound else arm.outbound(middle)


def pedestrian_routes(arms: list[Arm]) -> list[Route]:
    """Return the routes of pedestrians around the corners between arms, and over the crossings.

    `arms` are sorted by heading. The two directions around a corner use different halves of the walkway.
    """
    routes = []
    for index, arm in enumerate(arms):
        other = arms[(index + 1) % len(arms)]
        for from_edge_m, reverse in ((WALK_IN_M, False), (WALK_OUT_M, True)):
            along_arm = _walk(arm, 1, from_edge_m, arm.mouth_m)
            along_other = _walk(other, -1, from_edge_m, other.mouth_m)
            way = connect(along_arm[::-1], along_other)
            routes.append(Route.along(way[::-1] if reverse else way, "pedestrian", 1.3))
        if arm.crossing:
            near = _walk(arm, 1, WALK_IN_M, arm.mouth_m + 2.1)[::-1]
            far = _walk(arm, -1, WALK_IN_M, arm.mouth_m + 2.1)
            corners = np.array([near[-3], near[-1], far[0], far[2]])
            way = np.concatenate([near[:-3], through(corners, 0.9), far[3:]])
            routes.append(Route.along(way, "pedestrian", 1.3))
    return routes


def _walk(arm: Arm, side: int, from_edge_m: float, start_m: float) -> Line:
    """Return a line on the walkway of one side (+1 is left of the outward direction), from an arc length."""
    way = offset(arm.line, side * (arm.profile.edge_m - from_edge_m))
    return part(way, start_m, start_m + WALK_ROUTE_M)
