"""Images without a cloud: lifted where the calibration says, for any lens; with a cloud nothing changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from cosense.config import from_mapping, to_mapping
from cosense.detectors.camera.image_encoder import ImageFeatures
from cosense.detectors.camera.views import Views, join_views, picture, views_of
from cosense.detectors.camera.without_cloud import WithoutCloud, WithoutCloudConfig, focal_length
from cosense.detectors.camera_pillars import CameraPillarDetector, CameraPillarsConfig
from cosense.model_folders import network_tensors
from cosense.sensing.ground import GroundSurface
from cosense.sensing.projection import project
from tests.detectors.cameras import IMAGE, SMALL, K, camera, frame
from tests.detectors.networks import cloud

HEIGHTS_M = (0.5, 1.5)
PART = WithoutCloudConfig(heights_m=HEIGHTS_M, hidden=8)
BLIND = replace(SMALL, without_cloud=PART)
GROUND_M = -1.9
GRID = SMALL.height_grid
NOTHING = np.zeros((0, 4), np.float32)


def lift() -> WithoutCloud:
    torch.manual_seed(0)
    return WithoutCloud(PART, IMAGE, 8, SMALL.stages, SMALL.cell_m).eval()


def views(*cameras) -> Views:
    pictures = [picture(each, IMAGE.size) for each in cameras]
    covered = [image.covered for image in pictures]
    return views_of([image.P for image in pictures], covered, (), GroundSurface.level(GROUND_M), GRID)


def features(count: int = 1, depth: torch.Tensor | None = None) -> ImageFeatures:
    """Return maps whose first channel is the column of the pixel, the second its row, the others 0."""
    level = torch.zeros(count, 8, 8, 16)
    level[:, 0], level[:, 1] = 8 * torch.arange(16) + 3.5, (8 * torch.arange(8) + 3.5)[:, None]
    return ImageFeatures((level,), torch.zeros(count, 10, 8, 16) if depth is None else depth)


def canvas_of(part: WithoutCloud, given: Views, images: ImageFeatures) -> torch.Tensor:
    height, width = GRID.coarser(2).shape
    with torch.inference_mode():
        return part.canvas(given, images, (len(given.corner_m), height, width))


@pytest.mark.parametrize("turn_rad", [0.0, 0.4])
def test_a_place_takes_what_its_pixels_show(turn_rad: float) -> None:
    part, one, taken = lift(), camera(turn_rad=turn_rad), []
    part.lift.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    canvas_of(part, views(one), features())
    at = taken[0][:, -5:-3] * 50
    for number, height_m in enumerate(HEIGHTS_M):
        expected = project(one, np.column_stack([at, np.full(len(at), GROUND_M + height_m)]))
        uv = taken[0][:, [number, 2 + number]].numpy()
        # Nearer to the border of the image than the middle of a cell of the map, it fades to nothing.
        inner = expected.is_inside & (np.abs(expected.uv - [63.5, 31.5]) < [60, 28]).all(axis=1)
        assert inner.sum() > 80
        assert_allclose(uv[inner], expected.uv[inner], atol=1e-3)
        assert not uv[~expected.is_inside].any()


def test_only_what_an_image_shows_is_filled_and_what_two_show_alike_is_what_one_does() -> None:
    part = lift()
    one = canvas_of(part, views(camera()), features())
    filled = one.abs().sum(dim=1)[0] > 0
    x, y = np.moveaxis(GRID.coarser(2).centres(), -1, 0)
    in_view = torch.from_numpy((np.abs(y) < 0.6 * x) & (x > 4))
    assert filled[in_view].all()
    assert not filled[torch.from_numpy(x < 0)].any()
    assert_allclose(canvas_of(part, views(camera("a"), camera("b")), features(2)), one, atol=1e-6)


def test_a_batch_gives_what_its_agents_give_alone() -> None:
    part, depth = lift(), torch.randn(2, 10, 8, 16)
    left, right = camera(turn_rad=0.4), camera(turn_rad=-0.9)
    images = features(2, depth)
    together = canvas_of(part, join_views([views(left), views(), views(right)]), images)
    for number, one, index in ((0, left, 0), (2, right, 1)):
        alone = canvas_of(part, views(one), features(1, depth[index : index + 1]))
        assert_allclose(together[number], alone[0], atol=1e-6)
    assert not together[1].any()


@pytest.mark.parametrize("longer", [1.0, 2.0])
def test_a_longer_lens_sees_as_far_as_it_enlarges(longer: float) -> None:
    """Who guesses distances from sizes is right for all lenses: steps are those of one focal length."""
    part, taken = lift(), []
    part.lift.register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    enlarged = camera(K=K * np.array([[longer, 1, 1], [1, longer, 1], [1, 1, 1]]))
    P = picture(enlarged, IMAGE.size).P
    assert focal_length(P) == pytest.approx(100 * longer / 256)
    # The image says for sure that something is 16 times the focal length away, in units of 256 px.
    step = int(IMAGE.depth_steps(torch.tensor(16.0)))
    depth = torch.full((1, 10, 8, 16), -20.0)
    depth[:, step] = 20.0
    canvas_of(part, views(enlarged), features(1, depth))
    is_inside = taken[0][:, 2] > 0
    x, there, hidden = (taken[0][is_inside, index] for index in (-5, 16, 18))
    off = IMAGE.depth_steps(50 * x / focal_length(P)) - step - 0.5
    assert (off.abs() < 0.2).any()
    assert_allclose(there, torch.log1p(10 * (1 - off.abs()).clamp(min=0)), atol=1e-3)
    assert_allclose(hidden, (off + 0.5).clamp(0, 1), atol=1e-3)


def test_with_points_nothing_changes_bit_for_bit() -> None:
    torch.manual_seed(0)
    network, plain = CameraPillarDetector.build(BLIND, 0), CameraPillarDetector.build(SMALL, 0)
    plain.load_state_dict(network_tensors(network), strict=False)
    one = CameraPillarDetector("with", BLIND, network).encode(frame(camera()))
    other = CameraPillarDetector("without", SMALL, plain).encode(frame(camera()))
    for level, same in zip(one.levels, other.levels, strict=True):
        assert torch.equal(level, same)
    assert torch.equal(one.class_logits, other.class_logits)


def test_without_points_the_levels_come_from_images_and_are_shared_like_others() -> None:
    config = replace(BLIND, score_curves={"car": (2.0, 1.0, 0.0)})
    detector = CameraPillarDetector("curves", config, CameraPillarDetector.build(config, 0))
    found = detector.encode(frame(camera(), points=NOTHING))
    assert found.cameras == ("front",)
    shapes = [level.shape for level in detector.encode(frame()).levels]
    assert [level.shape for level in found.levels] == shapes
    # The curves are those of boxes from clouds; levels that are fused with others are judged by them.
    again = detector.decide(found.levels, found.point_counts, found.ground)
    assert_allclose(again.class_logits[0], 2 * found.class_logits[0] + 1, atol=1e-5)
    assert_allclose(again.class_logits[1], found.class_logits[1])


def test_an_agent_whose_lidar_is_lost_stands_as_high_as_before() -> None:
    detector = CameraPillarDetector("lost", BLIND, CameraPillarDetector.build(BLIND, 0))
    blind = frame(camera(), points=NOTHING)
    assert detector.encode(blind).ground.height_m == pytest.approx(-1.9)
    raised = cloud() - np.float32([0, 0, 0.6, 0])
    before = detector.encode(frame(camera(), points=raised)).ground.height_m
    assert before < -2.2
    assert detector.encode(blind).ground.height_m == pytest.approx(before)
    other = replace(blind, agent_id="mast", kind="infrastructure")
    assert detector.encode(other).ground.height_m == pytest.approx(-6.0)


def test_the_configuration_survives_yaml_and_names_what_is_wrong() -> None:
    assert from_mapping(CameraPillarsConfig, to_mapping(BLIND), "config.yaml") == BLIND
    with pytest.raises(ValueError, match="heights_m needs an entry"):
        WithoutCloudConfig(heights_m=())
