"""The files in launch/params, from what the nodes declare: every parameter, its meaning and its default.

python -m cosense.nodes.parameter_files launch/params
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import rclpy
from rcl_interfaces.msg import ParameterDescriptor

from cosense.nodes.agent import AgentNode
from cosense.nodes.channel import ChannelNode
from cosense.nodes.fusion import FusionNode
from cosense.nodes.player import PlayerNode
from cosense.nodes.recorder import RecorderNode
from cosense.nodes.ros.lifecycle import ManagedNode

# What has no default, by node, with a value to make the node from.
NODES: Mapping[str, tuple[Callable[[], ManagedNode], Mapping[str, str]]] = {
    "agent": (AgentNode, {"agent_id": "vehicle"}),
    "fusion": (FusionNode, {"ego_id": "vehicle"}),
    "channel": (ChannelNode, {"agents": "vehicle,infrastructure"}),
    "player": (PlayerNode, {"agents": "vehicle", "ego": "vehicle"}),
    "recorder": (RecorderNode, {"path": "run.mcap"}),
}
# Alone the fusion can only do what it cannot do beside the ego's agent.
_DEPENDS_ON_THE_PROCESS = {("fusion", "fusion")}
_WITH_LAUNCH_FILE = ("agent", "fusion")
_OF_ROS = ("use_sim_time", "start_type_description_service")


def parameter_file(name: str) -> str:
    """Return the file of one node."""
    make, needed = NODES[name]
    words = [word for key, value in needed.items() for word in ("-p", f"{key}:={value}")]
    rclpy.init(args=["--ros-args", *words])
    try:
        node = make()
        names = [key for key in node.get_parameters_by_prefix("") if not key.startswith(_OF_ROS)]
        lines = [
            f"# Parameters of the node `{name}`. Copy the file, change it, and start the node with",
            f"# --ros-args --params-file COPY{_launched(name)}.",
            f"/**/{name}:",
            "  ros__parameters:",
        ]
        for key, descriptor in zip(names, node.describe_parameters(names), strict=True):
            lines.append(f"    # {_description(descriptor)}")
            value = "(needed)" if key in needed else json.dumps(node.get_parameter(key).value)
            is_comment = key in needed or (name, key) in _DEPENDS_ON_THE_PROCESS
            lines.append(f"    {'# ' if is_comment else ''}{key}: {value}")
        node.destroy_node()
    finally:
        rclpy.shutdown()
    return "\n".join(lines) + "\n"


def _launched(name: str) -> str:
    """Return how else a node gets its file, where it has a launch file of its own."""
    is_launched = name in _WITH_LAUNCH_FILE
    return f", or give it as params_file:=COPY to {name}.launch.py" if is_launched else ""


def _description(descriptor: ParameterDescriptor) -> str:
    """Return the meaning of a parameter, its bounds, and whether it may be set at run time."""
    parts = [descriptor.description]
    parts += [
        f"{bounds.from_value:.10g} to {bounds.to_value:.10g}"
        for bounds in (*descriptor.floating_point_range, *descriptor.integer_range)
    ]
    return "; ".join(parts if descriptor.read_only else [*parts, "may be set at run time"])


def main() -> None:
    """Write all files into the folder that is named."""
    for name in NODES:
        (Path(sys.argv[1]) / f"{name}.yaml").write_text(parameter_file(name))


if __name__ == "__main__":
    main()
