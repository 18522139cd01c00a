"""What every node process does: declare parameters, report its health, start, stop."""

from __future__ import annotations

import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.utilities import remove_ros_args

from cosense.errors import CosenseError, nearest, parse_json
from cosense.nodes.ros.conversions import header
from cosense.nodes.ros.given_parameters import check_given
from cosense.runs.shared_memory import remove_unfinished_ports

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK,
    DiagnosticStatus.WARN,
    DiagnosticStatus.ERROR,
    DiagnosticStatus.STALE,
)
# How long the diagnostics remember.
LATELY_S = 10.0
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
        node: node that has the parameter.
        name: name of the parameter.
        default: value where none was set; it fixes the type too.
        description: text that `ros2 param describe` prints.
        low: smallest number allowed; with `high` the range that ROS itself enforces.
        high: largest number allowed.
        is_settable: allow changes at run time; other parameters are set once, at the start.

    Raises:
        CosenseError: the value has another type or is out of bounds.
    """
    descriptor = ParameterDescriptor(description=description, read_only=not is_settable)
    if low is not None and high is not None:
        if isinstance(default, float):
            descriptor.floating_point_range = [
                FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)
            ]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    try:
        return node.declare_parameter(name, default, descriptor).value
    except (InvalidParameterTypeException, InvalidParameterValueException) as error:
        bounds = "" if low is None or high is None else f" from {low:g} to {high:g}"
        raise CosenseError(
            f"parameter '{name}' of node '{node.get_name()}': {error}; expected something like "
            f"{default!r}{bounds} ({description})"
        ) from None


def declare_json(node: Node, name: str, description: str) -> Any:
    """Declare a text parameter that holds JSON, an empty object if it is not set, and return what it holds.

    Raises:
        CosenseError: the text is not JSON.
    """
    text = str(declare(node, name, "{}", description))
    try:
        return parse_json(text)
    except ValueError as error:
        raise CosenseError(f"parameter '{name}' of node '{node.get_name()}' is not JSON: {error}") from None


def choose(node: Node, name: str, allowed: Sequence[str], description: str) -> str:
    """Declare a parameter with a few allowed values, the first of which is the default.

    Raises:
        CosenseError: the value is none of these.
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
        CosenseError: no value was set.
    """
    value = str(declare(node, name, "", description))
    if not value:
        raise CosenseError(f"parameter '{name}' of node '{node.get_name()}' is not set: {description}")
    return value


def status(
    name: str, hardware_id: str, level: bytes, message: str, values: Mapping[str, Any]
) -> DiagnosticStatus:
    """Return one line of diagnostics.

    Args:
        name: what it is about.
        hardware_id: the agent on which that is so.
        level: OK, WARN, ERROR or STALE.
        message: the state in words.
        values: figures to it.
    """
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id=hardware_id, values=pairs)


def diagnostics(statuses: list[DiagnosticStatus], stamp_ns: int) -> DiagnosticArray:
    """Return lines of diagnostics as one message."""
    return DiagnosticArray(header=header(stamp_ns, ""), status=statuses)


class Lately:
    """How much counters have grown lately: what is over does not count for ever."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, dict[str, int]]] = deque()

    def growth(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Take what the counters stand at, and return by how much each has grown in the last `LATELY_S`."""
        now_s = time.monotonic()
        self._past.append((now_s, dict(counts)))
        # The newest one that is old enough is what the growth is counted from.
        while len(self._past) > 1 and now_s - self._past[1][0] >= LATELY_S:
            self._past.popleft()
        before = self._past[0][1]
        return {name: count - before.get(name, 0) for name, count in counts.items()}


def run(make_node: Callable[[], AnyNode], *names: str, work: Callable[[AnyNode], None] = rclpy.spin) -> None:
    """Start a node, let it work and stop it cleanly on Ctrl-C or SIGTERM, whatever it does just then.

    Bad input ends the process with one line and status 2, a thread that fails with status 1. `close` of the
    node is called in every case, so that files are complete.

    Args:
        make_node: makes what the process runs.
        names: names of the nodes in it, as they are without remapping.
        work: what it does until its end.
    """
    # rclpy ends everything in order on these signals. Python's own exception would come in the middle of
    # anything, also where nobody can catch it.
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    node = None
    has_started = False
    try:
        _start_ros(names)
        has_started = True
        # One that came before rclpy took over is lost on it.
        if not interrupts:
            node = make_node()
            node.bring_up()
        if not interrupts:
            work(node)
    except ExternalShutdownException:
        pass
    # The other one: a parameter that every node has, such as `use_sim_time`, has a value of another type.
    except (CosenseError, InvalidParameterTypeException) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception:
        # Whatever rclpy is asked for fails as soon as it has to stop.
        if rclpy.ok() or not has_started:
            raise
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    if node is not None and node.has_failed:
        sys.exit(1)


def _start_ros(names: Sequence[str]) -> None:
    """Start rclpy with the arguments of the process.

    Raises:
        CosenseError: an argument that nobody reads, or that rclpy cannot read.
    """
    for warning in check_given(sys.argv, names):
        print(f"warning: {warning}", file=sys.stderr)
    for warning in remove_unfinished_ports():
        print(f"warning: {warning}", file=sys.stderr)
    try:
        others = remove_ros_args(sys.argv)[1:]
        rclpy.init()
    except (RuntimeError, ValueError) as error:
        raise CosenseError(f"arguments behind --ros-args: {' '.join(str(error).split())}") from None
    if others:
        raise CosenseError(
            f"unexpected argument '{others[0]}': what is meant for ROS 2 comes behind --ros-args"
        )
