"""Data sets on disk as training sees them: what came just before, and caches on disks that are full."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from cosense.config import from_mapping
from cosense.errors import CosenseError
from cosense.training.cached import Cached
from cosense.training.loop import CHECKPOINT, Run, learning_rate
from cosense.training.run_config import DataConfig, SceneConfig, paths_of, with_path
from cosense.training.samples import indices_of, load_samples, open_recorded, recorded_moment
from cosense.training.tasks.base import read_run
from cosense.training.torchrun import Processes
from tests.conftest import REPOSITORY
from tests.evaluation.dair_tree import T_VEHICLE_UNIT, write_tree
from tests.training.toys import toy_sample, toy_task

RUN_FILES = sorted(REPOSITORY.glob("models/*/dair.yaml"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    root = write_tree(tmp_path_factory.mktemp("dair") / "tree")
    return DataConfig(paths=(root,), split="train")


def test_a_moment_of_a_data_set_knows_the_frame_before(config: DataConfig) -> None:
    dataset = open_recorded(config, config.paths[0])
    first, second = (recorded_moment(config, dataset, index) for index in (0, 1))
    assert [view.kind for view in second.views] == ["vehicle", "infrastructure"]
    assert [view.stamp_ns for view in second.earlier] == [view.stamp_ns for view in first.views]
    assert [view.stamp_ns for view in first.earlier] == [view.stamp_ns for view in first.views]
    np.testing.assert_allclose(second.boxes, toy_sample(1, cars=2).boxes, atol=1e-6)
    ego, unit = second.views
    np.testing.assert_allclose(ego.T_world_agent @ T_VEHICLE_UNIT, unit.T_world_agent, atol=1e-6)


def test_some_frames_of_a_split_are_spread_evenly(config: DataConfig) -> None:
    some = DataConfig(paths=config.paths, split="train", frames=2)
    assert indices_of(some, open_recorded(some, some.paths[0])) == [0, 3]
    assert len(load_samples(some, Path("unused"))) == 4
    assert len(load_samples(config, Path("unused"))) == 8
    with pytest.raises(CosenseError, match="frames is 0, expected at least 1"):
        from_mapping(DataConfig, {"paths": ["x"], "frames": 0}, "x.yaml")


@pytest.mark.parametrize("path", RUN_FILES, ids=lambda path: path.parent.name)
def test_run_files_for_dair_follow_the_published_schedule(path: Path) -> None:
    """CoSDH on DAIR-V2X-C: 30 epochs, 4 a step, 2e-3, a tenth of it after epochs 10 and 20."""
    task, run = read_run(path)
    assert run.train == ("method" if "MethodRunConfig" in task.Config.__name__ else "detector")
    assert (run.epochs, run.batch_size, run.learning_rate, run.weight_decay) == (30, 4, 2e-3, 1e-4)
    rates = [
        learning_rate(epoch / 30, run.learning_rate, run.decay_at) for epoch in (0, 9.9, 10.1, 19.9, 20.1)
    ]
    assert rates == pytest.approx([2e-3, 2e-3, 2e-4, 2e-4, 2e-5])
    here = with_path(run.data, Path("there"))
    assert set(paths_of(here)) == {Path("there")}
    assert paths_of(run.data) == paths_of(run.validation)


def test_scenes_keep_their_kind_beside_data_sets() -> None:
    scenes = SceneConfig(("crossing",), 1, 1)
    data = (scenes, DataConfig(paths=(Path("a"),)))
    assert with_path(data, Path("b")) == (scenes, DataConfig(paths=(Path("b"),)))
    assert paths_of(data) == [Path("a")]


def test_a_full_disk_names_the_file_and_what_is_kept(tmp_path: Path) -> None:
    full = Path("/dev/full")
    cached = Cached.of(tmp_path, "x", [1], lambda: {"a": np.zeros(100_000)})
    cached.path.with_suffix(".part").symlink_to(full)
    with pytest.raises(
        CosenseError, match=r"cannot be written .*No space left on device.*the same command goes on"
    ):
        cached.write()
    assert not list(tmp_path.iterdir())
    task = toy_task(tmp_path, [toy_sample(0)])
    run = Run(task, tmp_path / "run", Processes(0, 1, torch.device("cpu")), Progress(disable=True))
    run.save()
    kept = (tmp_path / "run" / CHECKPOINT).read_bytes()
    (tmp_path / "run" / f"{CHECKPOINT}.part").symlink_to(full)
    with pytest.raises(CosenseError, match=r"checkpoint\.pt: cannot be written .*--resume goes on"):
        run.save()
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == kept
