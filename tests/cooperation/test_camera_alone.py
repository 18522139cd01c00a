"""An agent that has a camera and no cloud sends boxes and features like others, and takes those of others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cosense.cooperation.perceived import Perceiver
from cosense.cooperation.sender import Sender
from cosense.detectors.camera.without_cloud import WithoutCloudConfig
from cosense.detectors.camera_pillars import CameraPillarDetector
from cosense.messages.envelope import decode
from cosense.messages.features import decode_features
from cosense.methods.model import Model
from cosense.scene_graph.registrations import SCENE_GRAPH
from tests.cooperation.networks import (
    COSDH,
    LCV2I,
    MS,
    NO_POINTS,
    PATCHES,
    amplify,
    cooperative,
    frame,
    objects_message,
    perceived,
)
from tests.cooperation.pair import EGO, NOW, T_WORLD_UNIT, fuse_with
from tests.detectors.cameras import camera, with_camera
from tests.detectors.networks import method_of

BLIND = frame("unit", T_WORLD_UNIT, NOW, points=NO_POINTS)
WITH_CAMERA = dataclasses.replace(BLIND, cameras=(camera(stamp_ns=NOW),))


def with_camera_alone(name: str) -> Model:
    """Return one of the small models on a detector whose every part makes a difference."""
    tiny = {"patches": PATCHES, "cosdh": COSDH, "lcv2i": LCV2I}[name]
    config = with_camera(tiny.detector, without_cloud=WithoutCloudConfig(hidden=8))
    network = CameraPillarDetector.build(config, seed=0)
    amplify(network)
    network.head.classes.weight.data *= 3
    network.head.classes.bias.data.fill_(-2.0)
    detector = CameraPillarDetector("tiny", config, network, fingerprint=b"12345678")
    given = cooperative(tiny).method
    return Model("tiny", detector, method_of(tiny.sharing)[1](tiny.sharing, detector, given.network))


@pytest.mark.parametrize("name", ["patches", "cosdh", "lcv2i"])
def test_a_camera_alone_sends_boxes_and_features_and_the_ego_uses_them(name: str) -> None:
    model = with_camera_alone(name)
    own = perceived(model, WITH_CAMERA)
    assert len(own.detections)
    data = Sender("unit", model, "hybrid", budget_bytes=4000).message(own, 0, None)
    assert len(data) <= 4000
    sent = decode_features(decode(data).payload)
    layers = sent.layers(model.method.specs, own.encoded.grid.shape)
    assert len(sent.boxes.detections)
    assert any(np.abs(layer.values).sum() > 0 for layer in layers)

    features = model.detector.encode(EGO)
    of_ego = objects_message(EGO, model.detector.decode(features))
    (report,) = fuse_with(model, data, features=features, own=of_ego).result.peers
    assert report.used_for == "features"


def test_an_ego_that_has_a_camera_alone_takes_the_features_of_others() -> None:
    model = with_camera_alone("lcv2i")
    of_unit = Sender("unit", model, "hybrid").message(
        perceived(model, frame("unit", T_WORLD_UNIT, NOW, seed=2)), 0, None
    )
    ego = dataclasses.replace(EGO, points=NO_POINTS, cameras=(camera(stamp_ns=NOW),))
    features = model.detector.encode(ego)
    own = objects_message(ego, model.detector.decode(features))
    result = fuse_with(model, of_unit, features=features, own=own).result
    assert [report.used_for for report in result.peers] == ["features"]


def test_an_agent_whose_lidar_is_lost_goes_on_and_sends_no_scene_graph_of_nothing() -> None:
    model = with_camera_alone("patches")
    sender = Sender("unit", model, "hybrid", registration=SCENE_GRAPH, budget_bytes=4000)
    perceiver = Perceiver(model.detector)
    for number in range(4):
        stamp_ns = NOW + number * 100 * MS
        measured = frame("unit", T_WORLD_UNIT, stamp_ns, seed=2)
        if number >= 2:
            measured = dataclasses.replace(measured, points=NO_POINTS)
        own = perceiver.perceive(dataclasses.replace(measured, cameras=(camera(stamp_ns=stamp_ns),)))
        data, graph = sender.message(own, number, None), sender.surroundings(own, number)
        assert len(decode_features(decode(data).payload).boxes.detections)
        assert len(data) + len(graph or b"") <= 4000
