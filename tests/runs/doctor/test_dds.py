from __future__ import annotations

import importlib.util
import os
import sys

import pytest

from cosense.runs.doctor import dds
from cosense.runs.doctor.dds import Measured, Sent, check_dds, findings_of, measure
from cosense.runs.supervisor import free_domain

needs_rclpy = pytest.mark.skipif(
    importlib.util.find_spec("rclpy") is None, reason="rclpy is not installed: pip install 'cosense[ros]'"
)


def environment(**changes: str) -> dict[str, str]:
    own = {"ROS_DOMAIN_ID": str(free_domain()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    return {**os.environ, **own, **changes}


@pytest.fixture
def patient(monkeypatch):
    """Give the processes as long as they need to start on a machine that does something else."""
    monkeypatch.setattr(dds, "_START_S", 100.0)


@needs_rclpy
def test_two_real_processes_find_each_other_and_large_messages_arrive(patient, monkeypatch):
    monkeypatch.setattr(dds, "PATIENCE_S", 60.0)
    monkeypatch.setattr(dds, "_SLOW_DISCOVERY_S", 60.0)
    found, small, large = check_dds()
    assert {found.level, small.level, large.level} == {"ok"}, (found, small, large)
    assert small.found.startswith("messages of 2 kB take ")
    assert large.found.startswith("messages of 1 MB take ")


@needs_rclpy
def test_processes_that_must_not_look_for_each_other_do_not(patient, monkeypatch):
    monkeypatch.setattr(dds, "PATIENCE_S", 2.0)
    measured = measure(environment(ROS_AUTOMATIC_DISCOVERY_RANGE="OFF"))
    assert measured == Measured(None)
    (finding,) = findings_of(measured)
    assert finding.level == "fail"
    assert "did not find each other" in finding.found


@needs_rclpy
def test_a_middleware_that_is_not_there_is_named(patient):
    measured = measure(environment(RMW_IMPLEMENTATION="rmw_nothing_cpp"))
    assert measured.discovery_s is None
    (finding,) = findings_of(measured)
    assert (finding.level, "a process broke" in finding.found) == ("fail", True)


def test_a_process_that_hangs_is_ended(monkeypatch, tmp_path):
    hang = tmp_path / "hang"
    hang.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(60)\n")
    hang.chmod(0o755)
    monkeypatch.setattr(dds, "PATIENCE_S", 0.2)
    monkeypatch.setattr(dds, "_START_S", 0.2)
    monkeypatch.setattr(sys, "executable", str(hang))
    assert "no answer within" in measure(os.environ).trouble


def test_messages_that_get_lost_are_a_failure_and_slow_discovery_a_warning():
    sent = (Sent(2_000, 3, (1.0, 3.0, 2.0)), Sent(1_000_000, 3, (9.0,)))
    found, small, large = findings_of(Measured(5.0, sent))
    assert (found.level, small.level, large.level) == ("warn", "ok", "fail")
    assert small.found == "messages of 2 kB take 2.0 ms, 3.0 ms at worst"
    assert large.found == "1 of 3 messages of 1 MB arrived"
