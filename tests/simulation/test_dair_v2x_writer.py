"""Trees of DAIR-V2X-C: what is written is what the reader gives back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cosense.data import open_dataset
from cosense.data.dair_v2x import DairV2xDataset
from cosense.errors import CosenseError
from cosense.simulation import SCENES_VERSION
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from tests.simulation.hand_made import make_empty_frame, make_frame, make_frames


def _assert_same_objects(read, written):
    np.testing.assert_allclose(read.boxes, written.boxes, atol=1e-6)
    np.testing.assert_array_equal(read.labels, written.labels)
    assert list(read.ids) == list(written.ids)


def test_frames_come_back_as_they_were(tmp_path):
    assert write_dair_v2x(make_frames(3), tmp_path / "tree", split="train") == 3
    dataset = open_dataset(tmp_path / "tree", split="train")
    assert (dataset.kind, dataset.label_set, len(dataset)) == (
        "simulated by cosense (layout of dair-v2x-c)",
        "simulated",
        3,
    )
    for number, simulated in enumerate(make_frames(3)):
        frame, true = dataset[number], simulated.frame
        assert (frame.ego_id, frame.sequence, list(frame.agents)) == (
            "vehicle",
            "crossing-3",
            list(true.agents),
        )
        _assert_same_objects(frame.ground_truth, true.ground_truth)
        for name, agent in true.agents.items():
            read = frame.agents[name]
            np.testing.assert_array_equal(read.points, agent.points)
            np.testing.assert_array_equal(read.rings, agent.rings)
            np.testing.assert_allclose(read.T_world_agent, agent.T_world_agent, rtol=0, atol=1e-9)
            assert (read.kind, read.stamp_ns) == (agent.kind, agent.stamp_ns)
            _assert_same_objects(read.objects, agent.objects)


def test_the_stored_pose_is_wrong_by_the_offset(tmp_path):
    write_dair_v2x(make_frames(1, offset_m=(0.66, -1.1)), tmp_path / "tree")
    true = make_frame(0).frame.agents["infrastructure"].T_world_agent
    claimed = DairV2xDataset(tmp_path / "tree", apply_offset=False)[0].agents["infrastructure"].T_world_agent
    corrected = DairV2xDataset(tmp_path / "tree")[0].agents["infrastructure"].T_world_agent
    np.testing.assert_allclose(true[:3, 3] - claimed[:3, 3], [0.66, -1.1, 0], atol=1e-9)
    np.testing.assert_allclose(corrected, true, rtol=0, atol=1e-9)


def test_images_come_back_with_their_calibration(tmp_path):
    write_dair_v2x(make_frames(1, cameras=True), tmp_path / "tree")
    frame = open_dataset(tmp_path / "tree", cameras=True)[0]
    for name, agent in make_frame(0, cameras=True).frame.agents.items():
        (read,), (true,) = frame.agents[name].cameras, agent.cameras
        assert np.abs(read.image.astype(int) - true.image).max() <= 4
        np.testing.assert_array_equal(read.K, true.K)
        np.testing.assert_allclose(read.T_camera_agent, true.T_camera_agent, atol=1e-12)
        assert read.stamp_ns == true.stamp_ns
    assert open_dataset(tmp_path / "tree")[0].ego.cameras == ()


def test_the_tree_has_every_file_that_the_format_names(tmp_path):
    write_dair_v2x(make_frames(2, cameras=True), tmp_path / "tree")
    info = open_dataset(tmp_path / "tree").info(verify=True)
    assert info.problems == []
    assert info.frames_per_split == {"val": 2, "all": 2}
    for side in ("vehicle-side", "infrastructure-side"):
        entries = json.loads((tmp_path / "tree" / side / "data_info.json").read_text())
        paths = [value for entry in entries for key, value in entry.items() if key.endswith("_path")]
        assert len(paths) == 2 * (7 + (side == "vehicle-side"))
        assert all((tmp_path / "tree" / side / path).is_file() for path in paths)
    (label, *_) = json.loads((tmp_path / "tree" / "vehicle-side/label/camera/000000.json").read_text())
    assert label["type"] == "Car"
    assert 0 <= label["2d_box"]["xmin"] < label["2d_box"]["xmax"] <= 95


def test_several_sequences_are_batches_and_async_stays_in_its_batch(tmp_path):
    frames = [make_frame(n, sequence=name) for name in ("a", "b") for n in range(3)]
    write_dair_v2x(frames, tmp_path / "tree")
    dataset = open_dataset(tmp_path / "tree", async_frames=1)
    assert [frame.sequence for frame in (dataset[i] for i in range(len(dataset)))] == ["a", "a", "b", "b"]
    assert "no earlier infrastructure frame in the batch of 2 pairs" in dataset.info().notes
    late = dataset[0]
    assert late.ego.stamp_ns - late.agents["infrastructure"].stamp_ns == 100_012_000
    np.testing.assert_array_equal(
        late.agents["infrastructure"].points, frames[0].frame.agents["infrastructure"].points
    )


def test_frames_that_stop_with_an_error_leave_a_shorter_data_set(tmp_path):
    def failing():
        yield from make_frames(2)
        raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="the power went"):
        write_dair_v2x(failing(), tmp_path / "tree")
    dataset = open_dataset(tmp_path / "tree")
    assert len(dataset) == 2
    assert dataset.info(verify=True).problems == []


def test_a_tree_whose_writer_was_killed_is_refused(tmp_path):
    seen = []

    def looking():
        yield make_frame(0)
        with pytest.raises(CosenseError, match="was interrupted; write it again") as error:
            open_dataset(tmp_path / "tree")
        seen.append(error)

    write_dair_v2x(looking(), tmp_path / "tree")
    assert seen
    assert len(open_dataset(tmp_path / "tree")) == 1


def test_source_is_written_down(tmp_path):
    write_dair_v2x(make_frames(1), tmp_path / "tree", source={"families": ["crossing"], "seed": 3})
    content = json.loads((tmp_path / "tree" / "cosense.json").read_text())
    assert content["source"] == {"families": ["crossing"], "seed": 3, "scenes_version": SCENES_VERSION}
    assert content["generator"].startswith("cosense ")


def test_what_the_layout_cannot_hold_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    with pytest.raises(CosenseError, match="not an empty folder"):
        write_dair_v2x(make_frames(1), tmp_path / "full")
    alone = make_frame(0)
    del alone.frame.agents["infrastructure"]
    with pytest.raises(CosenseError, match="layout opv2v"):
        write_dair_v2x([alone], tmp_path / "tree")


def test_a_frame_without_points_and_objects_is_a_frame(tmp_path):
    write_dair_v2x([make_empty_frame()], tmp_path / "tree")
    frame = open_dataset(tmp_path / "tree")[0]
    assert [agent.points.shape for agent in frame.agents.values()] == [(0, 4), (0, 4)]
    assert len(frame.ground_truth) == len(frame.ego.objects) == 0
