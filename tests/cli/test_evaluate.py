"""The verb from end to end, in processes of its own: an untrained network on a small tree of files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from cosense.cli.evaluate import command, default_protocol
from cosense.cli.main import app
from cosense.cooperation.kinds import default_fusion
from cosense.data import open_dataset
from cosense.detectors.bev_network import StageConfig
from cosense.detectors.pillars import PillarsConfig
from cosense.errors import CosenseError
from cosense.methods.model import load_model
from cosense.sensing.cloud_formats.pcd import write_pcd
from tests.cli.program import run_here
from tests.detectors.networks import write_model
from tests.evaluation.cooperators import tiny_model

FRAMES = 300


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained network that is as small as one can be."""
    config = PillarsConfig(
        range_m=(-51.2, -25.6, -12.0, 51.2, 25.6, 5.0),
        height_m=(-1.5, 5.0),
        cell_m=0.8,
        pillar_channels=8,
        stages=(StageConfig(0, 8), StageConfig(0, 8)),
        neck_channels=8,
        shrink_channels=(8,),
        score_threshold=0.01,
    )
    folder = tmp_path_factory.mktemp("models") / "untrained"
    return write_model(folder, config, seed=1)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree in the layout of OPV2V: two cars with LiDARs look at a third."""
    random = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("tree")
    labelled = {
        7: {"angle": [0, 0, 0], "center": [0, 0, 0.8], "extent": [2.2, 0.9, 0.8], "location": [10, 3, 0]}
    }
    for agent, x in (("100", 0.0), ("200", 25.0)):
        folder = root / "test" / "one" / agent
        folder.mkdir(parents=True)
        points = random.uniform([-40, -20, -2, 0], [40, 20, 1, 1], (2000, 4)).astype(np.float32)
        write_pcd(folder / "cloud", points)
        content = {"lidar_pose": [x, 0, 2, 0, 0, 0], "vehicles": labelled}
        (folder / "pose").write_text(yaml.safe_dump(content))
        for index in range(FRAMES):
            (folder / f"{2 * index:06d}.pcd").symlink_to(folder / "cloud")
            (folder / f"{2 * index:06d}.yaml").symlink_to(folder / "pose")
    return root


def arguments(tree: Path, model: Path, out: Path, *more: str) -> list[str]:
    verb = [sys.executable, "-m", "cosense.cli.main", "evaluate"]
    return [*verb, "--data", str(tree), "--model", str(model), "--out", str(out), *more]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "400"}


def test_interrupted_run_says_how_to_go_on_and_does(
    tree: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = arguments(tree, model, tmp_path, "--split", "test", "--budget", "2000")
    process = subprocess.Popen(
        given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    frames = tmp_path / "frames.jsonl"
    while process.poll() is None and not (frames.exists() and frames.stat().st_size):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 130, errors
    assert f"The frames done are in {tmp_path}: the same command goes on from there." in output
    done = len(frames.read_text().splitlines())
    assert 0 < done < FRAMES
    assert not (tmp_path / "metrics.json").exists()

    monkeypatch.setenv("COLUMNS", ENVIRONMENT["COLUMNS"])
    result = run_here(*given[3:], "--frames", str(done + 2))
    assert result.returncode == 0, result.stderr
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["frames"] == len(frames.read_text().splitlines()) == done + 2
    assert metrics["protocol"] == "opencood_participants"
    assert metrics["dataset"]["split"] == "test"
    assert 0 < metrics["bytes_per_frame"]["mean"] <= 2000
    assert metrics["command"].startswith(f"cosense evaluate --data {tree}")
    for part in (metrics["protocol_hash"], "AP in %", "recall in %", "metrics.json"):
        assert part in result.stdout


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"protocol": "opencod"}, "unknown protocol 'opencod', did you mean 'opencood'"),
        ({"model": "pillars-light"}, "'pillars-lite'"),
        ({"pose_noise": "0.2"}, "--pose-noise '0.2': expected metres and degrees"),
        ({"pose_noise": "0.2,-1"}, "both at least 0"),
        ({"pose_noise": "nan,0"}, "both at least 0"),
        ({"unannounced": True}, "--unannounced: without --pose-noise poses are exact"),
        ({"pose_error": "dari"}, "unknown pose error 'dari', did you mean 'dair'"),
        ({"pose_error": "dair", "unannounced": True}, "--pose-error dair: has its own noise"),
        ({"pose_error": "dair", "fusion": "none"}, "with fusion 'none' no pose is used"),
        ({"images": "lost"}, "--images lost: untrained takes no images; leave it out"),
        ({"device": "cdua"}, "--device 'cdua': not on this machine, expected one of cpu"),
        ({"split": "tset"}, "unknown split 'tset', did you mean 'test'"),
    ],
)
def test_bad_option_is_refused_before_anything_is_written(
    tree: Path, model: Path, tmp_path: Path, option: dict[str, Any], message: str
) -> None:
    with pytest.raises(CosenseError, match=message):
        command(**{"data": tree, "model": str(model), "out": tmp_path / "out"} | option)
    assert not (tmp_path / "out").exists()


def test_protocol_follows_the_labels_when_none_is_named(tree: Path) -> None:
    assert default_protocol(open_dataset(tree).label_set) == "opencood_participants"
    by_labels = {"simulated": "simulated_riders", "label": "real_frames", "label_2": "real_frames"}
    by_labels |= {"standing": "real_pairs"}
    assert {labels: default_protocol(labels) for labels in by_labels} == by_labels


def test_fusion_follows_the_model_when_none_is_named(model: Path) -> None:
    assert default_fusion(load_model(model)) == "late"
    assert default_fusion(tiny_model()) == "hybrid"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fusion", "hybrid"), "fusion 'hybrid' needs a model that shares features, 'untrained' does not"),
        (
            ("--fusion", "none", "--budget", "2000"),
            "budget of 2000 bytes, but with fusion 'none' nobody sends",
        ),
        (("--selection", "random"), "selection 'random', but with fusion 'late' nobody sends features"),
        (
            ("--registration", "scene_graph", "--fusion", "early"),
            "registration 'scene_graph', but with fusion 'early' no poses are corrected; leave it out",
        ),
        (("--budget", "50"), "budget of 50 bytes is too small for agent '200'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    tree: Path, model: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    # In this process: that such an error is one line and status 2 is a matter of test_main.py.
    result = CliRunner().invoke(app, arguments(tree, model, tmp_path / "out", *options)[3:])
    assert isinstance(result.exception, CosenseError), result.output
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_option_of_another_format_is_refused_by_name(model: Path, tree: Path, tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match="async_frames=1 does not apply to opv2v, only to dair_v2x"):
        command(data=tree, model=str(model), out=tmp_path, async_frames=1)
