from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.detectors.head import cell_centers, decode_boxes
from cosense.geometry.transforms import transform_from_planar, transform_points
from cosense.methods.patches.fusion_network import (
    BoxMaps,
    Cells,
    EvidenceFusion,
    cell_places,
    draw_boxes,
    spread,
    strongest,
)
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface
from cosense.sensing.objects import ObjectClass
from cosense.training.targets import make_targets
from tests.cooperation.networks import PATCHES, detections

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


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.floats(-7.2, 7.2), st.floats(-3.2, 3.2), st.floats(-5, 5)), min_size=1, max_size=12)
)
def test_what_is_spread_within_the_map_adds_up_to_what_was_sent(drawn):
    sent = cells([[value, 1.0] for *_, value in drawn], [[x, y] for x, y, _ in drawn])
    total = spread(sent, GRID).sum(dim=(1, 2))
    torch.testing.assert_close(total, sent.values.sum(dim=0), atol=1e-4, rtol=1e-4)


def test_a_cell_at_the_middle_of_a_cell_lands_there_alone():
    placed = spread(cells([[3.0, -2.0]], [[-8.0 + 2.5 * 1.6, -4.0 + 1.5 * 1.6]]), GRID)
    expected = torch.zeros(2, *GRID.shape)
    expected[:, 1, 2] = torch.tensor([3.0, -2.0])
    torch.testing.assert_close(placed, expected, atol=1e-5, rtol=0)


def test_between_four_middles_nearness_decides():
    x, y = -8.0 + (2.5 + 0.25) * 1.6, -4.0 + (1.5 + 0.4) * 1.6
    placed = spread(cells([[1.0]], [[x, y]]), GRID)[0]
    expected = torch.zeros(GRID.shape)
    expected[1, 2], expected[1, 3], expected[2, 2], expected[2, 3] = 0.45, 0.15, 0.3, 0.1
    torch.testing.assert_close(placed, expected, atol=1e-5, rtol=0)


def test_what_hangs_over_the_border_is_lost_and_what_lies_outside_too():
    corner = spread(cells([[1.0]], [[-8.0, -4.0]]), GRID)
    assert float(corner.sum()) == pytest.approx(0.25)
    assert float(corner[0, 0, 0]) == pytest.approx(0.25)
    far = spread(cells([[1.0]] * 4, [[-9.0, 0.0], [9.0, 0.0], [0.0, 1e8], [-1e8, 0.0]]), GRID)
    assert not far.any()


def test_of_nothing_there_is_no_evidence(network):
    assert not spread(NOTHING, GRID).any()
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


DRAWN_GRID = BevGrid((-12.8, -6.4, -12.0, 12.8, 6.4, 5.0), 0.8)
GROUND_M = -1.9
GROUND = GroundSurface.level(GROUND_M)
CAR = [3.1, 2.2, -1.1, 4.5, 1.9, 1.6, 0.3]
FAR_CAR = [-8.0, -3.0, -1.0, 5.0, 2.0, 1.7, -2.0]


def test_cells_are_placed_by_the_poses_of_both():
    T_ego_sender = transform_from_planar(30.0, -12.0, 2.5, z=4.0)
    cells = torch.tensor([0, 17, 40, 511])
    places = cell_places(cells, DRAWN_GRID, T_ego_sender)
    centres = np.column_stack([cell_centers(cells, DRAWN_GRID).numpy(), np.zeros(4)])
    expected = transform_points(T_ego_sender, centres.astype(np.float64))[:, :2]
    np.testing.assert_allclose(places, expected, atol=1e-4)
    torch.testing.assert_close(cell_places(cells, DRAWN_GRID, np.eye(4)), cell_centers(cells, DRAWN_GRID))
    assert cell_places(cells[:0], DRAWN_GRID, T_ego_sender).shape == (0, 2)


@pytest.mark.parametrize(
    ("label", "kind"),
    [(ObjectClass.CAR, 0), (ObjectClass.BUS, 0), (ObjectClass.PEDESTRIAN, 1), (ObjectClass.CYCLIST, 2)],
)
def test_a_box_is_drawn_as_training_draws_its_targets(label, kind):
    drawn = draw_boxes([detections([CAR], [1.0], [label])], GROUND, DRAWN_GRID)
    lowered = np.array([CAR]) - np.array([0, 0, GROUND_M, 0, 0, 0, 0])
    targets = make_targets(lowered, np.array([kind]), np.ones(1, bool), DRAWN_GRID)
    torch.testing.assert_close(drawn.heat, targets.heat)
    torch.testing.assert_close(drawn.codes, targets.codes)
    torch.testing.assert_close(drawn.near, (targets.code_weight > 0).float())
    assert int(drawn.near.sum()) == 9


def test_a_score_is_the_height_of_the_hill():
    whole = draw_boxes([detections([CAR], [1.0])], GROUND, DRAWN_GRID)
    half = draw_boxes([detections([CAR], [0.5])], GROUND, DRAWN_GRID)
    torch.testing.assert_close(half.heat, 0.5 * whole.heat)
    torch.testing.assert_close(half.codes, whole.codes)


def test_the_code_around_a_middle_is_that_of_the_box():
    drawn = draw_boxes([detections([CAR], [0.4])], GROUND, DRAWN_GRID)
    cells = drawn.near.flatten().nonzero()[:, 0]
    codes = drawn.codes[0].flatten(1).T[cells]
    boxes = decode_boxes(codes, cell_centers(cells, DRAWN_GRID), DRAWN_GRID.cell_m)
    expected = np.array([*CAR[:2], CAR[2] - GROUND_M, *CAR[3:]])
    np.testing.assert_allclose(boxes, np.tile(expected, (9, 1)), atol=1e-5)


def test_two_senders_are_drawn_into_one_map():
    a, b = detections([CAR], [0.9]), detections([FAR_CAR], [0.6])
    both = draw_boxes([a, b], GROUND, DRAWN_GRID)
    each = [draw_boxes([part], GROUND, DRAWN_GRID) for part in (a, b)]
    torch.testing.assert_close(both.heat, torch.maximum(each[0].heat, each[1].heat))
    torch.testing.assert_close(both.near, each[0].near + each[1].near)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_one_car_that_two_have_told_the_surer_one_is_drawn(order):
    turned = [*CAR[:6], CAR[6] + 0.5]
    parts = [detections([CAR], [0.9]), detections([turned], [0.3])]
    drawn = draw_boxes([parts[index] for index in order], GROUND, DRAWN_GRID)
    alone = draw_boxes(parts[:1], GROUND, DRAWN_GRID)
    torch.testing.assert_close(drawn.codes, alone.codes)
    torch.testing.assert_close(drawn.heat, alone.heat)


def test_what_is_outside_or_unknown_to_the_detectors_is_left_out():
    outside = [13.0, *CAR[1:]]
    cone = ObjectClass.TRAFFIC_CONE
    drawn = draw_boxes([detections([outside, CAR], [0.9, 0.9], [0, cone])], GROUND, DRAWN_GRID)
    assert not drawn.heat.any()
    assert not drawn.near.any()


def test_a_box_at_the_border_is_drawn_as_far_as_the_map_goes():
    drawn = draw_boxes([detections([[-12.7, -6.3, *CAR[2:]]], [0.9])], GROUND, DRAWN_GRID)
    assert int(drawn.near.sum()) == 4
    assert float(drawn.heat.max()) == pytest.approx(0.9)


def test_of_nothing_nothing_is_drawn():
    for parts in ([], [detections([], [])], [detections([], [])] * 3):
        drawn = draw_boxes(parts, GROUND, DRAWN_GRID)
        maps = (drawn.heat, drawn.codes, drawn.near)
        assert [one.shape[1:] for one in maps] == [(count, *DRAWN_GRID.shape) for count in (3, 10, 1)]
        assert not any(one.any() for one in maps)
