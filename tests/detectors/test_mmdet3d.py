"""Boxes of mmdet3d through the adapter are those of mmdet3d, in the right axes, and refused where unknown."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cosense.config import from_mapping
from cosense.detectors import mmdet3d as adapter
from cosense.detectors.mmdet3d import (
    CheckpointConfig,
    Mmdet3dConfig,
    Mmdet3dDetector,
    box_type,
    boxes_of,
    convention_of,
)
from cosense.errors import CosenseError
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import transform_from_slopes
from cosense.sensing.levelling import levelled
from cosense.sensing.objects import ObjectClass
from tests.conftest import REPOSITORY
from tests.detectors.networks import cloud, frame_of

CONFIG = REPOSITORY / "tests" / "detectors" / "small_pointpillars.py"
META = {"mmengine_version": "0.10.7", "dataset_meta": {"classes": ("Pedestrian", "Car")}}
PATH = Path("car.pth")


def test_axes_of_both_generations_are_those_here() -> None:
    # A car 4 m long, 2 m wide, with its foot at -1.7 m, towards +y.
    wanted = [[5.0, 3.0, -1.0, 4.0, 2.0, 1.4, np.pi / 2]]
    now = np.array([[5.0, 3.0, -1.7, 4.0, 2.0, 1.4, np.pi / 2]])
    then = np.array([[5.0, 3.0, -1.7, 2.0, 4.0, 1.4, np.pi]])
    np.testing.assert_allclose(boxes_of(now, "1.x"), wanted, atol=1e-12)
    made = boxes_of(then, "0.x")
    made[:, 6] = np.mod(made[:, 6], 2 * np.pi)
    np.testing.assert_allclose(made, wanted, atol=1e-12)
    # Towards +x a yaw of 0 now was one of -π/2.
    then[0, 6] = -np.pi / 2
    assert boxes_of(then, "0.x")[0, 6] == pytest.approx(0)
    assert boxes_of(np.zeros((0, 9)), "1.x").shape == (0, 7)


@pytest.mark.parametrize(
    ("meta", "said", "convention"),
    [
        ({"mmdet3d_version": "0.17.1"}, "auto", "0.x"),
        ({"mmdet3d_version": "1.0.0rc6"}, "auto", "1.x"),
        (META, "auto", "1.x"),
        ({}, "0.x", "0.x"),
        ({}, "1.x", "1.x"),
    ],
)
def test_a_checkpoint_says_its_axes(meta: dict, said: str, convention: str) -> None:
    assert convention_of(meta, said, PATH) == convention


def test_axes_that_nobody_says_are_refused() -> None:
    with pytest.raises(CosenseError, match=r"car.pth: does not say which mmdet3d .* add 'boxes: 0.x' or"):
        convention_of({}, "auto", PATH)
    with pytest.raises(CosenseError, match=r"car.pth: is from mmdet3d 0.17.1, which 'boxes: 1.x'"):
        convention_of({"mmdet3d_version": "0.17.1"}, "1.x", PATH)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"classes": {}}, "classes is empty"),
        ({"classes": {"Car": "traffic_cone"}}, "classes: Car: 'traffic_cone' is none of car"),
        ({"boxes": "2.x"}, "boxes"),
        ({"score_threshold": 1.5}, "score_threshold is 1.5"),
        ({"intensity_scale": 0}, "intensity_scale is 0"),
    ],
)
def test_a_bad_key_is_named(keys: dict, said: str) -> None:
    mapping = {"config": "a.py", "checkpoint": "a.pth", "classes": {"Car": "car"}}
    with pytest.raises(CosenseError, match=said):
        from_mapping(Mmdet3dConfig, mapping | keys, "config.yaml")
    with pytest.raises(CosenseError, match=f"infrastructure: {said}"):
        from_mapping(Mmdet3dConfig, {**mapping, "infrastructure": mapping | keys}, "config.yaml")


def test_without_mmdet3d_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(adapter, "import_module", missing)
    with pytest.raises(CosenseError, match="need mmcv, which is not installed: make mmdet3d"):
        adapter.library.__wrapped__()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Mmdet3dConfig:
    """A small PointPillars, untrained, that is sure enough to report boxes."""
    pytest.importorskip("mmdet3d", reason="mmdet3d is not installed: make mmdet3d")
    adapter.library()
    from mmdet3d.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet3d")
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(str(CONFIG)).model)
    torch.nn.init.constant_(model.bbox_head.conv_cls.bias, -1.0)
    path = tmp_path_factory.mktemp("mmdet3d") / "small.pth"
    torch.save({"meta": META, "state_dict": model.state_dict()}, path)
    classes = {"Car": "van", "Pedestrian": "pedestrian"}
    return Mmdet3dConfig(CONFIG, path, classes, score_threshold=0.05)


@pytest.fixture(scope="module")
def detector(checkpoint: Mmdet3dConfig) -> Mmdet3dDetector:
    return Mmdet3dDetector("small", checkpoint, torch.nn.Module())


def theirs(checkpoint: Mmdet3dConfig, points: np.ndarray) -> Any:
    """Return what mmdet3d's own inferencer finds."""
    from mmdet3d.apis import inference_detector, init_model

    model = init_model(str(CONFIG), None, device="cpu")
    model.load_state_dict(torch.load(checkpoint.checkpoint, weights_only=False)["state_dict"])
    result, _ = inference_detector(model, points.copy())
    return result.pred_instances_3d


def test_boxes_are_those_of_mmdet3d(checkpoint: Mmdet3dConfig, detector: Mmdet3dDetector) -> None:
    points = cloud()
    found, wanted = detector.detect(frame_of(points)), theirs(checkpoint, points)
    order = np.argsort(-wanted.scores_3d.numpy(), kind="stable")
    assert len(found) == len(order) > 5
    np.testing.assert_array_equal(found.scores, wanted.scores_3d.numpy()[order])
    boxes = boxes_of(wanted.bboxes_3d.tensor.double().numpy(), "1.x")[order]
    np.testing.assert_array_equal(found.boxes, boxes)
    labels = np.array([ObjectClass.PEDESTRIAN, ObjectClass.CAR])[wanted.labels_3d.numpy()[order]]
    np.testing.assert_array_equal(found.labels, labels)


def test_a_levelled_frame_is_seen_as_its_sensor_saw_it(detector: Mmdet3dDetector) -> None:
    points = cloud(3)
    points[:, 2] += 0.05 * points[:, 0]
    level = levelled(frame_of(points))
    assert abs(level.slopes[0]) > 0.03
    seen = detector.decode(detector.encode(level))
    plain = detector.detect(frame_of(points))
    there = transform_boxes(transform_from_slopes(*level.slopes), seen.boxes[:5])
    np.testing.assert_allclose(there[:, :6], plain.boxes[:5, :6], atol=0.02)


def test_roadside_units_have_a_checkpoint_of_their_own(
    checkpoint: Mmdet3dConfig, detector: Mmdet3dDetector, tmp_path: Path
) -> None:
    stored = torch.load(checkpoint.checkpoint, weights_only=False)
    stored["state_dict"]["bbox_head.conv_cls.bias"] -= 20
    torch.save(stored, tmp_path / "unit.pth")
    unit = CheckpointConfig(CONFIG, tmp_path / "unit.pth", checkpoint.classes)
    both = Mmdet3dDetector("both", replace(checkpoint, infrastructure=unit), torch.nn.Module())
    frame = frame_of(cloud())
    np.testing.assert_array_equal(both.detect(frame).boxes, detector.detect(frame).boxes)
    assert len(both.detect(replace(frame, kind="infrastructure"))) == 0
    assert both.fingerprint != detector.fingerprint
    # Where files are is nobody's business.
    moved = shutil.copy(checkpoint.checkpoint, tmp_path / "moved.pth")
    there = Mmdet3dDetector("there", replace(checkpoint, checkpoint=Path(moved)), torch.nn.Module())
    assert there.fingerprint == detector.fingerprint


def test_boxes_before_1_turn_the_other_way_when_overlaps_are_suppressed(checkpoint: Mmdet3dConfig) -> None:
    row = torch.tensor([[5.0, 3.0, -1.7, 2.0, 4.0, 1.4, 0.3]])
    here = boxes_of(row.double().numpy(), "0.x")[0]
    x, y, width, length, yaw = box_type("0.x")(row).bev[0].tolist()
    # The same rectangle with its sides named the other way round.
    assert (x, y, length, width) == pytest.approx((here[0], here[1], here[3], here[4]))
    assert np.mod(yaw + np.pi / 2 - here[6], np.pi) == pytest.approx(0, abs=1e-6)
    assert box_type("1.x")(row).bev[0, 4] == pytest.approx(0.3)


def test_the_late_fusion_of_dair_v2x_has_the_anchors_of_its_authors(checkpoint: Mmdet3dConfig) -> None:
    from mmdet3d.registry import MODELS, TASK_UTILS
    from mmengine.config import Config

    config = Config.fromfile(str(REPOSITORY / "models" / "dair-v2x-late" / "pointpillars.py"))
    network = MODELS.build(config.model)
    assert network.bbox_head.conv_cls.weight.shape[:2] == (18, 384)
    (anchors,) = TASK_UTILS.build(config.model.bbox_head.anchor_generator).grid_anchors(
        [(248, 288)], device="cpu"
    )
    corners = anchors.reshape(248, 288, 3, 2, 7)[[0, -1], [0, -1], 2, 0].numpy()
    # Cars from corner to corner of the range, width before length.
    np.testing.assert_allclose(corners[0], [0, -39.68, -1.78, 1.6, 3.9, 1.56, 0], atol=1e-5)
    np.testing.assert_allclose(corners[1], [92.16, 39.68, -1.78, 1.6, 3.9, 1.56, 0], atol=1e-5)


def test_nothing_is_found_in_nothing(detector: Mmdet3dDetector) -> None:
    assert len(detector.detect(frame_of(np.zeros((0, 4), np.float32)))) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"classes": {"car": "car"}}, "classes: car: .*has no such class, did you mean 'Car'"),
        (
            {"checkpoint": Path("nowhere.pth")},
            "checkpoint: nowhere.pth: No such file or directory there or beside",
        ),
        ({"config": Path("nowhere.py")}, "config: nowhere.py: no such file, nor one below mmdet3d's own"),
        ({"boxes": "0.x"}, "contradicts"),
    ],
)
def test_what_cannot_be_used_is_named(checkpoint: Mmdet3dConfig, change: dict, said: str) -> None:
    with pytest.raises(CosenseError, match=said):
        Mmdet3dDetector("small", replace(checkpoint, **change), torch.nn.Module())


def test_weights_of_another_network_are_refused(checkpoint: Mmdet3dConfig, tmp_path: Path) -> None:
    stored = torch.load(checkpoint.checkpoint, weights_only=False)
    del stored["state_dict"]["bbox_head.conv_cls.bias"]
    torch.save(stored, tmp_path / "broken.pth")
    broken = replace(checkpoint, checkpoint=tmp_path / "broken.pth")
    with pytest.raises(CosenseError, match=r"has no 'bbox_head.conv_cls.bias' \(1 missing\)"):
        Mmdet3dDetector("small", broken, torch.nn.Module())
