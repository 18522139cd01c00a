"""Start a scenario with ROS 2's own launch: the same processes as `cosense run`.

ros2 launch cosense scenario.launch.py scenario:=v2i.yaml rviz:=true
ros2 launch cosense scenario.launch.py scenario:=v2i.yaml data:=/path/to/a/data/set out:=results/run
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from cosense.nodes.processes import processes
from cosense.nodes.scenario import load_scenario, resolved
from cosense.nodes.supervisor import dds_environment

SHARE = Path(get_package_share_directory("cosense"))


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Turn the processes of the scenario into nodes; the run ends with the player."""

    def argument(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    path = Path(argument("scenario"))
    scenario = load_scenario(path if path.is_file() else SHARE / "launch" / "scenarios" / path)
    if argument("data"):
        source = dataclasses.replace(scenario.source, data=Path(argument("data")))
        scenario = dataclasses.replace(scenario, source=source, agents=(), ego=None)
    out = Path(argument("out")).resolve()
    out.mkdir(parents=True, exist_ok=True)
    return [
        Node(
            package="cosense",
            executable=spec.executable,
            namespace=spec.namespace,
            parameters=[dict(spec.parameters)],
            remappings=list(spec.remappings.items()),
            additional_env={**dds_environment(), **spec.environment},
            output="screen",
            on_exit=[Shutdown()] if spec.name == "player" else None,
        )
        for spec in processes(resolved(scenario), out)
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what they start."""
    return LaunchDescription(
        [
            DeclareLaunchArgument("scenario", description="file, or name of one that is shipped"),
            DeclareLaunchArgument("data", default_value="", description="data set instead of the scenario's"),
            DeclareLaunchArgument("out", default_value="results/run", description="folder of the results"),
            DeclareLaunchArgument("rviz", default_value="false", description="also start RViz"),
            OpaqueFunction(function=start),
            Node(
                package="rviz2",
                executable="rviz2",
                arguments=["-d", str(SHARE / "rviz" / "cosense.rviz")],
                parameters=[{"use_sim_time": True}],
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
        ]
    )
