"""What ships works together: 2 kB show the ego what it cannot see, on a place that nobody was trained on."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.cooperation.kinds import FusionKind
from cosense.cooperation.offline import Cooperation
from cosense.cooperation.outcome import FusionResult
from cosense.data.dataset import CooperativeFrame
from cosense.evaluation.metrics.matching import match_frame
from cosense.methods.calibration import FILE_NAME
from cosense.methods.model import Model, load_model
from cosense.model_folders import WEIGHTS, find_model
from cosense.sensing.objects import VEHICLES
from cosense.simulation import simulate

MODELS = ("cosense-lite", "cosdh", "lcv2i", "max-fusion", "attention-fusion")
BUDGET_BYTES = 2000


@pytest.fixture(scope="module")
def frames() -> list[CooperativeFrame]:
    """Return a T-junction with a side road that only the mast sees."""
    return [made.frame for made in simulate("t_junction", 700_013, 2)]


@pytest.fixture(scope="module")
def lite() -> Model:
    return load_model("cosense-lite")


def run(model: Model, fusion: FusionKind, frames: list[CooperativeFrame]) -> FusionResult:
    """Return what the ego knows in the last frame."""
    budget = None if fusion == "none" else BUDGET_BYTES
    cooperation = Cooperation(model, fusion, budget_bytes=budget)
    results = [cooperation.step([frame.ego, *frame.others], number) for number, frame in enumerate(frames)]
    return results[-1].result


def found(result: FusionResult, frame: CooperativeFrame) -> int:
    """Return how many vehicles have a sure box that overlaps them by half."""
    sure = result.detections[result.detections.scores > 0.5]
    truth = frame.ground_truth[np.isin(frame.ground_truth.labels, VEHICLES)]
    return int(match_frame(sure.boxes, sure.scores, truth.boxes, 0.5).sum())


def test_two_kilobytes_show_the_ego_what_it_cannot_see(lite: Model, frames: list[CooperativeFrame]) -> None:
    alone, together = run(lite, "none", frames), run(lite, "hybrid", frames)
    assert found(together, frames[-1]) > found(alone, frames[-1]) + 2
    (peer,) = together.peers
    assert peer.used_for == "features"
    assert peer.bytes <= BUDGET_BYTES
    assert sum(together.request_bytes.values()) <= 250


def test_features_alone_are_better_than_nothing(lite: Model, frames: list[CooperativeFrame]) -> None:
    alone, features = run(lite, "none", frames), run(lite, "intermediate", frames)
    assert found(features, frames[-1]) > found(alone, frames[-1])


def test_calibrated_scores_of_the_shipped_curves_keep_the_order_of_each_source(
    lite: Model, frames: list[CooperativeFrame]
) -> None:
    assert (find_model("cosense-lite") / FILE_NAME).is_file()
    boxes = lite.detector.detect(frames[0].ego)
    assert lite.method is not None
    calibrated = lite.method.calibration.apply(boxes)
    of_cars = [d.boxes[d.labels == 0] for d in (boxes, calibrated)]
    np.testing.assert_array_equal(*of_cars)


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_small_and_fit_their_configuration(name: str) -> None:
    assert (find_model(name) / WEIGHTS).stat().st_size <= 20e6
    assert load_model(name).method is not None
    assert (find_model(name) / "card.md").is_file()
