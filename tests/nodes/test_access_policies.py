"""What SROS 2 is told to allow is what the nodes do."""

from __future__ import annotations

import os
import subprocess
import sys
from xml.etree import ElementTree

import pytest
import yaml

from cosense import topics
from tests.conftest import REPOSITORY

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

from cosense.nodes.access_policies import ROLES
from cosense.runs.supervisor import free_domain

SHIPPED = REPOSITORY / "config" / "sros2"


def test_the_shipped_policies_are_what_the_nodes_publish_hear_and_serve(tmp_path):
    # In a process of its own: nodes of every role leave threads and signal handlers behind.
    local = {"ROS_DOMAIN_ID": str(free_domain()), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    words = [sys.executable, "-m", "cosense.nodes.access_policies", str(tmp_path)]
    subprocess.run(words, env=os.environ | local, cwd=REPOSITORY, timeout=120, check=True)
    assert {path.name for path in tmp_path.iterdir()} == {f"{role}.policy.xml" for role in ROLES}
    for path in tmp_path.iterdir():
        cure = "run: python -m cosense.nodes.access_policies config/sros2"
        assert (SHIPPED / path.name).read_text() == path.read_text(), cure


@pytest.mark.parametrize("role", ROLES)
def test_nobody_may_command_another_node_or_speak_for_another_vehicle(role):
    policy = ElementTree.parse(SHIPPED / f"{role}.policy.xml").getroot()
    assert policy.findall(".//services[@request]") == []
    published = {topic.text for topic in policy.findall(".//topics[@publish]/topic")}
    assert ("/vehicle/messages" in published) == (role == "ego")
    assert ("/v2x/messages" in published) == (role == "agent")
    assert ("/v2x/requests" in published) == (role == "ego")


@pytest.mark.parametrize("role", ["agent", "ego"])
def test_over_the_bridge_between_domains_goes_the_radio_and_nothing_else(role):
    bridge = yaml.safe_load((REPOSITORY / "config" / "domain_bridge" / f"{role}.yaml").read_text())
    assert {f"/{name}" for name in bridge["topics"]} == set(topics.V2X)
    policy = ElementTree.parse(SHIPPED / f"{role}.policy.xml").getroot()
    for name, way in bridge["topics"].items():
        access = "publish" if way["from_domain"] == 10 else "subscribe"
        allowed = {topic.text for topic in policy.findall(f".//topics[@{access}]/topic")}
        assert f"/{name}" in allowed
        assert {way["from_domain"], way["to_domain"]} == {10, 42}
        assert way["type"] == "std_msgs/msg/UInt8MultiArray"
