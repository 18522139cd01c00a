"""What the launch files share. Only they import it: the launch packages come with ROS 2 installations."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from cosense import topics
from cosense.cooperation.kinds import live_registration
from cosense.data.bag import BagOptions, by_agent
from cosense.errors import CosenseError, nearest
from cosense.evaluation.runs.pose_noise import PoseNoise
from cosense.runs.frame_source import FrameSource
from cosense.runs.live_run import prepare
from cosense.runs.processes import (
    ProcessSpec,
    agent_remappings,
    ego_remappings,
    fusion_remappings,
)
from cosense.runs.scenario import Scenario, find_scenario, load_scenario, with_changes, with_player
from cosense.runs.supervisor import RESPAWNS, JournalTail, dds_environment
from cosense.trust.identity.membership import IDENTITY_POLICIES, identity_policy

if TYPE_CHECKING:
    from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
    from launch.actions import DeclareLaunchArgument, Shutdown
    from launch.events.process import ProcessExited
    from launch_ros.actions import Node

SWITCH = ("false", "true")
# Where nobody has asked for another prefix (debuggers are): ends a process with the launch, even by kill -9.
_ENDS_WITH_LAUNCH = "setpriv --pdeathsig TERM"
OnExit: TypeAlias = "Callable[[ProcessExited, LaunchContext], Shutdown | None]"


def share() -> Path:
    """Return the folder in which the launch files, scenarios and models are installed."""
    from ament_index_python.packages import get_package_share_directory

    return Path(get_package_share_directory("cosense"))


def described(
    file: str,
    arguments: Sequence[DeclareLaunchArgument],
    start: Callable[[LaunchContext], list[LaunchDescriptionEntity]],
) -> LaunchDescription:
    """Return what a launch file describes.

    Args:
        file: the launch file.
        arguments: what it can be given.
        start: makes what is started of the arguments.
    """
    from launch import LaunchDescription
    from launch.actions import OpaqueFunction

    def check_and_start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
        _check_names(Path(file), [each.name for each in arguments])
        if shutil.which("setpriv"):
            context.launch_configurations.setdefault("launch-prefix", _ENDS_WITH_LAUNCH)
        return start(context)

    return LaunchDescription([*arguments, OpaqueFunction(function=check_and_start)])


def _check_names(file: Path, known: Sequence[str]) -> None:
    """Refuse arguments that a launch file does not know, where it is the one that `ros2 launch` was given.

    Where somebody else's file includes it, the arguments on the command line are those of that file.

    Raises:
        CosenseError: there is no such argument.
    """
    words = sys.argv
    for place, word in enumerate(words):
        is_ours = words[place - 1] == "cosense" and word == file.name
        if is_ours or (word.endswith(file.name) and Path(word).resolve() == file.resolve()):
            for given in words[place + 1 :]:
                name, is_argument, _ = given.partition(":=")
                if is_argument and name not in known:
                    raise CosenseError(f"unknown launch argument {given}, {nearest(name, known)}")


def argument(
    name: str, description: str, default: str | None = None, choices: Sequence[str] | None = None
) -> DeclareLaunchArgument:
    """Declare an argument, which has to be given where it has no default."""
    from launch.actions import DeclareLaunchArgument

    wanted = list(choices) if choices is not None else None
    return DeclareLaunchArgument(name, default_value=default, description=description, choices=wanted)


class Arguments:
    """The values of a launch file's arguments; an empty text, which nobody can type, means: not given."""

    def __init__(self, context: LaunchContext) -> None:
        self._context = context

    def text(self, name: str) -> str:
        """Return the value as it was given."""
        from launch.substitutions import LaunchConfiguration

        return LaunchConfiguration(name).perform(self._context)

    def flag(self, name: str) -> bool:
        """Return whether a switch is on."""
        return self.text(name) == "true"

    def number(self, name: str, kind: type[int] | type[float]) -> Any:
        """Return a number, None where none was given.

        Raises:
            CosenseError: the value is not a number.
        """
        text = self.text(name)
        try:
            return kind(text) if text else None
        except ValueError:
            expected = "a whole number" if kind is int else "a number"
            raise CosenseError(f"launch argument {name}:={text} is not {expected}") from None

    def file(self, name: str) -> list[str]:
        """Return the path of a file as a list, empty for "none".

        Raises:
            CosenseError: there is no such file.
        """
        text = self.text(name)
        if text == "none":
            return []
        if not Path(text).is_file():
            raise CosenseError(f"launch argument {name}:={text}: no such file; for none: {name}:=none")
        return [text]


def changed(arguments: Arguments) -> Scenario:
    """Return the scenario of `scenario:=` with what the other arguments say otherwise.

    Raises:
        CosenseError: the scenario, or one of the values, is wrong.
    """
    scenario = load_scenario(find_scenario(arguments.text("scenario")))
    if data := arguments.text("data"):
        source = dataclasses.replace(scenario.source, data=Path(data))
        scenario = dataclasses.replace(scenario, source=source, agents=(), ego=None)
    if record := arguments.text("record"):
        scenario = dataclasses.replace(scenario, record=record == "true")
    if name := arguments.text("pose_error"):
        error = PoseNoise.named(name).preset
        scenario = with_changes(scenario, pose_error=error)
    if name := arguments.text("registration"):
        scenario = with_changes(scenario, registration=live_registration(name))
    if name := arguments.text("identity"):
        trust = dataclasses.replace(scenario.trust, identity=identity_policy(name))
        scenario = dataclasses.replace(scenario, trust=trust)
    changes = {"mode": arguments.text("mode") or None, "rate": arguments.number("rate", float)}
    return with_player(scenario, **{key: value for key, value in changes.items() if value is not None})


def replayed(arguments: Arguments) -> Scenario:
    """Return the scenario that plays `bag:=`.

    Raises:
        CosenseError: one of the values is wrong.
    """
    try:
        scenario = Scenario(
            source=FrameSource(
                data=Path(arguments.text("bag")),
                bag=_bag_options(arguments),
                columns=arguments.text("columns"),
            ),
            model=arguments.text("model"),
            fusion=arguments.text("fusion") or None,
            registration=live_registration(arguments.text("registration")),
            budget_bytes=arguments.number("budget_bytes", int),
            frames=arguments.number("frames", int),
            record=arguments.flag("record"),
        )
    except ValueError as error:
        raise CosenseError(f"launch argument: {error}") from None
    return with_player(scenario, mode=arguments.text("mode"), rate=arguments.number("rate", float))


def _bag_options(arguments: Arguments) -> BagOptions:
    """Return what a bag does not say by itself; the topics of several agents have commas between."""
    points, pose = (by_agent(arguments.text(name), f"{name}:=") for name in ("points", "pose"))
    ego, world, truth = (arguments.text(name) or None for name in ("ego", "world", "ground_truth"))
    tolerance_ms, pose_gap_ms = (arguments.number(name, float) for name in ("tolerance_ms", "pose_gap_ms"))
    return BagOptions(points, pose, ego, world, truth, tolerance_ms, pose_gap_ms)


def run(scenario: Scenario, out: Path, *, rviz: bool) -> list[Node]:
    """Return the nodes of a scenario; the launch ends with its player, as a run of the supervisor does.

    Args:
        scenario: description of the run.
        out: folder of the results, in place of those of an earlier run.
        rviz: start RViz too.

    Raises:
        CosenseError: the data, an agent or a model is missing, or RViz.
    """
    from launch_ros.actions import Node

    # What is found missing once the first processes run would leave these behind.
    if rviz:
        _check_rviz()
    # The folder is claimed until the process of the launch ends.
    ready = prepare(scenario, out.resolve())
    nodes = []
    for spec in ready.processes:
        needed_until = None if spec.is_vital else JournalTail(out.resolve() / "detections.jsonl")
        nodes.append(node(spec, on_exit=_give_up() if spec.respawn else _end_launch(needed_until)))
    if rviz:
        time = [{"use_sim_time": True}]
        words = ["-d", str(ready.layout)]
        names = {"package": "rviz2", "executable": "rviz2", "exec_name": "rviz2"}
        nodes.append(Node(**names, arguments=words, parameters=time))
    return nodes


def _check_rviz() -> None:
    """Raise CosenseError with the cure where RViz is not installed."""
    from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

    try:
        get_package_share_directory("rviz2")
    except PackageNotFoundError:
        package = f"ros-{os.environ.get('ROS_DISTRO', 'jazzy')}-rviz2"
        raise CosenseError(
            f"launch argument rviz:=true: rviz2 is not installed; sudo apt install {package}, or rviz:=false"
        ) from None


def _end_launch(needed_until: JournalTail | None) -> OnExit:
    """Return what happens when a process ends: everything else is stopped, since somebody would wait for it.

    Args:
        needed_until: journal of a run that goes on without the process once a frame is in it, None where it
            never does.
    """
    from launch.actions import Shutdown

    def end(exited: ProcessExited, context: LaunchContext) -> Shutdown | None:
        if needed_until is not None and needed_until.read()[0] > 0:
            return None
        return Shutdown(reason=f"{exited.process_name} has ended")

    return end


def _give_up() -> OnExit:
    """Return what ends the launch when a process that is started again dies again and again."""
    from launch.actions import Shutdown

    deaths = itertools.count(1)

    def end(exited: ProcessExited, context: LaunchContext) -> Shutdown | None:
        if next(deaths) <= RESPAWNS:
            return None
        return Shutdown(reason=f"{exited.process_name} has died {RESPAWNS + 1} times")

    return end


def node(spec: ProcessSpec, params_files: Sequence[str] = (), on_exit: OnExit | None = None) -> Node:
    """Return a process as `ros2 launch` starts it.

    Args:
        spec: description of the process.
        params_files: files of parameters; the parameters of the process win over theirs.
        on_exit: what happens when it ends.
    """
    from launch_ros.actions import Node

    return Node(
        package="cosense",
        executable=spec.executable,
        # The name in the launch's own words, which else is that of the prefix.
        exec_name=spec.executable,
        namespace=spec.namespace,
        parameters=[*params_files, dict(spec.parameters)],
        remappings=list(spec.remappings.items()),
        additional_env={**dds_environment(), **spec.environment},
        output="screen",
        respawn=spec.respawn,
        on_exit=on_exit,
    )


def agent_process(arguments: Arguments, agent_id: str, *, is_ego: bool) -> ProcessSpec:
    """Return an agent on a vehicle or a roadside unit, with the parameters that were given.

    Raises:
        CosenseError: a value is wrong.
    """
    remappings = agent_remappings(
        agent_id, is_ego=is_ego, points=arguments.text("points"), pose=arguments.text("pose")
    )
    texts = {name: arguments.text(name) for name in ("kind", "model", "fusion", "registration", "device")}
    parameters: dict[str, Any] = {
        "agent_id": agent_id,
        **{name: text for name, text in texts.items() if text},
        **_keys(arguments),
        "use_sim_time": arguments.flag("use_sim_time"),
    }
    if not is_ego and (budget_bytes := arguments.number("budget_bytes", int)) is not None:
        parameters["budget_bytes"] = budget_bytes
    return _on_vehicle("agent", agent_id, parameters, remappings)


def key_arguments(as_in_file: str) -> list[DeclareLaunchArgument]:
    """Declare the arguments by which a vehicle or unit signs and knows others by their keys."""
    return [
        argument(
            "identity",
            f"messages that are not signed with the key of their name; {as_in_file}",
            "",
            ("", *IDENTITY_POLICIES),
        ),
        argument("roster", f"file that says whose keys are whose; {as_in_file}", ""),
        argument("key", f"file of its private key; {as_in_file}", ""),
    ]


def _keys(arguments: Arguments) -> dict[str, str]:
    """Return the parameters that `key_arguments` give."""
    texts = {name: arguments.text(name) for name in ("identity", "roster", "key")}
    return {f"trust.{name}": text for name, text in texts.items() if text}


def fusion_process(arguments: Arguments, ego_id: str, fusion: str) -> ProcessSpec:
    """Return the fusion of an ego, with the parameters that were given."""
    texts = {name: arguments.text(name) for name in ("registration", "peers", "journal")}
    parameters = {
        "ego_id": ego_id,
        **{name: text for name, text in {**texts, "fusion": fusion}.items() if text},
        **_keys(arguments),
        "use_sim_time": arguments.flag("use_sim_time"),
    }
    return _on_vehicle("fusion", ego_id, parameters, fusion_remappings(ego_id))


def ego_process(agent: ProcessSpec, fusion: ProcessSpec) -> ProcessSpec:
    """Return both in one process."""
    parameters = {**agent.parameters, **fusion.parameters}
    remappings = ego_remappings(agent.remappings, fusion.remappings)
    return ProcessSpec("ego", "ego", agent.namespace, parameters, remappings, {})


def _on_vehicle(
    executable: Literal["agent", "fusion"],
    agent_id: str,
    parameters: Mapping[str, Any],
    remappings: Mapping[str, str],
) -> ProcessSpec:
    namespace = f"/{topics.namespace_of(agent_id)}"
    return ProcessSpec(executable, executable, namespace, parameters, remappings, {})
