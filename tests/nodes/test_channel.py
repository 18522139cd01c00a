"""The channel in the process of the test, between two agents that are played by the test."""

from __future__ import annotations

import array
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from std_msgs.msg import UInt8MultiArray

from cosense import topics
from cosense.errors import CosenseError
from cosense.json_lines import read_lines
from cosense.nodes import channel
from cosense.nodes.channel import ChannelNode
from cosense.nodes.ros import process, qos
from cosense.runs.supervisor import free_domain


class Radio:
    """The channel, and on both sides of it whoever the test wants to be."""

    def __init__(self, journal: Path, radio: dict[str, Any], player_rate: float = 1.0) -> None:
        self.journal = journal
        settings = ["agents:=car,van,-1", f"radio:={json.dumps(json.dumps(radio))}", f"journal:={journal}"]
        settings.append(f"player_rate:={player_rate}")
        rclpy.init(args=["--ros-args", *(word for setting in settings for word in ("-p", setting))])
        self.node = ChannelNode()
        self.node.bring_up()
        self.others = rclpy.create_node("others", use_global_arguments=False)
        self.heard: list[tuple[str, bytes, float]] = []
        self.diagnostics: dict[str, Any] = {}
        for agent in ("car", "van", "-1"):
            self._listen(agent)
        self.others.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, qos.RESULT)
        self._publishers: dict[str, Any] = {}
        self._executor = SingleThreadedExecutor()
        for node in (self.node, self.others):
            self._executor.add_node(node)

    def _listen(self, agent: str) -> None:
        def hear(message: UInt8MultiArray) -> None:
            self.heard.append((agent, bytes(message.data), time.monotonic()))

        self.others.create_subscription(
            UInt8MultiArray, topics.rx_topic(agent, topics.V2X_MESSAGES), hear, qos.V2X
        )

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.diagnostics |= {line.name: line for line in message.status}

    def waits_for_status(self, name: str, message: str) -> dict[str, str]:
        """Wait until the diagnostics say this, and return what else they say."""
        assert self.spin(lambda: name in self.diagnostics and message in self.diagnostics[name].message)
        return {pair.key: pair.value for pair in self.diagnostics[name].values}

    def publisher(self, kind: type, topic: str) -> Any:
        """Return a publisher that the channel listens to."""
        if topic not in self._publishers:
            self._publishers[topic] = made = self.others.create_publisher(kind, topic, qos.V2X)
            assert self.spin(lambda: made.get_subscription_count() == 1)
            # The other side has to find it too.
            self.spin(lambda: False, 0.3)
        return self._publishers[topic]

    def send(self, agent: str, data: bytes) -> float:
        """Send what an agent would, and return when (monotonic)."""
        sender = self.publisher(UInt8MultiArray, topics.tx_topic(agent, topics.V2X_MESSAGES))
        now_s = time.monotonic()
        sender.publish(UInt8MultiArray(data=array.array("B", data)))
        return now_s

    def stand(self, agent: str, x_m: float) -> None:
        """Publish where an agent is."""
        pose = PoseWithCovarianceStamped()
        pose.pose.pose.position.x = x_m
        self.publisher(PoseWithCovarianceStamped, topics.pose_topic(agent)).publish(pose)

    def spin(self, is_done: Callable[[], Any], timeout_s: float = 10.0) -> bool:
        end_s = time.monotonic() + timeout_s
        while not is_done() and time.monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.01)
        return bool(is_done())

    def set(self, **values: float) -> tuple[bool, str]:
        parameters = [Parameter(name, value=value) for name, value in values.items()]
        answer = self.node.set_parameters_atomically(parameters)
        return answer.successful, answer.reason

    def fates(self) -> list[dict[str, Any]]:
        return list(read_lines(self.journal))

    def close(self) -> None:
        self.node.close()
        self._executor.shutdown()
        self.node.destroy_node()
        self.others.destroy_node()


@pytest.fixture
def radio(monkeypatch, tmp_path) -> Iterator[Callable[..., Radio]]:
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    made: list[Radio] = []

    def make(player_rate: float = 1.0, **settings: Any) -> Radio:
        made.append(Radio(tmp_path / "link.jsonl", settings, player_rate))
        return made[0]

    yield make
    for each in made:
        each.close()
    rclpy.try_shutdown()


def test_everybody_else_hears_a_message_after_the_delay_of_their_link_whatever_is_in_it(radio):
    air = radio(delay_ms=50, links=[{"to": "-1", "delay_ms": 200}])
    sent_s = air.send("car", b"no message")
    assert air.spin(lambda: len(air.heard) == 2)
    assert [(agent, data) for agent, data, _ in air.heard] == [("van", b"no message"), ("-1", b"no message")]
    delays_s = [at_s - sent_s for _, _, at_s in air.heard]
    assert 0.05 <= delays_s[0] < 0.2 <= delays_s[1] < 1.0
    first, second = air.fates()
    assert (first["from"], first["to"], first["topic"], first["number"], first["bytes"]) == (
        *("car", "van", "messages"),
        *(0, 10),
    )
    assert second["delivered_ns"] - second["offered_ns"] >= 200e6


def test_times_are_those_of_the_recording(radio):
    air = radio(player_rate=0.25, delay_ms=50)
    sent_s = air.send("car", b"x")
    assert air.spin(lambda: len(air.heard) == 2)
    assert all(0.2 <= at_s - sent_s < 1.0 for _, _, at_s in air.heard)
    values = air.waits_for_status("channel/car/van", "1 of 1")
    assert 50 <= float(values["delay ms, p50 / p95"].split(" / ")[0]) < 150


def test_diagnostics_and_journal_agree_on_what_was_lost(radio):
    air = radio(loss=0.5, seed=3)
    for number in range(40):
        air.send("car", bytes([number]))
    assert air.spin(lambda: air.journal.exists() and len(air.fates()) == 80)
    fates = [fate for fate in air.fates() if fate["to"] == "van"]
    arrived = sorted(fate["number"] for fate in fates if "delivered_ns" in fate)
    assert 8 < len(arrived) < 32
    values = air.waits_for_status("channel/car/van", f"{len(arrived)} of 40")
    assert values["lost, loss"] == str(40 - len(arrived))
    assert air.spin(lambda: sum(agent == "van" for agent, _, _ in air.heard) == len(arrived))
    assert [data[0] for agent, data, _ in air.heard if agent == "van"] == arrived


def test_loss_delay_and_rate_of_all_links_change_at_run_time_or_not_at_all(radio):
    air = radio(links=[{"to": "van", "loss": 1.0}])
    air.send("car", b"1")
    assert air.spin(lambda: [agent for agent, _, _ in air.heard] == ["-1"])
    assert air.set(loss=0.0, rate_bytes_per_s=1000.0) == (True, "")
    sent_s = air.send("car", b"2" * 200)
    assert air.spin(lambda: len(air.heard) == 3)
    assert all(at_s - sent_s >= 0.2 for _, _, at_s in air.heard[1:])
    assert air.set(loss=1.0) == (True, "")
    air.send("car", b"3")
    assert air.set(loss=-1.0, rate_bytes_per_s=0.0) == (True, "")
    accepted, reason = air.set(delay_ms=-0.5, loss=1.0)
    assert (accepted, reason) == (False, "node 'channel': delay_ms is -0.5, expected at least 0")
    assert air.set(loss=1.5)[0] is False
    assert air.spin(lambda: len(air.fates()) == 6)
    air.send("car", b"4" * 200)
    assert air.spin(lambda: len(air.fates()) == 8)
    reasons = {fate["to"]: fate.get("lost") for fate in air.fates()[-2:]}
    assert reasons == {"van": "loss", "-1": None}


def test_who_is_out_of_range_hears_nothing(radio):
    air = radio(range_m=100)
    air.send("car", b"too early")
    for agent, x_m in (("car", 0.0), ("van", 99.0), ("-1", 101.0)):
        air.stand(agent, x_m)
    assert air.spin(lambda: len(air.node._positions) == 3)
    air.send("car", b"now")
    assert air.spin(lambda: len(air.heard) == 1)
    assert air.heard[0][:2] == ("van", b"now")
    lost = [(fate["to"], fate["lost"]) for fate in air.fates() if "lost" in fate]
    unknown = "position is not known"
    assert lost == [("van", unknown), ("-1", unknown), ("-1", "out of range")]


def test_what_does_not_fit_is_lost_and_what_is_on_its_way_at_the_end_is_in_the_journal(radio, monkeypatch):
    monkeypatch.setattr(channel, "_MOST_WAITING_BYTES", 3 * 2000)
    air = radio(delay_ms=3_600_000)
    for _ in range(2):
        air.send("car", bytes(2000))
    assert air.spin(lambda: len(air.fates()) == 1)
    assert air.waits_for_status("channel", "more is on its way")["too much on its way"] == "1"
    assert air.diagnostics["channel"].level == process.WARN
    air.node.close()
    assert [fate["lost"] for fate in air.fates()] == ["too much on its way", *["the channel ended"] * 3]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("{", "parameter 'radio' of node 'channel' is not JSON"),
        ('{"delay": 1}', "parameter 'radio' of node 'channel': unknown key 'delay', did you mean 'delay_ms'"),
        ('{"links": [{"to": "cat"}]}', r"links\[0\]: to: 'cat' is no agent, did you mean 'car'"),
    ],
)
def test_settings_that_cannot_be_read_are_named(settings, complaint):
    with pytest.raises(CosenseError, match=complaint):
        channel._radio(settings, ["car"])
