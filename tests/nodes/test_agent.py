"""One agent in the process of the test: what it refuses, and what it tells those who look at it."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.nodes.tiny import write_model, write_scene, write_sharing_model

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from nav_msgs.msg import OccupancyGrid
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import UInt8MultiArray

from cosense.config import to_mapping
from cosense.cooperation.ego import Ego
from cosense.cooperation.perceived import Perceived, Perceiver
from cosense.cooperation.sender import Sender
from cosense.data import open_dataset
from cosense.detectors.camera_pillars import CameraPillarDetector
from cosense.errors import CosenseError
from cosense.geometry.timed_pose import TimedPose
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.envelope import PayloadKind, decode
from cosense.messages.scene_graph import share_graph
from cosense.methods.model import load_model
from cosense.model_folders import network_tensors, write_tensors
from cosense.nodes.agent import AgentNode, Work
from cosense.nodes.image_join import WithImages
from cosense.nodes.ros import conversions, process, qos
from cosense.runs.supervisor import free_domain
from cosense.scene_graph.extract.builder import SceneGraphBuilder
from cosense.sensing.frame import AgentFrame
from tests.detectors.cameras import SMALL, camera
from tests.detectors.networks import cloud


@pytest.fixture
def start(monkeypatch, tmp_path) -> Iterator[Callable[..., AgentNode]]:
    """Return what starts an agent with a model."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    agents = []

    def run(model: Path, *more: str) -> AgentNode:
        settings = ["agent_id:=unit", f"model:={model}", *more]
        rclpy.init(args=["--ros-args", *(word for setting in settings for word in ("-p", setting))])
        agents.append(AgentNode())
        agents[0].bring_up()
        return agents[0]

    yield run
    for agent in agents:
        agent.close()
        agent.destroy_node()
    rclpy.try_shutdown()


def budget(value: int) -> list[Parameter]:
    return [Parameter("budget_bytes", value=value)]


@pytest.mark.parametrize(
    ("write", "too_small", "fits"), [(write_sharing_model, 107, 108), (write_model, 109, 110)]
)
def test_a_budget_is_held_against_the_smallest_message(start, tmp_path, write, too_small, fits):
    agent = start(write(tmp_path / "model"))
    (answer,) = agent.set_parameters(budget(too_small))
    assert not answer.successful
    assert f"budget of {too_small} bytes is too small for agent 'unit'" in answer.reason
    assert [answer.successful for value in (fits, 0) for answer in agent.set_parameters(budget(value))] == [
        True,
        True,
    ]
    assert not agent.set_parameters(budget(1 << 30))[0].successful
    assert not agent.set_parameters([Parameter("kind", value="vehicle")])[0].successful


def test_who_looks_sees_supply_demand_and_selection(start, tmp_path):
    model = write_sharing_model(tmp_path / "model")
    agent = start(model)
    watcher = rclpy.create_node("watcher", use_global_arguments=False)
    maps: dict[str, OccupancyGrid] = {}
    sent: list[bytes] = []
    for name in ("supply", "demand", "selection"):
        watcher.create_subscription(
            OccupancyGrid, f"/agent/debug/{name}", lambda grid, name=name: maps.update({name: grid}), 10
        )
    watcher.create_subscription(
        UInt8MultiArray,
        "/agent/output/messages",
        lambda message: sent.append(conversions.message_to_bytes(message)),
        qos.V2X,
    )
    executor = SingleThreadedExecutor()
    for node in (agent, watcher):
        executor.add_node(node)

    def spin_until(is_done: Callable[[], bool]) -> None:
        end_s = time.monotonic() + 20
        while not is_done():
            assert time.monotonic() < end_s
            executor.spin_once(timeout_sec=0.02)

    frame = open_dataset(write_scene(tmp_path / "scene", frames=2))[0]
    loaded = load_model(model)
    detector = loaded.detector
    seen, ego = Perceiver(detector).perceive(frame.ego), Ego(loaded, "hybrid")
    own = Sender("1", loaded, "late").message(seen, 0, None)
    (request,) = ego.fuse(ego.view(seen, 0), []).requests.values()
    radio = watcher.create_publisher(UInt8MultiArray, "/agent/input/requests", qos.V2X)
    spin_until(lambda: agent.count_publishers("/agent/input/requests") and radio.get_subscription_count())
    for data in (b"nonsense", own, request):
        radio.publish(conversions.bytes_to_message(data))
    spin_until(lambda: agent._requests_received == 1)
    assert agent._requests_refused == 2

    agent.set_parameters(budget(450))
    unit = frame.others[0]
    agent._on_measured(
        "pose", conversions.pose_to_message(unit.T_world_agent, unit.pose_covariance, unit.stamp_ns)
    )
    agent._on_measured("cloud", conversions.points_to_cloud(unit.points, unit.stamp_ns, "unit/lidar"))
    spin_until(lambda: len(maps) == 3 and sent)
    assert decode(sent[0]).kind == PayloadKind.FEATURES
    assert 400 < len(sent[0]) <= 450
    stride_m = 4 * detector.grid.cell_m
    for grid in maps.values():
        assert (grid.header.frame_id, conversions.to_ns(grid.header.stamp)) == ("unit/lidar", unit.stamp_ns)
        assert grid.info.resolution == pytest.approx(stride_m)
        assert (grid.info.height, grid.info.width) == detector.grid.coarser(4).shape
    wanted, selected = (np.array(maps[name].data) for name in ("demand", "selection"))
    assert set(wanted) == set(selected) == {0, 100}
    watcher.destroy_node()


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("budget_bytes:=2000000", "budget_bytes.*expected something like 0 from 0 to 1.04858e"),
        ("pose_gap_ms:=50", "pose_gap_ms.*expected something like 1100.0 from 0 to 60000"),
    ],
)
def test_a_parameter_out_of_bounds_or_of_another_type_is_one_error(start, tmp_path, parameter, said):
    rclpy.init(args=["--ros-args", "-p", "agent_id:=unit", "-p", parameter])
    with pytest.raises(CosenseError, match=said):
        AgentNode()


def test_a_graph_that_cannot_be_made_is_no_reason_to_say_nothing(start, tmp_path):
    agent = start(write_model(tmp_path / "model"), "registration:=scene_graph", "fusion:=late")
    watcher = rclpy.create_node("watcher", use_global_arguments=False)
    received: list[bytes] = []
    watcher.create_subscription(
        UInt8MultiArray,
        "/agent/output/messages",
        lambda message: received.append(conversions.message_to_bytes(message)),
        qos.V2X,
    )

    def of(kind: PayloadKind) -> list[bytes]:
        return [data for data in received if decode(data).kind == kind]

    executor = SingleThreadedExecutor()
    for node in (agent, watcher):
        executor.add_node(node)
    unit = open_dataset(write_scene(tmp_path / "scene", frames=2))[0].others[0]
    broken = np.full((10, 4), np.nan, np.float32)
    graphs: list[bytes] = []
    for number, points in enumerate((broken, unit.points)):
        # The detector sees the cloud of the unit each time; the graph is made of these points.
        def surroundings(own: Perceived, sequence: int, points=points) -> bytes:
            seen = own.frame
            frame = AgentFrame(seen.agent_id, seen.kind, seen.stamp_ns, seen.T_world_agent, points)
            graph = SceneGraphBuilder().update(frame, own.detections)
            graphs.append(share_graph(graph, sequence))
            return graphs[-1]

        agent._sender.surroundings = surroundings
        stamp_ns = unit.stamp_ns + number * 100_000_000
        agent._on_measured(
            "pose", conversions.pose_to_message(unit.T_world_agent, unit.pose_covariance, stamp_ns)
        )
        agent._on_measured("cloud", conversions.points_to_cloud(unit.points, stamp_ns, "unit/lidar"))
        end_s = time.monotonic() + 20
        while len(of(PayloadKind.OBJECTS)) <= number or len(of(PayloadKind.SCENE_GRAPH)) < number:
            assert time.monotonic() < end_s
            executor.spin_once(timeout_sec=0.02)
    assert of(PayloadKind.SCENE_GRAPH) == graphs


def test_a_wrong_topic_is_a_warning_and_what_is_well_again_is_forgotten(start, monkeypatch, tmp_path):
    """A node that hears nothing looks like one with nothing to do, and one bad cloud like all of them."""
    monkeypatch.setattr("cosense.nodes.agent._SILENT_S", 0.1)
    monkeypatch.setattr("cosense.nodes.ros.process.LATELY_S", 1.5)
    agent = start(write_model(tmp_path / "model"), "fusion:=late")
    watcher = rclpy.create_node("watcher", use_global_arguments=False)
    driver = watcher.create_publisher(PointCloud2, "/agent/input/point", qos.RESULT)
    heard: list[DiagnosticStatus] = []
    watcher.create_subscription(
        DiagnosticArray, "/diagnostics", lambda array: heard.extend(array.status), qos.RESULT
    )
    executor = SingleThreadedExecutor()
    for node in (agent, watcher):
        executor.add_node(node)

    def said(level: bytes, what: str) -> DiagnosticStatus:
        """Wait until the diagnostics say something, and return the line."""
        heard.clear()
        end_s = time.monotonic() + 20
        while not any(status.level == level and what in status.message for status in heard):
            assert time.monotonic() < end_s, heard
            executor.spin_once(timeout_sec=0.02)
        return heard[-1]

    line = said(process.WARN, "no cloud on /agent/input/points for")
    assert line.hardware_id == "unit"
    assert "nobody publishes there, did you mean '/agent/input/point'?" in line.message
    assert "no pose on /agent/input/pose for" in line.message
    unit = open_dataset(write_scene(tmp_path / "scene", frames=2))[0].others[0]
    cloud = conversions.points_to_cloud(unit.points, unit.stamp_ns, "unit/lidar")
    cloud.fields.clear()
    monkeypatch.setattr("cosense.nodes.agent._SILENT_S", 100.0)
    agent._on_measured(
        "pose", conversions.pose_to_message(unit.T_world_agent, unit.pose_covariance, unit.stamp_ns)
    )
    agent._on_measured("cloud", cloud)
    assert "a cloud could not be used: " in said(process.ERROR, "no field").message
    assert said(process.OK, "detects").values[-1].value
    watcher.destroy_publisher(driver)
    watcher.destroy_node()


def test_clouds_between_poses_of_five_hertz_are_all_sent_from_where_they_are(start, tmp_path):
    """Poses that lie between the clouds, and come twice: half of the clouds were lost, others were off."""
    agent = start(write_model(tmp_path / "model"), "fusion:=late", "registration:=none")
    sent: list[bytes] = []
    agent._messages.publish = lambda message: sent.append(conversions.message_to_bytes(message))
    unit = open_dataset(write_scene(tmp_path / "scene", frames=2))[0].others[0]

    def at(stamp_ms: int) -> np.ndarray:
        return transform_from_planar(0.01 * stamp_ms, 0.0, 0.0) @ unit.T_world_agent

    assert agent._health()[0] == process.OK
    clouds, poses = range(100, 900, 100), range(33, 1000, 200)
    for stamp_ms in sorted([*clouds, *poses]):
        stamp_ns = stamp_ms * 1_000_000
        if stamp_ms in clouds:
            points = conversions.points_to_cloud(unit.points[:50], stamp_ns, "unit/lidar")
            agent._on_measured("cloud", points)
            continue
        for _ in range(2):
            pose = conversions.pose_to_message(at(stamp_ms), unit.pose_covariance, stamp_ns)
            agent._on_measured("pose", pose)
        # The detector has the time until the next pose for all clouds that this one completes.
        end_s = time.monotonic() + 20
        while len(sent) < sum(cloud_ms < stamp_ms for cloud_ms in clouds):
            assert time.monotonic() < end_s, len(sent)
            time.sleep(0.005)
    for stamp_ms, message in zip(clouds, map(decode, sent), strict=True):
        assert message.stamp_ns == stamp_ms * 1_000_000
        np.testing.assert_allclose(message.T_world_agent, at(stamp_ms), atol=1e-6)
    agent._on_measured("cloud", conversions.points_to_cloud(unit.points, 0, "unit/lidar"))
    pose = conversions.pose_to_message(at(1200), unit.pose_covariance, 1_200_000_000)
    agent._on_measured("pose", pose)
    level, said = agent._health()
    assert level == process.WARN
    assert "cloud of 0.000 s: it came after that of 0.800 s" in said


def test_what_is_in_another_frame_than_before_is_refused(start, tmp_path, capfd):
    """Kind: two LiDARs or two localisations on one topic; all were taken for the one of the parameters."""
    agent = start(write_model(tmp_path / "model"), "fusion:=late")
    unit = open_dataset(write_scene(tmp_path / "scene", frames=2))[0].others[0]
    pose = conversions.pose_to_message(unit.T_world_agent, unit.pose_covariance, 0)
    assert agent._health()[0] == process.OK
    for frame in ("a/odom", "/a/odom", "map"):
        pose.header.frame_id = frame
        agent._on_measured("pose", pose)
    for frame in ("unit/left", "unit/right"):
        agent._on_measured("cloud", conversions.points_to_cloud(unit.points[:50], 0, frame))
    log = capfd.readouterr().err
    assert log.count("poses are in 'a/odom', and every robot has an odom of its own") == 1
    reason = "in frame '{}', where the first one was in '{}': give each sensor and each localisation a topic"
    assert f"a pose {reason.format('map', 'a/odom')}" in log
    assert f"a cloud {reason.format('unit/right', 'unit/left')}" in agent._health()[1]
    assert (agent._poses_refused, agent._without_pose) == (1, 1)


def test_a_stream_of_bright_clouds_is_scaled_by_one_number_that_is_said_once(start, tmp_path):
    """Kind: a live decision per cloud would change what a material looks like from frame to frame."""
    agent = start(write_model(tmp_path / "model"), "fusion:=late")
    seen: list[np.ndarray] = []
    perceive = agent._perceiver.perceive
    agent._perceiver.perceive = lambda frame: seen.append(frame.points) or perceive(frame)
    unit = open_dataset(write_scene(tmp_path / "scene", frames=2))[0].others[0]
    points = unit.points[:50].copy()
    for index, brightest in enumerate((4000.0, 1.0, 200.0)):
        points[:, 3] = 0.5
        points[0, 3] = brightest
        cloud = conversions.points_to_cloud(points, index * 100_000_000, "unit/lidar")
        pose = TimedPose(index * 100_000_000, unit.T_world_agent, unit.pose_covariance)
        agent._process(Work(cloud, pose, WithImages(None), None, time.monotonic_ns()))
    assert [cloud[1, 3] for cloud in seen] == [np.float32(0.5 / 4095)] * 3
    assert agent._lidar.notes == ["unit: intensities (float32, up to 4000) are divided by 4095"]


def test_a_detector_gets_the_image_of_its_cloud_and_goes_on_when_there_is_none(start, tmp_path):
    network = CameraPillarDetector.build(SMALL, 0)
    write_tensors(network_tensors(network), tmp_path / "weights.safetensors")
    content = {"detector": "camera_pillars", **to_mapping(SMALL)}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content))
    front = camera()
    mounted = json.dumps({"front": front.T_camera_agent.reshape(-1).tolist()})
    agent = start(tmp_path, "fusion:=late", f"cameras:='{mounted}'", "image_wait_ms:=0.0")
    seen: list[AgentFrame] = []
    perceive = agent._perceiver.perceive
    agent._perceiver.perceive = lambda frame: seen.append(frame) or perceive(frame)

    def measure(stamp_ns: int, *, with_image: bool, points: np.ndarray) -> None:
        before = agent._sequence
        if with_image:
            image = dataclasses.replace(front, stamp_ns=stamp_ns)
            agent._on_info("front", conversions.camera_to_info(image, "front"))
            agent._on_image("front", conversions.image_to_jpeg(image, "front"))
        agent._on_measured("pose", conversions.pose_to_message(np.eye(4), np.zeros((3, 3)), stamp_ns))
        if len(points):
            agent._on_measured("cloud", conversions.points_to_cloud(points, stamp_ns, "unit/lidar"))
        end_s = time.monotonic() + 20
        while agent._sequence == before:
            assert time.monotonic() < end_s
            time.sleep(0.01)

    measure(0, with_image=True, points=cloud())
    assert [image.name for image in seen[-1].cameras] == ["front"]
    np.testing.assert_array_equal(seen[-1].cameras[0].T_then_agent, np.eye(4))
    assert agent._lost == ()
    measure(400_000_000, with_image=False, points=cloud())
    assert seen[-1].cameras == ()
    assert agent._lost == ("camera 'front' has sent nothing for 400 ms",)
    level, said = agent._health()
    assert (level, agent._lost[0] in said) == (process.WARN, True)
    # The LiDAR falls silent: the image makes a frame alone.
    measure(900_000_000, with_image=True, points=cloud()[:0])
    assert (len(seen[-1].points), [image.name for image in seen[-1].cameras]) == (0, ["front"])
    assert agent._lost == ("the LiDAR has sent no points",)
