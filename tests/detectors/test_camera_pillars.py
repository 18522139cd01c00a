"""A detector with cameras: the LiDAR's result without them, a stated outcome for each that cannot be used."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from cosense.config import from_mapping, to_mapping
from cosense.detectors.camera.views import join_views, picture, usable, views_of
from cosense.detectors.camera_pillars import CameraPillarDetector, CameraPillarsConfig
from cosense.detectors.grouping import group_points, join_pillars
from cosense.detectors.pillars import PillarDetector
from cosense.geometry.transforms import transform_from, transform_from_planar
from cosense.model_folders import network_tensors
from cosense.sensing.ground import GroundSurface
from cosense.sensing.levelling import levelled
from cosense.sensing.projection import project
from tests.detectors.cameras import IMAGE, SMALL, K, camera, frame, small_detector
from tests.detectors.networks import TINY, cloud

CENTRES = SMALL.grid.centres()


def lidar_alone(detector: CameraPillarDetector) -> PillarDetector:
    """Return a LiDAR's detector with the weights that are its own."""
    network = PillarDetector.build(TINY, 0)
    tensors = network_tensors(CameraPillarDetector.build(detector.config, 0))
    network.load_state_dict({name: tensors[name] for name in network_tensors(network)}, strict=False)
    return PillarDetector("lidar", TINY, network)


def changed_cells(a, b) -> np.ndarray:
    """Return which cells (H/2,W/2) of the finest level differ."""
    return (a.levels[0] != b.levels[0]).any(dim=0).numpy()


def test_without_a_camera_the_result_is_that_of_the_lidar():
    detector = small_detector()
    alone, own = lidar_alone(detector).encode(frame()), detector.encode(frame())
    assert own.cameras == ()
    for level, other in zip(alone.levels, own.levels, strict=True):
        assert torch.equal(level, other)
    assert torch.equal(alone.class_logits, own.class_logits)


def test_before_training_images_change_nothing():
    untrained = CameraPillarDetector("new", SMALL, CameraPillarDetector.build(SMALL, 0))
    with_image = untrained.encode(frame(camera()))
    assert with_image.cameras == ("front",)
    assert torch.equal(with_image.class_logits, untrained.encode(frame()).class_logits)


def test_an_image_changes_what_it_shows_and_nothing_else():
    detector = small_detector()
    changed = changed_cells(detector.encode(frame(camera())), detector.encode(frame()))
    centres = SMALL.grid.coarser(2).centres()
    ahead = np.abs(centres[..., 1]) < 0.5 * centres[..., 0]
    # The field of view is 65 degrees; a stride of 2 with two more layers reaches 2.5 m.
    behind = centres[..., 0] < -3.0
    assert changed[ahead].mean() > 0.5
    assert not changed[behind].any()


def test_cameras_to_all_sides_change_all_sides():
    detector = small_detector()
    ring = [camera(str(turn), turn) for turn in (0, np.pi / 2, np.pi, -np.pi / 2)]
    found = detector.encode(frame(*ring))
    assert len(found.cameras) == 4
    assert changed_cells(found, detector.encode(frame())).mean() > 0.5


def test_without_points_pillars_come_from_images_alone():
    detector = small_detector(evidence=0.05)
    nothing = np.zeros((0, 4), np.float32)
    found = detector.encode(frame(camera(), points=nothing))
    assert found.ground.height_m == pytest.approx(-1.9)
    assert changed_cells(found, detector.encode(frame(points=nothing))).any()
    assert not found.point_counts.any()


def test_places_are_sought_where_they_are_when_the_image_is_taken():
    later = camera(T_then_agent=transform_from_planar(-1.5, 0, 0))
    place = np.array([[8.0, 1.0, -1.0, 1.0]])
    u, v, depth = (picture(later, IMAGE.size).P @ place[0]).tolist()
    expected = project(camera(), place[:, :3] - [1.5, 0, 0])
    np.testing.assert_allclose([u / depth, v / depth], expected.uv[0])
    assert depth == pytest.approx(6.5)


def test_levelling_keeps_where_places_are_when_the_image_is_taken():
    rng = np.random.default_rng(0)
    points = cloud()
    points[:, 2] += 0.05 * points[:, 0]
    given = frame(camera(T_then_agent=transform_from_planar(-1.5, 0.3, 0.1)), points=points)
    level = levelled(given)
    assert level.slopes[0] == pytest.approx(0.05, abs=0.01)
    place = rng.uniform([5, -1, -1], [9, 1, 1], (5, 3))
    moved = place @ np.linalg.inv(level.T_sensor_level)[:3, :3].T
    for before, after in zip(place, moved, strict=True):
        one = picture(given.cameras[0], IMAGE.size).P @ [*before, 1]
        two = picture(level.cameras[0], IMAGE.size).P @ [*after, 1]
        np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(128, 256), (32, 64), (64, 64), (100, 300)])
def test_an_image_of_any_size_shows_a_place_where_it_is(height: int, width: int):
    scaled = np.array([[width, 0, width / 2 - 0.5], [0, width, height / 2 - 0.5], [0, 0, 1]])
    image = np.zeros((height, width, 3), np.uint8)
    row, column = round(0.6 * height), round(0.4 * width)
    image[row - 2 : row + 2, column - 2 : column + 2] = 255
    given = camera(image=image, K=scaled)
    made = picture(given, IMAGE.size)
    light = made.pixels.max(axis=2) > 120
    found = np.argwhere(light).mean(axis=0)
    ray = np.linalg.inv(scaled) @ [column - 0.5, row - 0.5, 1]
    u, v, depth = made.P @ np.append(10 * ray @ given.T_camera_agent[:3, :3], 1)
    np.testing.assert_allclose(found, [v / depth, u / depth], atol=0.6)
    rows, columns = made.covered
    assert not made.pixels[rows:].any()
    assert not made.pixels[:, columns:].any()
    assert rows == 64 or columns == 128


DARK = np.zeros((64, 128, 3), np.uint8)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": DARK}, "100 % of the image is black"),
        ({"image": DARK + 255}, "100 % of the image is saturated"),
        ({"K": K * np.array([[2], [2], [1]])}, "K is that of another size"),
        ({"K": np.diag([0.0, 0, 1])}, "K is"),
        ({"stamp_ns": 700_000_000}, "700 ms later than the cloud"),
        (
            {"T_camera_agent": transform_from(np.diag([1.0, -1, -1]), np.zeros(3))},
            "is projected into the image",
        ),
        ({"image": DARK[..., 0]}, "expected uint8"),
    ],
)
def test_an_image_that_cannot_be_used_is_left_out_and_why_is_said_once(changes, reason, caplog):
    detector = small_detector()
    # All points are ahead, so that a camera that looks up sees none.
    ahead = cloud()[cloud()[:, 0] > 2]
    given = frame(camera("good"), camera("bad", **changes), points=ahead)
    with caplog.at_level(logging.WARNING):
        found = detector.encode(given)
        detector.encode(given)
    assert found.cameras == ("good",)
    assert reason in found.left_out["bad"]
    assert len([record for record in caplog.records if reason in record.message]) == 1
    same = detector.encode(frame(camera("good"), points=ahead))
    assert torch.equal(found.class_logits, same.class_logits)


def test_a_batch_gives_what_its_clouds_give_alone():
    network = small_detector().network
    grid, ground = SMALL.height_grid, GroundSurface.level(-1.9)
    clouds, views = [], []
    for seed, turns in ((0, (0.0,)), (1, ()), (2, (0.3, np.pi))):
        points = torch.from_numpy(cloud(seed) + np.float32([0, 0, 1.9, 0]))
        clouds.append(group_points(points, grid))
        pictures = [picture(camera(str(turn), turn), IMAGE.size) for turn in turns]
        pixels = np.array([image.pixels for image in pictures], np.uint8).reshape(-1, *IMAGE.size, 3)
        stages = tuple(network.images.stages(torch.from_numpy(pixels)))
        covered = [image.covered for image in pictures]
        views.append(views_of([image.P for image in pictures], covered, stages, ground, grid))
    together = network.encode(join_pillars(clouds), views=join_views(views))[0]
    for number, (one, view) in enumerate(zip(clouds, views, strict=True)):
        alone = network.encode(one, views=view)[0]
        torch.testing.assert_close(together[number], alone[0], rtol=1e-4, atol=1e-4)


def test_the_configuration_survives_yaml_and_names_what_is_wrong():
    assert from_mapping(CameraPillarsConfig, to_mapping(SMALL), "config.yaml") == SMALL
    with pytest.raises(ValueError, match=r"no multiple of fusion\.heads"):
        replace(SMALL, image=replace(IMAGE, channels=9))


def test_methods_find_what_they_share():
    detector = small_detector()
    found = detector.encode(frame(camera()))
    again = detector.decide(found.levels, found.point_counts, found.ground)
    assert torch.equal(again.class_logits, found.class_logits)
    assert detector.needs == ("lidar", "camera")
    assert usable(frame())[0] == ()
