"""Trees of OPV2V: what is written is what the reader gives back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import yaml

from cosense.data import open_dataset
from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from_planar
from cosense.sensing.objects import Objects
from cosense.simulation.opv2v_writer import write_opv2v
from tests.simulation.hand_made import make_empty_frame, make_frame, make_frames

FOLDER_OF = {"vehicle": "1", "infrastructure": "-1"}


def _sorted(objects: Objects) -> np.ndarray:
    """Return boxes (M,7) in an order that does not depend on ids."""
    return objects.boxes[np.lexsort(objects.boxes.T)]


def test_frames_come_back_as_they_were(tmp_path):
    assert write_opv2v(make_frames(3), tmp_path / "tree") == 3
    dataset = open_dataset(tmp_path / "tree", split="validate")
    assert (dataset.kind, dataset.label_set, len(dataset)) == (
        "simulated by cosense (layout of opv2v)",
        "simulated",
        3,
    )
    assert dataset.info(verify=True).problems == []
    for number, simulated in enumerate(make_frames(3)):
        frame, true = dataset[number], simulated.frame
        assert (frame.ego_id, frame.sequence) == ("1", "crossing-3")
        assert frame.ego.stamp_ns == number * 100_000_000
        np.testing.assert_allclose(_sorted(frame.ground_truth), _sorted(true.ground_truth), atol=1e-6)
        assert sorted(frame.ground_truth.labels) == sorted(true.ground_truth.labels)
        for name, agent in true.agents.items():
            read = frame.agents[FOLDER_OF[name]]
            np.testing.assert_array_equal(read.points, agent.points)
            np.testing.assert_array_equal(read.rings, agent.rings)
            np.testing.assert_allclose(read.T_world_agent, agent.T_world_agent, rtol=0, atol=1e-9)
            assert read.kind == agent.kind
    # The pedestrian that only the unit has labelled keeps its id in both lists.
    unit = dataset[0].agents["-1"].objects
    assert set(unit.ids) < set(dataset[0].ground_truth.ids)


def test_objects_that_nobody_labelled_and_other_agents_are_not_lost(tmp_path):
    simulated = make_frame(0)
    frame = simulated.frame
    for name, agent in list(frame.agents.items()):
        frame.agents[name] = dataclasses.replace(agent, objects=None)
    write_opv2v([simulated], tmp_path / "tree")
    read = open_dataset(tmp_path / "tree")[0]
    np.testing.assert_allclose(_sorted(read.ground_truth), _sorted(frame.ground_truth), atol=1e-6)
    assert len(read.ego.objects) == 3
    assert len(read.agents["-1"].objects) == 0


def test_another_vehicle_is_an_object_for_the_ego_and_the_ego_is_not(tmp_path):
    simulated = make_frame(0)
    frame = simulated.frame
    T = frame.ego.T_world_agent @ transform_from_planar(12, 3, 0.3)
    frame.agents["7"] = dataclasses.replace(frame.ego, agent_id="7", T_world_agent=T, objects=None)
    ego_seen = Objects(np.array([[-12.0, 0, -1, 4, 2, 1.5, 0]]), np.array([0]), np.array(["vehicle"]))
    frame.agents["7"] = dataclasses.replace(frame.agents["7"], objects=ego_seen)
    write_opv2v([simulated], tmp_path / "tree")
    read = open_dataset(tmp_path / "tree")[0]
    assert list(read.agents) == ["1", "2", "-1"]
    assert list(read.agents["2"].objects.ids) == ["1"]
    assert "2" in read.ground_truth.ids
    assert "1" not in read.ground_truth.ids


def test_images_come_back_with_their_calibration(tmp_path):
    write_opv2v(make_frames(1, cameras=True), tmp_path / "tree")
    frame = open_dataset(tmp_path / "tree", cameras=True)[0]
    for name, agent in make_frame(0, cameras=True).frame.agents.items():
        (read,), (true,) = frame.agents[FOLDER_OF[name]].cameras, agent.cameras
        np.testing.assert_array_equal(read.image, true.image)
        np.testing.assert_array_equal(read.K, true.K)
        np.testing.assert_allclose(read.T_camera_agent, true.T_camera_agent, atol=1e-12)


def test_other_readers_find_only_vehicles_among_the_vehicles(tmp_path):
    write_opv2v(make_frames(1), tmp_path / "tree", split="train")
    content = yaml.safe_load((tmp_path / "tree/train/crossing-3/1/000000.yaml").read_text())
    assert sorted(vehicle["obj_type"] for vehicle in content["vehicles"].values()) == ["Bus", "Car"]
    assert len(content["lidar_pose"]) == 6
    unit = yaml.safe_load((tmp_path / "tree/train/crossing-3/-1/000000.yaml").read_text())
    assert unit["RSU"] is True
    # Our world is mirrored: minus the offset along x, plus along y.
    np.testing.assert_allclose(
        np.subtract(unit["predicted_ego_pos"], unit["true_ego_pos"]), [-0.66, -1.1, 0, 0, 0, 0], atol=1e-9
    )
    assert (tmp_path / "tree/train/crossing-3/data_protocol.yaml").is_file()


def test_a_frame_that_fails_half_way_does_not_show(tmp_path):
    broken = make_frame(1)
    broken.frame.agents["stranger"] = dataclasses.replace(broken.frame.others[0], agent_id="stranger")
    with pytest.raises(CosenseError, match="stranger is not in the first frame"):
        write_opv2v([make_frame(0), broken], tmp_path / "tree")
    assert len(open_dataset(tmp_path / "tree")) == 1
    assert open_dataset(tmp_path / "tree" / "validate" / "crossing-3").label_set == "simulated"


def test_an_unfinished_tree_and_mixed_sequences_are_refused(tmp_path):
    def looking():
        yield make_frame(0)
        with pytest.raises(CosenseError, match="was interrupted"):
            open_dataset(tmp_path / "tree")

    assert write_opv2v(looking(), tmp_path / "tree") == 1
    frames = [make_frame(n, sequence=name) for n, name in enumerate("aba")]
    with pytest.raises(CosenseError, match="do not follow each other"):
        write_opv2v(frames, tmp_path / "mixed")


def test_a_frame_without_points_and_objects_is_a_frame(tmp_path):
    write_opv2v([make_empty_frame()], tmp_path / "tree")
    frame = open_dataset(tmp_path / "tree")[0]
    assert [agent.points.shape for agent in frame.agents.values()] == [(0, 4), (0, 4)]
    assert len(frame.ground_truth) == len(frame.ego.objects) == 0
