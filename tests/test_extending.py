"""docs/extending.md: each example is run as it is printed, from a folder outside the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from typer.testing import CliRunner

from cosense import plugins
from cosense.cli.main import app
from cosense.data import open_dataset
from cosense.geometry.transforms import transform_from_planar, yaw_of
from cosense.sensing.pcd import write_pcd
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "extending.md").read_text()
# The first line of a block is the place of its file.
BLOCKS = dict(re.findall(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with all examples that COSENSE_PLUGINS names."""
    folder = tmp_path_factory.mktemp("plugins") / "mine"
    for name, content in BLOCKS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(plugins.VARIABLE, str(folder))
        yield folder
    forget(folder)


def forget(folder: Path) -> None:
    """Leave the package as it is without the folder, for the tests of other files."""
    for name, module in list(sys.modules.items()):
        if str(folder) in str(getattr(module, "__file__", "")):
            room, _, part = name.rpartition(".")
            del sys.modules[name]
            vars(sys.modules.get(room, module)).pop(part, None)
        elif isinstance(getattr(module, "__path__", None), list):
            module.__path__[:] = [path for path in module.__path__ if str(folder) not in path]


@pytest.fixture(scope="module")
def sequence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a simulated data set: a vehicle and a roadside unit at a T-junction, two frames."""
    folder = tmp_path_factory.mktemp("data") / "sequence"
    cosense("simulate", "--out", folder, "--frames", 2, "--scene", "t_junction", "--seed", 3)
    return folder


def cosense(*arguments: object) -> str:
    """Run a verb in this process, and return what it prints."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def evaluated(out: Path, *arguments: object) -> dict:
    """Return the metrics.json of `cosense evaluate`."""
    cosense("evaluate", "--out", out, *arguments)
    return json.loads((out / "metrics.json").read_text())


def example(room: ModuleType, name: str) -> ModuleType:
    return plugins.load(room, name)


def test_there_is_an_example_of_each_plug_in_point() -> None:
    folders = {str(Path(name).parent) for name in BLOCKS}
    assert folders >= {"data", "detectors", "methods/finest", "trust", "cli"}


def test_a_data_set_is_recognised_by_its_files(mine, sequence, tmp_path) -> None:
    recorded = open_dataset(sequence)[0]
    entry = {"stamp_ns": recorded.ego.stamp_ns, "agents": {}, "cars": recorded.ground_truth.boxes.tolist()}
    for name, frame in recorded.agents.items():
        write_pcd(tmp_path / f"{name}.pcd", frame.points)
        pose = [*frame.T_world_agent[:3, 3].tolist(), float(yaw_of(frame.T_world_agent))]
        entry["agents"][name] = {"cloud": f"{name}.pcd", "pose": pose}
    (tmp_path / "scans.json").write_text(json.dumps({"ego": recorded.ego_id, "frames": [entry]}))

    read = open_dataset(tmp_path)[0]
    assert list(read.agents) == list(recorded.agents)
    for name, frame in recorded.agents.items():
        np.testing.assert_array_equal(read.agents[name].points[:, :3], frame.points[:, :3])
        x, y, z = frame.T_world_agent[:3, 3]
        flat = transform_from_planar(x, y, float(yaw_of(frame.T_world_agent)), z)
        np.testing.assert_allclose(read.agents[name].T_world_agent, flat, atol=1e-9)
    np.testing.assert_allclose(read.ground_truth.boxes, recorded.ground_truth.boxes)

    assert "scans" in cosense("info", tmp_path, "--verify")
    (tmp_path / f"{recorded.ego_id}.pcd").unlink()
    result = CliRunner().invoke(app, ["info", str(tmp_path), "--verify"])
    assert result.exit_code == 1
    assert f"{recorded.ego_id}.pcd: no such file" in result.output


def test_a_detector_is_named_by_config_yaml_and_agents_share_what_it_finds(mine, sequence, tmp_path) -> None:
    model = ("--data", sequence, "--model", mine / "models" / "clusters")
    alone = evaluated(tmp_path / "alone", *model, "--fusion", "none")
    together = evaluated(tmp_path / "together", *model, "--fusion", "late")
    assert together["bytes_per_frame"]["mean"] > 100
    assert ap(together) > ap(alone) + 0.05


def test_a_way_of_sharing_is_named_by_config_yaml_and_sends_within_the_budget(
    mine, sequence, tmp_path
) -> None:
    model = mine / "models" / "finest"
    shutil.copy(REPOSITORY / "models" / "pillars-lite" / "weights.safetensors", model)
    arguments = ("--data", sequence, "--model", model, "--budget", 4000)
    features = evaluated(tmp_path / "features", *arguments, "--fusion", "intermediate")
    assert 1000 < features["bytes_per_frame"]["mean"] < 4500
    frames = [json.loads(line) for line in (tmp_path / "features" / "frames.jsonl").read_text().splitlines()]
    assert {peer["used_for"] for frame in frames for peer in frame["peers"]} == {"features"}
    hybrid = evaluated(tmp_path / "hybrid", *arguments, "--fusion", "hybrid")
    alone = evaluated(tmp_path / "alone", *arguments, "--fusion", "none")
    assert ap(hybrid) > ap(alone) + 0.05


def test_a_verb_is_found_by_its_file(mine, sequence) -> None:
    def program(*arguments: str) -> str:
        command = [sys.executable, "-m", "cosense.cli.main", *arguments]
        return subprocess.run(
            command, cwd=REPOSITORY, env=dict(os.environ), capture_output=True, check=True, text=True
        ).stdout

    assert "Print how many points" in program("--help")
    counted = program("points", str(sequence), "--within-m", "30")
    cloud = open_dataset(sequence)[0].ego.points
    near = np.count_nonzero(np.hypot(cloud[:, 0], cloud[:, 1]) <= 30)
    assert f"vehicle: {near} points within 30 m" in counted


def ap(metrics: dict) -> float:
    """Return the average precision of vehicles at IoU 0.3 from above."""
    return metrics["ap"]["vehicle"]["bev"]["0.3"]
