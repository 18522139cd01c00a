"""The nodes of the launch files as real processes, started with the command lines that launch_ros makes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from cosense.evaluation.run_files import read_fused_frames
from cosense.runs.supervisor import ros_environment
from tests.conftest import REPOSITORY
from tests.integration.warm import ForkedProcess
from tests.nodes.launch_stand_in import Node, execute, load, stand_in
from tests.nodes.tiny import write_scene, write_sharing_model

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

FRAMES = 3
PATIENCE_S = 120


@pytest.fixture(autouse=True)
def ros2_launch() -> Iterator[None]:
    with stand_in(REPOSITORY):
        yield


def nodes_of(name: str, **given: str) -> list[Node]:
    return execute(load(REPOSITORY / "launch" / f"{name}.launch.py"), **given).nodes


def arguments_of(node: Node, folder: Path) -> list[str]:
    """Return what launch_ros hands over: parameters go through files, for every node of the process."""
    words = ["--ros-args", "-r", f"__ns:={node.namespace}"]
    for number, parameters in enumerate(node.parameters):
        path = parameters
        if isinstance(parameters, Mapping):
            path = folder / f"{node.executable}{node.namespace.replace('/', '_')}_{number}.yaml"
            path.write_text(yaml.dump({"/**": {"ros__parameters": dict(parameters)}}))
        words += ["--params-file", str(path)]
    for private, public in node.remappings:
        words += ["-r", f"{private}:={public}"]
    return words


def installed(executable: str, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start what `ros2 launch` finds in the installed package."""
    words = [sys.executable, str(REPOSITORY / "scripts" / executable), *arguments]
    return subprocess.Popen(words, env=environment)


def run_until_played(
    nodes: Sequence[Node],
    folder: Path,
    start: Callable[[str, list[str], dict[str, str]], subprocess.Popen[bytes] | ForkedProcess],
) -> None:
    """Start all nodes, wait for the player, then stop the others as launch does."""
    environment = {**ros_environment(folder / "logs"), "PYTHONPATH": str(REPOSITORY)}
    processes = {
        f"{node.executable}{node.namespace}": start(
            node.executable, arguments_of(node, folder), {**environment, **node.environment}
        )
        for node in nodes
    }
    try:
        assert processes["player/"].wait(PATIENCE_S) == 0
        time.sleep(0.5)
        assert {name: process.poll() for name, process in processes.items() if name != "player/"} == {
            name: None for name in processes if name != "player/"
        }
        for process in processes.values():
            process.send_signal(signal.SIGINT)
        assert {process.wait(20) for process in processes.values()} == {0}
    finally:
        for process in processes.values():
            process.kill()


def test_a_launched_scenario_fuses_every_frame(tmp_path):
    scene, model = write_scene(tmp_path / "scene", FRAMES), write_sharing_model(tmp_path / "tiny")
    scenario = tmp_path / "mine.yaml"
    scenario.write_text(f"source: {{data: {scene}}}\nmodel: {model}\nfusion: hybrid\nbudget_bytes: 400\n")
    out = tmp_path / "run"
    run_until_played(nodes_of("scenario", scenario=str(scenario), out=str(out)), tmp_path, installed)
    journal = read_fused_frames(out / "detections.jsonl")
    assert len(journal) == FRAMES
    assert [[peer.sender for peer in entry.result.peers] for entry in journal] == [["-1"]] * FRAMES


def test_agents_that_are_launched_one_by_one_find_each_other(tmp_path):
    """As on two vehicles: only the player, which stands for their sensors, comes from a scenario."""
    scene, model = write_scene(tmp_path / "scene", FRAMES), str(write_sharing_model(tmp_path / "tiny"))
    params, journal = tmp_path / "params.yaml", tmp_path / "detections.jsonl"
    params.write_text(
        "/**:\n  ros__parameters:\n    budget_bytes: 400\n    timeout_ms: 5000.0\n    registration: none\n"
    )
    replay = nodes_of("replay", bag=str(scene), model=model, mode="drain", out=str(tmp_path / "run"))
    nodes = [node for node in replay if node.executable == "player"]
    nodes += nodes_of("agent", agent_id="-1", model=model, params_file=str(params), fusion="hybrid")
    ego = {"ego_id": "1", "model": model, "peers": "-1", "journal": str(journal), "fusion": "hybrid"}
    nodes += nodes_of("fusion", **ego, params_file=str(params), agent_params_file="none")

    def forked(executable: str, arguments: list[str], environment: dict[str, str]) -> ForkedProcess:
        words = [sys.executable, "-m", f"cosense.nodes.{executable}", *arguments]
        with (tmp_path / f"{executable}.log").open("ab") as output:
            return ForkedProcess(words, environment, output)

    run_until_played(nodes, tmp_path, forked)
    fused = read_fused_frames(journal)
    assert len(fused) == FRAMES
    sent = [peer for entry in fused for peer in entry.result.peers]
    assert {(peer.sender, peer.used_for) for peer in sent} == {("-1", "features")}
    assert max(peer.bytes for peer in sent) <= 400
