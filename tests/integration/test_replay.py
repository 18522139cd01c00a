"""Real processes: a replayed bag gives what it gives offline, twice the same, and so does its recording."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin

from cosense.cooperation.offline import Cooperation
from cosense.data import open_dataset
from cosense.data.bag import BagOptions
from cosense.data.bag.writer import write_bag
from cosense.evaluation.run_files import FusedFrame, read_fused_frames
from cosense.json_lines import read_lines
from cosense.runs.frame_source import FrameSource
from cosense.runs.live_run import run_scenario
from cosense.runs.scenario import Scenario
from tests.data.bag.bags import car, in_order, mount, rsu, write_rows
from tests.integration.supervised import QUIET
from tests.nodes.tiny import write_model, write_scene

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

FRAMES = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    """A bag of two sequences, each with stamps from zero."""
    folder = tmp_path_factory.mktemp("bag")
    scene = open_dataset(write_scene(folder / "scene", FRAMES, sequences=2), cameras=True)
    write_bag([scene[index] for index in range(FRAMES)], folder / "bag.mcap", label_set="simulated")
    return folder / "bag.mcap"


def replay(
    bag: Path, model: Path, out: Path, *, record: bool = False, options: BagOptions | None = None
) -> list[FusedFrame]:
    source = FrameSource(data=bag, cameras=True, bag=options or BagOptions())
    scenario = Scenario(
        source, model=str(model), fusion="late", registration="none", budget_bytes=300, record=record
    )
    assert run_scenario(scenario, out, QUIET) == []
    return read_fused_frames(out / "detections.jsonl")


def without_times(entry: FusedFrame) -> str:
    """Return what a frame gave in full precision, but for how long it took and how old the messages were."""
    detections = entry.result.detections
    peers = [(peer.sender, peer.bytes, peer.used_for, peer.reason) for peer in entry.result.peers]
    boxes = (detections.boxes.tolist(), detections.scores.tolist(), detections.labels.tolist())
    return json.dumps([entry.stamp_ns, entry.missing, peers, *boxes, detections.sources.tolist()])


def test_a_replay_is_what_the_bag_gives_offline_and_every_time_the_same(bag, model, tmp_path):
    from cosense.methods.model import load_model

    first = replay(bag, model, tmp_path / "first", record=True)
    again = replay(bag, model, tmp_path / "again")
    assert [without_times(entry) for entry in first] == [without_times(entry) for entry in again]
    dataset, detector = open_dataset(bag), load_model(model)
    assert len(first) == len(dataset) == FRAMES
    together = Cooperation(detector, "late", budget_bytes=300)
    for number, (live, frame) in enumerate(zip(first, dataset, strict=True)):
        offline = together.step([frame.ego, *frame.others], number).result
        assert (live.stamp_ns, live.missing) == (frame.ego.stamp_ns, [])
        assert len(offline.detections) > 0
        np.testing.assert_allclose(live.result.detections.boxes, offline.detections.boxes, rtol=0, atol=1e-9)
        np.testing.assert_allclose(
            live.result.detections.scores, offline.detections.scores, rtol=0, atol=1e-9
        )

    # Who joined the replay late got what the bag says that its topics keep.
    with AnyReader([bag]) as reader, AnyReader([tmp_path / "first" / "run.mcap"]) as again_reader:
        kept, kept_again = (
            {c.topic: c.ext.offered_qos_profiles[0].durability for c in each.connections}
            for each in (reader, again_reader)
        )
    assert {
        topic: kept_again[topic] for topic in kept if topic != "/ground_truth/boxes"
    }.items() <= kept.items()

    # What was recorded meanwhile is the same data set once more.
    recorded = open_dataset(tmp_path / "first" / "run.mcap", cameras=True)
    assert (len(recorded), recorded.label_set) == (FRAMES, "simulated")
    assert recorded.kind == "simulated by cosense (layout of opv2v, converted to ros2-bag)"
    assert recorded.info().notes == []
    original = open_dataset(bag, cameras=True)
    for expected, found in zip(original, recorded, strict=True):
        assert (found.frame_id, found.sequence) == (expected.frame_id, expected.sequence)
        assert list(found.agents) == list(expected.agents)
        np.testing.assert_allclose(found.ground_truth.boxes, expected.ground_truth.boxes, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(found.ground_truth.ids, expected.ground_truth.ids)
        for name, agent in expected.agents.items():
            np.testing.assert_array_equal(found.agents[name].points, agent.points)
            np.testing.assert_allclose(
                found.agents[name].T_world_agent, agent.T_world_agent, rtol=0, atol=1e-12
            )
            assert found.agents[name].stamp_ns == agent.stamp_ns
            (camera,), (expected_camera,) = found.agents[name].cameras, agent.cameras
            np.testing.assert_array_equal(camera.T_camera_agent, expected_camera.T_camera_agent)


def test_a_bag_of_somebody_else_is_replayed_without_ground_truth(model, tmp_path):
    """The roadside unit is first heard when the car has measured twice already."""
    late = [row for row in rsu() if row[0] != "/rsu/points" or row[3] > 1_700_000_000_200_000_000]
    rows = in_order([mount(), *car(), *late])
    bag = write_rows(tmp_path / "foreign", rows, StoragePlugin.SQLITE3)
    options = BagOptions({"shuttle": "/lidar_top", "rsu": "/rsu/points"}, {"shuttle": "/odom"}, ego="shuttle")
    replayed = replay(bag, model, tmp_path / "out", record=True, options=options)
    assert [entry.stamp_ns for entry in replayed] == [frame.ego.stamp_ns for frame in open_dataset(bag)]
    assert [len(entry.result.peers) for entry in replayed] == [0, 0, 1, 1, 1]
    played = list(read_lines(tmp_path / "out" / "frames.jsonl"))
    assert [line["frame_id"] for line in played] == [frame.frame_id for frame in open_dataset(bag)]
    recorded = open_dataset(tmp_path / "out" / "run.mcap")
    assert (len(recorded), recorded.label_set, recorded.kind) == (len(replayed), "none", "ros2-bag")
    assert recorded.agents == {"shuttle": "vehicle", "rsu": "infrastructure"}
