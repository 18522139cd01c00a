"""What every process does: what its diagnostics remember, and how it ends."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

import rclpy
from rclpy.signals import uninstall_signal_handlers
from std_msgs.msg import String

from cosense.nodes.ros import process, qos
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.runs.supervisor import free_domain


def test_what_has_been_well_again_for_a_while_is_forgotten(monkeypatch):
    """A counter that never goes back makes a node ill for ever after one bad frame."""
    now_s = 100.0
    monkeypatch.setattr("cosense.nodes.ros.process.time.monotonic", lambda: now_s)
    lately = process.Lately()
    found = []
    for second in range(30):
        found.append(lately.growth({"failed": (second >= 3) + (second >= 5)})["failed"])
        now_s += 1.0
    assert found == [0] * 3 + [1] * 2 + [2] * 8 + [1] * 2 + [0] * 15


@pytest.fixture
def arguments(monkeypatch, tmp_path) -> Iterator[Callable[..., None]]:
    """Return what sets the arguments of the process."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(free_domain()))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    monkeypatch.setattr("sys.argv", ["program"])
    before = signal.getsignal(signal.SIGINT)
    yield lambda *words: monkeypatch.setattr("sys.argv", ["program", *words])
    # Left in place they would not be installed again over those that the next test sets.
    uninstall_signal_handlers()
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("phase", "number"),
    [("start of rclpy", signal.SIGINT)]
    + [
        (phase, number)
        for phase in ("constructor", "build", "listen", "work")
        for number in (signal.SIGINT, signal.SIGTERM)
    ],
)
def test_a_node_that_is_stopped_ends_in_order_whatever_it_does_just_then(
    arguments, monkeypatch, capfd, phase, number
):
    """Ctrl-C comes at any time: it is neither lost nor a traceback, and files are complete."""
    closed: list[str] = []

    def reach(now: str) -> None:
        if now == phase:
            signal.raise_signal(number)

    class Node(ManagedNode):
        def __init__(self) -> None:
            super().__init__("agent")
            reach("constructor")

        def build(self) -> None:
            reach("build")
            self.publisher(String, "/answers", qos.RESULT)

        def listen(self) -> None:
            reach("listen")
            self.subscribe(String, "/questions", print, 1)

        def close(self) -> None:
            closed.append("yes")

    def work(node: Node) -> None:
        reach("work")
        rclpy.spin(node)

    monkeypatch.setattr(process, "check_given", lambda *_: reach("start of rclpy") or [])
    process.run(Node, "agent", work=work)
    assert closed == ([] if phase == "start of rclpy" else ["yes"])
    said = capfd.readouterr().err
    assert not [word for word in ("Traceback", "ERROR", "FATAL") if word in said]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (
            ["--budget", "3"],
            "unexpected argument '--budget': what is meant for ROS 2 comes behind --ros-args",
        ),
        (["--ros-args", "-p", "bugdet_bytes:=3"], "did you mean 'budget_bytes'?"),
        (["--ros-args", "--no-such-thing"], "arguments behind --ros-args: "),
        (["--ros-args", "-p", "budget_bytes"], "arguments behind --ros-args: "),
    ],
)
def test_an_argument_that_nobody_reads_is_one_line_and_no_node(arguments, capfd, words, complaint):
    """What comes before --ros-args would be passed over, and what ROS 2 cannot read ends in a traceback."""
    arguments(*words)
    with pytest.raises(SystemExit) as ended:
        process.run(lambda: pytest.fail("a node was made"), "agent")
    said = capfd.readouterr().err
    assert ended.value.code == 2
    assert said.startswith("error: ")
    assert complaint in said
    assert "Traceback" not in said
