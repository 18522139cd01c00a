"""Play a bag, or any data set, in the time in which it was recorded, and run all agents on it.

ros2 launch cosense replay.launch.py bag:=/path/to/bag rate:=0.5 rviz:=true
"""

from __future__ import annotations

from pathlib import Path

from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

from cosense.cooperation.kinds import LIVE_FUSIONS, LIVE_REGISTRATIONS
from cosense.nodes.launching import SWITCH, Arguments, argument, described, replayed, run


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Make a scenario of the bag and turn its processes into nodes; the run ends with the player."""
    arguments = Arguments(context)
    return run(replayed(arguments), Path(arguments.text("out")), rviz=arguments.flag("rviz"))


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what they start."""
    return described(
        __file__,
        [
            argument("bag", "bag or data set to play"),
            argument("points", "LiDAR topics as AGENT=TOPIC,AGENT=TOPIC; else found by type", ""),
            argument("pose", "topics of poses as AGENT=TOPIC or TOPIC@FRAME, or AGENT=tf; else found", ""),
            argument("ego", "agent whose view counts; else by the rules of datasets/ros2_bag.md", ""),
            argument("world", "frame in which all are placed; else that of the poses", ""),
            argument("ground_truth", "topic of the labels; else found by name", ""),
            argument("tolerance_ms", "how far apart in time clouds that belong together may be", "50.0"),
            argument("pose_gap_ms", "how far apart in time the poses around a cloud may be", "1100.0"),
            argument("columns", "of .bin and .npy clouds, as 'x y z intensity ring'; else by values", ""),
            argument("rate", "how many times faster than it was recorded", "1.0"),
            argument(
                "mode", "rate, or drain: next frame when the one before is fused", "rate", ("rate", "drain")
            ),
            argument("model", "name or folder of the detector of all agents", "cosense-lite"),
            argument(
                "fusion", "what is sent and fused; else what the model is made for", "", ("", *LIVE_FUSIONS)
            ),
            argument(
                "registration",
                "how the poses of others are corrected",
                LIVE_REGISTRATIONS[0],
                LIVE_REGISTRATIONS,
            ),
            argument("budget_bytes", "limit of each message of the others; else none", ""),
            argument("frames", "play only so many frames; else all", ""),
            argument("record", "write run.mcap", "false", SWITCH),
            argument("out", "folder for detections.jsonl, run.mcap and the layouts", "results/replay"),
            argument("rviz", "also start RViz", "false", SWITCH),
        ],
        start,
    )
