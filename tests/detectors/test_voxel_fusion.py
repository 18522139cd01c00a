"""What pillars take from images: plain projection at first, and only where an image looks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from cosense.detectors.camera.image_encoder import STRIDES, ImageFeatures
from cosense.detectors.camera.reference_points import Seen, evidence_at, projected
from cosense.detectors.camera.views import Views, picture, views_of
from cosense.detectors.camera.voxel_fusion import FusionConfig, VoxelFusion
from cosense.detectors.grouping import Pillars, group_points
from cosense.sensing.ground import GroundSurface
from cosense.sensing.projection import project
from tests.detectors.cameras import FUSION, IMAGE, SMALL, camera

HEIGHT_M = 1.9
GRID = SMALL.height_grid


def fusion(config: FusionConfig = FUSION) -> VoxelFusion:
    torch.manual_seed(0)
    return VoxelFusion(config, IMAGE, SMALL.pillar_channels, SMALL.cell_m)


def ramps() -> list[torch.Tensor]:
    """Return maps of three scales whose even channels are the column in the image, the odd ones the row."""
    levels = []
    for stride in STRIDES:
        row, column = torch.meshgrid(torch.arange(64 // stride), torch.arange(128 // stride), indexing="ij")
        level = torch.stack([column, row]).float() * stride + (stride - 1) / 2
        levels.append(level.repeat(IMAGE.channels // 2, 1, 1))
    return levels


def view(*cameras) -> Views:
    pictures = [picture(one, IMAGE.size) for one in cameras or (camera(),)]
    covered = [image.covered for image in pictures]
    return views_of([image.P for image in pictures], covered, (), GroundSurface.level(-HEIGHT_M), GRID)


def pillars(*xyz: tuple[float, float, float]) -> Pillars:
    points = torch.tensor([(*place, 0.5) for place in xyz] or np.zeros((0, 4))).float().view(-1, 4)
    return group_points(points, GRID)


def images(count: int = 1, bin_of_all: int | None = None) -> ImageFeatures:
    """Return features without content; all pixels show something in one step of distance, or anywhere."""
    logits = torch.zeros(count, IMAGE.depth_bins, 8, 16)
    if bin_of_all is not None:
        logits[:, bin_of_all] = 20.0
    return ImageFeatures(tuple(level.expand(count, -1, -1, -1) for level in ramps()), logits)


def test_attention_begins_as_the_mean_of_plain_projections():
    seen = Seen(
        torch.tensor([[[40.0, 30], [60, 20], [999, 999], [50, 28]]]),
        torch.ones(1, 4),
        torch.tensor([[True, True, False, True]]),
    )
    found = fusion().attend(torch.randn(1, FUSION.hidden), seen, ramps())
    assert_allclose(found.detach()[0], [50, 26] * (IMAGE.channels // 2), rtol=1e-5)


def test_an_offset_counts_in_pixels_of_its_scale():
    block = fusion()
    with torch.no_grad():
        block.offsets.bias.view(-1, 2)[:, 0] = 0.5
    seen = Seen(torch.tensor([[[60.0, 30.0]] * 4]), torch.ones(1, 4), torch.ones(1, 4, dtype=torch.bool))
    found = block.attend(torch.zeros(1, FUSION.hidden), seen, ramps())
    assert_allclose(found.detach()[0, 0], 60 + 0.5 * np.mean(STRIDES), rtol=1e-5)


@pytest.mark.parametrize("turn_rad", [0.0, 0.4])
def test_reference_points_are_where_the_calibration_puts_them(turn_rad: float):
    block, one = fusion(), camera(turn_rad=turn_rad)
    places = torch.tensor([[8.0, 2.0, -HEIGHT_M], [6.0, -1.0, -HEIGHT_M], [-5.0, 0.0, -HEIGHT_M]])
    seen = projected(places, block.heights_m, view(one), 0)
    for number, height_m in enumerate(FUSION.heights_m):
        raised = places.numpy() + np.array([0, 0, height_m])
        expected = project(one, raised)
        assert_allclose(seen.depth_m[:, number], expected.depth_m, atol=1e-5)
        assert (seen.is_inside[:, number].numpy() == expected.is_inside).all()
        inside = expected.is_inside
        assert_allclose(seen.uv[inside, number], expected.uv[inside], atol=1e-3)


def test_evidence_is_the_probability_of_the_distance_between_its_steps():
    depth = torch.zeros(10, 8, 16)
    depth[3], depth[4] = 0.2, 0.6
    nearest_m, farthest_m = IMAGE.depth_m
    depth_m = nearest_m * (farthest_m / nearest_m) ** (torch.tensor([[3.5, 4.0, 4.5, 5.5]]) / 10)
    uv = torch.full((1, 4, 2), 20.0)
    seen = Seen(uv, depth_m, torch.tensor([[True, True, True, True]]))
    steps = IMAGE.depth_steps(depth_m)
    assert_allclose(evidence_at(seen, steps, depth), [[0.2, 0.4, 0.6, 0.0]], atol=1e-5)
    hidden = Seen(uv, depth_m, torch.zeros(1, 4, dtype=torch.bool))
    assert not evidence_at(hidden, steps, depth).any()


def test_empty_pillars_are_filled_around_points_that_an_image_shows():
    behind, ahead = (-8.2, 0.2, 1.0), (8.2, 0.2, 1.0)
    block = fusion(FusionConfig(heads=2, hidden=8, around=1, evidence=0.99))
    found = block(pillars(behind, ahead), torch.rand(2, 8), view(), images())
    x, y = (-12.8 + 0.4 * (found.cells % 64 + 0.5)), (-6.4 + 0.4 * (found.cells // 64 + 0.5))
    assert_allclose(sorted(set(x.tolist())), [7.8, 8.2, 8.6], atol=1e-5)
    assert_allclose(sorted(set(y.tolist())), [-0.2, 0.2, 0.6], atol=1e-5)
    assert (found.row >= 0).sum() == 1
    assert found.row.max() == 1
    assert_allclose(found.depth_m[found.row == 1], [8.2], atol=1e-5)
    assert_allclose(found.counts, (found.row >= 0).float())


def test_without_points_pillars_are_filled_where_the_image_says_that_something_stands():
    step = 3
    found = fusion()(pillars(), torch.zeros(0, 8), view(), images(bin_of_all=step))
    middles = IMAGE.depth_steps(found.depth_m)
    assert 0 < len(found.cells) <= FUSION.most_filled
    assert ((middles > step - 0.6) & (middles < step + 1.6)).all()
    assert (found.row == -1).all()
    assert not found.original.any()


def test_no_more_empty_pillars_are_filled_than_allowed():
    block = fusion(FusionConfig(heads=2, hidden=8, most_filled=7, evidence=0.01))
    assert len(block(pillars(), torch.zeros(0, 8), view(), images()).cells) == 7


def test_two_equal_cameras_show_what_one_shows():
    given = pillars((8.2, 0.2, 1.0), (6.2, 1.4, 1.0)), torch.rand(2, 8)
    block = fusion()
    nn.init.normal_(block.update[3].weight)
    one, two = block(*given, view(camera()), images()), block(*given, view(camera(), camera("b")), images(2))
    torch.testing.assert_close(one.fused, two.fused)


def test_gradients_reach_weights_offsets_and_images():
    block, shown = fusion(), images()
    for layer in (block.weights, block.offsets, block.update[3]):
        nn.init.normal_(layer.weight, std=0.1)
    shown.depth_logits.requires_grad_()
    torch.manual_seed(1)
    noise = tuple(torch.randn_like(level).requires_grad_() for level in shown.levels)
    found = block(
        pillars((8.2, 0.2, 1.0)), torch.rand(1, 8), view(), ImageFeatures(noise, shown.depth_logits)
    )
    found.fused.square().sum().backward()
    for tensor in (*noise, shown.depth_logits, block.weights.weight, block.offsets.weight, block.empty):
        assert tensor.grad is not None
        assert tensor.grad.abs().max() > 0
