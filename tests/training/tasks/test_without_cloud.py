"""A run on images alone: nothing else is learned, and the model keeps what it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cosense.detectors.camera.efficientnet import EfficientNetLite0
from cosense.errors import CosenseError
from cosense.methods.model import load_model
from cosense.model_folders import read_weights
from cosense.training.tasks.base import read_run
from cosense.training.tasks.without_cloud import WithoutCloudTask
from tests.training.camera_toys import (
    TOY_CAMERA_MODEL,
    image_config,
    toy_sample_with_image,
    write_camera_model,
)


@pytest.fixture(autouse=True)
def untrained_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do without the package of the pretrained weights."""
    monkeypatch.setattr(EfficientNetLite0, "load_pretrained", lambda network: None)


def image_task(folder: Path, **changes: object) -> WithoutCloudTask:
    task = WithoutCloudTask(image_config(folder, **changes), torch.device("cpu"))
    task.samples = [toy_sample_with_image(seed, cars=4) for seed in (1, 2)]
    task.unseen = task.samples[:1]
    return task


def test_images_alone_are_learned_and_all_else_stays_bit_for_bit(tmp_path: Path) -> None:
    task = image_task(tmp_path)
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=0.01)
    batches, logged = task.train().batches(0, 0, 1), []
    for _ in range(6):
        optimizer.zero_grad()
        losses = task.losses(next(batches))
        losses["loss"].backward()
        optimizer.step()
        logged.append({name: value.item() for name, value in losses.items()})
    assert set(logged[0]) == {"loss", "heat", "boxes", "distances"}
    assert logged[-1]["loss"] < 0.95 * logged[0]["loss"]
    changed = {n.split(".")[0] for n, v in task.network.state_dict().items() if not torch.equal(before[n], v)}
    assert changed == {"without_cloud"}

    out = tmp_path / "out"
    out.mkdir()
    task.export(out, "cosense train")
    given, written = read_weights(tmp_path / "cameras")[0], read_weights(out)[0]
    assert all(torch.equal(written[name], tensor) for name, tensor in given.items())
    assert load_model(out).detector.config.score_curves == TOY_CAMERA_MODEL.score_curves


def test_it_begins_as_what_the_model_has_for_clouds(tmp_path: Path) -> None:
    network = image_task(tmp_path).network
    assert network.without_cloud is not None
    for own, given in (
        (network.without_cloud.backbone, network.backbone),
        (network.without_cloud.images.pyramid, network.images.pyramid),
    ):
        assert all(map(torch.equal, own.state_dict().values(), given.state_dict().values()))


def test_a_model_without_the_part_and_an_unknown_part_are_refused(tmp_path: Path) -> None:
    plain = write_camera_model(tmp_path / "plain", TOY_CAMERA_MODEL)
    with pytest.raises(CosenseError, match=r"has no key 'without_cloud' in its config\.yaml"):
        image_task(tmp_path, model=plain)
    run = tmp_path / "run.yaml"
    run.write_text(f"train: detector\npart: without_clouds\nmodel: {plain}\n")
    with pytest.raises(CosenseError, match="did you mean 'without_cloud'"):
        read_run(run)


@pytest.mark.parametrize(
    ("x_m", "y_m", "counts"), [(11.0, 1.0, True), (6.0, 0.0, False), (-11.0, 1.0, False)]
)
def test_what_images_show_from_ten_metres_on_is_judged(
    tmp_path: Path, x_m: float, y_m: float, counts: bool
) -> None:
    task = image_task(tmp_path)
    given = task.samples[0]
    boxes = given.boxes[:1].copy()
    boxes[0, :2] = x_m, y_m
    task.unseen = [replace(given, boxes=boxes, classes=given.classes[:1], owner=np.zeros_like(given.owner))]
    assert ("ap50 vehicle" in task.validate()) == counts
