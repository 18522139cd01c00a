from __future__ import annotations

import numpy as np
import pytest
import torch

from cosense.detectors.head import cell_centers, decode_boxes
from cosense.methods.fused_head import draw_boxes, head_maps_as_input
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface
from cosense.sensing.objects import ObjectClass
from cosense.training.targets import make_targets
from tests.cooperation.networks import detections

DRAWN_GRID = BevGrid((-12.8, -6.4, -12.0, 12.8, 6.4, 5.0), 0.8)
GROUND_M = -1.9
GROUND = GroundSurface.level(GROUND_M)
CAR = [3.1, 2.2, -1.1, 4.5, 1.9, 1.6, 0.3]
FAR_CAR = [-8.0, -3.0, -1.0, 5.0, 2.0, 1.7, -2.0]


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


def test_the_head_is_read_as_confidences_and_bounded_codes():
    joined = head_maps_as_input(torch.zeros(3, 2, 2), torch.full((10, 2, 2), -9.0))
    assert joined.shape == (13, 2, 2)
    assert joined[:3].unique().tolist() == [0.5]
    assert joined[3:].unique().tolist() == [-4.0]
