"""Images that are worse than they were, or gone."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.data import open_dataset
from cosense.errors import CosenseError
from cosense.geometry.transforms import invert
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from tests.simulation.hand_made import make_frames


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Three frames of a vehicle, one metre apart, whose images are a frame later than its clouds."""
    root = tmp_path_factory.mktemp("dair") / "tree"
    write_dair_v2x(make_frames(3, cameras=True), root)
    return root


def cameras_of(tree, images=""):
    dataset = open_dataset(tree, cameras=True, images=images)
    return [dataset[index].ego.cameras[0] for index in range(len(dataset))]


def test_without_images_there_is_all_else(tree):
    whole, lost = open_dataset(tree, cameras=True), open_dataset(tree, cameras=True, images="lost")
    assert len(lost) == len(whole) == 3
    assert [agent.cameras for agent in lost[1].agents.values()] == [(), ()]
    np.testing.assert_array_equal(lost[1].ego.points, whole[1].ego.points)
    assert "images taken away" in lost.kind
    assert "images taken away" in str(lost[1].provenance)
    assert lost.description()["images"] == "lost"
    assert lost.info().kind == lost.kind


def test_images_of_other_frames_know_how_the_agent_has_moved_until_then(tree):
    own, later, earlier = (cameras_of(tree, images) for images in ("", "later", "earlier"))
    assert [camera.stamp_ns for camera in later] == [own[index].stamp_ns for index in (1, 2, 2)]
    assert [camera.stamp_ns for camera in earlier] == [own[index].stamp_ns for index in (0, 0, 1)]
    poses = [simulated.frame.ego.T_world_agent for simulated in make_frames(4)]
    np.testing.assert_allclose(later[0].T_then_agent, invert(poses[2]) @ poses[0], atol=1e-6)
    # The image of the frame before was taken at the stamp of this cloud.
    np.testing.assert_allclose(earlier[1].T_then_agent, np.eye(4), atol=1e-6)


def test_motion_is_hidden(tree):
    assert all(camera.T_then_agent is not None for camera in cameras_of(tree))
    assert all(camera.T_then_agent is None for camera in cameras_of(tree, "later,unmoved"))


def test_cameras_are_off_by_the_same_in_all_frames(tree):
    own, off = cameras_of(tree), cameras_of(tree, "off")
    by = [
        after.T_camera_agent @ invert(before.T_camera_agent) for before, after in zip(own, off, strict=True)
    ]
    np.testing.assert_allclose(by[0], by[2])
    turn_deg = np.degrees(np.arccos((np.trace(by[0][:3, :3]) - 1) / 2))
    assert 0.1 < turn_deg < 2.0
    assert 0.01 < np.linalg.norm(by[0][:3, 3]) < 0.2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lots", "unknown word 'lots', did you mean 'lost'"),
        ("lost,off", "lost stands alone"),
        ("later,earlier", "of later and earlier take one"),
    ],
)
def test_what_makes_no_sense_is_refused(tree, text, complaint):
    with pytest.raises(CosenseError, match=complaint):
        open_dataset(tree, cameras=True, images=text)
