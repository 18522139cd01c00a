"""What each method makes of admitted messages: candidate boxes of all sources, calibrated, not yet merged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import norm

from cosense.geometry.iou import bev_iou
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.chunks import ReceivedLayer
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.base import Admitted
from cosense.methods.calibration import Calibration
from cosense.methods.model import Model
from cosense.sensing.detections import Detections, Source
from tests.cooperation.networks import COSDH, LCV2I, PATCHES, cooperative, detections
from tests.detectors.networks import cloud, frame_of

MODELS = {"patches": cooperative(PATCHES), "cosdh": cooperative(COSDH), "lcv2i": cooperative(LCV2I)}
T_EGO_SENDER = transform_from_planar(6.0, 2.0, 2.0, 0.0)
EGO, OTHER = frame_of(cloud(1, 2000)), frame_of(cloud(2, 2000))
both = pytest.mark.parametrize("name", MODELS)
CAR = detections([[4.0, 1.0, -0.5, 4.0, 1.8, 1.5, 0.3]], [0.6])
UNSURE = detections([[4.0, 1.0, -0.5, 4.0, 1.8, 1.5, 0.3]], [0.05])


def admitted(model: Model, found: Detections, *, with_features: bool, spread: float = 0.0) -> Admitted:
    """Return what a sender of the same model sent, all of it."""
    method = model.method
    layers: list[ReceivedLayer] = []
    if with_features:
        sections = method.offer(
            model.detector.encode(OTHER),
            lambda stride: torch.ones(method.detector.grid.coarser(stride).shape, dtype=torch.bool),
            None,
            seed=0,
            with_boxes=True,
        )
        for layer in range(len(method.specs)):
            parts = [section for section in sections if section.layer == layer]
            cells = np.concatenate([part.cells for part in parts])
            layers.append(ReceivedLayer(cells, np.concatenate([part.values for part in parts])))
    late = dataclasses.replace(found, sources=np.full(len(found), Source.LATE, np.uint8))
    sent = LateBoxes(found, np.full((len(found), 2), np.nan))
    use = "features" if with_features else "boxes"
    along_m = spread * found.boxes[:, 3]
    errors_m, spreads_m = np.zeros(len(found)), np.column_stack([along_m, np.zeros(len(found))])
    return Admitted(
        "unit", use, with_features, T_EGO_SENDER, 0.0, tuple(layers), sent, late, errors_m, spreads_m
    )


def fuse(model: Model, *others: Admitted, with_boxes: bool = True) -> Detections:
    own = model.detector.encode(EGO)
    return model.method.fuse(own, model.detector.decode(own), others, with_boxes=with_boxes)


@both
@pytest.mark.parametrize("with_boxes", [True, False])
def test_without_a_message_the_candidates_are_the_egos_own(name, with_boxes):
    model = MODELS[name]
    found, own = fuse(model, with_boxes=with_boxes), model.detector.decode(model.detector.encode(EGO))
    assert len(own) > 0
    np.testing.assert_array_equal(found.boxes, own.boxes)
    assert set(found.sources) == {Source.EGO}


@both
def test_features_give_fused_boxes_that_differ_from_the_egos(name):
    model = MODELS[name]
    found = fuse(model, admitted(model, CAR[:0], with_features=True), with_boxes=False)
    assert set(found.sources) == {Source.FUSED}
    assert not np.array_equal(found.boxes, model.detector.detect(EGO).boxes)


@both
def test_boxes_of_others_are_candidates_only_in_hybrid_fusion(name):
    model = MODELS[name]
    for with_features in (False, True):
        other = admitted(model, CAR, with_features=with_features)
        late = fuse(model, other)
        late = late[late.sources == Source.LATE]
        np.testing.assert_array_equal(late.boxes, CAR.boxes)
        assert Source.LATE not in fuse(model, other, with_boxes=False).sources


def test_the_product_profile_weighs_late_boxes_by_how_certain_they_are_and_calibrates_all():
    curves = Calibration({"late": {"car": (1.0, -1.0)}, "fused": {"car": (1.0, -2.0)}})
    plain, curved = cooperative(PATCHES), cooperative(PATCHES, calibration=curves)
    # Of boxes that lie this many of their lengths off along their heading half overlap their object by half.
    half = 1 / 3 / norm.ppf(0.75)
    exact = 2 * norm.cdf((1 - 1.4 / 1.7) / half) - 1
    for share, spread in ((1.0, 0.0), ((0.5 + exact / 0.7) / 2, half)):
        found = fuse(plain, admitted(plain, CAR, with_features=False, spread=spread))
        late = found.scores[found.sources == Source.LATE]
        np.testing.assert_allclose(late, 0.6 * share, atol=0.6 / 24 if spread else 1e-6)
    lower = fuse(curved, admitted(curved, CAR, with_features=True))
    higher = fuse(plain, admitted(plain, CAR, with_features=True))
    for source in (Source.LATE, Source.FUSED):
        with_curve, without = (
            found.scores[(found.sources == source) & (found.labels == 0)] for found in (lower, higher)
        )
        assert len(without) > 0
        assert (with_curve < without).all()


def test_cosdh_lowers_late_boxes_by_a_constant_and_leaves_out_unsure_ones():
    model = MODELS["cosdh"]
    found = fuse(model, admitted(model, CAR, with_features=False, spread=1 / 3 / norm.ppf(0.75)))
    np.testing.assert_allclose(found.scores[found.sources == Source.LATE], 0.6 * 0.8, atol=1e-6)
    found = fuse(model, admitted(model, UNSURE, with_features=False))
    assert Source.LATE not in found.sources


def test_only_the_product_profile_asks_for_averaged_boxes():
    assert MODELS["patches"].method.averages_boxes
    assert not MODELS["cosdh"].method.averages_boxes


def test_regions_of_lcv2i_add_objects_and_leave_all_other_boxes_as_they_are():
    model = MODELS["lcv2i"]
    heard = fuse(model, admitted(model, CAR, with_features=True))
    own = model.detector.decode(model.detector.encode(EGO))
    kept = heard[heard.sources != Source.FUSED]
    late = fuse(model, admitted(model, CAR, with_features=False))
    late = late[late.sources != Source.FUSED]
    for name in ("boxes", "scores", "labels", "sources"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(late, name))
    assert len(kept) == len(own) + 1
    added = heard[heard.sources == Source.FUSED]
    alone = fuse(model, admitted(model, CAR[:0], with_features=True), with_boxes=False)
    assert 0 < len(added) < len(alone)
    assert bev_iou(added.boxes, kept.boxes).max() <= 0.15
