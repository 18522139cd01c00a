"""What holds in each family of scenes: nothing is in the way, nobody collides, labels fit the clouds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from cosense.data.dataset import CooperativeFrame
from cosense.geometry.boxes import points_in_boxes
from cosense.geometry.iou import bev_iou
from cosense.geometry.transforms import wrap_angle
from cosense.sensing.objects import VEHICLES
from cosense.simulation import FAMILIES, simulate
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import join
from cosense.simulation.scenes.paths import offset
from cosense.simulation.scenes.scene import Scene
from cosense.simulation.sensors.raycast import View
from cosense.simulation.stage import OWN_LABEL_POINTS
from cosense.simulation.traffic import MAX_ACCELERATION, MAX_BRAKING, STEP_S, Traffic

SEED = 21
STEPS = 40
HALF_WIDTH_M = {"vehicle": 1.15, "cyclist": 0.33, "pedestrian": 0.3}
ROUNDING = 1e-9


@dataclass(frozen=True)
class Place:
    """A scene, what stands still in it, one frame, and its traffic after that frame."""

    scene: Scene
    still: View
    frame: CooperativeFrame
    traffic: Traffic


@pytest.fixture(scope="module", params=FAMILIES)
def place(request: pytest.FixtureRequest) -> Place:
    """One place of a family."""
    sequence = simulate(request.param, SEED, 1)
    (simulated,) = sequence
    ready = sequence.stage.place
    return Place(ready.scene, ready.world.with_actors(join([])), simulated.frame, sequence.traffic)


@pytest.fixture(scope="module")
def gains() -> dict[str, int]:
    """Numbers of objects that only the roadside unit sees, by family; filled by the tests."""
    return {}


def test_a_place_has_what_it_needs(place: Place) -> None:
    scene = place.scene
    assert scene.masts
    assert all(4.0 <= mast.height_m <= 9.0 for mast in scene.masts)
    assert scene.movers["vehicle"] + len(scene.parked) >= 6
    assert {route.user for route in scene.routes} >= {"vehicle", "pedestrian"}
    assert all(scene.routes[row].user == "vehicle" for row in scene.ego_routes)
    materials = set(join(scene.surroundings).material.tolist())
    assert materials >= {Material.FOLIAGE, Material.METAL, Material.BARK}


def test_the_world_goes_on_behind_the_houses_and_stays_small(place: Place) -> None:
    middles = np.array([thing.middle for thing in place.scene.surroundings])
    assert (np.linalg.norm(middles, axis=1) > 140).sum() > 5
    assert sum(len(thing) for thing in place.scene.surroundings) < 400_000
    assert len(place.scene.ground.relief_mesh()) < 120_000


def test_nothing_stands_on_a_route(place: Place) -> None:
    parked = np.array([[p.x, p.y, 0, *p.body.size[:2], 20.0, p.yaw] for p in place.scene.parked])
    for route in place.scene.routes:
        half = HALF_WIDTH_M[route.user]
        way = np.concatenate([offset(route.line[::3], side)[1:-1] for side in (-half, 0.0, half)])
        flat = np.column_stack([way, np.zeros(len(way))])
        assert not points_in_boxes(flat, parked.reshape(-1, 7)).any()
        # Rays just above the ground, so that a shelter's roof may reach over the walkway.
        eyes = np.column_stack([way, place.scene.ground.height_at(way) + 0.4])
        ahead = np.diff(eyes, axis=0)
        distance = np.linalg.norm(ahead, axis=1)
        hits = place.still.cast(eyes[:-1], ahead / distance[:, None])
        near = np.flatnonzero((hits.range_m < distance) & (distance < 3.0) & (hits.owner < 0))
        met = [Material(material).name for material in hits.material[near]]
        assert not len(near), f"{route.user} meets {met} at {eyes[near]}"


def test_labels_hold_the_points_of_their_objects(place: Place) -> None:
    for agent in place.frame.agents.values():
        assert agent.objects is not None
        # Boxes are upright, also where a road user leans with the slope.
        inside = points_in_boxes(agent.points[:, :3], grown(agent.objects.boxes, 0.25)).sum(axis=1)
        # Wing mirrors are outside, and what leans on a slope is a little.
        assert np.mean(inside >= OWN_LABEL_POINTS) > 0.9
        assert agent.agent_id not in agent.objects.ids
        assert agent.points.dtype == np.float32


def grown(boxes: np.ndarray, margin_m: float) -> np.ndarray:
    wider = boxes.copy()
    wider[:, 3:6] += 2 * margin_m
    return wider


def test_numbers_of_points_are_those_of_the_sensors(place: Place) -> None:
    assert 22_000 < len(place.frame.ego.points) < 72_000
    assert 70_000 < len(place.frame.agents["infrastructure"].points) < 99_900


def test_an_agent_has_no_points_of_its_own_body(place: Place) -> None:
    ego = place.traffic.movers[0]
    assert ego.identity == place.frame.ego_id
    xyz = place.frame.ego.points[:, :3].astype(np.float64)
    # The sensor is above the roof of its vehicle, or in front of one that is too tall.
    inner = np.linalg.norm(xyz[:, :2], axis=1) < ego.body.size[1] / 2 - 0.3
    assert (inner & (xyz[:, 2] < 0)).sum() <= 2


def test_nobody_collides_nobody_jumps_and_traffic_goes_on(place: Place) -> None:
    traffic = place.traffic
    parked = np.array([[p.x, p.y, 0, *p.body.size, p.yaw] for p in place.scene.parked]).reshape(-1, 7)
    before: dict[str, tuple[np.ndarray, float]] = {}
    travelled: dict[str, float] = {}
    for step in range(STEPS):
        poses = traffic.poses()
        sizes = np.array([mover.body.size for mover in traffic.movers])
        moving = np.column_stack([poses[:, :2], np.zeros(len(poses)), sizes, poses[:, 2]])
        overlap = bev_iou(moving, np.concatenate([moving, parked]))
        np.fill_diagonal(overlap, 0)
        touching = np.argwhere(overlap > ROUNDING)
        assert len(touching) == 0, f"step {step}: {[traffic.movers[i].identity for i, _ in touching]}"
        for mover, pose in zip(traffic.movers, poses, strict=True):
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
    assert np.mean(list(travelled.values())) > 3.0


def test_the_unit_sees_what_the_ego_does_not(place: Place, gains: dict[str, int]) -> None:
    ego, unit = (place.frame.agents[name].objects for name in ("vehicle", "infrastructure"))
    assert ego is not None
    assert unit is not None
    gains[place.scene.family] = len(set(unit.ids) - set(ego.ids) - {"vehicle"})
    if len(gains) == len(FAMILIES):
        assert np.mean(list(gains.values())) >= 2
        assert gains["t_junction"] > 0
