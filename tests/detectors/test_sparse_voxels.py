"""Which voxels there are, shapes, and a detector that does what the one with pillars does."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from cosense.config import from_mapping, to_mapping
from cosense.cooperation.offline import Cooperation
from cosense.detectors.bev_network import StageConfig
from cosense.detectors.grouping import Pillars, group_points, join_pillars
from cosense.detectors.sparse_voxels import (
    SparseStageConfig,
    SparseVoxelDetector,
    SparseVoxelsConfig,
    Voxeliser,
)
from cosense.errors import CosenseError
from cosense.methods.model import load_model, read_model_config
from cosense.methods.patches.encoder import PatchesConfig
from cosense.methods.patches.method import Patches
from cosense.model_folders import CONFIG, WEIGHTS, network_tensors, write_tensors
from tests.conftest import REPOSITORY
from tests.detectors.networks import TINY, cloud, frame_of

SMALL = SparseVoxelsConfig(
    range_m=TINY.range_m,
    height_m=(-1.5, 5.0),
    cell_m=0.4,
    voxel_height_m=0.25,
    sparse_stages=(SparseStageConfig(0, 4), SparseStageConfig(1, 6), SparseStageConfig(0, 8)),
    stages=(StageConfig(1, 8), StageConfig(0, 16), StageConfig(0, 16)),
    neck_channels=8,
    shrink_channels=(8,),
    precision="float32",
)


@pytest.fixture
def spconv() -> None:
    pytest.importorskip("spconv", reason="spconv is not installed: pip install 'cosense[spconv]'")


def pillars_of(points: np.ndarray, lift_m: float = 1.9) -> Pillars:
    raised = torch.from_numpy(points.copy())
    raised[:, 2] += lift_m
    return group_points(raised, SMALL.height_grid)


def test_a_voxel_knows_its_points() -> None:
    # Two points in one voxel of 0.2 × 0.2 × 0.25 m, one beside it in the same cell, one above it.
    rows = [[0.05, 0.05, 0.05, 0.2], [0.15, 0.1, 0.15, 0.6], [0.25, 0.1, 0.1, 0.0], [0.1, 0.1, 0.3, 0.0]]
    pillars = pillars_of(np.array(rows, np.float32), lift_m=0)
    voxels = Voxeliser(SMALL)(join_pillars([pillars, pillars]))
    # From -12.8, -6.4 and -1.5 m on.
    assert voxels.shape == (26, 64, 128)
    assert voxels.indices.tolist() == [
        [number, *place] for number in (0, 1) for place in ([6, 32, 64], [6, 32, 65], [7, 32, 64])
    ]
    first = [
        0.0,
        (0.075 - 0.1) / 0.2,
        (0.1 - 0.125) / 0.25,
        0.4,
        0.1 / 50,
        0.1 / 50,
        0.125 / 2,
        float(np.log(2)),
    ]
    torch.testing.assert_close(voxels.inputs[0], torch.tensor(first), rtol=0, atol=1e-5)
    torch.testing.assert_close(voxels.inputs[3:], voxels.inputs[:3])
    middle_m = voxels.inputs[:3, 4:7] * torch.tensor([50, 50, 2])
    wanted = torch.tensor([[0.1, 0.1, 0.125], [0.3, 0.1, 0.125], [0.1, 0.1, 0.375]])
    torch.testing.assert_close(middle_m, wanted, rtol=0, atol=1e-5)


def test_every_point_is_in_the_voxel_around_it() -> None:
    pillars = pillars_of(cloud())
    voxels = Voxeliser(SMALL)(pillars)
    corner = torch.tensor([-12.8, -6.4, -1.5])
    size = torch.tensor([0.2, 0.2, 0.25])
    places = torch.floor((pillars.points[:, :3] - corner) / size).long()
    wanted = torch.unique(places.flip(1), dim=0)
    assert abs(len(voxels.indices) - len(wanted)) <= 2, "but for points on an edge"
    assert len(torch.unique(voxels.indices, dim=0)) == len(voxels.indices)
    counts = torch.exp(voxels.inputs[:, 7]).round()
    assert int(counts.sum()) == len(pillars.points)


@pytest.mark.usefixtures("spconv")
@pytest.mark.parametrize(("name", "levels"), [("voxels-lite", 3), ("voxels-paper", 2)])
def test_shipped_configurations_build(name: str, levels: int) -> None:
    config = read_model_config(REPOSITORY / "models" / name).detector
    assert config.grid.shape == (200, 504)
    assert len(SparseVoxelDetector.build(config, 0).backbone.stages) == levels


@pytest.mark.usefixtures("spconv")
def test_a_batch_gives_what_its_clouds_give_alone() -> None:
    network = SparseVoxelDetector.build(SMALL, 0)
    parts = [pillars_of(cloud(3)), pillars_of(cloud(4))]
    network(join_pillars(parts))
    network.eval()
    levels = network.encode(join_pillars(parts))
    assert [tuple(level.shape) for level in levels] == [(2, 8, 16, 32), (2, 16, 8, 16), (2, 16, 4, 8)]
    together = network.decide(levels)
    assert together.box_codes.shape == (2, 10, 16, 32)
    alone = torch.cat([network(part).class_logits for part in parts])
    torch.testing.assert_close(together.class_logits, alone, rtol=1e-4, atol=1e-4)
    # What is inference only changes nothing but rounding.
    ready = copy.deepcopy(network).prepare_for_inference(torch.float32)
    with torch.inference_mode():
        torch.testing.assert_close(ready(parts[0]).class_logits, alone[:1], rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("spconv")
def test_each_place_of_the_canvas_has_what_is_above_it() -> None:
    network = SparseVoxelDetector.build(SMALL, 0).eval()
    points = np.array([[3.1, 1.3, 0.1, 0.5]], np.float32)
    canvas = network.encoder(pillars_of(points, lift_m=0))
    row, column = int((1.3 + 6.4) / 0.8), int((3.1 + 12.8) / 0.8)
    there = canvas[0].abs().sum(0) > 0
    assert there[row, column]
    # A site of a halved grid reaches one voxel further.
    assert set(map(tuple, there.nonzero().tolist())) <= {
        (row + dy, column + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)
    }


@pytest.mark.usefixtures("spconv")
def test_it_detects_and_its_levels_are_shared_like_those_of_pillars(tmp_path: Path) -> None:
    sharing = PatchesConfig()
    detector = SparseVoxelDetector("small", SMALL, SparseVoxelDetector.build(SMALL, 0))
    tensors = network_tensors(SparseVoxelDetector.build(SMALL, 0))
    tensors |= network_tensors(Patches.build(sharing, detector, 0))
    mapping = {
        "detector": "sparse_voxels",
        **to_mapping(SMALL),
        "sharing": {"method": "patches", **to_mapping(sharing)},
    }
    (tmp_path / CONFIG).write_text(yaml.safe_dump(mapping))
    write_tensors(tensors, tmp_path / WEIGHTS)
    model = load_model(tmp_path)
    empty = model.detector.detect(frame_of(np.zeros((0, 4), np.float32)))
    assert len(empty) == 0
    ego = frame_of(cloud())
    other = replace(frame_of(cloud(5)), agent_id="roadside", kind="infrastructure")
    exchange = Cooperation(model, "intermediate", budget_bytes=2000).step([ego, other], 0)
    assert [peer.used_for for peer in exchange.result.peers] == ["features"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("sparse_stages", [{"blocks": 1, "channels": 8}], "at least two"),
        ("sparse_stages", [{"blocks": -1, "channels": 8}] * 2, "is no network"),
        ("voxel_height_m", 0, "above 0"),
        ("voxel_height_m", 1.0, "voxel_height_m: 1.0 leaves 2 layers"),
        ("cell_m", 0.3, "no multiple"),
    ],
)
def test_a_bad_configuration_names_its_key(key: str, value: object, said: str) -> None:
    with pytest.raises(CosenseError, match=said):
        from_mapping(SparseVoxelsConfig, to_mapping(SMALL) | {key: value}, "config.yaml")
