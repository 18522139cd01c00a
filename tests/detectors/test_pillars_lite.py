"""The weights that ship: they find vehicles in scenes, sensors and data that they have not seen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cosense.data import open_dataset
from cosense.data.dataset import CooperativeFrame
from cosense.detectors.base import BevDetector
from cosense.detectors.pillars import PillarDetector
from cosense.geometry.boxes import points_in_boxes
from cosense.geometry.iou import bev_iou
from cosense.methods.model import load_model, read_model_config, read_network
from cosense.model_folders import WEIGHTS, find_model
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import VEHICLES
from cosense.simulation import simulate


@pytest.fixture(scope="module")
def detector() -> BevDetector:
    return load_model("pillars-lite").detector


@pytest.fixture(scope="module")
def junction() -> CooperativeFrame:
    """A frame of the family that training never sees."""
    return next(iter(simulate("t_junction", 77, 1))).frame


def found(detector: BevDetector, agents: Iterable[AgentFrame], points: int) -> float:
    """Return the share of the agents' own vehicles with that many points that a sure box overlaps."""
    hits, objects = 0, 0
    for agent in agents:
        assert agent.objects is not None
        boxes = agent.objects.boxes[np.isin(agent.objects.labels, VEHICLES)]
        boxes = boxes[points_in_boxes(agent.points[:, :3], boxes).sum(axis=1) >= points]
        boxes = boxes[detector.grid.contains(boxes)]
        detections = detector.detect(agent)
        detections = detections[(detections.labels == 0) & (detections.scores > 0.25)]
        hits += int((bev_iou(boxes, detections.boxes).max(axis=1, initial=0) > 0.5).sum())
        objects += len(boxes)
    return hits / objects


def test_vehicles_of_an_unseen_family_are_found(detector: BevDetector, junction: CooperativeFrame) -> None:
    assert found(detector, junction.agents.values(), points=20) >= 0.7


def test_vehicles_of_another_simulator_are_found(detector: BevDetector, shared_data: Path) -> None:
    frame = open_dataset(shared_data / "v2xset_frame")[0]
    assert found(detector, frame.agents.values(), points=20) >= 0.6


def test_bfloat16_finds_what_float32_finds(junction: CooperativeFrame) -> None:
    folder = find_model("pillars-lite")
    config = read_model_config(folder).detector
    by_precision = []
    for precision in ("float32", "bfloat16"):
        chosen = replace(config, precision=precision)
        detector = PillarDetector("pillars-lite", chosen, read_network(folder))
        by_precision.append(detector.detect(junction.ego))
    exact, rounded = by_precision
    sure = exact[exact.scores > 0.3]
    overlap = bev_iou(sure.boxes, rounded.boxes)
    # Where two cells are as good as equal the other one may win, which moves a distant box a little.
    assert (overlap.max(axis=1) > 0.5).all()
    assert np.median(overlap.max(axis=1)) > 0.95
    assert np.abs(sure.scores - rounded.scores[overlap.argmax(axis=1)]).max() < 0.05


def test_a_cloud_without_intensity_is_no_other_cloud(
    detector: BevDetector, junction: CooperativeFrame
) -> None:
    dark = junction.ego.points.copy()
    dark[:, 3] = 0
    assert found(detector, [replace(junction.ego, points=dark)], points=20) >= 0.6


def test_it_is_small_and_says_who_it_is(detector: BevDetector) -> None:
    folder = find_model("pillars-lite")
    assert (folder / WEIGHTS).stat().st_size < 20_000_000
    assert detector.name == "pillars-lite"
    assert len(detector.weights_sha256) == 64
    assert detector.fingerprint != bytes(8)
    assert (folder / "card.md").is_file()
    assert detector.dtype in (torch.float32, torch.bfloat16)
