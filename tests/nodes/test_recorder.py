"""The recorder in a domain in which others publish what they like."""

from __future__ import annotations

import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

import rclpy
from geometry_msgs.msg import PoseStamped, PoseWithCovarianceStamped
from mcap.reader import make_reader
from rclpy.executors import SingleThreadedExecutor
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Float64, Header, String

from cosense.data.bag import message_types
from cosense.errors import CosenseError
from cosense.nodes.recorder import RecorderNode
from cosense.nodes.ros import conversions, qos
from cosense.runs.supervisor import free_domain
from tests.nodes.foreign_types import foreign_type, installed

SECOND_NS = 1_000_000_000
TIME_NS = 1_700_000_000 * SECOND_NS


class Recording:
    """A recorder, and somebody who publishes."""

    def __init__(self, path: Path, words: list[str]) -> None:
        rclpy.init(args=["--ros-args", "-p", f"path:={path}", *words])
        self.path = path
        self.recorder = RecorderNode()
        self.recorder.bring_up()
        self.node = rclpy.create_node("stranger", use_global_arguments=False)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.recorder)

    def spin(self, is_done: Callable[[], bool] = lambda: False, longest_s: float = 5.0) -> None:
        end_s = time.monotonic() + longest_s
        while not is_done() and time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.05)

    def publisher(self, kind: Any, topic: str, preset: Any = qos.RESULT, *, is_recorded: bool = True) -> Any:
        publisher = self.node.create_publisher(kind, topic, preset)
        if is_recorded:
            self.spin(lambda: publisher.get_subscription_count() > 0)
            assert publisher.get_subscription_count()
        return publisher

    def close(self) -> dict[str, list[tuple[Any, Any, Any]]]:
        """Close the file and return schema, channel and message of each message, by topic."""
        self.spin(longest_s=0.3)
        self.recorder.close()
        found: dict[str, list[tuple[Any, Any, Any]]] = {}
        with self.path.open("rb") as file:
            for schema, channel, message in make_reader(file).iter_messages():
                found.setdefault(channel.topic, []).append((schema, channel, message))
        return found


@pytest.fixture
def record(monkeypatch, tmp_path) -> Iterator[Callable[..., Recording]]:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    yield lambda *words: Recording(tmp_path / "run.mcap", list(words))
    rclpy.try_shutdown()


def clock(seconds: float) -> Clock:
    return Clock(clock=conversions.to_time(TIME_NS + int(seconds * 1e9)))


def test_what_cannot_be_recorded_is_named_once_and_ends_nothing(record, capfd):
    """Foreign types: not installed, of no message at all, and a topic with two types."""
    recording = record()
    others = {
        "/goals": foreign_type(String, "nav9_msgs", "Goals"),
        "/odd": foreign_type(String, "nav9_msgs::action::deep", "Odd"),
        "/fibonacci/_action/feedback": foreign_type(String, "nav9_msgs", "Feedback"),
    }
    for topic, kind in others.items():
        recording.publisher(kind, topic, is_recorded=False).publish(kind(data="x"))
    words = recording.publisher(String, "/words")
    # DDS allows no participant two types on one topic, but two participants have them.
    context = rclpy.Context()
    context.init()
    other = rclpy.create_node("other", context=context, use_global_arguments=False)
    number = other.create_publisher(Float64, "/words", qos.RESULT)
    recording.spin(lambda: recording.recorder.count_publishers("/words") == 2)
    number.publish(Float64(data=1.0))
    words.publish(String(data="still here"))
    recording.spin(longest_s=0.5)
    found = recording.close()
    context.try_shutdown()
    assert [bytes(message.data[8:-1]) for _, _, message in found["/words"]] == [b"still here"]
    assert set(found) & set(others) == set()
    said = [line.split("]: ")[1] for line in capfd.readouterr().err.splitlines() if "not recorded" in line]
    assert sorted(line.split(" is not")[0] for line in said) == ["/goals", "/odd", "/words"]
    assert "type nav9_msgs/msg/Goals cannot be used here" in "".join(said)
    assert "not as std_msgs/msg/Float64: in a bag it has one type" in "".join(said)


def test_a_recorder_that_ros_2_is_stopped_under_says_what_it_has_and_nothing_else(record, capfd):
    """Last words: ROS 2 is gone when the file is closed, and nobody is to read of that."""
    recording = record()
    recording.publisher(String, "/words").publish(String(data="x"))
    recording.spin(longest_s=0.3)
    rclpy.shutdown()
    recording.recorder.close()
    said = capfd.readouterr().err
    assert "recorded 1 message of" in said
    assert "rosout" not in said


def test_a_type_is_recorded_as_it_is_installed_with_what_its_publisher_offers(record, monkeypatch):
    """Types that are newer than the ones we know: vision_msgs, nav_msgs/Goals, one's own."""
    kind = foreign_type(PoseStamped, "vision_msgs", "Detection3DArray")
    for name, module in installed(kind).items():
        monkeypatch.setitem(sys.modules, name, module)
    recording = record()
    recording.publisher(kind, "/boxes", qos.RESULT).publish(kind(header=Header(frame_id="here")))
    best_effort = qos.compatible_with_all([rclpy.qos.qos_profile_sensor_data], 5)
    recording.publisher(String, "/plain", best_effort).publish(String(data="x"))
    found = recording.close()
    ((schema, channel, message),) = found["/boxes"]
    assert schema.name == "vision_msgs/msg/Detection3DArray"
    own, header, *_ = schema.data.decode().split("=" * 80 + "\n")
    assert own == "std_msgs/Header header\ngeometry_msgs/Pose pose\n"
    # As the installed file has it.
    assert header.startswith("MSG: std_msgs/Header\n# Standard metadata")
    (offered,) = yaml.safe_load(channel.metadata["offered_qos_profiles"])
    assert (offered["reliability"], offered["durability"]) == ("reliable", "transient_local")
    assert offered["lifespan"] == {"sec": 9223372036, "nsec": 854775807}
    (offered,) = yaml.safe_load(found["/plain"][0][1].metadata["offered_qos_profiles"])
    assert (offered["reliability"], offered["durability"]) == ("best_effort", "volatile")
    expected = message_types.own_types().hash_rihs01("geometry_msgs/msg/PoseStamped")
    assert channel.metadata["topic_type_hash"] == expected
    assert b"here" in message.data


def test_a_type_that_is_defined_otherwise_where_it_is_published_is_named(record, monkeypatch, capfd):
    """Two versions of a package: the bytes are those of one machine, the definition that of the other."""
    kind, newer = (foreign_type(like, "own_msgs", "State") for like in (String, Float64))
    for name, module in installed(kind).items():
        monkeypatch.setitem(sys.modules, name, module)
    recording = record()
    context = rclpy.Context()
    context.init()
    other = rclpy.create_node("other", context=context, use_global_arguments=False)
    other.create_publisher(newer, "/state", qos.RESULT)
    recording.spin(lambda: "/state" in recording.recorder._recorded)
    recording.close()
    context.try_shutdown()
    assert "/state: own_msgs/msg/State is defined otherwise where it is published" in capfd.readouterr().err


def test_a_clock_with_two_publishers_is_named(record, capfd):
    """A simulator or `ros2 bag play --clock` in the same domain."""
    recording = record("-p", "use_sim_time:=true")
    ticks = [recording.publisher(Clock, "/clock") for _ in range(2)]
    for seconds, publisher in ((5.0, ticks[0]), (1.0, ticks[1])):
        publisher.publish(clock(seconds))
        recording.spin(longest_s=0.2)
    recording.close()
    assert capfd.readouterr().err.count("/clock has several publishers") == 1


def test_the_time_of_recording_is_that_of_the_clock_and_goes_on_where_it_goes_back(record):
    """Latched before the first clock, between two ticks, late to be found, and a second scenario."""
    recording = record("-p", "use_sim_time:=true")
    latched = recording.publisher(String, "/latched")
    latched.publish(String(data="map"))
    ticks = recording.publisher(Clock, "/clock")
    ticks.publish(clock(0.0))
    recording.spin(longest_s=0.3)
    words = recording.node.create_publisher(String, "/late", qos.RESULT)
    for seconds in (1.0, 2.0, 1.5, 2.5):
        ticks.publish(clock(seconds))
        words.publish(String(data=f"{seconds}"))
        time.sleep(0.01)
    recording.spin(lambda: words.get_subscription_count() > 0)
    recording.spin(longest_s=0.5)
    # Who goes on after a pause hears nothing twice.
    recording.recorder.trigger_deactivate()
    recording.recorder.trigger_activate()
    recording.publisher(String, "/paused").publish(String(data="and goes on"))
    found = recording.close()
    ((_, _, last),) = found["/paused"]
    assert last.log_time == TIME_NS + 4 * SECOND_NS
    assert "/clock" not in found
    ((_, _, early),) = found["/latched"]
    assert (early.log_time, early.publish_time) == (TIME_NS, TIME_NS)
    # The clock goes back by half a second: another scenario, a second later.
    seconds = [(message.log_time - TIME_NS) / SECOND_NS for _, _, message in found["/late"]]
    assert seconds == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("is_installed", [False, True])
def test_each_transform_is_recorded_once(record, monkeypatch, is_installed):
    """A player that publishes /tf, where tf2_msgs is installed and where it is not."""
    kind = foreign_type(String, "tf2_msgs", "TFMessage")
    if is_installed:
        for name, module in installed(kind).items():
            monkeypatch.setitem(sys.modules, name, module)
    recording = record()
    transforms = recording.publisher(kind, "/tf", is_recorded=is_installed)
    poses = recording.publisher(PoseWithCovarianceStamped, "/car/pose")
    for _ in range(3):
        transforms.publish(kind(data="as the player has it"))
        poses.publish(PoseWithCovarianceStamped(header=Header(frame_id="map")))
    # Somebody's else's pose is none of an agent.
    recording.publisher(PoseWithCovarianceStamped, "/robot/arm/pose").publish(PoseWithCovarianceStamped())
    found = recording.close()
    assert (len(found["/car/pose"]), len(found["/robot/arm/pose"]), len(found["/tf"])) == (3, 1, 3)
    is_the_players = [b"as the player" in message.data for _, _, message in found["/tf"]]
    assert is_the_players == [is_installed] * 3
    (schema, channel, _), *_ = found["/tf"]
    assert schema.name == "tf2_msgs/msg/TFMessage"
    (offered,) = yaml.safe_load(channel.metadata["offered_qos_profiles"])
    assert offered["durability"] == "transient_local"


def test_a_full_disk_is_one_error_that_names_the_file(record):
    """What ends the recording itself must be said, and must not end in a second error when it closes."""
    recording = record()
    words = recording.publisher(String, "/words")
    before, was = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        words.publish(String(data="x" * 5_000_000))
        with pytest.raises(CosenseError, match=r"run\.mcap: cannot be written any more: File too large"):
            recording.spin()
        recording.recorder.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, was)
