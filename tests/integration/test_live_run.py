"""Real processes on real DDS: what runs live is what is evaluated offline; one death stops nobody else."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from mcap.exceptions import McapError
from mcap.stream_reader import StreamReader

from cosense import topics
from cosense.cooperation.offline import Cooperation
from cosense.cooperation.peers import SynchroniserSettings
from cosense.data import open_dataset
from cosense.errors import CosenseError
from cosense.evaluation.run_files import read_fused_frames
from cosense.json_lines import read_lines
from cosense.model_folders import CONFIG, WEIGHTS
from cosense.runs.frame_source import FrameSource
from cosense.runs.latency import read_latency
from cosense.runs.live_run import run_scenario
from cosense.runs.scenario import PlayerSettings, Scenario, resolved
from cosense.runs.supervisor import Progress
from cosense.sensing.detections import Source as BoxSource
from tests.integration.supervised import QUIET, run_supervised
from tests.nodes.tiny import write_model, write_scene

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

FRAMES = 12
GARBAGE = b"CSNS\x02 and then nonsense" * 10


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_scene(tmp_path_factory.mktemp("data") / "scene", FRAMES, sequences=2)


@pytest.fixture(scope="module")
def scenario(model, data) -> Scenario:
    return Scenario(
        source=FrameSource(data=data, cameras=True),
        model=str(model),
        fusion="late",
        registration="none",
        budget_bytes=300,
        record=True,
    )


@pytest.fixture(scope="module")
def live_run(scenario, tmp_path_factory) -> Path:
    """Folder of one run from start to end."""
    out = tmp_path_factory.mktemp("run")
    assert run_scenario(scenario, out, QUIET) == []
    return out


def test_live_and_offline_give_the_same_boxes(live_run, data, model):
    # Imported late: PyTorch takes its number of threads from the environment.
    from cosense.methods.model import load_model

    detector = load_model(model)
    journal = read_fused_frames(live_run / "detections.jsonl")
    dataset = open_dataset(data)
    assert len(journal) == len(dataset) == FRAMES
    together = Cooperation(detector, "late", budget_bytes=300)
    for number, live in enumerate(journal):
        frame = dataset[number]
        offline = together.step([frame.ego, *frame.others], number).result
        assert live.stamp_ns == frame.ego.stamp_ns
        assert (live.missing, live.result.peers) == ([], offline.peers)
        found, expected = live.result.detections, offline.detections
        assert {BoxSource.EGO, BoxSource.UNCONFIRMED} == set(expected.sources)
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-9)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.sources, expected.sources)


def test_every_frame_is_played_and_named(live_run, data):
    played = list(read_lines(live_run / "frames.jsonl"))
    assert [line["frame_id"] for line in played] == [frame.frame_id for frame in open_dataset(data)]
    latency = read_latency(live_run)
    assert (latency.played, latency.fused, latency.lost) == (FRAMES, FRAMES, {})


def test_the_bag_holds_everything_and_opens_in_rosbags(live_run):
    from rosbags.highlevel import AnyReader

    with AnyReader([live_run / "run.mcap"]) as reader:
        counts = {connection.topic: connection.msgcount for connection in reader.connections}
        per_frame = (
            "/agent_1/points",
            "/agent_minus_1/points",
            "/agent_1/pose",
            "/agent_1/messages",
            "/v2x/messages",
        )
        per_frame += ("/detections", "/ground_truth", "/agent_1/camera0/camera_info")
        per_frame += ("/agent_1/camera0/image_raw/compressed",)
        assert {topic: counts.get(topic) for topic in per_frame} == dict.fromkeys(per_frame, FRAMES)
        assert counts["/tf"] == 2 * FRAMES
        # Made only while somebody looks, and in the first frames the recorder may not be known of yet.
        assert FRAMES // 2 < counts["/markers"] <= FRAMES
        # `ros2 bag play --clock` publishes it from the times of recording.
        assert not {"/agent_1/camera0/image_raw", "/clock"} & set(counts)
        recorded = [
            reader.deserialize(data, connection.msgtype)
            for connection, _, data in reader.messages()
            if connection.topic == "/detections"
        ]
        children = {
            reader.deserialize(data, connection.msgtype).transforms[0].child_frame_id
            for connection, _, data in reader.messages()
            if connection.topic == "/tf"
        }
    assert children == {"agent_1/lidar", "agent_minus_1/lidar"}
    for found, entry in zip(recorded, read_fused_frames(live_run / "detections.jsonl"), strict=True):
        assert [field.name for field in found.fields[:7]] == ["x", "y", "z", "l", "w", "h", "yaw"]
        boxes = np.ndarray((found.width, 7), "<f8", found.data.tobytes(), strides=(found.point_step, 8))
        np.testing.assert_array_equal(boxes, entry.result.detections.boxes)


def test_a_bag_has_the_time_of_its_stamps_and_the_quality_of_service_of_its_topics(live_run):
    """The time of recording: in mode drain it stands still, and two scenarios begin at zero."""
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import QosDurability

    late_ns: list[int] = []
    with AnyReader([live_run / "run.mcap"]) as reader:
        for connection, log_ns, data in reader.messages():
            if connection.topic in ("/agent_1/points", "/agent_minus_1/pose", "/detections"):
                message = reader.deserialize(data, connection.msgtype)
                stamp_ns = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
                late_ns.append(log_ns - stamp_ns)
        latched = {
            c.topic: {profile.durability for profile in c.ext.offered_qos_profiles}
            for c in reader.connections
        }
    assert len(late_ns) == 3 * FRAMES
    frame_ns = 100_000_000
    # The second scenario begins a second after the last stamp of the first one.
    seam_ns = 1_000_000_000 + (FRAMES // 2 - 1) * frame_ns
    off_ns = [min(abs(late), abs(late - seam_ns)) for late in late_ns]
    # A tick that is read after what it belongs to makes a frame of difference, on a busy machine some more.
    assert np.quantile(off_ns, 0.8) <= frame_ns
    assert max(off_ns) <= 3 * frame_ns
    assert [late < seam_ns / 2 for late in late_ns].count(True) == len(late_ns) // 2
    for topic in ("/agent_1/points", "/ground_truth", "/detections", "/mode", "/tf"):
        assert latched[topic] == {QosDurability.TRANSIENT_LOCAL}


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.clock
def test_when_an_agent_and_the_recorder_are_killed_the_run_goes_on(scenario, tmp_path):
    killed: set[str] = set()

    def kill(progress: Progress) -> None:
        for name, after in (("agent-agent_minus_1", 2), ("recorder", 5)):
            pid = progress.running.get(name)
            if progress.fused >= after and name not in killed and pid is not None:
                os.kill(pid, signal.SIGKILL)
                killed.add(name)

    patient = PlayerSettings(mode="rate", rate=0.2)
    in_time = SynchroniserSettings(timeout_ms=300.0)
    scenario = resolved(scenario)
    slow = Scenario(**{**vars(scenario), "player": patient, "synchroniser": in_time})
    failures = run_supervised(slow, tmp_path / "run", kill)
    assert sorted((failure.name, failure.status) for failure in failures) == [
        ("agent-agent_minus_1", -9),
        ("recorder", -9),
    ]
    journal = read_fused_frames(tmp_path / "run" / "detections.jsonl")
    assert len(journal) >= 7
    last = journal[-1]
    assert last.result.peers == []
    assert len(last.result.detections) > 0
    waited_in_vain = [entry.missing for entry in journal if not entry.result.peers]
    assert ["-1"] in waited_in_vain
    assert last.missing == []
    assert "agent '-1' is silent" in (tmp_path / "run" / "logs" / "ego.log").read_text()
    assert {"/agent_1/points", "/detections"} <= set(topics_until_the_break(tmp_path / "run" / "run.mcap"))


def topics_until_the_break(path: Path) -> list[str]:
    """Read a bag without index, as `mcap recover` does."""
    channels, found = {}, []
    with path.open("rb") as file:
        try:
            for record in StreamReader(file).records:
                if type(record).__name__ == "Channel":
                    channels[record.id] = record.topic
                if type(record).__name__ == "Message":
                    found.append(channels[record.channel_id])
        except (McapError, ValueError):
            pass
    return found


def test_a_model_that_does_not_exist_is_named_before_anything_starts(scenario, tmp_path):
    wrong = resolved(Scenario(**{**vars(scenario), "model": "pillars-lte"}))
    with pytest.raises(CosenseError, match="no model 'pillars-lte': did you mean 'pillars-lite'"):
        run_supervised(wrong, tmp_path / "run", lambda progress: pytest.fail("a process runs"))


def test_an_agent_that_cannot_start_ends_the_run_with_its_reason(scenario, tmp_path):
    pids: set[int] = set()
    untrained = tmp_path / "untrained"
    untrained.mkdir()
    shutil.copy(Path(scenario.model) / CONFIG, untrained)
    wrong = resolved(Scenario(**{**vars(scenario), "model": str(untrained)}))
    failures = run_supervised(
        wrong, tmp_path / "run", lambda progress: pids.update(filter(None, progress.running.values()))
    )
    assert {failure.status for failure in failures} == {2}
    assert f"{untrained / WEIGHTS}: no such file: this model has no weights yet" in str(failures[0])
    assert len(pids) == 4
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.clock
def test_garbage_is_reported_foreign_types_are_left_out_and_ctrl_c_ends_everything(
    scenario, tmp_path, stranger
):
    pids: set[int] = set()

    def shout_then_interrupt(progress: Progress) -> None:
        pids.update(filter(None, progress.running.values()))
        stranger.shout(topics.V2X_MESSAGES, GARBAGE)
        if progress.fused >= 5:
            raise KeyboardInterrupt

    slow = Scenario(**{**vars(scenario), "player": PlayerSettings(mode="rate", rate=0.2)})
    with pytest.raises(KeyboardInterrupt):
        run_supervised(resolved(slow), tmp_path / "run", shout_then_interrupt)
    assert len(pids) == 4
    assert all(is_gone(pid) for pid in pids)
    journal = read_fused_frames(tmp_path / "run" / "detections.jsonl")
    strange = [peer for entry in journal for peer in entry.result.peers if peer.sender == "unknown"]
    assert {(peer.used_for, peer.bytes) for peer in strange} == {("nothing", len(GARBAGE))}
    assert all("CRC" in peer.reason for peer in strange)
    assert all(len(entry.result.detections) > 0 for entry in journal)
    assert (tmp_path / "run" / "logs" / "recorder.log").read_text().count("/goals is not recorded") == 1
    # Stopped politely, so the bag has its index.
    with (tmp_path / "run" / "run.mcap").open("rb") as file:
        assert [type(record).__name__ for record in StreamReader(file).records][-1] == "Footer"


def test_a_scenario_without_data_is_one_error(scenario, tmp_path):
    nowhere = Scenario(source=FrameSource(data=tmp_path / "nowhere"))
    with pytest.raises(CosenseError, match="nowhere"):
        run_scenario(nowhere, tmp_path / "out", QUIET)
    assert not (tmp_path / "out").exists()
