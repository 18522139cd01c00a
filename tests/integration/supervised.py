"""Runs under the eyes of a test, and somebody else in the same DDS domain who talks to them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from cosense import topics
from cosense.cooperation.peers import SynchroniserSettings
from cosense.runs.processes import processes
from cosense.runs.scenario import PlayerSettings, Scenario
from cosense.runs.supervisor import Failure, Progress, Supervisor, ros_environment
from tests.nodes.foreign_types import foreign_type

if TYPE_CHECKING:
    from diagnostic_msgs.msg import DiagnosticStatus

QUIET = Console(file=io.StringIO())
# In mode drain, on a machine that does something else meanwhile: no frame is fused without a sender.
PATIENT_PLAYER = PlayerSettings(timeout_s=120.0)
PATIENT_SYNCHRONISER = SynchroniserSettings(timeout_ms=60_000.0)


def run_supervised(scenario: Scenario, out: Path, on_progress: Callable[[Progress], None]) -> list[Failure]:
    out.mkdir()
    supervisor = Supervisor(processes(scenario, out), out, ros_environment(out / "logs"))
    return supervisor.run(on_progress)


class Stranger:
    """A node of somebody else."""

    def __init__(self, domain: int) -> None:
        import rclpy
        from std_msgs.msg import String, UInt8MultiArray

        self._context = rclpy.Context()
        self._context.init(domain_id=domain)
        self._node = rclpy.create_node("stranger", context=self._context)
        # Nobody serves this one.
        self._deaf = rclpy.create_node("deaf", context=self._context)
        self._executor = rclpy.executors.SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        # From the beginning, so that the processes find them when they look around for the first time.
        self._publishers = {
            topic: self._node.create_publisher(UInt8MultiArray, topic, 10)
            for topic in (*topics.V2X, topics.tx_topic("-1", topics.V2X_MESSAGES))
        }

        # What the processes of a run cannot know.
        goals = foreign_type(String, "nav9_msgs", "Goals")
        self._goals = self._node.create_publisher(goals, "/goals", 10)

    def shout(self, topic: str, data: bytes) -> None:
        """Publish bytes on a topic of the radio as if they were a message."""
        from cosense.nodes.ros.conversions import bytes_to_message

        self._publishers[topic].publish(bytes_to_message(data))

    def is_heard(self, topic: str) -> bool:
        """Return whether somebody listens to what it publishes there, and has taken all of it."""
        from rclpy.duration import Duration

        publisher = self._publishers[topic]
        return publisher.get_subscription_count() > 0 and publisher.wait_for_all_acked(Duration())

    def offer(self, topic: str) -> None:
        """Announce that bytes will be published on another topic."""
        from std_msgs.msg import UInt8MultiArray

        self._publishers[topic] = self._node.create_publisher(UInt8MultiArray, topic, 10)

    def listen(self, topic: str) -> list[bytes]:
        """Return the messages of a topic of the radio, as far as `take` has taken them."""
        from std_msgs.msg import UInt8MultiArray

        from cosense.nodes.ros.conversions import message_to_bytes

        heard: list[bytes] = []
        self._node.create_subscription(
            UInt8MultiArray, topic, lambda message: heard.append(message_to_bytes(message)), 10
        )
        return heard

    def read_diagnostics(self) -> list[DiagnosticStatus]:
        """Return the lines of all diagnostics, as far as `take` has taken them."""
        from diagnostic_msgs.msg import DiagnosticArray

        read: list[DiagnosticStatus] = []
        self._node.create_subscription(
            DiagnosticArray, topics.DIAGNOSTICS, lambda array: read.extend(array.status), 100
        )
        return read

    def take(self) -> None:
        """Serve what has come."""
        self._executor.spin_once(timeout_sec=0)

    def ignore(self, kind: type, topic: str) -> None:
        """Ask for everything that is published there, reliably, and never take any of it."""
        from cosense.nodes.ros import qos

        self._deaf.create_subscription(kind, topic, lambda message: None, qos.RESULT)

    def set_parameter(self, node: str, name: str, value: float) -> tuple[bool, str]:
        """Do what `ros2 param set` does; return whether it was accepted, and why not."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        client = self._node.create_client(SetParameters, f"{node}/set_parameters")
        assert client.wait_for_service(timeout_sec=10)
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        future = client.call_async(request)
        self._executor.spin_until_future_complete(future, timeout_sec=10)
        (result,) = future.result().results
        return result.successful, result.reason

    def close(self) -> None:
        self._executor.shutdown()
        self._node.destroy_node()
        self._deaf.destroy_node()
        self._context.shutdown()
