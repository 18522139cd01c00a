"""Whole frames: who measures what, when, and the same bytes whichever frames are made."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.geometry.boxes import points_in_boxes
from cosense.geometry.transforms import transform_points
from cosense.sensing.projection import way_until
from cosense.simulation import SimulatedFrame, simulate
from cosense.simulation.stage import OWN_LABEL_POINTS


@pytest.fixture(scope="module")
def team() -> list[SimulatedFrame]:
    """Two frames of two vehicles and two units."""
    return list(simulate("roundabout", 11, 2, vehicles=2, infrastructure=2))


@pytest.fixture(scope="module")
def road() -> list[SimulatedFrame]:
    """Three frames of the standard team."""
    return list(simulate("underpass", 4, 3))


def fingerprint(simulated: SimulatedFrame) -> list[bytes]:
    parts = [simulated.frame.ground_truth.boxes.tobytes(), str(simulated.offset_m).encode()]
    for agent in simulated.frame.agents.values():
        parts += [agent.points.tobytes(), agent.T_world_agent.tobytes(), str(agent.stamp_ns).encode()]
    return parts


def test_a_frame_is_the_same_whichever_others_are_made_and_with_images(road: list[SimulatedFrame]) -> None:
    (later,) = simulate("underpass", 4, 1, first=1, step=2, cameras=True)
    assert fingerprint(later) == fingerprint(road[2])
    assert fingerprint(road[1]) != fingerprint(road[2])
    for agent in later.frame.agents.values():
        (camera,) = agent.cameras
        assert camera.image.shape == (540, 960, 3)
        assert camera.image.std() > 20
        lag_ms = (camera.stamp_ns - agent.stamp_ns) / 1e6
        assert abs(lag_ms - (100 if agent.kind == "vehicle" else 0)) < 50
        before = road[1].frame.agents[agent.agent_id]
        expected = way_until(agent, before, camera.stamp_ns)
        np.testing.assert_allclose(camera.T_then_agent, expected, atol=0.03)
    assert later.frame.ego.cameras[0].T_then_agent[0, 3] < -0.3
    assert road[2].frame.ego.cameras == ()


def test_agents_and_their_stamps(team: list[SimulatedFrame]) -> None:
    first, second = (simulated.frame for simulated in team)
    assert list(first.agents) == ["vehicle", "vehicle_2", "infrastructure", "infrastructure_2"]
    assert [agent.kind for agent in first.agents.values()] == ["vehicle"] * 2 + ["infrastructure"] * 2
    assert first.ego_id == "vehicle"
    assert second.ego.stamp_ns - first.ego.stamp_ns == 100_000_000
    for agent in first.others:
        assert 0 < abs(agent.stamp_ns - first.ego.stamp_ns) <= 30_000_000
    assert max(np.hypot(*simulated.offset_m) for simulated in team) <= 1.56
    assert first.frame_id != second.frame_id
    assert first.sequence == second.sequence == "roundabout_000011"


def test_the_other_vehicle_is_an_object_of_the_ego(team: list[SimulatedFrame]) -> None:
    frame = team[0].frame
    assert "vehicle" not in frame.ground_truth.ids
    if "vehicle_2" in frame.ground_truth.ids:
        box = frame.ground_truth.boxes[frame.ground_truth.ids == "vehicle_2"][0]
        sensor = frame.T_ego_agent("vehicle_2")[:3, 3]
        # It has moved on by up to 30 ms between the ego's time and its own; a lorry's sensor is at its front.
        assert np.hypot(*(box[:2] - sensor[:2])) < 0.6 + box[3] / 2


def grown(boxes: np.ndarray, margin_m: float) -> np.ndarray:
    wider = boxes.copy()
    wider[:, 3:6] += 2 * margin_m
    return wider


def test_ground_truth_is_what_any_agent_has_hit(team: list[SimulatedFrame]) -> None:
    frame = team[0].frame
    known = set()
    for agent in frame.agents.values():
        assert agent.objects is not None
        known |= set(agent.objects.ids)
    assert known - {"vehicle"} <= set(frame.ground_truth.ids)
    clouds = [
        transform_points(frame.T_ego_agent(name), agent.points[:, :3]) for name, agent in frame.agents.items()
    ]
    # Objects move by up to half a metre between the sensors' times.
    reached = points_in_boxes(np.concatenate(clouds), grown(frame.ground_truth.boxes, 0.5)).any(axis=1)
    assert reached.all()


def test_ids_stay_with_their_objects(team: list[SimulatedFrame]) -> None:
    first, second = (simulated.frame for simulated in team)
    shared, rows, other_rows = np.intersect1d(
        first.ground_truth.ids, second.ground_truth.ids, return_indices=True
    )
    assert len(shared) > 5
    world, other_world = (
        frame.ground_truth.transformed(frame.ego.T_world_agent).boxes for frame in (first, second)
    )
    moved = np.linalg.norm(world[rows, :2] - other_world[other_rows, :2], axis=1)
    assert moved.max() < 1.6
    np.testing.assert_allclose(world[rows, 3:6], other_world[other_rows, 3:6])


def test_sensors_stand_at_their_heights(team: list[SimulatedFrame]) -> None:
    frame = team[0].frame
    heights = {name: agent.T_world_agent[2, 3] for name, agent in frame.agents.items()}
    # 4 to 9 m above one place, 1.5 to 2.6 m above another one.
    assert 0.0 < heights["infrastructure"] - heights["vehicle"] < 9.0


def test_sensors_lean_as_drawn_or_as_asked_for(team: list[SimulatedFrame]) -> None:
    for agent in team[0].frame.agents.values():
        assert 0.1 < np.degrees(np.arccos(agent.T_world_agent[2, 2])) < 15
    mountings = simulate("underpass", 4, 0, tilt_deg=5.0).stage.equipment.mountings
    for mounting in mountings.values():
        np.testing.assert_allclose(np.degrees(np.abs([mounting.roll_rad, mounting.pitch_rad])), 5.0)


def test_other_lidars_see_the_same_scene(road: list[SimulatedFrame]) -> None:
    (made,) = simulate("underpass", 4, 1, lidar="vlp16")
    standard, other = road[0].frame, made.frame
    assert len(other.ego.points) < 0.5 * len(standard.ego.points)
    np.testing.assert_array_equal(other.ego.T_world_agent, standard.ego.T_world_agent)
    shared, rows, other_rows = np.intersect1d(
        standard.ground_truth.ids, other.ground_truth.ids, return_indices=True
    )
    assert len(shared) > 5
    np.testing.assert_allclose(
        other.ground_truth.boxes[other_rows], standard.ground_truth.boxes[rows], atol=1e-9
    )
    assert [frame.sequence for frame in (standard, other)] == ["underpass_000004", "underpass_000004_vlp16"]


def test_labels_of_a_bent_cloud_lie_where_it_shows_the_objects() -> None:
    # The driver of this LiDAR compensates nothing: objects are seen up to half a metre from where they are.
    (frame,) = (made.frame for made in simulate("crossing", 9, 1, lidar="any", infrastructure=0))
    assert list(frame.agents) == ["vehicle"]
    assert frame.ego.objects is not None
    own = frame.ego.objects
    both, rows, true_rows = np.intersect1d(own.ids, frame.ground_truth.ids, return_indices=True)
    off = np.linalg.norm(own.boxes[rows, :3] - frame.ground_truth.boxes[true_rows, :3], axis=1)
    assert len(both) > 10
    assert 0.2 < off.max() < 1.0
    inside = points_in_boxes(frame.ego.points[:, :3], grown(own.boxes, 0.1)).sum(axis=1)
    assert np.mean(inside >= OWN_LABEL_POINTS) > 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "crosing"}, "did you mean 'crossing'"),
        ({"frames": -1}, "frames=-1"),
        ({"first": -1}, "first=-1"),
        ({"step": 0}, "step=0"),
        ({"seed": -4}, "seed=-4"),
        ({"vehicles": 0}, "vehicles=0"),
        ({"vehicles": 40}, "at most"),
        ({"infrastructure": 99}, "has room for"),
        ({"lidar": "vpl16"}, "did you mean 'vlp16'"),
        ({"tilt_deg": 60.0}, "expected 0 to 15 degrees"),
    ],
)
def test_bad_arguments_are_one_clear_error(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(CosenseError, match=message):
        simulate(**{"family": "underpass", "seed": 0, "frames": 1} | arguments)
