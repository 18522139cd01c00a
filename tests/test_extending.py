"""docs/extending.md: each example is run as it is printed, from a folder outside the package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cosense import plugins
from cosense.cli.main import app
from cosense.data import open_dataset
from cosense.geometry.transforms import transform_from_planar, yaw_of
from cosense.messages.envelope import Message, PayloadKind
from cosense.sensing.pcd import write_pcd
from cosense.trust.base import TrustContext, find_checks
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


def test_there_is_an_example_of_each_plug_in_point() -> None:
    folders = {str(Path(name).parent) for name in BLOCKS}
    assert folders >= {"data", "trust", "cli"}


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


def test_a_check_refuses_with_its_reason(mine) -> None:
    (check,) = find_checks(["in_range"])
    T_ego = transform_from_planar(0, 40, 1)
    ego = Message(PayloadKind.OBJECTS, "a", 0, 0, T_ego, np.zeros((3, 3)), bytes(8), b"")
    context = TrustContext(ego, age_ms=0)
    near, far = (replace(ego, T_world_agent=transform_from_planar(x, 40, 0)) for x in (100, 400))
    assert check(near, context) is None
    assert check(far, context) == "claims to be 400 m away, the radio reaches 300"


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
