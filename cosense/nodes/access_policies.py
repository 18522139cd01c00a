"""The files in config/sros2, from what the nodes publish, hear and serve: what SROS 2 is to allow each.

python -m cosense.nodes.access_policies config/sros2
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.sax.saxutils import escape, quoteattr

import rclpy
from rclpy.node import Node

from cosense import topics
from cosense.cooperation.radio import RadioSettings
from cosense.nodes.agent import AgentNode
from cosense.nodes.channel import ChannelNode
from cosense.nodes.ego import Ego
from cosense.nodes.fusion import FusionNode
from cosense.nodes.player import PlayerNode
from cosense.nodes.recorder import RecorderNode
from cosense.runs.frame_source import FrameSource, SimulatedSource
from cosense.runs.processes import ProcessSpec, fusion_remappings, processes
from cosense.runs.scenario import PlayerSettings, Scenario, resolved, with_changes
from cosense.runs.supervisor import command, free_domain

_MAKERS = {
    "agent": AgentNode,
    "ego": Ego,
    "fusion": FusionNode,
    "channel": ChannelNode,
    "player": PlayerNode,
    "recorder": RecorderNode,
}
ROLES = tuple(_MAKERS)
# By kind of access: its name in a policy, which attribute it is and what rclpy calls the list of it.
_ACCESSES: tuple[tuple[str, str, str], ...] = (
    ("topic", "publish", "get_publisher_names_and_types_by_node"),
    ("topic", "subscribe", "get_subscriber_names_and_types_by_node"),
    ("service", "reply", "get_service_names_and_types_by_node"),
    ("service", "request", "get_client_names_and_types_by_node"),
)
# What it hears is what there is.
_HEARS_ALL = "recorder"
# What is published only where vision_msgs is installed, as it is not among the wheels.
_WHERE_INSTALLED = {("fusion", "publish"): {topics.BOXES}}
_HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<!-- What the process `{role}` may publish, hear and serve, for SROS 2; docs/security.md says how to use it.
     Made by: python -m cosense.nodes.access_policies config/sros2
     The agents here are called vehicle and infrastructure: put the names of yours in their places. -->
"""


def specs_of_roles(model: str, out: Path) -> Mapping[str, ProcessSpec]:
    """Return a process of each role, of a vehicle that fuses and a roadside unit.

    Args:
        model: name or folder of a model that shares features.
        out: folder for files that they write.
    """
    source = FrameSource(simulate=SimulatedSource("t_junction", 3))
    direct = resolved(
        Scenario(source=source, model=model, frames=1, record=True, player=PlayerSettings(mode="rate"))
    )
    over_radio = with_changes(direct, radio=RadioSettings(range_m=300.0))
    specs = {spec.executable: spec for spec in (*processes(over_radio, out), *processes(direct, out))}
    # The late fusion of a vehicle whose agent is a process of its own.
    parameters = {"ego_id": "vehicle", "registration": direct.registration}
    late = ProcessSpec("fusion", "fusion", "/vehicle", parameters, fusion_remappings("vehicle"), {})
    return {**specs, "fusion": late}


def access_policy(role: str, spec: ProcessSpec) -> str:
    """Return the policy of a process: a profile of each of its nodes."""
    rclpy.init(args=["cosense", *command(spec)[3:]])
    try:
        process = _MAKERS[role]()
        process.bring_up()
        nodes = process.nodes if isinstance(process, Ego) else [process]
        for node in nodes:
            _wait_for_graph(node)
        profiles = "".join(_profile(node, role) for node in nodes)
        process.close()
        process.destroy_node()
    finally:
        rclpy.try_shutdown()
    return (
        _HEADER.format(role=role)
        + f'<policy version="0.2.0">\n  <enclaves>\n    <enclave path="/cosense/{role}">\n      <profiles>\n'
        + profiles
        + "      </profiles>\n    </enclave>\n  </enclaves>\n</policy>\n"
    )


def _wait_for_graph(node: Node) -> None:
    """Wait until DDS has told the node what it does itself."""
    name, namespace = node.get_name(), node.get_namespace()
    made = {
        "get_publisher_names_and_types_by_node": {each.topic_name for each in node.publishers},
        "get_subscriber_names_and_types_by_node": {each.topic_name for each in node.subscriptions},
        "get_service_names_and_types_by_node": {each.service_name for each in node.services},
    }
    for listing, names in made.items():
        while not names <= {found for found, _ in getattr(node, listing)(name, namespace)}:
            time.sleep(0.01)


def _profile(node: Node, role: str) -> str:
    name, namespace = node.get_name(), node.get_namespace()
    lines = [f"        <profile ns={quoteattr(namespace)} node={quoteattr(name)}>\n"]
    for kind, access, listing in _ACCESSES:
        found = {topic for topic, _ in getattr(node, listing)(name, namespace)}
        names = sorted(found | _WHERE_INSTALLED.get((name, access), set()))
        if role == _HEARS_ALL and access == "subscribe":
            names = ["*"]
        lines += _allowed(kind, access, names)
    return "".join([*lines, "        </profile>\n"])


def _allowed(kind: str, access: str, names: Iterable[str]) -> list[str]:
    lines = [f"            <{kind}>{escape(name)}</{kind}>\n" for name in names]
    if not lines:
        return []
    return [f'          <{kind}s {access}="ALLOW">\n', *lines, f"          </{kind}s>\n"]


def main() -> None:
    """Write all files into the folder that is named."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    with TemporaryDirectory() as scratch:
        for role, spec in specs_of_roles("cosense-lite", Path(scratch)).items():
            (Path(sys.argv[1]) / f"{role}.policy.xml").write_text(access_policy(role, spec))


if __name__ == "__main__":
    main()
