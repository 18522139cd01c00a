"""As much of ROS 2's `launch` as our launch files use, which is not on the package index; it records nodes.

It refuses what the real packages (Humble to Kilted) refuse: unknown keywords, wrong types, missing arguments,
values outside the choices. Arguments are scoped as they are: what one file declares, another one that is
included beside it sees, unless a GroupAction is around it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

# Of ExecuteProcess, ExecuteLocal, Executable and Action, which Node hands its further keywords to.
_PROCESS_KEYWORDS = {
    *("condition", "cwd", "env", "additional_env", "prefix", "shell", "sigterm_timeout", "sigkill_timeout"),
    *("emulate_tty", "output", "output_format", "log_cmd", "cached_output", "on_exit", "respawn"),
    *("respawn_delay",),
}
_OUTPUTS = {"screen", "log", "both", "own_log", "full"}


class LaunchContext:
    def __init__(self, given: Mapping[str, str]) -> None:
        self.launch_configurations = dict(given)
        self.nodes: list[Node] = []
        self.declared: list[DeclareLaunchArgument] = []


class LaunchDescriptionEntity:
    def visit(self, context: LaunchContext) -> Iterable[LaunchDescriptionEntity]:
        raise NotImplementedError


class LaunchDescription(LaunchDescriptionEntity):
    def __init__(self, initial_entities: Iterable[LaunchDescriptionEntity] | None = None) -> None:
        self.entities = list(initial_entities or ())

    def visit(self, context: LaunchContext) -> Iterable[LaunchDescriptionEntity]:
        return self.entities


class LaunchConfiguration:
    def __init__(self, variable_name: str, *, default: Any = None) -> None:
        _expect(variable_name, str, "variable_name")
        self._name, self._default = variable_name, default

    def perform(self, context: LaunchContext) -> str:
        if self._name in context.launch_configurations:
            return context.launch_configurations[self._name]
        if self._default is None:
            raise RuntimeError(f"launch configuration '{self._name}' does not exist")
        return str(self._default)


class DeclareLaunchArgument(LaunchDescriptionEntity):
    def __init__(
        self,
        name: str,
        *,
        default_value: str | None = None,
        description: str | None = None,
        choices: list[str] | None = None,
    ) -> None:
        _expect(name, str, "name")
        if default_value is not None:
            _expect(default_value, str, "default_value")
        if choices is not None:
            _expect(choices, list, "choices")
            if not choices or (default_value is not None and default_value not in choices):
                raise RuntimeError(f"default '{default_value}' of '{name}' is not in {choices}")
        self.name, self.default, self.description, self.choices = name, default_value, description, choices

    def visit(self, context: LaunchContext) -> Iterable[LaunchDescriptionEntity]:
        context.declared.append(self)
        values = context.launch_configurations
        if self.name not in values:
            if self.default is None:
                raise RuntimeError(f'Required launch argument "{self.name}" was not provided.')
            values[self.name] = self.default
        if self.choices is not None and values[self.name] not in self.choices:
            raise RuntimeError(
                f'Argument "{self.name}" provided value "{values[self.name]}" is not valid. '
                f"Valid options are: {self.choices}"
            )
        return ()


class OpaqueFunction(LaunchDescriptionEntity):
    def __init__(
        self,
        *,
        function: Callable[..., Iterable[LaunchDescriptionEntity] | None],
        args: Iterable[Any] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        self._call = lambda context: function(context, *(args or ()), **(kwargs or {}))

    def visit(self, context: LaunchContext) -> Iterable[LaunchDescriptionEntity]:
        return self._call(context) or ()


class Shutdown(LaunchDescriptionEntity):
    def __init__(self, *, reason: str = "reason not given") -> None:
        self.reason = reason


class GroupAction(LaunchDescriptionEntity):
    def __init__(self, actions: Iterable[LaunchDescriptionEntity], *, scoped: bool = True) -> None:
        self._actions, self._scoped = list(actions), scoped

    def visit(self, context: LaunchContext) -> Iterable[LaunchDescriptionEntity]:
        before = dict(context.launch_configurations)
        for action in self._actions:
            _visit(action, context)
        if self._scoped:
            context.launch_configurations = before
        return ()


class PythonLaunchDescriptionSource:
    def __init__(self, launch_file_path: str) -> None:
        _expect(launch_file_path, str, "launch_file_path")
        self.path = Path(launch_file_path)


class IncludeLaunchDescription(LaunchDescriptionEntity):
    def __init__(
        self,
        launch_description_source: PythonLaunchDescriptionSource,
        *,
        launch_arguments: Iterable[tuple[str, str]] = (),
    ) -> None:
        self._source, self._arguments = launch_description_source, list(launch_arguments)

    def visit(self, context: LaunchContext) -> Iterable[LaunchDescriptionEntity]:
        context.launch_configurations.update(self._arguments)
        return [load(self._source.path)]


class Node(LaunchDescriptionEntity):
    def __init__(
        self,
        *,
        executable: str,
        package: str | None = None,
        name: str | None = None,
        namespace: str | None = None,
        exec_name: str | None = None,
        parameters: list[Any] | None = None,
        remappings: Iterable[tuple[str, str]] | None = None,
        ros_arguments: Iterable[str] | None = None,
        arguments: Iterable[str] | None = None,
        **process: Any,
    ) -> None:
        unknown = process.keys() - _PROCESS_KEYWORDS
        if unknown:
            raise TypeError(f"Node got unexpected keyword arguments {sorted(unknown)}")
        for word in (executable, package, *(arguments or ())):
            _expect(word, str, "executable, package and arguments")
        if parameters is not None:
            _expect(parameters, list, "parameters")
        for parameter in parameters or ():
            _check_parameter(parameter)
        for rule in remappings or ():
            _expect(rule, tuple, "remapping")
            private, public = rule
            _expect(private, str, "remapping")
            _expect(public, str, "remapping")
        if process.get("output", "log") not in _OUTPUTS:
            raise ValueError(f"output '{process['output']}' is none of {_OUTPUTS}")
        for key, value in (process.get("additional_env") or {}).items():
            _expect(key, str, "additional_env")
            _expect(value, str, "additional_env")
        self.package, self.executable, self.exec_name = package, executable, exec_name
        self.name, self.namespace = name, namespace
        self.parameters, self.remappings = list(parameters or ()), list(remappings or ())
        self.arguments = list(arguments or ())
        self.environment = dict(process.get("additional_env") or {})
        self.on_exit = process.get("on_exit")

    def visit(self, context: LaunchContext) -> Iterable[LaunchDescriptionEntity]:
        context.nodes.append(self)
        return ()


def _expect(value: Any, kind: type | tuple[type, ...], what: str) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{what}: '{value}' is of type {type(value).__name__}")


def _check_parameter(parameter: Any) -> None:
    """Raise TypeError as launch_ros does when it normalises parameters."""
    if not isinstance(parameter, Mapping):
        _expect(parameter, (str, Path), "file of parameters")
        return
    for key, value in parameter.items():
        _expect(key, str, "name of a parameter")
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            if not value or len({type(each) for each in value}) > 1:
                raise TypeError(f"{key}: expected a non-empty sequence, with items of uniform type")
        elif isinstance(value, Mapping):
            _check_parameter(value)
        else:
            _expect(value, (str, bool, int, float, bytes), key)


def _visit(entity: LaunchDescriptionEntity, context: LaunchContext) -> None:
    for child in entity.visit(context):
        _visit(child, context)


def load(path: Path) -> LaunchDescription:
    """Return what a launch file describes."""
    spec = importlib.util.spec_from_file_location("python_launch_file", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.generate_launch_description()


def execute(description: LaunchDescription, **given: str) -> LaunchContext:
    """Do what `ros2 launch FILE name:=value` does; the context then holds the nodes and the arguments."""
    for name, value in given.items():
        if not value:
            raise RuntimeError(f"malformed launch argument '{name}:=', expected format '<name>:=<value>'")
    context = LaunchContext(given)
    _visit(description, context)
    return context


class PackageNotFoundError(KeyError):
    pass


@contextmanager
def stand_in(share: Path, *installed: str) -> Iterator[None]:
    """Put the stand-ins where the real packages would be imported from.

    Args:
        share: share folder of our package.
        installed: names of other packages that are installed.
    """
    folders = {"cosense": str(share), **{name: f"/opt/ros/share/{name}" for name in installed}}

    def get_package_share_directory(package_name: str) -> str:
        if package_name not in folders:
            raise PackageNotFoundError(package_name)
        return folders[package_name]

    parts: dict[str, Sequence[Any]] = {
        "launch": (LaunchContext, LaunchDescription, LaunchDescriptionEntity),
        "launch.actions": (
            *(DeclareLaunchArgument, OpaqueFunction, Shutdown),
            *(GroupAction, IncludeLaunchDescription),
        ),
        "launch.substitutions": (LaunchConfiguration,),
        "launch.launch_description_sources": (PythonLaunchDescriptionSource,),
        "launch_ros": (),
        "launch_ros.actions": (Node,),
        "ament_index_python": (),
        "ament_index_python.packages": (PackageNotFoundError, get_package_share_directory),
    }
    modules = {name: ModuleType(name) for name in parts}
    for name, members in parts.items():
        for member in members:
            setattr(modules[name], member.__name__, member)
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
