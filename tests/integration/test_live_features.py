"""Features over DDS: the same bytes and boxes as offline, budgets that change, senders that die or differ."""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rich.console import Console

from cosense import topics
from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.offline import Cooperation
from cosense.cooperation.peers import SynchroniserSettings
from cosense.data import open_dataset
from cosense.evaluation.run_files import read_fused_frames
from cosense.runs.frame_source import FrameSource
from cosense.runs.layouts import FOXGLOVE, RVIZ
from cosense.runs.live_run import run_scenario
from cosense.runs.scenario import AgentSpec, PlayerSettings, Scenario, resolved
from cosense.runs.supervisor import Progress
from cosense.sensing.detections import Source as BoxSource
from tests.integration.supervised import (
    PATIENT_PLAYER,
    PATIENT_SYNCHRONISER,
    QUIET,
    Stranger,
    run_supervised,
)
from tests.nodes.tiny import write_model, write_scene, write_sharing_model

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

FRAMES = 12
BUDGET_BYTES = 450


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_sharing_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("data") / "scene", FRAMES, sequences=2)


@pytest.fixture(scope="module")
def scenario(model, data) -> Scenario:
    return Scenario(
        source=FrameSource(data=data),
        model=str(model),
        registration="none",
        budget_bytes=BUDGET_BYTES,
        player=PATIENT_PLAYER,
        synchroniser=PATIENT_SYNCHRONISER,
    )


def radio(bag: Path, topic: str) -> list[bytes]:
    """Return the encoded messages of a topic in the order in which they were sent."""
    from rclpy.serialization import deserialize_message
    from std_msgs.msg import UInt8MultiArray

    with bag.open("rb") as file:
        found = [message.data for _, _, message in make_reader(file).iter_messages(topics=[topic])]
    return [bytes(deserialize_message(data, UInt8MultiArray).data) for data in found]


def test_live_and_offline_give_the_same_bytes_and_boxes(scenario, data, model, tmp_path):
    # Imported late: PyTorch takes its number of threads from the environment.
    from cosense.methods.model import load_model

    said = io.StringIO()
    assert run_scenario(dataclasses.replace(scenario, record=True), tmp_path, Console(file=said)) == []
    journal = read_fused_frames(tmp_path / "detections.jsonl")
    sent = radio(tmp_path / "run.mcap", topics.V2X_MESSAGES)
    demanded = radio(tmp_path / "run.mcap", topics.V2X_REQUESTS)
    detector, dataset = load_model(model), open_dataset(data)
    assert len(journal) == len(sent) == len(demanded) == FRAMES
    memory_mattered = 0
    for number, live in enumerate(journal):
        frame = dataset[number]
        if number in (0, FRAMES // 2):
            together = Cooperation(detector, "hybrid", budget_bytes=BUDGET_BYTES)
        exchange = together.step([frame.ego, *frame.others], number)
        ((_, message),) = exchange.sent
        assert sent[number] == message
        offline = exchange.result
        assert live.stamp_ns == frame.ego.stamp_ns
        assert (live.missing, live.result.peers) == ([], offline.peers)
        assert live.result.request_bytes == offline.request_bytes == {"": len(demanded[number])}
        found, expected = live.result.detections, offline.detections
        assert BoxSource.UNCONFIRMED in expected.sources
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.sources, expected.sources)
        forgetful = Cooperation(detector, "hybrid", budget_bytes=BUDGET_BYTES)
        memory_mattered += forgetful.step([frame.ego, *frame.others], number).sent != exchange.sent
    # What the ego wanted a frame ago is known in all frames but the first of each sequence.
    assert memory_mattered == FRAMES - 2
    check_layouts(tmp_path, said.getvalue())


def check_layouts(run: Path, said: str) -> None:
    """Hold the layouts that a run has left against the topics that its processes have really published."""
    from rosbags.highlevel import AnyReader

    layout = run / RVIZ
    command = re.search(r"ROS_DOMAIN_ID=\d+ rviz2 -d (\S+) --ros-args -p use_sim_time:=true", said)
    assert command is not None
    assert command[1] == str(layout)
    shown = set(re.findall(r"^ +Value: (/\S+)$", layout.read_text(), re.MULTILINE))
    assert yaml.safe_load(layout.read_text())["Visualization Manager"]["Displays"]
    panels = json.loads((run / FOXGLOVE).read_text())["configById"]
    for panel in panels.values():
        shown |= set(panel.get("topics", ()))
        shown |= {path["value"].removesuffix(".data") for path in panel.get("paths", ())}
        shown |= {panel[key] for key in ("topicPath", "topicToRender") if key in panel}
    with AnyReader([run / "run.mcap"]) as reader:
        published = {connection.topic for connection in reader.connections}
    # Only where poses are corrected, and only where vision_msgs is installed.
    optional = {topics.SCENE_GRAPH_MARKERS, topics.BOXES}
    if importlib.util.find_spec("vision_msgs") is not None:
        optional.remove(topics.BOXES)
    assert shown - published == optional
    assert {topics.points_topic("1"), topics.points_topic("-1"), topics.DIAGNOSTICS} <= shown


@pytest.mark.clock
def test_a_budget_changes_at_run_time_and_a_sender_that_is_killed_is_not_missed_for_long(
    scenario, tmp_path, stranger: Stranger
):
    answers: list[tuple[bool, str]] = []
    killed: list[int] = []

    def disturb(progress: Progress) -> None:
        stranger.shout(topics.V2X_REQUESTS, b"no demand")
        if progress.fused >= 2 and not answers:
            for budget_bytes in (50, 250):
                answers.append(stranger.set_parameter("/agent_minus_1/agent", "budget_bytes", budget_bytes))
        pid = progress.running.get("agent-agent_minus_1")
        if progress.fused >= 6 and not killed and pid is not None:
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    one_sequence = write_scene(tmp_path / "scene", FRAMES)
    slow = dataclasses.replace(
        resolved(scenario),
        source=FrameSource(data=one_sequence),
        player=PlayerSettings(mode="rate", rate=0.1),
        synchroniser=SynchroniserSettings(timeout_ms=300.0),
        admission=AdmissionSettings(boxes_max_age_ms=300.0),
    )
    failures = run_supervised(slow, tmp_path / "run", disturb)
    assert [(failure.name, failure.status) for failure in failures] == [("agent-agent_minus_1", -9)]
    assert answers[0][0] is False
    assert "budget of 50 bytes is too small for agent '-1'" in answers[0][1]
    assert answers[1] == (True, "")
    log = (tmp_path / "run" / "logs" / "agent-agent_minus_1.log").read_text()
    assert "request is not used: message has 9 bytes" in log

    journal = read_fused_frames(tmp_path / "run" / "detections.jsonl")
    fused = [entry for entry in journal if "features" in [peer.used_for for peer in entry.result.peers]]
    sizes = [entry.result.peers[0].bytes for entry in fused]
    assert 250 < sizes[0] <= BUDGET_BYTES
    assert sizes[-1] <= 250
    assert len(journal) >= 10
    # First the last boxes that were heard, as old as they may be, then the ego is alone.
    reports = [peer for entry in journal[len(fused) :] for peer in entry.result.peers]
    assert {peer.used_for for peer in reports} == {"boxes"}
    assert "features are 200 ms old, the limit is 150" in {peer.reason for peer in reports}
    assert journal[-1].result.peers == []
    assert set(journal[-1].result.detections.sources) == {BoxSource.EGO}


def test_of_a_sender_whose_model_shares_no_features_the_boxes_are_used(scenario, data, tmp_path):
    other = AgentSpec("-1", "infrastructure", model=str(write_model(tmp_path / "other")))
    mixed = dataclasses.replace(scenario, agents=(AgentSpec("1"), other), frames=2)
    assert run_scenario(mixed, tmp_path / "run", QUIET) == []
    for entry in read_fused_frames(tmp_path / "run" / "detections.jsonl"):
        (peer,) = entry.result.peers
        assert (peer.sender, peer.used_for, entry.missing) == ("-1", "boxes", [])
        assert peer.reason == "carries no features"
        assert BoxSource.UNCONFIRMED in entry.result.detections.sources
