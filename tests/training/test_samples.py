"""Samples from simulated scenes and from data sets on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosense.config import from_mapping
from cosense.data.dataset import CooperativeFrame
from cosense.detectors.head import DETECTED_CLASSES, detected_class
from cosense.errors import CosenseError
from cosense.geometry.boxes import points_in_boxes
from cosense.geometry.transforms import transform_from_planar
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import ObjectClass, Objects
from cosense.training.detector_task import DetectorRunConfig
from cosense.training.run_config import DataConfig, SceneConfig
from cosense.training.samples import Sample, load_samples, point_counts, samples_of, simulated_moment
from tests.simulation.hand_made import make_frames

ONE_SCENE = DataConfig(scenes=SceneConfig(families=("underpass",), first_seed=3, sequences=1))


def frame_of(labels: list[int]) -> CooperativeFrame:
    boxes = np.array([[5.0 * n, 0, 0, 4, 2, 2, 0] for n in range(len(labels))]).reshape(-1, 7)
    objects = Objects(boxes, np.array(labels, dtype=np.int64), np.array([str(n) for n in range(len(labels))]))
    points = np.array([[5.0 * n, 0.1 * k, 0, 0] for n in range(4) for k in range(n)], dtype=np.float32)
    ego = AgentFrame("a", "vehicle", 0, np.eye(4), points, objects=objects)
    silent = replace(ego, agent_id="b", objects=None)
    return CooperativeFrame("0001", "s", "a", {"a": ego, "b": silent}, objects)


def test_a_sample_is_an_agent_with_labels_of_its_own() -> None:
    (sample,) = samples_of(
        frame_of([ObjectClass.CAR, ObjectClass.BARROW, ObjectClass.BUS, ObjectClass.CYCLIST])
    )
    assert (sample.name, sample.kind) == ("s/0001/a", "vehicle")
    # The barrow is left out: no network looks for it.
    assert [DETECTED_CLASSES[index] for index in sample.classes] == [0, 0, ObjectClass.CYCLIST]
    np.testing.assert_array_equal(sample.boxes[:, 0], [0, 10, 15])
    np.testing.assert_array_equal(point_counts(sample.owner, 3), [0, 2, 3])


@pytest.mark.parametrize("label", list(ObjectClass))
def test_every_label_is_one_of_ours_or_none(label: ObjectClass) -> None:
    merged = {0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 5: 2, 6: 2, 7: 2}
    assert detected_class(label) == merged.get(int(label))


def test_scenes_are_simulated_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_samples(ONE_SCENE, tmp_path)
    assert {sample.kind for sample in first} == {"vehicle", "infrastructure"}
    for sample in first:
        counts = points_in_boxes(sample.points[:, :3], sample.boxes).sum(axis=1)
        assert (point_counts(sample.owner, len(sample.boxes)) <= counts).all()
    monkeypatch.delattr("cosense.training.samples.simulate")
    for once, again in zip(first, load_samples(ONE_SCENE, tmp_path), strict=True):
        assert once.name == again.name
        np.testing.assert_array_equal(once.points, again.points)
        np.testing.assert_array_equal(once.boxes, again.boxes)


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take frames that are written by hand instead of simulated ones."""
    monkeypatch.setattr("cosense.training.samples.simulate", lambda *_, **__: make_frames(1))


@pytest.mark.usefixtures("by_hand")
def test_other_scenes_have_other_files(tmp_path: Path) -> None:
    assert ONE_SCENE.scenes is not None
    for scenes in (ONE_SCENE.scenes, replace(ONE_SCENE.scenes, first_seed=4)):
        load_samples(DataConfig(scenes=scenes), tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 2


@pytest.mark.usefixtures("by_hand")
def test_images_come_reduced_and_where_the_cloud_sees_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ONE_SCENE.scenes is not None
    without = load_samples(ONE_SCENE, tmp_path)
    # Before its image is taken, the vehicle goes on by a metre.
    way = transform_from_planar(-1, 0, 0)
    (made,) = make_frames(1, cameras=True)
    frame = made.frame
    moving = replace(frame.ego, cameras=(replace(frame.ego.cameras[0], T_then_agent=way),))
    made = replace(made, frame=replace(frame, agents={**frame.agents, "vehicle": moving}))
    monkeypatch.setattr("cosense.training.samples.simulate", lambda *_, **__: [made])
    with_images = DataConfig(scenes=replace(ONE_SCENE.scenes, images="48x40"))
    for samples in (load_samples(with_images, tmp_path), load_samples(with_images, tmp_path)):
        for sample, same in zip(samples, without, strict=True):
            np.testing.assert_array_equal(sample.stored, same.stored)
            (camera,), (given,) = sample.cameras, made.frame.agents[sample.kind].cameras
            assert camera.image.shape == (27, 48, 3)
            assert abs(camera.image.astype(int) - (200, 90, 30)).max() <= 3
            np.testing.assert_allclose(camera.K, [[50, 0, 23.75], [0, 50, 13.25], [0, 0, 1]])
            gone = way if sample.kind == "vehicle" else np.eye(4)
            np.testing.assert_allclose(camera.T_camera_agent, given.T_camera_agent @ gone)
            assert camera.stamp_ns == 100_000_000
            assert same.cameras == ()
    assert len(list(tmp_path.glob("*.npz"))) == 2


@pytest.mark.usefixtures("by_hand")
def test_scenes_of_an_older_simulation_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in (1, 2, 2):
        monkeypatch.setattr("cosense.training.samples.SCENES_VERSION", version)
        load_samples(ONE_SCENE, tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 2


def test_a_cloud_is_kept_to_the_millimetres_of_its_sensor_and_without_what_is_far() -> None:
    boxes, none = np.array([[10.0, 0, 0, 4, 2, 2, 0]]), np.zeros(1, dtype=np.int64)
    points = np.array([[9.0, 0.5, 0.1234, 0.75], [150, 0, 0, 0], [20, 0, 0, 0]], dtype=np.float32)
    sample = Sample.of("", "vehicle", points, Objects(boxes, none, np.array(["a"])))
    np.testing.assert_allclose(sample.points, points[[0, 2]], atol=0.002)
    assert sample.owner.tolist() == [0, -1]


def test_a_foreign_frame_is_a_sample_for_each_agent(shared_data: Path, tmp_path: Path) -> None:
    samples = load_samples(DataConfig(paths=(shared_data / "v2xset_frame",)), tmp_path)
    assert [len(sample.boxes) for sample in samples] == [21, 22, 15]


def test_a_moment_comes_back_from_the_cache_as_it_was_made(tmp_path: Path) -> None:
    scenes = SceneConfig(("underpass",), 8, 1, vehicles=2)
    made, read = (simulated_moment(scenes, "underpass", 8, tmp_path) for _ in range(2))
    assert len(list(tmp_path.iterdir())) == 1
    assert [view.agent_id for view in made.views] == ["vehicle", "vehicle_2", "infrastructure"]
    np.testing.assert_array_equal(made.boxes, read.boxes)
    np.testing.assert_array_equal(made.num_points, read.num_points)
    for a, b in zip((*made.views, *made.earlier), (*read.views, *read.earlier), strict=True):
        np.testing.assert_array_equal(a.points, b.points)
        np.testing.assert_array_equal(a.T_world_agent, b.T_world_agent)
        assert (a.agent_id, a.kind, a.stamp_ns) == (b.agent_id, b.kind, b.stamp_ns)


def test_the_images_of_a_moment_keep_their_stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = list(make_frames(2, cameras=True))
    monkeypatch.setattr("cosense.training.samples.simulate", lambda *_, **__: frames)
    scenes = SceneConfig(("underpass",), 8, 1, images="48x27")
    for moment in (simulated_moment(scenes, "underpass", 8, tmp_path) for _ in range(2)):
        for views, frame in ((moment.earlier, frames[0].frame), (moment.views, frames[1].frame)):
            for view in views:
                (camera,), (given,) = view.cameras, frame.agents[view.agent_id].cameras
                assert (camera.image.shape, camera.stamp_ns) == ((27, 48, 3), given.stamp_ns)
                np.testing.assert_array_equal(camera.T_camera_agent, given.T_camera_agent)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"epoch": 3}, "unknown key 'epoch', did you mean 'epochs'"),
        ({"minutes": 3}, "one of epochs, minutes and steps"),
        ({"epochs": None}, "one of epochs, minutes and steps"),
        ({"epochs": None, "steps": 0}, "run.yaml: steps is 0, expected at least 1"),
        ({"validation_steps": 0}, "run.yaml: validation_steps is 0, expected at least 1"),
        ({"epochs": 0}, "run.yaml: epochs is 0, expected at least 1"),
        ({"epochs": -1}, "run.yaml: epochs is -1, expected at least 1"),
        ({"epochs": None, "minutes": 0}, "run.yaml: minutes is 0, expected more than 0"),
        ({"epochs": None, "minutes": float("nan")}, "run.yaml: minutes is nan"),
        ({"data": {}}, "neither scenes nor paths"),
        (
            {"data": {"scenes": {"families": ["crosing"], "first_seed": 0, "sequences": 1}}},
            r"run.yaml: data: scenes: .*no family 'crosing'.*crossing",
        ),
        (
            {"data": {"scenes": {"families": ["crossing"], "first_seed": 0, "sequences": 1, "lidar": "all"}}},
            r"run.yaml: data: scenes: .*no LiDAR 'all', known: any, .*unseen",
        ),
        (
            {"validation": {"paths": ["/tmp"], "images": "512"}},
            r"run.yaml: validation: images '512': expected width and height in pixels, as 512x288",
        ),
        ({"train": "method"}, "train: 'method' is not allowed"),
        ({"augmentation": {"mirror": 2.0}}, "mirror is 2.0"),
        ({"batch_size": 0}, "too small"),
    ],
)
def test_a_bad_run_names_its_key(change: dict, said: str) -> None:
    scenes = {"scenes": {"families": ["crossing"], "first_seed": 0, "sequences": 1}}
    good = {"train": "detector", "model": "pillars-lite", "data": scenes, "validation": scenes, "epochs": 1}
    assert from_mapping(DetectorRunConfig, good, "run.yaml").epochs == 1
    with pytest.raises(CosenseError, match=said):
        from_mapping(DetectorRunConfig, good | change, "run.yaml")
