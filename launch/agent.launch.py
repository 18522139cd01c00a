"""Run one agent on its own vehicle or roadside unit: clouds and poses in, messages to the others out.

ros2 launch cosense agent.launch.py agent_id:=unit_7 kind:=infrastructure budget_bytes:=2000 \
    points:=/lidar/points pose:=/localisation/pose

The vehicle that fuses what it receives runs fusion.launch.py instead.
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

from cosense.cooperation.kinds import LIVE_FUSIONS, LIVE_REGISTRATIONS
from cosense.nodes.launching import (
    SWITCH,
    Arguments,
    agent_process,
    argument,
    described,
    key_arguments,
    node,
    share,
)


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the node of the agent."""
    arguments = Arguments(context)
    agent = agent_process(arguments, arguments.text("agent_id"), is_ego=arguments.flag("is_ego"))
    return [node(agent, arguments.file("params_file"))]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what they start."""
    params_file = str(share() / "launch" / "params" / "agent.yaml")
    as_in_file = "else as in params_file"
    return described(
        __file__,
        [
            argument("agent_id", "name under which it sends"),
            argument("kind", f"what carries the sensor; {as_in_file}", "", ("", "vehicle", "infrastructure")),
            argument("model", f"name or folder of the detector; {as_in_file}", ""),
            argument("fusion", f"what it sends if its model can; {as_in_file}", "", ("", *LIVE_FUSIONS)),
            argument(
                "registration",
                f"how poses are corrected, for which it sends graphs or none; {as_in_file}",
                "",
                ("", *LIVE_REGISTRATIONS),
            ),
            argument("budget_bytes", f"limit of each message, 0 for none; {as_in_file}", ""),
            argument("device", f"where the detector runs, e.g. cpu or cuda; {as_in_file}", ""),
            argument("points", "topic of its clouds (PointCloud2); else /<agent>/points", ""),
            argument("pose", "topic of its poses (PoseWithCovarianceStamped); else /<agent>/pose", ""),
            argument(
                "is_ego", "its boxes go to the late fusion beside it, not to the radio", "false", SWITCH
            ),
            *key_arguments(as_in_file),
            argument("params_file", "YAML file of all parameters, or none", params_file),
            argument("use_sim_time", "take the time from /clock", "false", SWITCH),
        ],
        start,
    )
