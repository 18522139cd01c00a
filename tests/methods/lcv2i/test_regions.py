from __future__ import annotations

import pytest
import torch

from cosense.methods.cells import Cells
from cosense.methods.fused_head import draw_boxes
from cosense.methods.lcv2i.regional_maps import smoothed
from cosense.methods.lcv2i.regions import Lcv2iConfig, RegionalEnhancement, RegionEncoder, RegionFusion
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface
from tests.cooperation.networks import LCV2I

GRID = BevGrid((-8.0, -4.8, -12.0, 8.0, 4.8, 5.0), 0.8)
FEATURES = torch.rand(1, 6, 12, 20, generator=torch.Generator().manual_seed(1))
NOTHING = Cells(torch.zeros(0, 8), torch.zeros(0, 2))


@pytest.fixture
def fusion() -> RegionFusion:
    torch.manual_seed(0)
    return RegionFusion(6, LCV2I.sharing).eval().requires_grad_(False)


def test_enhanced_features_start_as_they_are():
    enhancement = RegionalEnhancement(6)
    assert torch.equal(enhancement(FEATURES, torch.rand(1, 1, 12, 20)), FEATURES)


def test_what_stands_out_is_enhanced_by_what_surrounds_it():
    enhancement = RegionalEnhancement(6).requires_grad_(False)
    enhancement.mix.weight.data[:, :, 0, 0] = 2 * torch.eye(6)
    enhancement.alpha.fill_(0.5)
    difference = torch.zeros(1, 1, 12, 20)
    difference[..., 5, 9] = 0.4
    enhanced = enhancement(FEATURES, difference)
    expected = FEATURES.clone()
    expected[..., 5, 9] += 0.5 * 0.4 * 2 * smoothed(FEATURES)[..., 5, 9]
    torch.testing.assert_close(enhanced, expected)


def test_beta_sharpens_and_nothing_falls_below_zero():
    enhancement = RegionalEnhancement(6).requires_grad_(False)
    enhancement.beta.fill_(4.0)
    enhanced = enhancement(FEATURES, torch.zeros(1, 1, 12, 20))
    torch.testing.assert_close(enhanced, (5 * FEATURES - 4 * smoothed(FEATURES)).clamp(min=0))
    assert bool((enhanced == 0).any())


def test_a_region_is_two_by_two_cells_in_whole_numbers():
    torch.manual_seed(0)
    latent = RegionEncoder(6, LCV2I.sharing)(FEATURES).detach()
    assert latent.shape == (1, 8, 6, 10)
    assert torch.equal(latent, latent.round())
    assert -8 <= float(latent.min()) < float(latent.max()) <= 7


def test_only_what_was_sent_changes_the_map_of_the_ego(fusion):
    grid = GRID.coarser(2)
    # The middle of the region in row 2, column 4.
    region = Cells(torch.full((1, 8), 3.0), torch.tensor([[-8.0 + 4.5 * 1.6, -4.8 + 2.5 * 1.6]]))
    placed, sent = fusion.placed(region, 0.4, grid)
    assert sent[0].nonzero().tolist() == [[2, 4]]
    assert float(sent[0, 2, 4]) == pytest.approx(1.0, abs=1e-5)
    received = fusion.received(placed[None], sent[None], GRID.shape)
    assert received.shape == (1, 6, 12, 20)
    there = torch.zeros(12, 20, dtype=torch.bool)
    there[4:6, 8:10] = True
    assert bool(received[..., there].any())
    assert not received[..., ~there].any()
    fused = fusion.fused(FEATURES[0], [received[0], 2 * received[0]])
    torch.testing.assert_close(fused[:6], FEATURES[0])
    torch.testing.assert_close(fused[6:12], 2 * received[0])
    assert torch.equal(fused[12] > 0, (received[0] > 0).any(dim=0))


def test_of_nothing_nothing_comes(fusion):
    placed, sent = fusion.placed(NOTHING, 0.3, GRID.coarser(2))
    received = fusion.received(placed[None], sent[None], GRID.shape)
    assert not received.any()
    alone = fusion.fused(FEATURES[0], [])
    torch.testing.assert_close(fusion.fused(FEATURES[0], [received[0]]), alone)
    torch.testing.assert_close(alone[:6], FEATURES[0])
    assert not alone[6:].any()


def test_maps_of_odd_size_are_fused_too(fusion):
    odd = BevGrid((-7.6, -4.4, -12.0, 7.6, 4.4, 5.0), 0.8)
    assert odd.shape == (11, 19)
    region = Cells(torch.ones(1, 8), torch.tensor([[7.5, 4.3]]))
    coarse = BevGrid((-7.6, -4.4, -12.0, 8.4, 5.2, 5.0), 1.6)
    placed, sent = fusion.placed(region, 0.0, coarse)
    received = fusion.received(placed[None], sent[None], odd.shape)
    assert received.shape == (1, 6, 11, 19)


def test_a_fresh_head_reports_what_the_ego_reports(fusion):
    logits, codes = torch.randn(1, 3, 12, 20), torch.randn(1, 10, 12, 20)
    for layer in (fusion.classes, fusion.boxes):
        layer.weight.zero_()
    maps = fusion(
        fusion.fused(FEATURES[0], [])[None], logits, codes, draw_boxes([], GroundSurface.level(0.0), GRID)
    )
    torch.testing.assert_close(maps.class_logits, logits)
    torch.testing.assert_close(maps.box_codes, codes)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"channels": 0}, "channels, hidden_channels and fused_channels are at least 1"),
        ({"need_below_points": -1}, "need_below_points is -1"),
        ({"need_from_points": 1.5}, "need_from_points is 1.5"),
        ({"need_threshold": float("nan")}, "need_threshold is nan"),
    ],
)
def test_settings_without_sense_are_refused(change, complaint):
    with pytest.raises(ValueError, match=complaint):
        Lcv2iConfig(**change)
