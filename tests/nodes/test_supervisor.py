from __future__ import annotations

import json

import pytest

from cosense.errors import CosenseError
from cosense.nodes.supervisor import Failure, JournalTail, check_ros, free_domain, ros_environment


def test_the_tail_counts_complete_lines_only(tmp_path):
    path = tmp_path / "detections.jsonl"
    tail = JournalTail(path)
    assert tail.read() == (0, None)
    with path.open("w") as file:
        for number in range(3):
            file.write(json.dumps({"n": number}) + "\n")
        file.write('{"n": 3')
        file.flush()
        assert tail.read() == (3, {"n": 2})
        file.write("}\n")
    assert tail.read() == (4, {"n": 3})
    assert tail.read() == (4, {"n": 3})


def test_traffic_stays_on_this_machine_unless_the_user_says_otherwise(tmp_path, monkeypatch):
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_DISTRO"):
        monkeypatch.delenv(name, raising=False)
    environment = ros_environment(tmp_path)
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert 0 < int(environment["ROS_DOMAIN_ID"]) < 100
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    environment = ros_environment(tmp_path)
    assert (environment["ROS_AUTOMATIC_DISCOVERY_RANGE"], environment["ROS_DOMAIN_ID"]) == ("SUBNET", "7")


def test_a_free_domain_is_one_with_room_for_its_ports():
    assert 7410 + 250 * free_domain() < 32768


def test_without_rclpy_the_cure_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CosenseError, match=r"rclpy is not installed: .*pip install 'cosense\[ros\]'"):
        check_ros()


def test_failures_say_how_and_show_the_last_lines():
    assert str(Failure("agent-unit", -9, ["working"])) == "agent-unit ended with SIGKILL\n  working"
    assert str(Failure("player", 2, [])) == "player ended with exit status 2"
