"""Model folders: found by name, read back as written, refused when broken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from cosense.errors import CosenseError
from cosense.methods.model import load_model
from cosense.model_folders import WEIGHTS, find_model, fingerprint
from tests.detectors.networks import TINY, cloud, frame_of, mapping_of, write_model


def test_a_model_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "mine", replace(TINY, score_threshold=0.01))
    first, second = load_model(folder).detector, load_model(str(folder)).detector
    assert first.name == "mine"
    assert first.config.score_threshold == 0.01
    assert len(first.fingerprint) == 8
    assert first.fingerprint == second.fingerprint
    np.testing.assert_array_equal(
        first.detect(frame_of(cloud())).boxes, second.detect(frame_of(cloud())).boxes
    )


def test_the_fingerprint_tells_weights_and_configurations_apart(tmp_path: Path) -> None:
    prints = {
        load_model(write_model(tmp_path / "a")).detector.fingerprint,
        load_model(write_model(tmp_path / "b", seed=1)).detector.fingerprint,
        load_model(write_model(tmp_path / "c", replace(TINY, nms_iou=0.2))).detector.fingerprint,
    }
    assert len(prints) == 3
    assert fingerprint(mapping_of(TINY), b"") == fingerprint(mapping_of(replace(TINY)), b"")


def test_models_are_found_by_name_in_a_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(tmp_path / "share" / "cosense" / "models" / "other")
    with pytest.raises(CosenseError, match="no model 'other'"):
        find_model("other")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert find_model("other") == folder


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(CosenseError, match="no model 'pillar-lite': did you mean 'pillars-lite'"):
        load_model("pillar-lite")


def test_a_model_without_weights_says_how_to_get_them() -> None:
    with pytest.raises(CosenseError, match=r"pillars-paper.*no such file.*cosense train"):
        load_model("pillars-paper")


def test_broken_weights_name_the_file(tmp_path: Path) -> None:
    path = write_model(tmp_path / "mine") / WEIGHTS
    data = path.read_bytes()
    for broken in (data[: len(data) // 2], b"", b"\xff" * 64):
        path.write_bytes(broken)
        with pytest.raises(CosenseError, match=r"weights\.safetensors: not readable"):
            load_model(path.parent)


def test_weights_that_are_no_numbers_name_the_tensor(tmp_path: Path) -> None:
    path = write_model(tmp_path / "mine") / WEIGHTS
    tensors = load_file(path)
    tensors["head.boxes.bias"][1] = float("nan")
    save_file(tensors, path)
    with pytest.raises(CosenseError, match=r"weights\.safetensors: 'head\.boxes\.bias' is not finite"):
        load_model(path.parent)


def test_a_network_that_no_memory_holds_is_not_built() -> None:
    with pytest.raises(ValueError, match="a layer of 2000000000 channels, expected at most 4096"):
        replace(TINY, pillar_channels=2_000_000_000)
    with pytest.raises(ValueError, match=r"a grid of .* cells, expected at most 16777216 in all"):
        replace(TINY, cell_m=TINY.cell_m / 2**14)


@pytest.mark.parametrize("change", ["missing", "surplus", "shape"])
def test_weights_of_another_network_name_the_tensor(tmp_path: Path, change: str) -> None:
    path = write_model(tmp_path / "mine") / WEIGHTS
    tensors = load_file(path)
    if change == "missing":
        del tensors["head.boxes.bias"]
    else:
        name = "head.boxes.bias" if change == "shape" else "head.boxes.bias.more"
        tensors[name] = torch.zeros(3)
    save_file(tensors, path)
    with pytest.raises(CosenseError, match=r"'head\.boxes\.bias.* is .* asks for"):
        load_model(path.parent)
