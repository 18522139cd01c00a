"""The fusion in the process of the test: its parameters at run time, its modes, its life."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.nodes.tiny import write_model, write_scene

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from std_msgs.msg import String, UInt8MultiArray
from visualization_msgs.msg import MarkerArray

from cosense.cooperation.perceived import Perceiver
from cosense.cooperation.sender import Sender
from cosense.data import open_dataset
from cosense.messages.scene_graph import SceneGraph, share_graph
from cosense.methods.model import load_model
from cosense.nodes.fusion import FusionNode
from cosense.nodes.ros import conversions, qos
from cosense.runs.supervisor import free_domain
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from tests.cooperation.networks import objects_message
from tests.scene_graph.scenes import pair


@pytest.fixture
def node(request, monkeypatch, tmp_path):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    settings = ["ego_id:=vehicle", "peers:='-1'", "timeout_ms:=200.0", "no_sensor_after_ms:=300.0"]
    settings += getattr(request, "param", [])
    rclpy.init(args=["--ros-args", *(word for setting in settings for word in ("-p", setting))])
    fusion = FusionNode()
    fusion.bring_up()
    yield fusion
    fusion.close()
    fusion.destroy_node()
    rclpy.try_shutdown()


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("merge.iou", 0.0, "merge.iou"),
        ("admission.boxes_max_age_ms", -1.0, "admission.boxes_max_age_ms"),
        ("admission.max_senders", 0, "admission.max_senders"),
        ("max_open", 0, "max_open"),
        ("timeout_ms", 1e9, "timeout_ms"),
        ("ego_id", "other", "ego_id"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_at_run_time(node, name, value, reason):
    (answer,) = node.set_parameters([Parameter(name, value=value)])
    assert not answer.successful
    assert reason in answer.reason


def test_limits_hold_from_the_next_frame_on_and_the_mode_says_what_they_do(node, tmp_path):
    watcher = rclpy.create_node("watcher", use_global_arguments=False)
    modes: list[str] = []
    reasons: list[DiagnosticArray] = []
    shown: list[MarkerArray] = []
    watcher.create_subscription(
        String, "/fusion/output/mode", lambda message: modes.append(message.data), qos.RESULT
    )
    watcher.create_subscription(DiagnosticArray, "/fusion/output/mode/reason", reasons.append, qos.RESULT)
    watcher.create_subscription(MarkerArray, "/fusion/output/markers", shown.append, qos.RESULT)
    own = watcher.create_publisher(UInt8MultiArray, "/fusion/input/own", qos.V2X)
    radio = watcher.create_publisher(UInt8MultiArray, "/fusion/input/messages", qos.V2X)
    executor = SingleThreadedExecutor()
    for each in (node, watcher):
        executor.add_node(each)

    def spin_until(is_done: Callable[[], bool]) -> None:
        end_s = time.monotonic() + 20
        while not is_done():
            assert time.monotonic() < end_s
            executor.spin_once(timeout_sec=0.02)

    spin_until(lambda: modes and reasons)
    assert modes[-1] == "NO_SENSOR"
    (said,) = reasons[-1].status
    assert (said.hardware_id, said.message) == ("vehicle", "the ego has not measured anything yet")
    assert (said.level, reasons[-1].header.stamp.sec > 0) == (DiagnosticStatus.ERROR, True)
    spin_until(lambda: own.get_subscription_count() and radio.get_subscription_count())

    model = load_model(write_model(tmp_path / "model"))
    frames = open_dataset(write_scene(tmp_path / "scene", frames=4))

    def play(number: int, of_the_other: int) -> str:
        """Let both agents send what they see in a frame of each, and return the mode that it gives."""
        count = len(shown)
        for agent, topic in ((frames[of_the_other].others[0], radio), (frames[number].ego, own)):
            sender = Sender(agent.agent_id, model, "late")
            data = sender.message(Perceiver(model.detector).perceive(agent), number, None)
            topic.publish(conversions.bytes_to_message(data))
        spin_until(lambda: len(shown) > count)
        return shown[-1].markers[-1].text

    assert play(0, 0) == "LATE"
    assert play(1, 0) == "LATE"
    (answer,) = node.set_parameters([Parameter("admission.max_age_ms", value=50.0)])
    assert answer.successful
    assert play(2, 0) == "EGO: '-1' has sent nothing in time"

    assert modes[-1] == "EGO"
    assert (reasons[-1].status[0].message, reasons[-1].status[0].level) == (
        "'-1' has sent nothing in time",
        DiagnosticStatus.WARN,
    )
    spin_until(lambda: modes[-1] == "NO_SENSOR")
    for trigger in (node.trigger_deactivate, node.trigger_cleanup, node.trigger_configure):
        trigger()
    node.trigger_activate()
    spin_until(lambda: own.get_subscription_count() and radio.get_subscription_count())
    assert play(3, 3) == "LATE"


@pytest.mark.parametrize(
    "node", [["registration:=scene_graph", "peers:=b", "timeout_ms:=10000.0"]], indirect=True
)
def test_late_fusion_takes_scene_graphs_and_shows_what_agrees(node, tmp_path):
    watcher = rclpy.create_node("watcher", use_global_arguments=False)
    heard: dict[str, list] = {"markers": [], "diagnostics": []}
    for kind, topic, name in (
        (MarkerArray, "/fusion/output/scene_graph", "markers"),
        (DiagnosticArray, "/diagnostics", "diagnostics"),
    ):
        watcher.create_subscription(kind, topic, heard[name].append, qos.RESULT)

    def boxes_of(graph: SceneGraph) -> bytes:
        points = np.zeros((0, 4), np.float32)
        frame = AgentFrame(graph.agent_id, "vehicle", 0, graph.T_world_agent, points, graph.pose_covariance)
        return objects_message(frame, Detections.empty())

    sure = np.diag([0.1, 0.1, 1e-4])
    graphs = pair(np.random.default_rng(1), 12, 3, 0.05)[:2]
    own, other = (replace(graph, pose_covariance=sure) for graph in graphs)
    messages = {
        "own": [b"broken", share_graph(own, 0), boxes_of(own)],
        "messages": [share_graph(other, 0), boxes_of(other)],
    }
    publishers = {
        name: watcher.create_publisher(UInt8MultiArray, f"/fusion/input/{name}", qos.V2X) for name in messages
    }
    executor = SingleThreadedExecutor()
    for each in (node, watcher):
        executor.add_node(each)
    for name, sent in messages.items():
        for data in sent:
            publishers[name].publish(conversions.bytes_to_message(data))
    end_s = time.monotonic() + 20
    statuses: dict[str, DiagnosticStatus] = {}
    while not (heard["markers"] and "fusion/b" in statuses):
        assert time.monotonic() < end_s
        executor.spin_once(timeout_sec=0.02)
        statuses = {status.name: status for array in heard["diagnostics"] for status in array.status}
    said = {marker.ns: marker for marker in heard["markers"][-1].markers}
    assert said["b says"].text.startswith("b: registered, ")
    assert statuses["fusion/b/scene_graph"].message == "tells where it is"
    assert statuses["fusion/b"].message == "used"


@pytest.mark.parametrize(
    "node", [["registration:=scene_graph", "peers:=''", "timeout_ms:=50.0"]], indirect=True
)
def test_without_a_graph_of_the_ego_the_frame_is_fused_and_the_lack_is_told(node, tmp_path):
    watcher = rclpy.create_node("watcher", use_global_arguments=False)
    heard: list[DiagnosticArray] = []
    watcher.create_subscription(DiagnosticArray, "/diagnostics", heard.append, qos.RESULT)
    own = watcher.create_publisher(UInt8MultiArray, "/fusion/input/own", qos.V2X)
    executor = SingleThreadedExecutor()
    for each in (node, watcher):
        executor.add_node(each)
    frame = AgentFrame("vehicle", "vehicle", 0, np.eye(4), np.zeros((0, 4), np.float32))
    own.publish(conversions.bytes_to_message(objects_message(frame, Detections.empty())))
    end_s, said = time.monotonic() + 20, set()
    while "time-out, without the scene graph of ego" not in said:
        assert time.monotonic() < end_s, said
        executor.spin_once(timeout_sec=0.02)
        said = {status.message for array in heard for status in array.status}
