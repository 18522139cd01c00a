"""Two frames of one drive as two agents: who stands still, in whose frame, and what is left open."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.data import open_dataset
from cosense.data.frame_pairs import SECOND
from cosense.errors import CosenseError
from tests.data.test_bare_labels import label, labelled, pose

# The vehicle goes 10 m in 5 frames; in its own frame what stands comes nearer by as much.
STEP_M = 10.0
STEMS = [f"{5 * row:06d}" for row in range(4)]


def drive(folder, **options):
    """A car that stands, one that moves as the vehicle does, one that is seen from the second frame on."""
    labels = {}
    for row, stem in enumerate(STEMS):
        here = row * STEP_M
        labels[stem] = [label(x=30 - here, y=3), label(x=15, y=-3), label("person", x=10, y=1)]
        labels[stem] += [label("Van", x=60 - here, y=4)] if row else []
    poses = {stem: pose(row * STEP_M, row * 0.5) for row, stem in enumerate(STEMS)}
    return labelled(folder / "drive", labels, poses=poses, **options)


def test_frames_so_far_apart_are_two_agents_at_one_moment(tmp_path):
    dataset = open_dataset(drive(tmp_path, region="[-38, 38]"), pair_gap=10)
    assert dataset.pairs == [(0, 2), (1, 3)]
    frame = dataset[0]
    assert (frame.frame_id, list(frame.agents)) == ("000000+000010", ["ego", SECOND])
    assert frame.agents[SECOND].stamp_ns == frame.ego.stamp_ns == 0
    np.testing.assert_allclose(frame.T_ego_agent(SECOND)[:3, 3], [20, 0, 0])
    assert dataset.agents == {"ego": "vehicle", SECOND: "vehicle"}
    said = "clouds (two frames of one drive, 10 frames apart, as two agents)"
    assert dataset.kind == str(frame.provenance) == dataset.info().kind == said
    assert dataset.description()["pair_gap"] == "10 frames"
    assert dataset.label_set == dataset.info().label_set == "standing"
    assert "vehicles of the drive that stand still and are to be found: 2" in dataset.info(verify=True).notes


def test_truth_is_what_stands_still_also_what_only_the_second_sees(tmp_path):
    """Kind: labels of a car that moves, each in another place of the world."""
    frame = open_dataset(drive(tmp_path, region="[-38, 38]"), pair_gap=10)[0]
    np.testing.assert_allclose(frame.ground_truth.boxes[:, :2], [[30, 3], [60, 4]])
    # In both frames the moving car and the person are left open, each where the agent that labels it sees it.
    ignored = frame.labelled.ignored
    np.testing.assert_allclose(ignored[np.argsort(ignored[:, 0]), 0], [10, 15, 30, 35])


def test_what_stands_where_neither_frame_is_labelled_is_left_open(tmp_path):
    """Kind: hits in the ditch beside the region, where false alarms do not count."""
    frame = open_dataset(drive(tmp_path, region="[-5, 5]"), pair_gap=10)[1]
    np.testing.assert_allclose(frame.ground_truth.boxes[:, :2], [[50, 4]])
    ignored = frame.labelled.ignored
    np.testing.assert_allclose(ignored[np.argsort(ignored[:, 0]), 0], [10, 15, 20, 30, 35])


def test_what_one_frame_alone_is_labelled_for_is_found_and_not_left_open(tmp_path):
    frame = open_dataset(drive(tmp_path, region="[-12, 12]"), pair_gap=10)[1]
    np.testing.assert_allclose(frame.ground_truth.boxes[:, :2], [[20, 3], [50, 4]])
    assert not frame.labelled.leaves_open(frame.ground_truth.boxes).any()


def test_both_regions_count_each_from_where_its_agent_is(tmp_path):
    frame = open_dataset(drive(tmp_path, region="[-38, 38]"), pair_gap=10)[1]
    found = np.array(
        [[x, y, -1, 4, 1.8, 1.5, 0] for x, y in ((5, 0.5), (18, -18), (38, -8), (-5, 0), (18, 8))]
    )
    assert frame.labelled.covers(found).tolist() == [True, False, True, False, True]


def test_the_gap_may_be_metres(tmp_path):
    assert open_dataset(drive(tmp_path), pair_gap="15m").pairs == [(0, 2), (1, 3)]
    assert open_dataset(tmp_path / "drive", pair_gap="9.5 m").pairs == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize(
    ("gap", "error"),
    [
        (3, "no two clouds are 3 frames apart, their numbers go from 0 to 15 by 5; choose another"),
        ("20", "no two clouds are 20 frames apart"),
        ("40m", "no two clouds are 40 m apart, the drive goes 30 m away from its begin; choose another"),
        ("far", "pair_gap 'far': expected a number of frames, as 20, or metres, as 20m"),
        ("-5", "pair_gap '-5': expected"),
        ("0m", "pair_gap '0m': expected"),
    ],
)
def test_a_gap_that_no_frames_have_is_refused(tmp_path, gap, error):
    with pytest.raises(CosenseError, match=error):
        open_dataset(drive(tmp_path), pair_gap=gap)


def test_pairs_need_poses_and_clouds_of_a_drive(tmp_path):
    folder = labelled(tmp_path / "mine", {"000000": [label()], "000001": [label()]})
    with pytest.raises(CosenseError, match="pairs of frames need the poses of the drive"):
        open_dataset(folder, pair_gap=1)
    tree = tmp_path / "tree" / "train" / "s" / "1"
    tree.mkdir(parents=True)
    (tree / "000000.yaml").write_text("lidar_pose: [0, 0, 0, 0, 0, 0]\nvehicles: {}\n")
    (tree / "000000.pcd").write_bytes((folder / "velodyne" / "000000.bin").read_bytes())
    with pytest.raises(CosenseError, match="pair_gap '1' does not apply to opv2v, only to bare_clouds"):
        open_dataset(tmp_path / "tree", pair_gap=1)


def test_without_labels_there_are_pairs_and_no_truth(tmp_path):
    dataset = open_dataset(drive(tmp_path), labels="none", pair_gap=5)
    assert (dataset.label_set, dataset[0].is_labelled, len(dataset[0].ground_truth)) == ("none", False, 0)


def test_a_name_without_a_number_has_no_gap_in_frames(tmp_path):
    poses = {name: pose(10.0 * row) for row, name in enumerate("ab")}
    folder = labelled(tmp_path / "mine", {"a": [label()], "b": [label()]}, poses=poses)
    with pytest.raises(CosenseError, match="cloud a has no number in its name; give pair_gap in metres"):
        open_dataset(folder, pair_gap=1)
    assert open_dataset(folder, pair_gap="10m").pairs == [(0, 1)]


def test_the_drive_of_kitti_has_twelve_cars_that_stand(shared_data):
    dataset = open_dataset(shared_data / "real_frames" / "kitti_drive", pair_gap=20)
    assert len(dataset) == 22
    assert "vehicles of the drive that stand still and are to be found: 12" in dataset.info().notes
