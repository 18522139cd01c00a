"""The sparse voxel detector learns by the task of its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from cosense.config import to_mapping
from cosense.model_folders import CONFIG
from cosense.training.tasks.sparse_voxels import SparseVoxelsTask
from tests.detectors.test_sparse_voxels import SMALL
from tests.training.toys import toy_config, toy_sample


def test_losses_fall_and_what_was_learned_is_judged(tmp_path: Path) -> None:
    pytest.importorskip("spconv", reason="spconv is not installed: pip install 'cosense[spconv]'")
    (tmp_path / CONFIG).write_text(yaml.safe_dump({"detector": "sparse_voxels", **to_mapping(SMALL)}))
    task = SparseVoxelsTask(toy_config(tmp_path), torch.device("cpu"))
    task.samples = task.unseen = [toy_sample(1)]
    optimizer = torch.optim.AdamW(task.parameters(), lr=0.01)
    losses = []
    for _, batch in zip(range(12), task.batches(0, 0, 1), strict=False):
        loss = task.losses(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert set(task.validate()) == {"loss", "ap50 vehicle", "reversed"}
    assert task.summary().startswith("Sparse voxel detector, 0.0")
