"""What every node process does: declare parameters, report its health, start, stop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

from cosense.errors import CosenseError, nearest
from cosense.nodes.conversions import header
from cosense.nodes.qos import heard_by_all

_LOOK_S = 0.2

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)
# A node, or what holds several.
AnyNode = TypeVar("AnyNode")


def declare(
    node: Node,
    name: str,
    default: Any,
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    is_settable: bool = False,
) -> Any:
    """Declare a parameter and return its value.

    Args:
        node: whose parameter it is.
        name: of the parameter.
        default: also fixes its type.
        description: what `ros2 param describe` says.
        low: smallest number allowed; with `high` the range that ROS itself enforces.
        high: largest number allowed.
        is_settable: whether it may be set at run time; the others are set once, at the start.
    """
    descriptor = ParameterDescriptor(description=description, read_only=not is_settable)
    if low is not None and high is not None:
        if isinstance(default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
            ]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return node.declare_parameter(name, default, descriptor).value


def choose(node: Node, name: str, allowed: Sequence[str], description: str) -> str:
    """Declare a parameter with a few allowed values, the first of which is the default.

    Raises:
        CosenseError: it was set to something else.
    """
    value = str(declare(node, name, allowed[0], f"{description}: {' or '.join(allowed)}"))
    if value not in allowed:
        raise CosenseError(
            f"parameter '{name}' of node '{node.get_name()}' is '{value}', {nearest(value, allowed)}"
        )
    return value


def needed(node: Node, name: str, description: str) -> str:
    """Declare a text parameter that has no sensible default.

    Raises:
        CosenseError: it was not set.
    """
    value = str(declare(node, name, "", description))
    if not value:
        raise CosenseError(f"parameter '{name}' of node '{node.get_name()}' is not set: {description}")
    return value


class Listener:
    """A subscription that is there as soon as its topic has a publisher, and asks for what all of them offer.

    Drivers are best-effort or reliable, and who asks a best-effort publisher for reliability hears nothing.
    Our own publishers keep what they sent last: who asks for it misses nothing, however late the two sides
    of DDS learn of each other.
    """

    def __init__(
        self,
        node: Node,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        depth: int,
        *,
        raw: bool = False,
        at_once: bool = False,
    ) -> None:
        """Start to look for publishers.

        Args:
            node: that listens.
            kind: type of the messages.
            topic: where to listen.
            callback: gets each message.
            depth: of the queue.
            raw: the callback gets serialised bytes.
            at_once: be there before any publisher is, for those who wait for listeners.
        """
        self._node = node
        self._arguments = (kind, topic, callback)
        self._topic = node.resolve_topic_name(topic)
        self._depth = depth
        self._raw = raw
        self._asked: QoSProfile | None = None
        self._subscription: Subscription | None = None
        if at_once:
            self._subscribe(heard_by_all([], depth))
        node.create_timer(_LOOK_S, self._look)

    def _look(self) -> None:
        offers = [info.qos_profile for info in self._node.get_publishers_info_by_topic(self._topic)]
        if self._asked is not None:
            offers.append(self._asked)
        wanted = heard_by_all(offers, self._depth)
        if offers and wanted != self._asked:
            self._subscribe(wanted)

    def _subscribe(self, wanted: QoSProfile) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        self._subscription = self._node.create_subscription(*self._arguments, wanted, raw=self._raw)
        self._asked = wanted


def status(name: str, level: bytes, message: str, values: Mapping[str, Any]) -> DiagnosticStatus:
    """Return one line of diagnostics."""
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id="cosense", values=pairs)


def diagnostics(statuses: list[DiagnosticStatus], stamp_ns: int) -> DiagnosticArray:
    """Return lines of diagnostics as one message."""
    return DiagnosticArray(header=header(stamp_ns, ""), status=statuses)


def run(make_node: Callable[[], AnyNode], work: Callable[[AnyNode], None] = rclpy.spin) -> None:
    """Start a node, let it work and stop it cleanly on Ctrl-C or SIGTERM.

    Bad input ends the process with one line and status 2. A node may have a method `close`, which is called
    in every case, so that files are complete.
    """
    rclpy.init()
    node = None
    try:
        node = make_node()
        work(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except CosenseError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    finally:
        if node is not None:
            getattr(node, "close", lambda: None)()
            node.destroy_node()
        rclpy.try_shutdown()
