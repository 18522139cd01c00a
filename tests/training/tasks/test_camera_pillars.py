"""A run with cameras: what is learned and what is not, and that images teach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cosense.detectors.camera.efficientnet import EfficientNetLite0
from cosense.errors import CosenseError
from cosense.methods.model import load_model, read_network
from cosense.model_folders import network_tensors
from tests.detectors.networks import write_model
from tests.training.camera_toys import (
    AS_IT_IS,
    TOY_BLIND_MODEL,
    camera_task,
    toy_sample_with_image,
    write_camera_model,
)


@pytest.fixture(autouse=True)
def untrained_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without the package of the pretrained weights."""
    monkeypatch.setattr(EfficientNetLite0, "load_pretrained", lambda network: None)


def state(task) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in task.network.state_dict().items()}


def steps(task, count: int) -> list[dict[str, float]]:
    optimizer = torch.optim.AdamW(task.parameters(), lr=0.01)
    batches, logged = task.train().batches(0, 0, 1), []
    for _ in range(count):
        optimizer.zero_grad()
        losses = task.losses(next(batches))
        losses["loss"].backward()
        optimizer.step()
        logged.append({name: value.item() for name, value in losses.items()})
    return logged


def test_only_what_is_not_frozen_is_learned(tmp_path: Path) -> None:
    frozen = ("encoder", "backbone", "neck", "head")
    samples = [toy_sample_with_image(seed) for seed in (1, 2)]
    task = camera_task(tmp_path, samples, frozen=frozen, teacher_weight=1.0, **AS_IT_IS)
    before = state(task)
    logged = steps(task, 2)
    changed = {
        name.split(".")[0] for name, value in state(task).items() if not torch.equal(before[name], value)
    }
    assert changed == {"images", "fusion", "correction"}
    kept = {name for name in before if name.startswith("images.backbone")}
    assert all(torch.equal(before[name], task.network.state_dict()[name]) for name in kept)
    assert set(logged[0]) == {"loss", "heat", "boxes", "distances", "teacher"}
    assert np.isfinite([list(losses.values()) for losses in logged]).all()


def test_distances_are_learned(tmp_path: Path) -> None:
    task = camera_task(tmp_path, [toy_sample_with_image(1)], batch_size=1, **AS_IT_IS)
    logged = [losses["distances"] for losses in steps(task, 12)]
    assert logged[-1] < 0.8 * logged[0]


def test_it_starts_from_the_detector_for_the_lidar_alone(tmp_path: Path) -> None:
    task = camera_task(tmp_path, [toy_sample_with_image(1)])
    given = network_tensors(read_network(tmp_path / "lidar"))
    own = network_tensors(task.network)
    assert len(given) > 40
    assert all(torch.equal(own[name], tensor) for name, tensor in given.items())


def test_a_batch_without_images_teaches_the_lidars_part(tmp_path: Path) -> None:
    task = camera_task(tmp_path, [toy_sample_with_image(1)], **AS_IT_IS | {"no_image": 1.0})
    before = state(task)
    assert set(steps(task, 1)[0]) == {"loss", "heat", "boxes"}
    changed = {
        name.split(".")[0] for name, value in state(task).items() if not torch.equal(before[name], value)
    }
    assert changed == {"encoder", "backbone", "neck", "head"}


def test_validation_says_what_images_are_worth_and_the_model_can_be_used(tmp_path: Path) -> None:
    task = camera_task(tmp_path, [toy_sample_with_image(seed) for seed in (1, 2)], **AS_IT_IS)
    assert {"ap50 vehicle", "ap50 in view, 8 beams", "ap50 in view, 8 beams, no image"} <= set(
        task.validate()
    )
    out = tmp_path / "out"
    out.mkdir()
    task.export(out, "cosense train")
    detector = load_model(out).detector
    assert detector.needs == ("lidar", "camera")


def test_other_layers_and_unknown_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        CosenseError, match="frozen: the network has no part 'backbon', did you mean 'backbone'"
    ):
        camera_task(tmp_path, [], frozen=("backbon",))
    other = str(write_model(tmp_path / "other"))
    with pytest.raises(CosenseError, match="give both the same layers"):
        camera_task(tmp_path, [], start_from=other)


def test_what_images_become_without_a_cloud_is_left_to_a_run_of_its_own(tmp_path: Path) -> None:
    model = write_camera_model(tmp_path / "blind", TOY_BLIND_MODEL)
    task = camera_task(tmp_path, [toy_sample_with_image(1)], model=model)
    assert task.network.without_cloud is None
    out = tmp_path / "out"
    out.mkdir()
    task.export(out, "cosense train")
    assert load_model(out).detector.config.without_cloud is None
