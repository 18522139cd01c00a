"""Targets and losses against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cosense.detectors.head import HeadMaps, encode_boxes
from cosense.sensing.grid import BevGrid
from cosense.training.targets import Targets, detection_losses, join_targets, make_targets

GRID = BevGrid((-8.0, -4.0, -1.0, 8.0, 4.0, 3.0), 0.8)
CAR = [0.1, 0.2, 0.8, 4.4, 1.9, 1.6, 0.5]


def targets_of(boxes: list, classes: list[int], sure: list[bool] | None = None) -> Targets:
    sure = [True] * len(boxes) if sure is None else sure
    return make_targets(
        np.array(boxes, dtype=np.float64).reshape(-1, 7),
        np.array(classes, dtype=np.int64),
        np.array(sure, dtype=bool),
        GRID,
    )


def test_one_car_makes_one_round_hill() -> None:
    targets = targets_of([CAR], [0])
    assert targets.heat.shape == (1, 3, 10, 20)
    heat = targets.heat[0, 0]
    assert (heat == 1).nonzero().tolist() == [[5, 10]]
    for step in range(1, 4):
        ring = [heat[5 - step, 10], heat[5 + step, 10], heat[5, 10 - step], heat[5, 10 + step]]
        assert len({float(value) for value in ring}) == 1
        assert ring[0] < heat[5 - step + 1, 10] or ring[0] == 0
    assert not targets.heat[0, 1:].any()
    assert targets.heat_weight.all()


def test_box_codes_stand_on_the_nine_cells_around_the_middle() -> None:
    targets = targets_of([CAR], [0])
    cells = targets.code_weight[0, 0].nonzero()
    assert sorted(cells.tolist()) == [[row, column] for row in (4, 5, 6) for column in (9, 10, 11)]
    assert targets.code_weight[0, 0, 5, 10] == 1
    for row, column in cells.tolist():
        middle = torch.tensor([[(column + 0.5) * 0.8 - 8.0, (row + 0.5) * 0.8 - 4.0]])
        expected = encode_boxes(torch.tensor([CAR]), middle, 0.8)[0]
        torch.testing.assert_close(targets.codes[0, :, row, column], expected)


def test_neighbours_share_no_middle() -> None:
    beside = [0.9, *CAR[1:]]
    targets = targets_of([CAR, beside], [0, 0])
    assert int((targets.heat == 1).sum()) == 2
    for column, box in ((10, CAR), (11, beside)):
        middle = torch.tensor([[(column + 0.5) * 0.8 - 8.0, 0.4]])
        expected = encode_boxes(torch.tensor([box]), middle, 0.8)[0]
        torch.testing.assert_close(targets.codes[0, :, 5, column], expected)


def test_what_is_hardly_seen_is_not_judged() -> None:
    targets = targets_of([CAR, [-6.0, -3.0, *CAR[2:]]], [0, 0], [False, True])
    assert (targets.heat == 1).nonzero().tolist() == [[0, 0, 1, 2]]
    assert targets.heat_weight[0, 0, 5, 10] == 0
    assert targets.heat_weight[0, 0, 1, 2] == 1
    assert targets.code_weight[0, 0, 5, 10] == 0


def test_objects_off_the_map_and_empty_scenes_leave_nothing() -> None:
    for targets in (targets_of([], []), targets_of([[8.1, *CAR[1:]], [0, -4.1, *CAR[2:]]], [0, 1])):
        assert not targets.heat.any()
        assert not targets.code_weight.any()


def test_a_hill_at_the_border_is_cut_not_wrapped() -> None:
    heat = targets_of([[7.9, *CAR[1:]]], [0]).heat[0, 0]
    assert heat[5, 19] == 1
    assert not heat[:, :10].any()


def test_batches_are_stacked() -> None:
    joined = join_targets([targets_of([CAR], [0]), targets_of([], [])])
    assert joined.heat.shape == (2, 3, 10, 20)
    assert joined.heat[0].any()
    assert not joined.heat[1].any()


@pytest.fixture
def targets() -> Targets:
    return targets_of([CAR], [0])


def test_a_perfect_answer_costs_nothing(targets: Targets) -> None:
    logits = torch.where(targets.heat == 1, 40.0, -40.0)
    sure = torch.ones(10, 1, 1)
    sure[8:] = 40.0
    losses = detection_losses(HeadMaps(logits, targets.codes * sure), targets)
    assert float(losses.total) == pytest.approx(0.0, abs=1e-5)
    # The front at the wrong end: as much as its logit, by the weight of the direction.
    sure[8:] = -40.0
    wrong = detection_losses(HeadMaps(logits, targets.codes * sure), targets)
    assert float(wrong.boxes) == pytest.approx(2 * 40.0, rel=1e-5)
    sure[8:] = 0.0
    undecided = detection_losses(HeadMaps(logits, targets.codes * sure), targets)
    assert float(undecided.boxes) == pytest.approx(2 * math.log(2), rel=1e-5)


def test_an_undecided_answer_costs_what_the_paper_says(targets: Targets) -> None:
    losses = detection_losses(HeadMaps(torch.zeros_like(targets.heat), targets.codes), targets)
    # p = 1/2 everywhere: -log(1/2) (1/2)^2 weighted by 1 at the middle and (1 - heat)^4 elsewhere.
    weights = torch.where(targets.heat == 1, 1.0, (1 - targets.heat) ** 4)
    # People and riders count twice.
    weights = weights * torch.tensor([1.0, 2.0, 2.0])[:, None, None]
    assert float(losses.heat) == pytest.approx(float(weights.sum()) * math.log(2) / 4, rel=1e-5)


@pytest.mark.parametrize(
    ("along_m", "across_m", "longer"), [(0.5, 0.0, 1.0), (0.0, 0.5, 1.0), (0.0, 0.0, 1.5)]
)
def test_footprints_cost_what_they_do_not_share(
    targets: Targets, along_m: float, across_m: float, longer: float
) -> None:
    _, _, _, length, width, _, yaw = CAR
    middle = [CAR[0] + along_m * math.cos(yaw) - across_m * math.sin(yaw)]
    middle.append(CAR[1] + along_m * math.sin(yaw) + across_m * math.cos(yaw))
    off = torch.tensor([middle[0] - CAR[0], middle[1] - CAR[1], 0, math.log(longer), 0, 0, 0, 0, 0, 0])
    off[:2] /= GRID.cell_m
    codes = targets.codes + off[:, None, None]
    common = min(length - along_m, length) * (width - across_m)
    iou = common / (length * width * (1 + longer) - common)
    scale = torch.tensor([1, 1, 0.5, 1.5, 1.5, 1, 1, 1, 0, 0])
    straight = float((off.abs() * scale).sum())
    logits = torch.zeros_like(targets.heat)
    before, after = (detection_losses(HeadMaps(logits, c), targets).boxes for c in (targets.codes, codes))
    assert float(after - before) == pytest.approx(straight + 1 - iou, abs=1e-4)


def test_cells_without_judgement_cost_nothing(targets: Targets) -> None:
    logits = torch.full_like(targets.heat, 20.0)
    silent = replace(targets, heat_weight=torch.zeros_like(targets.heat_weight))
    assert float(detection_losses(HeadMaps(logits, targets.codes), silent).heat) == 0


def test_a_wrong_box_costs_its_distance_wherever_boxes_are_asked_for(targets: Targets) -> None:
    codes = targets.codes + 1.0
    losses = detection_losses(HeadMaps(torch.zeros_like(targets.heat), codes), targets)
    elsewhere = torch.where(targets.code_weight > 0, codes, codes + 100)
    again = detection_losses(HeadMaps(torch.zeros_like(targets.heat), elsewhere), targets)
    assert float(losses.boxes) > 1
    assert float(losses.boxes) == float(again.boxes)


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_no_logit_makes_the_loss_infinite(targets: Targets, logit: float) -> None:
    logits = torch.full_like(targets.heat, logit, requires_grad=True)
    losses = detection_losses(HeadMaps(logits, targets.codes), targets)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_a_scene_without_objects_has_a_loss() -> None:
    empty = make_targets(np.zeros((0, 7)), np.zeros(0, np.int64), np.zeros(0, bool), GRID)
    maps = HeadMaps(torch.zeros_like(empty.heat), torch.ones_like(empty.codes))
    assert float(detection_losses(maps, empty).heat) > 0
    assert float(detection_losses(maps, empty).boxes) == 0
