"""Nobody collides, nobody jumps, and routes know where they meet."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.geometry.iou import bev_iou
from cosense.geometry.transforms import wrap_angle
from cosense.sensing.objects import VEHICLES
from cosense.simulation.conflicts import find_conflicts
from cosense.simulation.scenes.families import FAMILIES, build_scene
from cosense.simulation.scenes.paths import Route
from cosense.simulation.traffic import MAX_ACCELERATION, MAX_BRAKING, STEP_S, Traffic

STEPS = 70
ROUNDING = 1e-9


def start(family: str, seed: int, vehicles: int = 1) -> Traffic:
    rng = np.random.default_rng([seed, 77])
    return Traffic.start(build_scene(family, rng), rng, vehicles, 5.0)


def boxes_of(traffic: Traffic) -> np.ndarray:
    sizes = np.array([mover.body.size for mover in traffic.movers])
    poses = traffic.poses()
    return np.column_stack([poses[:, :2], np.zeros(len(poses)), sizes, poses[:, 2]])


@pytest.mark.parametrize("family", FAMILIES)
def test_nobody_touches_anybody(family: str) -> None:
    traffic = start(family, 0, vehicles=2)
    parked = [[p.x, p.y, 0, *p.body.size, p.yaw] for p in traffic.scene.parked]
    for step in range(STEPS):
        moving = boxes_of(traffic)
        everybody = np.concatenate([moving, np.array(parked).reshape(-1, 7)])
        overlap = bev_iou(moving, everybody)
        overlap[np.arange(len(moving)), np.arange(len(moving))] = 0
        touching = np.argwhere(overlap > ROUNDING)
        assert len(touching) == 0, f"step {step}: {[traffic.movers[i].identity for i, _ in touching]}"
        traffic.step()


@pytest.mark.parametrize("family", FAMILIES)
def test_motion_is_bounded_and_goes_on(family: str) -> None:
    traffic = start(family, 5)
    before: dict[str, tuple[np.ndarray, float]] = {}
    travelled: dict[str, float] = {}
    for _ in range(STEPS):
        for mover, pose in zip(traffic.movers, traffic.poses(), strict=True):
            assert mover.speed_mps >= 0
            if mover.identity in before:
                last, speed = before[mover.identity]
                change = (mover.speed_mps - speed) / STEP_S
                assert -MAX_BRAKING - 1e-6 <= change <= MAX_ACCELERATION + 1e-6
                step_m = float(np.linalg.norm(pose[:2] - last[:2]))
                assert step_m <= (max(speed, mover.speed_mps) + 1.0) * STEP_S
                travelled[mover.identity] = travelled.get(mover.identity, 0.0) + step_m
                if mover.body.label in VEHICLES:
                    assert abs(wrap_angle(pose[2] - last[2])) / STEP_S < 1.2
            before[mover.identity] = (pose, mover.speed_mps)
        traffic.step()
    assert np.mean(list(travelled.values())) > 5.0


def test_the_instrumented_vehicles_stay_and_the_others_are_replaced() -> None:
    traffic = start("curved_road", 2, vehicles=3)
    assert traffic.ego_ids == ("vehicle", "vehicle_2", "vehicle_3")
    first = {mover.identity for mover in traffic.movers}
    for _ in range(500):
        traffic.step()
    present = {mover.identity for mover in traffic.movers}
    assert set(traffic.ego_ids) <= present
    assert present - first
    ego = traffic.movers[0]
    assert ego.front_m <= traffic.scene.routes[ego.route].length_m


def test_positions_a_little_later_are_those_of_the_speed() -> None:
    traffic = start("parked_road", 1)
    ahead = np.linalg.norm(traffic.poses(0.03)[:, :2] - traffic.poses()[:, :2], axis=1)
    speeds = [mover.speed_mps for mover in traffic.movers]
    np.testing.assert_allclose(ahead, np.array(speeds) * 0.03, atol=0.005)


def route(*corners: tuple[float, float], user: str = "vehicle") -> Route:
    return Route.along(np.array(corners, dtype=np.float64), user, 10.0)


def test_routes_that_cross_conflict_where_they_do() -> None:
    conflicts = find_conflicts([route((-50, 0), (50, 0)), route((0, -30), (0, 50))])
    (first,), (second,) = conflicts.of(0), conflicts.of(1)
    assert first.start_m < 50 < first.end_m
    assert second.start_m < 30 < second.end_m
    assert first.end_m - first.start_m < 10


def test_parallel_lanes_do_not_conflict() -> None:
    conflicts = find_conflicts([route((-50, 0), (50, 0)), route((50, 3.2), (-50, 3.2))])
    assert conflicts.of(0) == conflicts.of(1) == ()


def test_leaving_a_common_lane_is_no_conflict_but_joining_is() -> None:
    straight, leaving = route((0, 0), (100, 0)), route((0, 0), (50, 0), (80, 30))
    assert find_conflicts([straight, leaving]).of(0) == ()
    joining = route((20, 30), (50, 0), (100, 0))
    (merge,) = find_conflicts([straight, joining]).of(0)
    assert 40 < merge.start_m < 50


def test_a_route_that_crosses_itself_conflicts_with_itself() -> None:
    loop = route((-40, 0), (30, 0), (30, 30), (0, 30), (0, -40))
    crossing = [c for cluster in find_conflicts([loop]).of(0) for c in cluster.conflicts]
    assert {c.other for c in crossing} == {0}
    assert any(c.start_m < 40 < c.end_m and c.other_start_m > 100 for c in crossing)
