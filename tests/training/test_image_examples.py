"""Images that are changed at random: what they show stays where their calibration says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from cosense.detectors.camera.efficientnet import EfficientNetLite0
from cosense.detectors.camera.views import picture
from cosense.detectors.camera.without_cloud import focal_length
from cosense.training import image_examples
from cosense.training.image_examples import ImageExamples, changed
from cosense.training.image_features import OF_OBJECT, UNKNOWN
from tests.detectors.cameras import IMAGE, K, camera
from tests.training.camera_toys import TOY_BLIND_MODEL, image_config, toy_sample_with_image

# A place ahead of the camera, in its LiDAR's place, and the pixel that shows it.
PLACE = np.array([10.0, -1.05, 0.55, 1.0])


@pytest.fixture(autouse=True)
def untrained_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without the package of the pretrained weights."""
    monkeypatch.setattr(EfficientNetLite0, "load_pretrained", lambda network: None)


def bright_spot() -> np.ndarray:
    """Return an image that is dark but where `PLACE` is."""
    u, v, depth = K @ camera().T_camera_agent[:3] @ PLACE
    image = np.full((64, 128, 3), 30, np.uint8)
    column, row = round(u / depth), round(v / depth)
    image[row - 1 : row + 2, column - 1 : column + 2] = 200
    return image


@pytest.mark.parametrize("is_mirrored", [False, True])
@pytest.mark.parametrize("by", [0.5, 1.0, 1.7])
def test_what_an_image_shows_stays_where_it_is_projected(
    tmp_path: Path, by: float, is_mirrored: bool
) -> None:
    config = image_config(tmp_path, zoom=(by, by), zoomed=1.0)
    given, seen = picture(camera(image=bright_spot()), IMAGE.size), 0
    for seed in range(6):
        made = changed(given, is_mirrored, config, np.random.default_rng(seed))
        assert focal_length(made.P) == pytest.approx(by * focal_length(given.P))
        u, v, depth = made.P @ PLACE
        rows, columns = made.covered
        assert not made.pixels[rows:].any()
        assert not made.pixels[:, columns:].any()
        if not (2 < u / depth < columns - 3 and 2 < v / depth < rows - 3):
            continue
        seen += 1
        light = made.pixels[:rows, :columns].sum(axis=2).astype(float)
        light = np.maximum(light - np.median(light), 0)
        found = (np.argwhere(light > 0) * light[light > 0, None]).sum(axis=0) / light.sum()
        assert_allclose(found, [v / depth, u / depth], atol=0.55)
    assert seen >= 2


def test_objects_and_distances_are_those_of_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_examples, "_GROUND_UNKNOWN", 0.0)
    samples = [toy_sample_with_image(seed, cars=6) for seed in (1, 2, 3)]
    examples = ImageExamples(samples, TOY_BLIND_MODEL, image_config(tmp_path))
    for index, sample in enumerate(samples):
        batch = examples[index, 0, 0]
        P = picture(sample.cameras[0], IMAGE.size).P
        u, v, depth = P @ np.column_stack([sample.boxes[:, :3], np.ones(6)]).T
        in_view = (depth > 1) & (np.abs(u / depth - 63.5) < 64) & (np.abs(v / depth - 31.5) < 32)
        assert int((batch.targets.heat == 1).sum()) == in_view.sum()
        assert not len(batch.pillars)
        assert_allclose(batch.views.P[0], P, atol=1e-3)
        steps = batch.steps[0].numpy()
        assert ((steps >= OF_OBJECT) & (steps != UNKNOWN)).any() == in_view.any()
        known = steps[steps != UNKNOWN] % OF_OBJECT
        # The floor is from 4 m on, the world ends at 12: in units of the focal length, 10 and 31.
        assert known.min() >= int(IMAGE.depth_steps(torch.tensor(2.0 / focal_length(P))))
        assert known.max() <= int(IMAGE.depth_steps(torch.tensor(12.0 / focal_length(P))))


def test_a_turned_world_has_its_objects_where_the_image_shows_them(tmp_path: Path) -> None:
    turned = image_config(tmp_path)
    turned = replace(turned, augmentation=replace(turned.augmentation, rotation_deg=180.0, mirror=0.5))
    sample = toy_sample_with_image(1, cars=6)
    examples, plain = (
        ImageExamples([sample], TOY_BLIND_MODEL, config) for config in (turned, image_config(tmp_path))
    )
    before = int((plain[0, 0, 0].targets.heat == 1).sum())
    grid = TOY_BLIND_MODEL.grid.coarser(2)
    for step in range(4):
        batch = examples[0, step, 0]
        middles = np.argwhere(batch.targets.heat[0, 0].numpy() == 1)
        # Some are turned out of the range, which is not square.
        assert len(middles) <= before
        xy = np.array([grid.range_m[0], grid.range_m[1]]) + (middles[:, ::-1] + 0.5) * grid.cell_m
        across = np.column_stack([xy, np.full(len(xy), -1.0), np.ones(len(xy))]) @ batch.views.P[0].numpy().T
        assert (across[:, 2] > 0).all()
        assert (np.abs(across[:, 0] / across[:, 2] - 63.5) < 64 + 15).all()
