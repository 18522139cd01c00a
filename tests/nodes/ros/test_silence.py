"""How long nothing has come, in the time of what is played: slow motion, pause, end, loop."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

import rclpy
from rclpy.clock import ROSClock
from rclpy.node import Node
from rclpy.time import Time

from cosense.nodes.ros.silence import Silence


@dataclass
class World:
    """The clock on the wall, and that of the node."""

    node: Node
    wall_s: float = 1000.0

    def pass_time(self, wall_s: float, played_s: float) -> None:
        self.wall_s += wall_s
        if played_s:
            clock = self.node.get_clock()
            assert isinstance(clock, ROSClock)
            clock.set_ros_time_override(Time(nanoseconds=clock.now().nanoseconds + int(played_s * 1e9)))


@pytest.fixture
def world(request, monkeypatch):
    """A world in which the time of the recording counts, or not."""
    rclpy.init(args=["--ros-args", "-p", f"use_sim_time:={getattr(request, 'param', 'true')}"])
    node = rclpy.create_node("listener")
    world = World(node)
    monkeypatch.setattr("cosense.nodes.ros.silence.time.monotonic", lambda: world.wall_s)
    yield world
    node.destroy_node()
    rclpy.try_shutdown()


def test_in_slow_motion_it_is_the_time_of_the_recording_that_counts(world):
    world.pass_time(0, 100.0)
    silence = Silence(world.node)
    for _ in range(100):
        world.pass_time(0.1, 0.005)
        assert silence.lasts_s < 0.6
    assert silence.lasts_s == pytest.approx(0.5)
    silence.end()
    assert silence.lasts_s == 0


def test_played_fast_it_is_the_clock_on_the_wall_that_counts(world):
    silence = Silence(world.node)
    world.pass_time(0.5, 50.0)
    assert silence.lasts_s == pytest.approx(0.5)


def test_a_clock_that_stands_still_hides_no_silence(world):
    """Paused, at the end of the bag, or `use_sim_time` without anybody who publishes /clock."""
    silence = Silence(world.node)
    world.pass_time(4.0, 0)
    assert (silence.lasts_s, silence.clock_stands_still) == (0, False)
    world.pass_time(2.0, 0)
    assert (silence.lasts_s, silence.clock_stands_still) == (6.0, True)
    world.pass_time(0.1, 0.1)
    assert (silence.lasts_s, silence.clock_stands_still) == (pytest.approx(0.1), False)


def test_a_bag_that_begins_again_does_not_make_the_silence_negative(world):
    world.pass_time(0, 30.0)
    silence = Silence(world.node)
    world.pass_time(0.1, -29.0)
    assert silence.lasts_s == 0
    world.pass_time(3.0, 3.0)
    assert silence.lasts_s == pytest.approx(3.0)


@pytest.mark.parametrize("world", ["false"], indirect=True)
def test_without_a_recording_it_is_the_clock_on_the_wall(world):
    silence = Silence(world.node)
    world.wall_s += 12.0
    assert (silence.lasts_s, silence.clock_stands_still) == (12.0, False)
