"""Losses against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cosense.detectors.head import HeadMaps
from cosense.sensing.grid import BevGrid
from cosense.training.losses import detection_losses
from cosense.training.targets import Targets, make_targets

GRID = BevGrid((-8.0, -4.0, -1.0, 8.0, 4.0, 3.0), 0.8)


@pytest.fixture
def targets() -> Targets:
    box = np.array([[0.1, 0.2, 0.8, 4.4, 1.9, 1.6, 0.5]])
    return make_targets(box, np.array([0]), np.array([True]), GRID)


def test_a_perfect_answer_costs_nothing(targets: Targets) -> None:
    logits = torch.where(targets.heat == 1, 40.0, -40.0)
    losses = detection_losses(HeadMaps(logits, targets.codes), targets)
    assert float(losses.total) == pytest.approx(0.0, abs=1e-5)


def test_an_undecided_answer_costs_what_the_paper_says(targets: Targets) -> None:
    losses = detection_losses(HeadMaps(torch.zeros_like(targets.heat), targets.codes), targets)
    # p = 1/2 everywhere: -log(1/2) (1/2)^2 weighted by 1 at the middle and (1 - heat)^4 elsewhere.
    weights = torch.where(targets.heat == 1, 1.0, (1 - targets.heat) ** 4)
    assert float(losses.heat) == pytest.approx(float(weights.sum()) * math.log(2) / 4, rel=1e-5)
    assert float(losses.boxes) == 0


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
