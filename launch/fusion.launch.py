"""Run the vehicle that fuses: its own agent and its fusion in one process, or late fusion alone.

ros2 launch cosense fusion.launch.py ego_id:=car_1 points:=/lidar/points pose:=/localisation/pose
ros2 launch cosense fusion.launch.py ego_id:=car_1 with_agent:=false
"""

from __future__ import annotations

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

from cosense.cooperation.kinds import LIVE_FUSIONS, LIVE_REGISTRATIONS
from cosense.errors import CosenseError
from cosense.nodes.launching import (
    SWITCH,
    Arguments,
    agent_process,
    argument,
    described,
    ego_process,
    fusion_process,
    key_arguments,
    node,
    share,
)


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the process of the ego, or the node of its fusion."""
    arguments = Arguments(context)
    ego_id, kind = arguments.text("ego_id"), arguments.text("fusion")
    has_agent = arguments.flag("with_agent")
    if not has_agent and kind not in ("", "late"):
        raise CosenseError(f"launch argument fusion:={kind} goes with with_agent:=true, which features need")
    fusion = fusion_process(arguments, ego_id, kind)
    files = arguments.file("params_file")
    if not has_agent:
        return [node(fusion, files)]
    agent = agent_process(arguments, ego_id, is_ego=True)
    return [node(ego_process(agent, fusion), [*arguments.file("agent_params_file"), *files])]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what they start."""
    params = share() / "launch" / "params"
    as_in_file = "else as in the file of parameters"
    return described(
        __file__,
        [
            argument("ego_id", "name of this vehicle"),
            argument(
                "with_agent",
                "run its own agent in the same process, which features need, and without which nothing is "
                "held against the ego's cloud; false: fusion of boxes alone, beside agent.launch.py "
                "is_ego:=true",
                "true",
                SWITCH,
            ),
            argument("fusion", f"how it fuses; {as_in_file}", "", ("", *LIVE_FUSIONS)),
            argument(
                "registration",
                f"how the poses of others are corrected; {as_in_file}",
                "",
                ("", *LIVE_REGISTRATIONS),
            ),
            argument("peers", f"agents to wait for from the start, commas between; {as_in_file}", ""),
            argument("journal", f"file that gets one JSON line a frame; {as_in_file}", ""),
            argument("kind", f"what carries its sensor; {as_in_file}", "", ("", "vehicle", "infrastructure")),
            argument("model", f"name or folder of its detector; {as_in_file}", ""),
            argument("device", f"where the networks run, e.g. cpu or cuda; {as_in_file}", ""),
            argument("points", "topic of its clouds (PointCloud2); else /<ego>/points", ""),
            argument("pose", "topic of its poses (PoseWithCovarianceStamped); else /<ego>/pose", ""),
            *key_arguments(as_in_file),
            argument(
                "params_file",
                "YAML file of the parameters of the fusion, or none",
                str(params / "fusion.yaml"),
            ),
            argument("agent_params_file", "that of its agent, or none", str(params / "agent.yaml")),
            argument("use_sim_time", "take the time from /clock", "false", SWITCH),
        ],
        start,
    )
