from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cosense.runs.doctor import ros


def test_where_rclpy_comes_from_is_told_by_its_path():
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
    folder = Path(sys.modules["rclpy"].__file__).parent
    (sourced,) = ros.check_rclpy({"ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": str(folder.parent)})
    assert (sourced.level, "ROS 2 installation 'jazzy'" in sourced.found) == ("ok", True)
    (wheels,) = ros.check_rclpy({})
    assert (wheels.level, "from the wheels" in wheels.found) == ("ok", True)
    (both,) = ros.check_rclpy({"ROS_DISTRO": "jazzy", "AMENT_PREFIX_PATH": "/opt/ros/jazzy"})
    assert (both.level, "wheels" in both.cure) == ("warn", True)


@pytest.mark.parametrize(
    ("domain", "level"),
    [
        (None, "ok"),
        ("", "ok"),
        ("7", "ok"),
        ("101", "ok"),
        ("150", "warn"),
        ("233", "fail"),
        ("seven", "fail"),
    ],
)
def test_a_domain_has_ports_or_is_none(domain, level):
    (finding,) = ros.check_domain({} if domain is None else {"ROS_DOMAIN_ID": domain})
    assert finding.level == level
    assert bool(finding.cure) == (level != "ok")


@pytest.mark.parametrize(
    ("text", "level"),
    [(None, "ok"), ("LOCALHOST", "ok"), ("SUBNET", "ok"), ("OFF", "fail"), ("localhost", "fail")],
)
def test_who_is_found(text, level):
    (finding,) = ros.check_discovery_range({} if text is None else {"ROS_AUTOMATIC_DISCOVERY_RANGE": text})
    assert finding.level == level


@pytest.mark.parametrize(("value", "where"), [("1", "this machine,"), ("0", "the network")])
def test_humble_has_another_variable(value, where):
    (finding,) = ros.check_discovery_range({"ROS_DISTRO": "humble", "ROS_LOCALHOST_ONLY": value})
    assert finding.found.startswith(where)


def test_missing_messages_come_from_where_ros_comes_from(monkeypatch):
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
    monkeypatch.setattr(ros, "_is_there", lambda module: module not in ("nav_msgs.msg", "vision_msgs.msg"))
    needed, tf2, vision = ros.check_messages({"ROS_DISTRO": "humble"})
    assert (needed.level, needed.cure) == ("fail", "sudo apt install ros-humble-nav-msgs")
    assert (tf2.level, vision.level) == ("ok", "warn")
    assert vision.cure == "sudo apt install ros-humble-vision-msgs"
    needed, _, vision = ros.check_messages({})
    assert "pip install 'cosense[ros]'" in needed.cure
    # The wheels do not have it: nothing can be done, and nothing needs to be.
    assert (vision.level, vision.cure) == ("ok", "")


@pytest.mark.parametrize(("environment", "level"), [({}, "ok"), ({"ROS_DISTRO": "jazzy"}, "warn")])
def test_our_own_folder_called_launch_is_not_the_launch_of_ros(monkeypatch, environment, level):
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
    monkeypatch.setattr(sys, "path", [str(Path(__file__).resolve().parents[3]), *sys.path])
    if ros._is_there("launch_ros.actions"):
        pytest.skip("ROS 2's launch is installed")
    (finding,) = ros.check_launch(environment)
    assert finding.level == level
    assert "no launch, launch_ros" in finding.found


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, "as cosense sets it up"),
        ({"FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}, "your FASTDDS_BUILTIN_TRANSPORTS"),
    ],
)
def test_a_profile_of_the_user_is_named(environment, found):
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
    (finding,) = ros.check_rmw(environment)
    if not finding.found.startswith("rmw_fastrtps"):
        pytest.skip("another middleware than Fast DDS")
    assert finding.level == "ok"
    assert found in finding.found
