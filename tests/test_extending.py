"""docs/extending.md: each example is run as it is printed, from a folder outside the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import cosense.messages
import cosense.scene_graph.baselines
from cosense import plugins
from cosense.cli.main import app
from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego, OwnView
from cosense.data import open_dataset
from cosense.geometry.boxes import as_boxes
from cosense.geometry.transforms import displaced, transform_from_planar, yaw_of
from cosense.messages import envelope
from cosense.messages.envelope import KINDS, Message, MessageError, PayloadKind, decode, encode
from cosense.messages.objects import encode_objects
from cosense.methods.selection.base import rank_cells
from cosense.runs.supervisor import free_domain
from cosense.scene_graph.register.result import Prior
from cosense.sensing.cloud_formats.pcd import write_pcd
from cosense.sensing.detections import Detections
from cosense.topics import V2X_MESSAGES
from tests.conftest import REPOSITORY
from tests.integration.supervised import Stranger
from tests.methods.test_selection import CANDIDATES
from tests.scene_graph.scenes import errors, pair

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
    for kind in [kind for kind in KINDS if kind.name == "HAZARDS"]:
        del KINDS[kind], envelope._BY_NUMBER[kind.number]
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
    run_verb("simulate", "--out", folder, "--frames", 2, "--scene", "t_junction", "--seed", 3)
    return folder


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stranger]:
    """Return somebody who listens to the radio of a ROS 2 domain of its own."""
    pytest.importorskip("rclpy")
    domain = free_domain()
    monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
    other = Stranger(domain)
    yield other
    other.close()


def run_verb(*arguments: object) -> str:
    """Run a verb in this process, and return what it prints."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def clusters(mine: Path) -> Path:
    """Return the model of the example of a detector, trained by the example of a training task."""
    out = mine.parent / "clusters"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(mine.parent)
        run_verb("train", "mine/models/clusters/training.yaml", "--out", out)
    return out


def evaluated(out: Path, *arguments: object) -> dict[str, Any]:
    """Return the metrics.json of `cosense evaluate`."""
    run_verb("evaluate", "--out", out, *arguments)
    metrics: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return metrics


def used_for(out: Path) -> set[str]:
    """Return what messages were used for in an evaluation."""
    frames = [json.loads(line) for line in (out / "frames.jsonl").read_text().splitlines()]
    return {peer["used_for"] for frame in frames for peer in frame["peers"]}


def test_there_is_an_example_of_each_plug_in_point() -> None:
    folders = {str(Path(name).parent) for name in BLOCKS}
    assert folders >= {
        *("data", "detectors", "training/tasks", "methods/finest", "methods/selection", "messages", "trust"),
        *("scene_graph/baselines", "cli"),
    }


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

    assert "scans" in run_verb("info", tmp_path, "--verify")
    (tmp_path / f"{recorded.ego_id}.pcd").unlink()
    result = CliRunner().invoke(app, ["info", str(tmp_path), "--verify"])
    assert result.exit_code == 1
    assert f"{recorded.ego_id}.pcd: no such file" in result.output


def test_a_training_task_teaches_a_detector(clusters) -> None:
    (row,) = re.findall(r"^\| accuracy \| (.*) \|$", (clusters / "card.md").read_text(), re.MULTILINE)
    assert float(row) > 0.7


def test_a_detector_is_named_by_config_yaml_and_agents_share_what_it_finds(
    clusters, sequence, tmp_path
) -> None:
    arguments = ("--data", sequence, "--model", clusters, "--registration", "none")
    alone = evaluated(tmp_path / "alone", *arguments, "--fusion", "none")
    together = evaluated(tmp_path / "together", *arguments, "--fusion", "late")
    assert used_for(tmp_path / "together") == {"boxes"}
    # It knows nothing but sizes, so that most of what it reports is no car.
    assert together["ap"]["0.3"] > 1.4 * alone["ap"]["0.3"] > 0


def test_a_way_of_sharing_is_named_by_config_yaml_and_keeps_to_the_budget(mine, sequence, tmp_path) -> None:
    model = mine / "models" / "finest"
    shutil.copy(REPOSITORY / "models" / "pillars-lite" / "weights.safetensors", model)
    arguments = ("--data", sequence, "--model", model, "--registration", "none")
    alone = evaluated(tmp_path / "alone", *arguments, "--fusion", "none")
    hybrid = evaluated(tmp_path / "hybrid", *arguments, "--fusion", "hybrid", "--budget", 4000)
    assert used_for(tmp_path / "hybrid") == {"features"}
    assert 3000 < hybrid["bytes_per_frame"]["mean"] < 4500
    # What they are worth is up to the weights.
    assert hybrid["ap"] != alone["ap"]


def test_a_selection_ranks_the_cells_of_any_method(mine) -> None:
    # Cells of 0.8 m of a sender in the middle of 3 x 2 of them.
    supply, wanted = torch.full((2, 3), 0.5), torch.ones(2, 3, dtype=torch.bool)
    wanted[0, 1] = False
    candidates = replace(CANDIDATES, supply=supply, wanted=wanted)
    assert rank_cells("near", candidates).tolist() == [4, 0, 2, 3, 5, 1]


def test_a_registration_corrects_poses(mine, clusters, sequence, tmp_path) -> None:
    nearest = plugins.load(cosense.scene_graph.baselines, "nearest")
    a, b, T_a_b = pair(np.random.default_rng(4), common=16, private=3, sigma_m=0.05)
    prior = Prior(displaced(T_a_b, [0.5, -0.4, 0.01]), np.diag([0.5, 0.5, 0.02]) ** 2)
    metres, degrees = errors(nearest.register(a, b, prior).T_a_b, T_a_b)
    assert metres < 0.1
    assert degrees < 0.3

    arguments = ("--model", clusters, "--fusion", "late", "--pose-noise", "0.6,0.6")
    evaluated(tmp_path / "run", "--data", sequence, *arguments, "--registration", "nearest")
    assert "pose" in used_for(tmp_path / "run")


def test_a_message_kind_is_read_as_it_was_written(mine) -> None:
    hazards = plugins.load(cosense.messages, "hazards")
    places = np.array([[12.0, -3.5, 2.0], [300.0, 0.0, 0.25]])
    message = replace(some_message(), kind=hazards.HAZARDS, payload=hazards.encode_hazards(places))
    data = encode(message)
    read = decode(data)
    assert read.kind.name == "HAZARDS"
    np.testing.assert_allclose(KINDS[read.kind].decode(read), places)
    assert KINDS[read.kind].encode(places) == message.payload
    with pytest.raises(MessageError, match="at most 100 within"):
        hazards.encode_hazards(places * 10)


def test_a_message_kind_travels_on_the_radio_and_an_ego_that_does_not_use_it_says_so(mine, stranger) -> None:
    plugins.load(cosense.messages, "hazards")
    sent = stranger.listen(V2X_MESSAGES)
    program = subprocess.Popen([sys.executable, mine / "warn.py"], env=dict(os.environ))
    try:
        deadline = time.monotonic() + 60
        while not sent and time.monotonic() < deadline:
            stranger.take()
            time.sleep(0.02)
    finally:
        program.kill()
        program.wait()
    assert sent
    read = decode(sent[0])
    np.testing.assert_allclose(KINDS[read.kind].decode(read), [[12.0, -3.5, 2.0]])

    own = replace(some_message(), stamp_ns=read.stamp_ns)
    fused = Ego(None, "late").fuse(OwnView(own), [receive(sent[0])])
    (report,) = fused.result.peers
    assert (report.kind, report.sender, report.used_for) == ("HAZARDS", "road_weather", "nothing")
    assert report.bytes == len(sent[0])
    assert "carries HAZARDS" in report.reason


def some_message() -> Message:
    """Return an empty OBJECTS message of an agent at a known place."""
    T_world_agent = transform_from_planar(0, 40, 0)
    empty = encode_objects(Detections.empty())
    return Message(PayloadKind.OBJECTS, "a", 0, 0, T_world_agent, np.zeros((3, 3)), bytes(8), empty)


def test_a_check_refuses_with_its_reason(mine) -> None:
    T_far = transform_from_planar(400, 40, 0)
    box = Detections(
        as_boxes([[9, 0, 0, 4, 2, 1.5, 0]]), np.ones(1, np.float32), np.zeros(1, int), np.zeros(1, int)
    )
    own = some_message()
    near = replace(own, sender="b", payload=encode_objects(box))
    far = replace(near, sender="c", T_world_agent=T_far)
    received = [receive(encode(message)) for message in (near, far)]

    reports = {peer.sender: peer for peer in Ego(None, "late").fuse(OwnView(own), received).result.peers}
    assert {report.used_for for report in reports.values()} == {"boxes"}
    ego = Ego(None, "late", trust=["in_range"])
    reports = {peer.sender: peer for peer in ego.fuse(OwnView(own), received).result.peers}
    assert reports["b"].used_for == "boxes"
    assert reports["c"].used_for == "nothing"
    assert reports["c"].reason == "claims to be 400 m away, the radio reaches 300"


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


def test_the_python_of_the_readme_runs(sequence, capsys) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    exec(code.replace("results/demo/sequence", str(sequence)), {})
    assert re.match(r"\d+ boxes; \[PeerReport", capsys.readouterr().out)
