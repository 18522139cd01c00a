from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.methods.cells import Cells
from cosense.methods.fused_head import BoxMaps, draw_boxes
from cosense.methods.patches.fusion_network import EvidenceFusion, strongest
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface
from tests.cooperation.networks import PATCHES

GRID = BevGrid((-8.0, -4.0, 0.0, 8.0, 4.0, 1.0), 1.6)
NOTHING = Cells(torch.zeros(0, 8), torch.zeros(0, 2))
FLAT = GroundSurface.level(0.0)
NO_FLOOR = Cells(torch.zeros(0, 4), torch.zeros(0, 2))


@pytest.fixture
def network() -> EvidenceFusion:
    torch.manual_seed(0)
    return EvidenceFusion(8, PATCHES.sharing).eval().requires_grad_(False)


def cells(values: list, places: list) -> Cells:
    return Cells(torch.tensor(values, dtype=torch.float32), torch.tensor(places, dtype=torch.float32))


def test_of_nothing_there_is_no_evidence(network):
    evidence = network.evidence_of(NOTHING, NO_FLOOR, 0.3, GRID)
    assert evidence.shape == (8 + 2, *GRID.shape)
    assert not evidence.any()


@pytest.mark.parametrize(
    ("yaw", "signs"),
    [
        (0.0, [1, 1, 0, 1, 0]),
        (np.pi, [1, -1, 0, 1, 0]),
        (np.pi / 2, [1, 0, 1, -1, 0]),
        (-np.pi / 4, [1, 0.5**0.5, -(0.5**0.5), 0, -1]),
    ],
)
def test_the_matrix_that_reads_a_patch_turns_with_the_sender(network, yaw, signs):
    sent = cells(torch.randn(1, 8).tolist(), [[-8.0 + 2.5 * 1.6, -4.0 + 1.5 * 1.6]])
    matrix = sum(sign * term for sign, term in zip(signs, network.patch_steering, strict=True))
    expected = (sent.values @ matrix[:, :-1].T + matrix[:, -1]).relu()[0]
    read = network.evidence_of(sent, NO_FLOOR, yaw, GRID)
    torch.testing.assert_close(read[:8, 1, 2], expected, atol=1e-5, rtol=1e-5)
    assert not read[8:].any()


@settings(max_examples=30)
@given(st.floats(-np.pi, np.pi), st.floats(-np.pi, np.pi))
def test_a_heading_written_in_the_senders_axes_is_read_in_the_egos(heading, yaw):
    network = EvidenceFusion(8, PATCHES.sharing)
    steering = torch.zeros_like(network.patch_steering)
    # cos and sin of the heading, and of twice of it; 2 is added so that nothing is cut off at 0.
    steering[1, 0, 0] = steering[1, 1, 1] = steering[3, 2, 2] = steering[3, 3, 3] = 1.0
    steering[2, 0, 1], steering[2, 1, 0] = -1.0, 1.0
    steering[4, 2, 3], steering[4, 3, 2] = -1.0, 1.0
    steering[0, :4, -1] = 2.0
    network.patch_steering.data = steering

    def read(angle: float, turned: float) -> torch.Tensor:
        told = [np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle), 0, 0, 0, 0]
        sent = cells([told], [[-8.0 + 2.5 * 1.6, -4.0 + 1.5 * 1.6]])
        return network.evidence_of(sent, NO_FLOOR, turned, GRID)[:, 1, 2]

    torch.testing.assert_close(read(heading, yaw), read(heading + yaw, 0.0), atol=1e-4, rtol=0)


def test_the_floor_covers_two_by_two_cells(network):
    # Also where the map has an odd number of cells.
    grid = BevGrid((-8.0, -4.0, 0.0, 8.0, 4.0, 1.0), 1.6)
    assert grid.shape == (5, 10)
    sent = cells([[1.0, -1.0, 0.0, 2.0]], [[-8.0 + 2.5 * 3.2, -4.0 + 2.5 * 3.2]])
    read = network.evidence_of(NOTHING, sent, 0.0, grid)[8:]
    matrix = network.floor_steering[[0, 1, 3]].sum(dim=0)
    expected = (sent.values @ matrix[:, :-1].T + matrix[:, -1]).relu()[0]
    assert read.any(dim=0).nonzero().tolist() == [[4, 4], [4, 5]]
    torch.testing.assert_close(read[:, 4, 4], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(read[:, 4, 4], read[:, 4, 5], atol=1e-5, rtol=1e-5)


def test_of_several_senders_the_strongest_counts():
    a, b = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[0.5, 2.0]]])
    assert strongest([a, b]).tolist() == [[[1.0, 2.0]]]
    assert strongest([b, a, a]).tolist() == [[[1.0, 2.0]]]
    assert strongest([a]).tolist() == a.tolist()


@pytest.fixture
def ego() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return context, class logits and box codes of an ego with 6 x 10 cells at stride 2."""
    torch.manual_seed(1)
    return torch.rand(1, 8, 6, 10), torch.randn(1, 3, 6, 10) * 3, torch.randn(1, 10, 6, 10)


HEAD_GRID = BevGrid((-4.0, -2.4, 0.0, 4.0, 2.4, 1.0), 0.8)


def silenced(network: EvidenceFusion) -> EvidenceFusion:
    """Return the network with a head that changes nothing."""
    for layer in (network.classes, network.boxes):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    return network


def test_without_evidence_and_boxes_the_fused_head_starts_from_the_ego(network, ego):
    maps = silenced(network)(*ego, torch.zeros(1, 10, 3, 5), draw_boxes([], FLAT, HEAD_GRID))
    # Only what is below any threshold is raised to where a heat of 0 is.
    torch.testing.assert_close(maps.class_logits, ego[1].clamp(min=-8.0))
    torch.testing.assert_close(maps.box_codes, ego[2])


def test_an_untrained_head_changes_hardly_anything(network, ego):
    maps = network(*ego, torch.rand(1, 10, 3, 5), draw_boxes([], FLAT, HEAD_GRID))
    assert float((maps.class_logits - ego[1].clamp(min=-8.0)).abs().max()) < 0.05
    assert float((maps.box_codes - ego[2]).abs().max()) < 0.05


def test_a_box_that_was_told_counts_where_it_is_surer(network, ego):
    context, logits, codes = ego
    logits = torch.full_like(logits, -3.0)
    logits[0, 0, 2, 3] = 2.0
    told = draw_boxes([], FLAT, HEAD_GRID)
    told.heat[0, 0, 2, 3], told.heat[0, 1, 4, 4] = 0.6, 0.6
    told.near[0, 0, 2, 3] = told.near[0, 0, 4, 4] = 1.0
    told.codes[0, :, 2, 3] = told.codes[0, :, 4, 4] = 7.0
    maps = silenced(network)(context, logits, codes, torch.zeros(1, 10, 3, 5), told)
    # The ego itself is surer of the first one.
    assert float(maps.class_logits[0, 0, 2, 3]) == 2.0
    torch.testing.assert_close(maps.box_codes[0, :, 2, 3], codes[0, :, 2, 3])
    assert float(maps.class_logits[0, 1, 4, 4]) == pytest.approx(np.log(0.6 / 0.4), abs=1e-5)
    assert maps.box_codes[0, :, 4, 4].tolist() == [7.0] * 10
    assert int((maps.box_codes != codes).any(dim=1).sum()) == 1


def test_certainty_that_was_told_is_bounded(network, ego):
    told = draw_boxes([], FLAT, HEAD_GRID)
    told.heat[:] = 1.0
    maps = silenced(network)(ego[0], torch.zeros_like(ego[1]), ego[2], torch.zeros(1, 10, 3, 5), told)
    assert maps.class_logits.unique().tolist() == [4.0]


def test_evidence_and_drawn_boxes_reach_the_head(network, ego):
    torch.nn.init.normal_(network.classes.weight)
    silent = network(*ego, torch.zeros(1, 10, 3, 5), draw_boxes([], FLAT, HEAD_GRID)).class_logits
    evidence = torch.zeros(1, 10, 3, 5)
    evidence[0, :, 1, 2] = 3.0
    assert not torch.allclose(network(*ego, evidence, draw_boxes([], FLAT, HEAD_GRID)).class_logits, silent)
    told = draw_boxes([], FLAT, HEAD_GRID)
    near = told.near.clone()
    near[0, 0, 2, 3] = 1.0
    drawn = BoxMaps(told.heat, told.codes, near)
    assert not torch.allclose(network(*ego, torch.zeros(1, 10, 3, 5), drawn).class_logits, silent)


def test_maps_of_odd_size_are_fused_too(network):
    grid = BevGrid((-11.2, -4.8, -12.0, 11.2, 4.8, 5.0), 0.8)
    height, width = grid.shape
    evidence = torch.zeros(1, 10, -(-height // 2), -(-width // 2))
    maps = network(
        torch.rand(1, 8, height, width),
        torch.zeros(1, 3, height, width),
        torch.zeros(1, 10, height, width),
        evidence,
        draw_boxes([], FLAT, grid),
    )
    assert maps.class_logits.shape == (1, 3, height, width)
