"""An ego and a roadside unit that several tests let fuse."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego, Fused, OwnView
from cosense.cooperation.kinds import FusionKind
from cosense.cooperation.outcome import FusionResult
from cosense.detectors.base import BevFeatures
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import invert, transform_from_planar
from cosense.messages.envelope import PayloadKind, decode
from cosense.messages.features import encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.model import Model
from cosense.sensing.detections import Detections
from tests.cooperation.networks import (
    CONFIGS,
    MS,
    NO_POINTS,
    cooperative,
    features_message,
    frame,
    message,
    objects_message,
)

NOW = 10_000 * MS
T_WORLD_EGO = transform_from_planar(1000.0, 2000.0, 0.5, 2.0)
T_EGO_UNIT = transform_from_planar(6.0, 2.0, 2.0, 1.5)
T_WORLD_UNIT = T_WORLD_EGO @ T_EGO_UNIT
MODELS = {name: cooperative(config) for name, config in CONFIGS.items()}
EGO = frame("ego", T_WORLD_EGO, NOW, seed=1)
UNIT = frame("unit", T_WORLD_UNIT, NOW, seed=2)
FEATURES = {name: model.detector.encode(EGO) for name, model in MODELS.items()}
OWN = objects_message(EGO, MODELS["patches"].detector.decode(FEATURES["patches"]))
ALONE = Ego(None, "none").fuse(OwnView(decode(OWN)), []).result.detections
each_profile = pytest.mark.parametrize("profile", MODELS)


def fuse_with(
    model: Model,
    *messages: bytes,
    features: BevFeatures,
    own: bytes = OWN,
    fusion: FusionKind = "hybrid",
    **options: Any,
) -> Fused:
    # These networks have learned nothing: nobody agrees with anybody.
    ego = Ego(model, fusion, **{"own_eyes": False} | options)
    return ego.fuse(OwnView(decode(own), features), [receive(data) for data in messages])


def fuse(profile: str, *messages: bytes, **options: Any) -> FusionResult:
    return fuse_with(MODELS[profile], *messages, features=FEATURES[profile], **options).result


def from_unit(profile: str, agent=UNIT, **changes) -> bytes:
    return features_message(MODELS[profile], dataclasses.replace(agent, **changes))


def late_only(found: Detections, velocities=None, age_ms=0, name="unit") -> bytes:
    """Return a FEATURES message of the product profile with nothing but boxes, given in the ego frame."""
    local = transform_boxes(invert(T_EGO_UNIT), found.boxes)
    told = LateBoxes(
        dataclasses.replace(found, boxes=local),
        np.full((len(found), 2), np.nan) if velocities is None else velocities,
    )
    agent = frame(name, T_WORLD_UNIT, NOW - age_ms * MS, points=NO_POINTS)
    payload = encode_features(-3.4, told, [], MODELS["patches"].method.specs, 1 << 16)
    return message(agent, PayloadKind.FEATURES, payload)


def assert_same(a: Detections, b: Detections) -> None:
    np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-6)
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.sources, b.sources)


def differ(a: Detections, b: Detections) -> bool:
    return len(a) != len(b) or not np.array_equal(a.boxes, b.boxes)
