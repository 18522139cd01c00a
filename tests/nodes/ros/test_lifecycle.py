"""A managed node in the process of the test: its states, and what it gives back."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterValue
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import qos_profile_sensor_data
from std_msgs.msg import Bool, String

from cosense.errors import CosenseError
from cosense.nodes.ros import qos
from cosense.nodes.ros.lifecycle import FAILURE, SUCCESS, ManagedNode
from cosense.runs.supervisor import free_domain


class Echo(ManagedNode):
    """Repeats what it hears."""

    def __init__(self, problem: Exception | None = None) -> None:
        super().__init__("echo")
        self.problem = problem
        self.beats = self.closed = 0

    def build(self) -> None:
        if self.problem is not None:
            raise self.problem
        self.answers = self.publisher(String, "/answers", qos.RESULT)

    def listen(self) -> None:
        self.questions = self.subscribe(String, "/questions", self.answer, 10)
        self.every(0.02, self.beat)

    def close(self) -> None:
        self.closed += 1

    def answer(self, message: String) -> None:
        self.answers.publish(message)

    def beat(self) -> None:
        self.beats += 1


@pytest.fixture
def ros(monkeypatch, tmp_path):
    """Return what starts rclpy with these arguments."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    yield lambda *parameters: rclpy.init(args=["--ros-args", *parameters])
    rclpy.try_shutdown()


def test_only_an_active_node_takes_part_and_it_can_be_paused(ros):
    ros("-p", "autostart:=false", "-p", "use_sim_time:=true")
    node, asker = Echo(), rclpy.create_node("asker", use_global_arguments=False)
    questions = asker.create_publisher(String, "/questions", qos.RESULT)
    heard: list[str] = []
    asker.create_subscription(String, "/answers", lambda m: heard.append(m.data), qos.RESULT)
    executor = SingleThreadedExecutor()
    for each in (node, asker):
        executor.add_node(each)

    def spin(is_done, timeout_s: float = 10.0) -> bool:
        end_s = time.monotonic() + timeout_s
        while not is_done() and time.monotonic() < end_s:
            executor.spin_once(timeout_sec=0.02)
        return is_done()

    node.bring_up()
    assert not node.is_active
    assert node.trigger_configure() == SUCCESS
    questions.publish(String(data="too early"))
    assert not spin(lambda: heard or node.beats, 0.5)
    assert node.trigger_activate() == SUCCESS
    questions.publish(String(data="now"))
    # Also what was said before it listened: publishers keep it for those who come late.
    assert spin(lambda: heard == ["too early", "now"])
    # Timers go on though nobody publishes /clock.
    assert spin(lambda: node.beats > 3)

    assert node.trigger_deactivate() == SUCCESS
    beats = node.beats
    questions.publish(String(data="while paused"))
    assert not spin(lambda: len(heard) > 2, 0.5)
    assert (node.beats, node.closed) == (beats, 0)
    assert node.trigger_cleanup() == SUCCESS
    assert node.closed == 1
    assert spin(lambda: asker.count_publishers("/answers") == 0)
    for trigger in (node.trigger_configure, node.trigger_activate):
        assert trigger() == SUCCESS
    assert node.is_active
    assert node.trigger_shutdown() == SUCCESS
    assert node.closed == 2


def test_a_node_that_cannot_work_says_so_and_may_be_configured_anew(ros):
    ros()
    node = Echo(CosenseError("model 'x' is not there"))
    with pytest.raises(CosenseError, match="model 'x' is not there"):
        node.bring_up()
    assert node.trigger_configure() == FAILURE
    node.problem = None
    assert node.trigger_configure() == SUCCESS


def test_an_error_that_nobody_foresaw_is_not_swallowed(ros):
    ros()
    with pytest.raises(ZeroDivisionError):
        Echo(ZeroDivisionError()).bring_up()


def until(is_so, timeout_s: float = 10.0, serve=lambda: time.sleep(0.02)) -> None:
    end_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end_s
        serve()


def test_a_subscription_is_seen_before_anybody_publishes_and_says_why_nothing_comes(ros):
    """A wrong name, a wrong type and a silent driver are told apart, and `ros2 node info` shows the topic."""
    ros()
    # In a process of its own, as it were: one process cannot publish two types on one topic.
    elsewhere = rclpy.Context()
    elsewhere.init()
    node, driver = Echo(), rclpy.create_node("driver", context=elsewhere)
    node.bring_up()
    until(
        lambda: [info.node_name for info in driver.get_subscriptions_info_by_topic("/questions")] == ["echo"]
    )
    assert not node.questions.silence.was_ended
    # It publishes answers itself, which might be what is meant.
    assert node.questions.why_silent == "nobody publishes there, known: /answers"
    driver.create_publisher(String, "/question", 1)
    until(lambda: node.questions.why_silent == "nobody publishes there, did you mean '/question'?")
    wrong = driver.create_publisher(Bool, "/questions", 1)
    until(lambda: "published there" in node.questions.why_silent)
    assert node.questions.why_silent == (
        "what is published there is std_msgs/msg/Bool, expected std_msgs/msg/String"
    )
    driver.destroy_publisher(wrong)
    driver.create_publisher(String, "/questions", 1)
    until(lambda: node.questions.why_silent == "whoever publishes there is silent")
    elsewhere.shutdown()


def test_who_offers_less_is_heard_and_nobody_else_is_lost_or_heard_worse(ros):
    """Neither what waits to be taken nor the trust in those who keep what they sent is lost on a stranger."""
    ros()
    elsewhere = rclpy.Context()
    elsewhere.init()
    node, sender = Echo(), rclpy.create_node("sender")
    stranger = rclpy.create_node("stranger", context=elsewhere)
    heard: list[str] = []
    node.answer = lambda message: heard.append(message.data)
    node.bring_up()
    reliable = sender.create_publisher(String, "/questions", qos.RESULT)
    until(reliable.get_subscription_count)
    for number in range(5):
        reliable.publish(String(data=f"sent {number}"))
    assert reliable.wait_for_all_acked(rclpy.duration.Duration(seconds=5))
    strange = stranger.create_publisher(String, "/questions", qos_profile_sensor_data)
    until(lambda: node.count_publishers("/questions") == 2)
    node.questions.look()
    until(strange.get_subscription_count)
    strange.publish(String(data="strange"))
    reliable.publish(String(data="sent 5"))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    until(lambda: len(heard) >= 7, serve=lambda: executor.spin_once(timeout_sec=0.02))
    for _ in range(5):
        executor.spin_once(timeout_sec=0.02)
    assert sorted(heard) == [*(f"sent {number}" for number in range(6)), "strange"]
    # Who comes later and keeps what it sent is still asked for it.
    late = sender.create_publisher(String, "/questions", qos.RESULT)
    late.publish(String(data="before it was known"))
    until(lambda: len(heard) == 8, serve=lambda: executor.spin_once(timeout_sec=0.02))
    elsewhere.shutdown()


def test_a_driver_that_comes_late_and_is_best_effort_is_heard(ros, capfd):
    """What it asks for at first is more than a driver offers; that is no warning for anybody here."""
    ros()
    node, driver = Echo(), rclpy.create_node("driver")
    node.bring_up()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    publisher = driver.create_publisher(String, "/questions", qos_profile_sensor_data)

    def ask() -> None:
        publisher.publish(String(data="late"))
        executor.spin_once(timeout_sec=0.02)

    until(lambda: node.questions.silence.was_ended, serve=ask)
    assert "incompatible QoS" not in capfd.readouterr().err


def test_calls_that_do_not_fit_are_refused_and_end_nobody(ros):
    """Kind: a manager that activates twice, types of parameters that do not exist."""
    ros("-p", "autostart:=false")
    node = Echo()
    services = {service.srv_type: service for service in node.services}

    def call(kind: type, **fields: object) -> object:
        return services[kind].callback(kind.Request(**fields), kind.Response())

    def change(number: int, label: str = "") -> bool:
        return call(ChangeState, transition=Transition(id=number, label=label)).success

    configure, activate = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
    assert not change(activate)
    assert [change(number) for number in (configure, activate, activate, 200)] == [True, True, False, False]
    assert not change(0, "configure")
    assert node.is_active
    good = ParameterMessage(name="use_sim_time", value=ParameterValue(type=1, bool_value=False))
    bad = [ParameterMessage(name="autostart", value=ParameterValue(type=kind)) for kind in (0, 3, 77)]
    for parameter in bad:
        result = call(SetParametersAtomically, parameters=[parameter]).result
        assert not result.successful
        assert result.reason
    several = call(SetParameters, parameters=[good, bad[2], good]).results
    assert [result.successful for result in several] == [True, False, False]
    assert node.get_parameter("autostart").value is False
    node.destroy_node()
