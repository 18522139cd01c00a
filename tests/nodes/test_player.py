from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from cosense.data.bag.frame_record import FrameRecord, record_from_text
from cosense.errors import CosenseError
from cosense.json_lines import read_lines
from tests.nodes.tiny import write_scene

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

import rclpy
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import String

from cosense import topics
from cosense.nodes.player import PlayerNode
from cosense.nodes.ros import qos
from cosense.runs.supervisor import free_domain


@pytest.fixture
def play(monkeypatch, tmp_path):
    """Return what plays a data set to a listener at full speed."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))

    def run(
        data: Path, journal: Path, agents: str, *, fuses_for_s: float | None = None, **more: str
    ) -> FrameRecord:
        """Return the first line of /cosense/frame that was heard."""
        values = {"data": data, "journal": journal, "agents": f"'{agents}'", "ego": "'1'", "mode": "rate"}
        values |= more
        lines = []
        if fuses_for_s is not None:
            values |= {"mode": "drain", "timeout_s": 0.1}
        words = [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
        rclpy.init(args=["--ros-args", *words, "-p", "rate:=1000.0"])
        # In a context of its own: the player ends the one that it plays in, maybe before the line is heard.
        listening = rclpy.Context()
        listening.init()
        listener = rclpy.create_node("listener", use_global_arguments=False, context=listening)
        executor = SingleThreadedExecutor(context=listening)
        executor.add_node(listener)
        if fuses_for_s is not None:
            fusion = listener.create_publisher(PointCloud2, topics.DETECTIONS, qos.RESULT)
            threading.Timer(fuses_for_s, listener.destroy_publisher, [fusion]).start()
        for agent in agents.split(","):
            for kind, topic in (
                (PointCloud2, topics.points_topic(agent)),
                (PoseWithCovarianceStamped, topics.pose_topic(agent)),
            ):
                listener.create_subscription(kind, topic, lambda message: None, qos.REPLAY)
        listener.create_subscription(String, topics.FRAME, lambda line: lines.append(line.data), qos.REPLAY)
        player = PlayerNode()
        player.bring_up()
        player.play()
        while not lines:
            executor.spin_once(timeout_sec=5.0)
        player.close()
        listening.try_shutdown()
        return record_from_text(lines[0], topics.FRAME)

    yield run
    rclpy.try_shutdown()


def test_who_is_not_in_the_first_frame_is_named_once(play, tmp_path, capfd):
    data = write_scene(tmp_path / "data", frames=4)
    for path in data.rglob("-1/000000*"):
        path.unlink()
    play(data, tmp_path / "frames.jsonl", "1")
    assert len(list(read_lines(tmp_path / "frames.jsonl"))) == 4
    warnings = [line for line in capfd.readouterr().err.splitlines() if "WARN" in line and "[player]" in line]
    assert len(warnings) == 1
    assert "agent '-1' is not played: only agents of the first frame take part" in warnings[0]


def test_who_is_left_out_on_purpose_is_not_named(play, tmp_path, capfd):
    play(write_scene(tmp_path / "data", frames=2), tmp_path / "frames.jsonl", "1")
    said = capfd.readouterr().err.splitlines()
    assert not [line for line in said if "WARN" in line and "[player]" in line]


def test_what_is_played_with_errors_says_so_in_each_frame(play, tmp_path):
    """Kind: a bag that is recorded of a run with wrong poses or clocks, and read as if they were measured."""
    data = write_scene(tmp_path / "data", frames=1)
    wrong = {"pose_errors": '\'{"-1": [1.0, 0.0, 0.0], "1": [0, 0, 0]}\'', "clock_skews_ms": "'{\"-1\": 5}'"}
    record = play(data, tmp_path / "frames.jsonl", "1,-1", **wrong)
    assert str(record.origin) == (
        "simulated by cosense (layout of opv2v, pose error of -1, clock error of -1)"
    )


def test_an_error_of_poses_with_a_name_is_that_of_all_but_the_ego(play, tmp_path):
    data = write_scene(tmp_path / "data", frames=1)
    record = play(data, tmp_path / "frames.jsonl", "1,-1", pose_error="dair")
    assert str(record.origin) == "simulated by cosense (layout of opv2v, pose error dair of -1)"


def test_a_fusion_that_is_gone_ends_the_wait_for_its_answers(play, tmp_path):
    """Who waits for whom: a player on another host than the ego, where no supervisor sees it die."""
    data = write_scene(tmp_path / "data", frames=60)
    with pytest.raises(CosenseError, match=r"nobody has fused it within 0\.1 s, and nobody fuses any more"):
        play(data, tmp_path / "frames.jsonl", "1", fuses_for_s=1.5)
    assert 1 <= len(list(read_lines(tmp_path / "frames.jsonl"))) < 60


def test_columns_of_a_cloud_are_those_that_are_named(play, tmp_path):
    """Kind: what an option chooses must reach the process that reads."""
    rows = np.tile(np.float32([7, 1, 2, 3, -0.5]), (20, 1))
    (tmp_path / "scan.bin").write_bytes(rows.tobytes())
    columns = {"ego": "ego", "columns": "'ring x y z i'"}
    record = play(tmp_path / "scan.bin", tmp_path / "frames.jsonl", "ego", **columns)
    assert record.frame_id == "scan"


def test_a_simulation_without_an_end_is_refused():
    """What a scenario refuses is refused where the node is started by hand, too."""
    rclpy.init(args=["--ros-args", "-p", "agents:=vehicle", "-p", "ego:=vehicle"])
    try:
        with pytest.raises(CosenseError, match="'frames' of node 'player' is 0, and a simulation never ends"):
            PlayerNode().bring_up()
    finally:
        rclpy.try_shutdown()
