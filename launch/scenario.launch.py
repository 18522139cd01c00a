"""Start a scenario with ROS 2's own launch: the same processes as `cosense run`.

ros2 launch cosense scenario.launch.py scenario:=v2i.yaml rviz:=true
ros2 launch cosense scenario.launch.py scenario:=v2i.yaml data:=/path/to/a/data/set out:=results/run
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

from cosense.cooperation.kinds import LIVE_REGISTRATIONS
from cosense.nodes.launching import SWITCH, Arguments, argument, changed, described, run
from cosense.trust.identity.membership import IDENTITY_POLICIES


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Turn the processes of the scenario into nodes; the run ends with the player."""
    arguments = Arguments(context)
    return run(changed(arguments), Path(arguments.text("out")), rviz=arguments.flag("rviz"))


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what they start."""
    return described(
        __file__,
        [
            argument("scenario", "YAML file that says who takes part, or the name of one that ships"),
            argument("data", "data set to play instead of the scenario's own source", ""),
            argument(
                "mode",
                "drain: next frame when the one before is fused; rate; else as the scenario says",
                "",
                ("", "drain", "rate"),
            ),
            argument("rate", "keep the time of the recording, so many times faster", ""),
            argument("pose_error", "literature, dair or dair_corrected; else as the scenario says", ""),
            argument(
                "registration",
                "how the poses of others are corrected; else as the scenario says",
                "",
                ("", *LIVE_REGISTRATIONS),
            ),
            argument(
                "identity",
                "messages that are not signed with the key of their name; else as the scenario says",
                "",
                ("", *IDENTITY_POLICIES),
            ),
            argument("record", "write run.mcap; else as the scenario says", "", ("", *SWITCH)),
            argument("out", "folder for detections.jsonl, run.mcap and the layouts", "results/run"),
            argument("rviz", "also start RViz", "false", SWITCH),
        ],
        start,
    )
