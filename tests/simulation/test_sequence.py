"""Whole frames: who measures what, when; labels that fit; the same bytes twice."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError
from cosense.geometry.boxes import points_in_boxes
from cosense.geometry.transforms import transform_points
from cosense.simulation import FAMILIES, SCENES_VERSION, SimulatedFrame, simulate
from cosense.simulation.stage import OWN_LABEL_POINTS


@pytest.fixture(scope="module")
def team() -> list[SimulatedFrame]:
    """Two frames of two vehicles and two units."""
    return list(simulate("crossing", 11, 2, vehicles=2, infrastructure=2))


@pytest.fixture(scope="module")
def places() -> list[CooperativeFrame]:
    """One frame of each family."""
    return [next(iter(simulate(family, 21, 1))).frame for family in FAMILIES]


def fingerprint(frames: list[SimulatedFrame]) -> list[bytes]:
    parts = []
    for simulated in frames:
        for agent in simulated.frame.agents.values():
            parts += [agent.points.tobytes(), agent.T_world_agent.tobytes(), str(agent.stamp_ns).encode()]
            parts += [camera.image.tobytes() for camera in agent.cameras]
        parts.append(simulated.frame.ground_truth.boxes.tobytes())
    return parts


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, again, other = (
        fingerprint(list(simulate("car_park", seed, 2, lidar="any"))) for seed in (4, 4, 5)
    )
    assert first == again
    assert first[0] != other[0]


def test_frames_may_lie_further_apart() -> None:
    (first, second), (_, next_) = (list(simulate("curved_road", 3, 2, step=step)) for step in (4, 1))
    assert (second.frame.ego.stamp_ns - first.frame.ego.stamp_ns) == 400_000_000
    moved_m, one_step_m = (
        np.linalg.norm(later.frame.ego.T_world_agent[:3, 3] - first.frame.ego.T_world_agent[:3, 3])
        for later in (second, next_)
    )
    assert 3 * one_step_m < moved_m < 5 * one_step_m


def test_images_do_not_change_the_clouds() -> None:
    without = next(iter(simulate("curved_road", 3, 1)))
    with_images = next(iter(simulate("curved_road", 3, 1, cameras=True)))
    assert fingerprint([without]) != fingerprint([with_images])
    for one, other in zip(without.frame.agents.values(), with_images.frame.agents.values(), strict=True):
        np.testing.assert_array_equal(one.points, other.points)
        (camera,) = other.cameras
        assert camera.image.shape == (540, 960, 3)
        assert camera.image.std() > 20
        lag_ms = (camera.stamp_ns - other.stamp_ns) / 1e6
        assert abs(lag_ms - (100 if other.kind == "vehicle" else 0)) < 50


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
    assert first.sequence == second.sequence == "crossing_000011"


def test_the_other_vehicle_is_an_object_of_the_ego(team: list[SimulatedFrame]) -> None:
    frame = team[0].frame
    assert "vehicle" not in frame.ground_truth.ids
    if "vehicle_2" in frame.ground_truth.ids:
        box = frame.ground_truth.boxes[frame.ground_truth.ids == "vehicle_2"][0]
        sensor = frame.T_ego_agent("vehicle_2")[:3, 3]
        # It has moved on by up to 30 ms between the ego's time and its own; a lorry's sensor is at its front.
        assert np.hypot(*(box[:2] - sensor[:2])) < 0.6 + box[3] / 2


def test_other_scenes_have_another_version(places: list[CooperativeFrame]) -> None:
    """Whoever changes what is simulated raises SCENES_VERSION and writes the new numbers here."""
    objects = {
        "crossing": 66,
        "parked_road": 99,
        "curved_road": 27,
        "car_park": 97,
        "residential": 27,
        "arterial": 32,
        "rural_road": 23,
        "t_junction": 42,
        "roundabout": 27,
        "underpass": 37,
    }
    # One more or less: another processor may round a ray to the other side of an edge.
    found = {frame.sequence.rpartition("_")[0]: len(frame.ground_truth) for frame in places}
    assert (SCENES_VERSION, found) == (3, pytest.approx(objects, abs=1))


def test_labels_hold_the_points_of_their_objects(places: list[CooperativeFrame]) -> None:
    for frame in places:
        for agent in frame.agents.values():
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
    level, leaning = (
        next(iter(simulate("car_park", 4, 1, tilt_deg=tilt_deg))).frame for tilt_deg in (0.0, 5.0)
    )
    for name, agent in leaning.agents.items():
        turned = level.agents[name].T_world_agent[:3, :3].T @ agent.T_world_agent[:3, :3]
        roll_deg, pitch_deg = np.degrees([np.arctan2(turned[2, 1], turned[2, 2]), np.arcsin(-turned[2, 0])])
        np.testing.assert_allclose(np.abs([roll_deg, pitch_deg]), 5.0, atol=1e-6)


def test_other_lidars_see_the_same_scene() -> None:
    def first(lidar: str) -> SimulatedFrame:
        return next(iter(simulate("t_junction", 8, 1, lidar=lidar)))

    standard, other = (first(lidar).frame for lidar in ("standard", "vlp16"))
    assert len(other.ego.points) < 0.5 * len(standard.ego.points)
    np.testing.assert_array_equal(other.ego.T_world_agent, standard.ego.T_world_agent)
    shared, rows, other_rows = np.intersect1d(
        standard.ground_truth.ids, other.ground_truth.ids, return_indices=True
    )
    assert len(shared) > 5
    np.testing.assert_allclose(
        other.ground_truth.boxes[other_rows], standard.ground_truth.boxes[rows], atol=1e-9
    )
    assert [frame.sequence for frame in (standard, other)] == ["t_junction_000008", "t_junction_000008_vlp16"]


def test_labels_of_a_bent_cloud_lie_where_it_shows_the_objects() -> None:
    # The driver of this LiDAR compensates nothing: objects are seen up to half a metre from where they are.
    (frame,) = (made.frame for made in simulate("crossing", 9, 1, lidar="any", infrastructure=0))
    assert frame.ego.objects is not None
    own = frame.ego.objects
    both, rows, true_rows = np.intersect1d(own.ids, frame.ground_truth.ids, return_indices=True)
    off = np.linalg.norm(own.boxes[rows, :3] - frame.ground_truth.boxes[true_rows, :3], axis=1)
    assert len(both) > 10
    assert 0.2 < off.max() < 1.0
    inside = points_in_boxes(frame.ego.points[:, :3], grown(own.boxes, 0.1)).sum(axis=1)
    assert np.mean(inside >= OWN_LABEL_POINTS) > 0.95


def test_numbers_of_points_are_those_of_the_sensors(places: list[CooperativeFrame]) -> None:
    for frame in places:
        assert 25_000 < len(frame.ego.points) < 72_000
        assert 70_000 < len(frame.agents["infrastructure"].points) < 99_900


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "crosing"}, "did you mean 'crossing'"),
        ({"frames": -1}, "frames=-1"),
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
        simulate(**{"family": "t_junction", "seed": 0, "frames": 1} | arguments)


def test_without_units() -> None:
    frame = next(iter(simulate("parked_road", 0, 1, infrastructure=0))).frame
    assert list(frame.agents) == ["vehicle"]
