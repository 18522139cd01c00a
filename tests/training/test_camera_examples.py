"""What a step sees: objects that count, images that move with the world, distances in the right cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from cosense.detectors.camera.efficientnet import EfficientNetLite0
from cosense.geometry.transforms import transform_from_planar
from cosense.training.camera_examples import CameraBatch, CameraRunConfig, make_example
from cosense.training.image_features import OF_OBJECT, UNKNOWN, ImageFeatures, StoredFeatures, distance_steps
from cosense.training.samples import Sample
from cosense.training.stored_images import StoredCamera
from tests.detectors.cameras import IMAGE, camera
from tests.training.camera_toys import AS_IT_IS, TOY_CAMERA_MODEL, camera_config, toy_sample_with_image
from tests.training.toys import UNCHANGED


@pytest.fixture(autouse=True)
def untrained_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without the package of the pretrained weights."""
    monkeypatch.setattr(EfficientNetLite0, "load_pretrained", lambda network: None)


def features_of(sample: Sample, folder: Path) -> list[ImageFeatures]:
    return StoredFeatures(IMAGE, folder).of(sample)


def with_car(x: float, y: float) -> Sample:
    """Return a sample with one car in front or elsewhere, on the road."""
    sample = toy_sample_with_image(1, cars=1)
    moved = sample.points
    moved[sample.owner == 0, :2] += np.float32([x, y]) - sample.boxes[0, :2].astype(np.float32)
    boxes = sample.boxes.copy()
    boxes[0, :2] = x, y
    return replace(
        sample, boxes=boxes, stored=np.rint(moved / [0.004, 0.004, 0.004, 1 / 32767]).astype(np.int16)
    )


def example(
    sample: Sample, folder: Path, *, without_car: bool = False, seed: int = 0, **changes
) -> CameraBatch:
    config: CameraRunConfig = camera_config(folder, **AS_IT_IS | changes)
    kept = sample.owner < 0 if without_car else np.ones(len(sample.owner), bool)
    rng = np.random.default_rng(seed)
    return make_example(sample, kept, features_of(sample, folder), TOY_CAMERA_MODEL, config, rng)


@pytest.mark.parametrize(
    ("place", "without_car", "no_image", "counts"),
    [
        ((8.0, 0.5), False, 1.0, True),
        ((8.0, 0.5), True, 0.0, True),
        ((8.0, 0.5), True, 1.0, False),
        ((-8.0, 0.5), True, 0.0, False),
    ],
)
def test_an_object_counts_if_the_cloud_or_an_image_shows_it(place, without_car, no_image, counts, tmp_path):
    made = example(with_car(*place), tmp_path, without_car=without_car, no_image=no_image)
    assert bool((made.targets.heat == 1).any()) == counts
    assert bool((made.targets.heat_weight == 0).any()) != counts


def test_without_a_cloud_what_images_show_is_left(tmp_path):
    made = example(with_car(8.0, 0.5), tmp_path, no_cloud=1.0)
    assert len(made.pillars) == 0
    assert made.views.of == (0,)
    assert (made.targets.heat == 1).any()


def test_without_an_image_the_cloud_is_never_left_out(tmp_path):
    made = example(with_car(8.0, 0.5), tmp_path, no_image=1.0, no_cloud=1.0)
    assert len(made.pillars) > 100
    assert made.views.of == ()
    assert len(made.steps) == 0


@pytest.mark.parametrize("seed", range(4))
def test_an_image_shows_a_moved_object_where_it_was(seed: int, tmp_path: Path):
    sample = with_car(8.0, 0.5)
    turning = replace(UNCHANGED, rotation_deg=40.0, mirror=0.5, scale=0.1)
    made = example(sample, tmp_path, seed=seed, augmentation=turning)
    middle = np.argwhere(made.targets.heat.numpy()[0, 0] == 1)[0]
    x, y = -12.8 + 0.8 * (middle[1] + 0.5), -6.4 + 0.8 * (middle[0] + 0.5)
    (image,) = features_of(sample, tmp_path)
    expected = image.P @ np.append(sample.boxes[0, :3], 1)
    found = made.views.P[0].double().numpy() @ [x, y, sample.boxes[0, 2], 1]
    u, v = found[:2] / found[2]
    stages = made.views.stages[0][0].numpy()
    is_mirrored = not np.array_equal(stages, image.stages[0][0])
    assert np.array_equal(stages, image.stages[is_mirrored][0])
    if is_mirrored:
        u = image.covered[1] - 1 - u
    # A cell of the heat map is 0.8 m, eleven pixels at 8 m.
    assert_allclose([u, v], expected[:2] / expected[2], atol=8)


def test_with_a_calibration_that_is_off_images_shift_by_pixels(tmp_path):
    sample = with_car(8.0, 0.5)
    config = camera_config(tmp_path, **AS_IT_IS | {"off_deg": 0.5})
    images, kept = features_of(sample, tmp_path), np.ones(len(sample.owner), bool)
    off = np.array(
        [
            make_example(sample, kept, images, TOY_CAMERA_MODEL, config, np.random.default_rng(seed))
            .views.P[0]
            .numpy()
            for seed in range(30)
        ]
    )
    pixels = off @ np.append(sample.boxes[0, :3], 1)
    u = pixels[:, 0] / pixels[:, 2]
    assert 0.5 < np.std(u) / (100 * np.deg2rad(0.5)) < 2.0


def test_the_teacher_sees_the_whole_cloud(tmp_path):
    made = example(with_car(8.0, 0.5), tmp_path, without_car=True, teacher_weight=1.0)
    assert made.whole is not None
    assert made.whole.counts.sum() - made.pillars.counts.sum() > 300


def test_distances_are_those_of_the_nearest_points():
    sample = with_car(8.0, 0.5)
    P = np.array([[63.5, -100.0, 0, 0], [31.5, 0, -100.0, 0], [1, 0, 0, 0]])
    steps = distance_steps(sample, P, (64, 128), IMAGE)
    assert steps.shape == (8, 16)
    middle = steps[4, 7]
    assert middle >= OF_OBJECT
    nearest_m = sample.points[sample.owner == 0, 0].min()
    step = np.log(nearest_m / 2) / np.log(45) * IMAGE.depth_bins
    assert middle - OF_OBJECT in (int(step), int(step) + 1)
    # There is nothing but road, and nothing above the horizon beside the car.
    assert steps[0, 0] == UNKNOWN
    assert steps[7, 7] < OF_OBJECT


def test_features_are_computed_once(tmp_path, monkeypatch):
    sample = toy_sample_with_image(1)
    first = features_of(sample, tmp_path)
    monkeypatch.setattr(EfficientNetLite0, "forward", None)
    second = features_of(sample, tmp_path)
    assert np.array_equal(first[0].stages[1][2], second[0].stages[1][2])
    assert first[0].stages[0][0].dtype == np.float16


def test_wrong_settings_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no_image is 2"):
        camera_config(tmp_path, no_image=2.0)
    with pytest.raises(ValueError, match="beams is"):
        camera_config(tmp_path, beams=(0, 4))


def test_what_is_stored_is_seen_from_where_the_agent_was_at_the_time_of_the_image():
    moved = camera(T_then_agent=transform_from_planar(-1.5, 0.2, 0.1))
    stored = StoredCamera.of(moved)
    assert_allclose(stored.T_camera_agent, moved.T_camera_agent @ moved.T_then_agent)
    assert stored.camera.T_then_agent is None
