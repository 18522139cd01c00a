"""Parked vehicles: along kerbs, in stalls at an angle, double-parked, and on driveways."""

from __future__ import annotations

import numpy as np

from cosense.sensing.objects import ObjectClass
from cosense.simulation.chance import draw
from cosense.simulation.scenes.bodies import make_body
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.paths import Line, part, ribbon
from cosense.simulation.scenes.roads import STALL_M, Arm, Stalls, stall_places
from cosense.simulation.scenes.scene import Parked
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.scenes.surroundings.large_things import trailer

# Vehicles are parked up to this arc length of an arm.
_PARKED_M = 115.0
# Share of vehicles along a kerb that stand against the traffic, and of those in stalls that have reversed in.
_AGAINST, _TAIL_IN = 0.12, 0.3
# Share of cars along a kerb with a trailer.
_TOWING = 0.03
_KERBSIDE = {ObjectClass.CAR: 0.80, ObjectClass.VAN: 0.13, ObjectClass.TRUCK: 0.05, ObjectClass.BUS: 0.02}
_DOUBLE = {ObjectClass.CAR: 0.5, ObjectClass.VAN: 0.35, ObjectClass.TRUCK: 0.15}
# A vehicle may reach out of its strip by this much: lanes have more room than that.
_STICKS_OUT_M = 0.15


def park_along(arms: list[Arm], share: float, rng: np.random.Generator) -> list[Parked]:
    """Return vehicles on so large a share of the parking strips, and beside them where lanes are blocked."""
    parked: list[Parked] = []
    for arm in arms:
        for side in (1, -1):
            if arm.profile.parking_m and arm.profile.stalls is Stalls.PARALLEL:
                parked += _along_kerb(arm, side, share, rng)
            elif arm.profile.parking_m:
                parked += _in_stalls(arm, side, share, rng)
            if arm.profile.blocked:
                parked += _double(arm, side, rng)
    return parked


def _with_traffic(yaw: float, side: int) -> float:
    """Return the heading of the traffic on a side of an arm."""
    return yaw + (np.pi if side > 0 else 0.0)


def _along_kerb(arm: Arm, side: int, share: float, rng: np.random.Generator) -> list[Parked]:
    profile = arm.profile
    parked = []
    along = arm.mouth_m + (12.0 if arm.crossing else 3.0) + rng.uniform(0, 4)
    while along < _PARKED_M - 8:
        if rng.random() > share:
            along += 6.0
            continue
        body = make_body(draw(_KERBSIDE, rng), rng)
        # Room for a trailer at either end, whichever way the car faces.
        hitched_m = 0.0
        if body.label == ObjectClass.CAR and rng.random() < _TOWING:
            hitched = trailer(rng)
            body, hitched_m = body.towing(hitched), float(np.ptp(hitched.vertices[:, 0]))
        length, width, _ = body.size
        gap = rng.uniform(0.08, 0.3)
        if width + 0.08 > profile.parking_m + _STICKS_OUT_M:
            along += 1.0
            continue
        lateral = profile.kerb_m - width / 2 - min(gap, profile.parking_m + _STICKS_OUT_M - width)
        x, y, yaw = arm.pose(along + hitched_m + length / 2, side * lateral)
        turned = _with_traffic(yaw, side) + (np.pi if rng.random() < _AGAINST else 0.0)
        parked.append(Parked(body, x, y, float(turned + rng.normal(0, 0.02))))
        along += length + 2 * hitched_m + rng.uniform(0.7, 2.0)
    return parked


def _in_stalls(arm: Arm, side: int, share: float, rng: np.random.Generator) -> list[Parked]:
    profile = arm.profile
    angle = np.radians(profile.stalls.value)
    parked = []
    places = stall_places(arm)
    for along in places[places < _PARKED_M]:
        if rng.random() > share:
            continue
        body = make_body(ObjectClass.CAR if rng.random() < 0.9 else ObjectClass.VAN, rng)
        depth = body.size[0] * np.sin(angle) + body.size[1] * np.cos(angle)
        slack = profile.parking_m + _STICKS_OUT_M - depth
        if slack < 0.05:
            continue
        lateral = profile.kerb_m - depth / 2 - rng.uniform(0.04, max(0.05, min(slack, 0.9)))
        x, y, yaw = arm.pose(along, side * lateral)
        turned = _with_traffic(yaw, side) - angle + (np.pi if rng.random() < _TAIL_IN else 0.0)
        parked.append(Parked(body, x, y, float(turned + rng.normal(0, 0.02))))
    return parked


def _double(arm: Arm, side: int, rng: np.random.Generator) -> list[Parked]:
    """Return vehicles that stand in the outermost lane beside others."""
    parked = []
    along = arm.mouth_m + 16.0 + rng.uniform(0, 20)
    while along < _PARKED_M - 12:
        body = make_body(draw(_DOUBLE, rng), rng)
        x, y, yaw = arm.pose(
            along + body.size[0] / 2,
            side * (arm.profile.lanes_m - body.size[1] / 2 - rng.uniform(0.1, 0.4)),
        )
        parked.append(Parked(body, x, y, float(_with_traffic(yaw, side) + rng.normal(0, 0.03))))
        along += body.size[0] + rng.uniform(8, 50)
    return parked


def drives(ground: Ground, arms: list[Arm], share: float, rng: np.random.Generator) -> list[Parked]:
    """Paint driveways at right angles to the arms, with dropped kerbs, and return the vehicles on them."""
    parked = []
    for arm in arms:
        for side in (1, -1):
            along = arm.mouth_m + 9.0 + rng.uniform(0, 8)
            while along < _PARKED_M - 5:
                if rng.random() < 0.8:
                    parked += _drive(ground, arm, side, float(along), share, rng)
                along += rng.uniform(11, 24)
    return parked


def _drive(
    ground: Ground, arm: Arm, side: int, along_m: float, share: float, rng: np.random.Generator
) -> list[Parked]:
    """Paint one driveway for one or two vehicles; some are too short for what stands on them."""
    profile = arm.profile
    abreast = 1 if rng.random() < 0.7 else 2
    width, depth = STALL_M * abreast + 0.6, float(rng.uniform(5.6, 8.0))
    across: Line = part(arm.line, along_m - width / 2, along_m + width / 2)
    inner, outer = side * (profile.kerb_m - 0.05), side * (profile.edge_m + depth)
    ground.paint(ribbon(across, inner, outer), Material.CONCRETE)
    parked = []
    for place in range(abreast):
        if rng.random() > share:
            continue
        body = make_body(ObjectClass.CAR if rng.random() < 0.88 else ObjectClass.VAN, rng)
        before = rng.uniform(0.2, max(0.3, depth - body.size[0]))
        lateral = profile.edge_m + before + body.size[0] / 2
        beside = (place - (abreast - 1) / 2) * STALL_M
        x, y, yaw = arm.pose(along_m + beside, side * lateral)
        turned = yaw + side * np.pi / 2 + (np.pi if rng.random() < _TAIL_IN else 0.0)
        parked.append(Parked(body, x, y, float(turned + rng.normal(0, 0.03))))
    return parked
