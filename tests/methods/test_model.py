"""A model folder: the detector and the method that its config.yaml names, with their weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from cosense.errors import CosenseError
from cosense.methods.calibration import IDENTITY, Calibration
from cosense.methods.cosdh.levels import CosdhConfig
from cosense.methods.cosdh.method import Cosdh
from cosense.methods.model import as_text, find_model_config, load_model, model_config
from cosense.methods.patches.encoder import PatchesConfig
from cosense.methods.patches.method import Patches
from cosense.model_folders import CONFIG, WEIGHTS
from tests.cooperation.networks import COSDH, PATCHES, features_message, frame
from tests.detectors.networks import (
    TINY,
    cloud,
    frame_of,
    mapping_of,
    method_of,
    tiny_detector,
    write_model,
)


def write(folder, profile, drop: str = "-", **changes):
    """Write a model folder without the tensors whose names begin with `drop`."""
    write_model(folder, profile.detector, 1, profile.sharing, **changes)
    tensors = load_file(folder / WEIGHTS)
    save_file({name: t for name, t in tensors.items() if not name.startswith(drop)}, folder / WEIGHTS)


@pytest.mark.parametrize(("profile", "method"), [(PATCHES, Patches), (COSDH, Cosdh)])
def test_a_model_that_shares_features_is_read_whole(tmp_path, profile, method):
    write(tmp_path, profile)
    model = load_model(tmp_path)
    assert type(model.method) is method
    assert model.method.detector is model.detector
    assert (model.name, model.method.calibration) == (tmp_path.name, IDENTITY)
    assert (model.method.config, model.detector.config) == (profile.sharing, profile.detector)
    # The batch norms are folded: compare what comes out.
    detector = tiny_detector(profile.detector, 1)
    written = method_of(profile.sharing)[1].build(profile.sharing, detector, 1).sharing.eval()
    levels = [level[None].clone() for level in model.detector.encode(frame_of(cloud())).levels]
    with torch.inference_mode():
        if profile is COSDH:
            pairs = zip(model.method.codecs.encode(levels), written.encode(levels), strict=True)
        else:
            head = torch.rand(1, 13, 16, 32)
            pairs = zip(model.method.encoder(levels, head), written(levels, head), strict=True)
        for read, expected in pairs:
            torch.testing.assert_close(read, expected, atol=1e-5, rtol=1e-4)
    assert not any(weight.requires_grad for weight in model.method.network.parameters())
    again = load_model(tmp_path)
    agent = frame("unit", torch.eye(4).double().numpy())
    assert features_message(model, agent) == features_message(again, agent)
    assert model.detector.fingerprint == again.detector.fingerprint


def test_a_model_that_shares_nothing_is_a_detector_alone(tmp_path):
    model = load_model(write_model(tmp_path / "plain"))
    assert model.method is None
    assert model.detector.config == TINY


def test_the_calibration_beside_the_weights_is_read(tmp_path):
    write(tmp_path, PATCHES)
    curves = Calibration({"fused": {"car": (1.5, -0.5)}})
    curves.write(tmp_path, "cosense train")
    assert load_model(tmp_path).method.calibration == curves
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(CosenseError, match="is no calibration"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("profile", "drop"),
    [(PATCHES, "sharing.value"), (PATCHES, "fusion.patch_steering"), (COSDH, "sharing."), (PATCHES, "head.")],
)
def test_weights_that_are_missing_are_named(tmp_path, profile, drop):
    write(tmp_path, profile, drop)
    with pytest.raises(CosenseError, match=r"weights\.safetensors: '.*' is None"):
        load_model(tmp_path)


def test_every_weight_and_setting_is_in_the_fingerprint(tmp_path):
    finer = dataclasses.replace(PATCHES.sharing, floor_after_patches=8)
    profiles = (PATCHES, dataclasses.replace(PATCHES, sharing=finer), COSDH)
    for name, profile in zip("abc", profiles, strict=True):
        write(tmp_path / name, profile)
    assert len({load_model(tmp_path / name).detector.fingerprint for name in "abc"}) == 3


@pytest.mark.parametrize("sharing", [None, PatchesConfig(bits=8), CosdhConfig(fusion="attention")])
def test_a_configuration_survives_a_config_file(sharing):
    mapping = mapping_of(TINY, sharing)
    config = model_config(mapping, "config.yaml")
    assert (config.detector, config.sharing) == (TINY, sharing)
    assert config.to_mapping() == mapping


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"detector": "pilars"}, r"detector: no 'pilars', did you mean 'pillars'"),
        ({"detector": "head"}, r"detector: no 'head', known: camera_pillars, mmdet3d, pillars"),
        ({"sharing": {"method": "patch"}}, "sharing.method: no 'patch', did you mean 'patches'"),
        ({"sharing": {"method": "selection"}}, "sharing.method: no 'selection'"),
        ({"sharing": {}}, "sharing: missing key 'method'"),
        ({"sharing": "patches"}, "sharing: expected a mapping with the key 'method', got 'patches'"),
        ({"sharing": {"method": "patches", "bits": 3}}, "sharing: bits: 3 is not allowed"),
        ({"sharing": {"method": "cosdh", "fusion": "mean"}}, "sharing: fusion: 'mean' is not allowed"),
        (
            {"sharing": {"method": "patches", "channel": 8}},
            "sharing: unknown key .*, did you mean 'channels'",
        ),
        ({"patches": {"bits": 4}}, r"unknown key 'patches', .* sharing: \{method: patches, …\}"),
        ({"cosdh": {}}, r"unknown key 'cosdh', .* sharing: \{method: cosdh, …\}"),
    ],
)
def test_a_broken_configuration_is_refused_by_the_key(change, complaint):
    with pytest.raises(CosenseError, match=rf"config\.yaml: {complaint}"):
        model_config(mapping_of(TINY) | change, "config.yaml")
    without = {key: value for key, value in mapping_of(TINY).items() if key != "detector"}
    with pytest.raises(CosenseError, match=r"config\.yaml: missing key 'detector'"):
        model_config(without, "config.yaml")


def test_a_method_that_cannot_share_the_detectors_features_names_the_file(tmp_path):
    two = dataclasses.replace(TINY, stages=TINY.stages[:2])
    odd = dataclasses.replace(TINY, range_m=(-12.75, -6.4, -12.0, 12.85, 6.4, 5.0))
    for name, config, complaint in (
        ("two", two, "patches needs 3 stages, there are 2"),
        ("odd", odd, "range_m and 2 . cell_m are whole decimetres"),
    ):
        folder = write_model(tmp_path / name, config, sharing=None)
        with (folder / CONFIG).open("a") as file:
            file.write("sharing: {method: patches}\n")
        with pytest.raises(CosenseError, match=rf"{name}.config\.yaml: .*{complaint}"):
            load_model(folder)


DETECTOR = """
from dataclasses import dataclass

import numpy as np
from torch import nn

from cosense.detectors.base import Detector, Encoded
from cosense.sensing.detections import Detections


@dataclass(frozen=True)
class Config:
    score: float = 0.5


class Around(Encoded):
    def __init__(self, points):
        self.points = points


class CarAtEveryPoint(Detector):
    Config = Config

    @classmethod
    def build(cls, config, seed):
        return nn.Module()

    def encode(self, frame):
        return Around(frame.points)

    def decode(self, encoded):
        count = len(encoded.points)
        boxes = np.column_stack([encoded.points[:, :3], np.tile([4.0, 2.0, 1.5, 0.0], (count, 1))])
        zeros = np.zeros(count, np.int64)
        return Detections(boxes, np.full(count, self.config.score, np.float32), zeros, zeros.astype(np.uint8))
"""

METHOD = '''
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from cosense.methods.base import Method, RequestMap


@dataclass(frozen=True)
class Config:
    pass


class Silence(Method):
    """Nobody has anything to say."""

    Config = Config
    averages_boxes = False
    specs = ()

    @classmethod
    def build(cls, config, detector, seed):
        return nn.Module()

    def request(self, own):
        grid = own.grid.coarser(8)
        return RequestMap(grid, np.zeros(grid.shape, np.bool_))

    def offer(self, own, wanted, selection, seed, *, with_boxes):
        return []

    def supply(self, own):
        return 8, torch.zeros(own.grid.coarser(8).shape)

    def fuse(self, own, detections, admitted, *, with_boxes):
        return detections
'''


SCENARIO = """
source: {data: x}
model: {mmdet3d: {config: net.py, checkpoint: car.pth, classes: {Car: car}, infrastructure: INFRASTRUCTURE}}
"""
UNIT = "{config: net.py, checkpoint: unit.pth, classes: {Car: car}}"


def test_a_detector_with_its_keys_is_a_model_in_a_mapping_a_text_and_a_scenario(tmp_path):
    (tmp_path / "car.pth").touch()
    path = tmp_path / "late.yaml"
    path.write_text(SCENARIO.replace("INFRASTRUCTURE", UNIT))
    mapping = yaml.safe_load(path.read_text())["model"]
    for given in (mapping, as_text(mapping), f" {mapping}"):
        name, config = find_model_config(given)
        assert (name, config.detector_name, config.folder) == ("mmdet3d", "mmdet3d", None)
        assert config.detector.checkpoint == Path("car.pth")
        assert config.detector.infrastructure.checkpoint == Path("unit.pth")
    # Files beside the scenario are meant where there are such ones.
    name, config = find_model_config(path)
    assert (name, config.detector.checkpoint) == ("late", tmp_path / "car.pth")
    assert config.detector.infrastructure.checkpoint == Path("unit.pth")


def test_a_scenario_that_names_a_model_is_given_in_its_place(tmp_path):
    write_model(tmp_path / "tiny")
    path = tmp_path / "one.yaml"
    path.write_text("{source: {data: x}, model: tiny}")
    assert load_model(path).detector.fingerprint == load_model(tmp_path / "tiny").detector.fingerprint


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"pillars": {}, "mmdet3d": {}}, "model: expected a name, a folder, or one detector with its keys"),
        ({"mmdet3d": "car.pth"}, "model: mmdet3d: expected a mapping of keys, got 'car.pth'"),
        ({"mmdet3d": {"sharing": {}}}, "model: mmdet3d: sharing needs a folder"),
        ({"mmdet4d": {}}, "mmdet4d"),
        ({"mmdet3d": {"checkpoint": "car.pth", "classes": {"Car": "car"}}}, "missing key 'config'"),
        ("{mmdet3d: [", r"model \{mmdet3d: \[: not readable as YAML"),
        ({"pillars": mapping_of(TINY)}, "its weights are in a folder with a config.yaml, name that as model"),
    ],
)
def test_what_is_no_detector_with_its_keys_is_named(given, complaint):
    with pytest.raises(CosenseError, match=complaint):
        load_model(given)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("source: {data: x}", "no model: expected a folder with a config.yaml, or a scenario with 'model'"),
        ("model: a\nagents: [{id: one, model: b}]", "its agents have models of their own"),
        ("model: nobody", "no model 'nobody'"),
    ],
)
def test_a_scenario_without_one_model_is_refused(tmp_path, text, complaint):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(CosenseError, match=complaint):
        load_model(path)


def test_a_detector_and_a_method_of_ones_own_are_found_by_name(tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    for path, text in (
        ("detectors/every_point.py", DETECTOR),
        ("methods/silence/__init__.py", ""),
        ("methods/silence/method.py", METHOD),
    ):
        (mine / path).parent.mkdir(parents=True, exist_ok=True)
        (mine / path).write_text(text)
    monkeypatch.setenv("COSENSE_PLUGINS", str(mine))
    points = tmp_path / "points"
    points.mkdir()
    (points / CONFIG).write_text("{detector: every_point, score: 0.75}")
    alone = load_model(points)
    found = alone.detector.detect(frame_of(cloud(points=5)))
    assert (alone.method, found.scores.tolist()) == (None, [0.75] * 5)
    quiet = write_model(tmp_path / "quiet", sharing=None)
    with (quiet / CONFIG).open("a") as file:
        file.write("sharing: {method: silence}\n")
    model = load_model(quiet)
    assert type(model.method).__name__ == "Silence"
    assert model.method.detector is model.detector
    (points / CONFIG).write_text("{detector: every_point, sharing: {method: silence}}")
    with pytest.raises(CosenseError, match="sharing needs bird's-eye maps, detector 'every_point' has none"):
        load_model(points)
