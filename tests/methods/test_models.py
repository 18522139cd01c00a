from __future__ import annotations

import dataclasses

import pytest
import torch
import yaml
from safetensors.torch import save_file

from cosense.config import to_mapping
from cosense.detectors.models import network_tensors
from cosense.detectors.network import build_network
from cosense.errors import CosenseError
from cosense.methods.calibration import IDENTITY, Calibration
from cosense.methods.cosdh.codec import LevelEncoder
from cosense.methods.models import CooperativeDetector, build_sharing, load_model
from cosense.methods.patches.encoder import PatchEncoder
from cosense.methods.patches.evidence import EvidenceFusion
from tests.cooperation.networks import COSDH, PATCHES, features_message, frame
from tests.detectors.networks import TINY, cloud


def write_model(folder, config, drop: str = "-"):
    """Write a model folder without the tensors whose names begin with `drop`; return its sharing network."""
    network = build_network(config, 1)
    tensors = network_tensors(network)
    sharing = None
    if config.patches or config.cosdh:
        sharing, fusion = build_sharing(config, 2)
        tensors |= {f"sharing.{name}": tensor for name, tensor in network_tensors(sharing).items()}
        if fusion is not None:
            tensors |= {f"fusion.{name}": tensor for name, tensor in network_tensors(fusion).items()}
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(drop)}
    save_file(kept, folder / "weights.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(to_mapping(config)))
    return sharing


@pytest.mark.parametrize(
    ("config", "sharing", "fusion"), [(PATCHES, PatchEncoder, EvidenceFusion), (COSDH, LevelEncoder, None)]
)
def test_a_model_that_shares_features_is_read_whole(tmp_path, config, sharing, fusion):
    written = write_model(tmp_path, config)
    model = load_model(tmp_path)
    assert isinstance(model, CooperativeDetector)
    assert isinstance(model.sharing, sharing)
    assert model.fusion is None if fusion is None else isinstance(model.fusion, fusion)
    assert (model.name, model.calibration) == (tmp_path.name, IDENTITY)
    # The batch norms are folded: compare what comes out.
    levels = [level[None].clone() for level in model.encode(cloud()).levels]
    with torch.inference_mode():
        if config is COSDH:
            pairs = zip(model.sharing.encode(levels), written.eval().encode(levels), strict=True)
        else:
            head = torch.rand(1, 13, 16, 32)
            pairs = zip(model.sharing(levels, head), written.eval()(levels, head), strict=True)
        for read, expected in pairs:
            torch.testing.assert_close(read, expected, atol=1e-5, rtol=1e-4)
    assert not any(weight.requires_grad for weight in model.sharing.parameters())
    again = load_model(tmp_path)
    agent = frame("unit", torch.eye(4).double().numpy())
    assert features_message(model, agent) == features_message(again, agent)
    assert model.fingerprint == again.fingerprint


def test_a_model_that_shares_nothing_is_a_plain_detector(tmp_path):
    write_model(tmp_path, TINY)
    assert not isinstance(load_model(tmp_path), CooperativeDetector)
    with pytest.raises(CosenseError, match="neither 'patches' nor 'cosdh'"):
        build_sharing(TINY, 0)


def test_the_calibration_beside_the_weights_is_read(tmp_path):
    write_model(tmp_path, PATCHES)
    curves = Calibration({"fused": {"car": (1.5, -0.5)}})
    curves.write(tmp_path, "cosense train")
    assert load_model(tmp_path).calibration == curves
    (tmp_path / "calibration.json").write_text("{")
    with pytest.raises(CosenseError, match="is no calibration"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("config", "drop"),
    [(PATCHES, "sharing.value"), (PATCHES, "fusion.patch_steering"), (COSDH, "sharing."), (PATCHES, "head.")],
)
def test_weights_that_are_missing_are_named(tmp_path, config, drop):
    write_model(tmp_path, config, drop)
    with pytest.raises(CosenseError, match=r"weights\.safetensors: '.*' is None"):
        load_model(tmp_path)


def test_every_weight_and_setting_is_in_the_fingerprint(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
    write_model(tmp_path / "a", PATCHES)
    finer = dataclasses.replace(PATCHES.patches, unwanted_weight=0.1)
    write_model(tmp_path / "b", dataclasses.replace(PATCHES, patches=finer))
    write_model(tmp_path / "c", COSDH)
    assert len({load_model(tmp_path / name).fingerprint for name in "abc"}) == 3
