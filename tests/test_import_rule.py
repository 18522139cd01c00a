"""Nothing downstream is imported upstream: the rule of docs/architecture.md, read from the source itself.

geometry <- sensing <- data <- simulation; sensing <- messages, tracking, detectors <- methods; methods,
scene_graph and trust <- cooperation <- evaluation <- training, viewer <- runs <- nodes <- cli. Only nodes
imports rclpy.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import cosense

PACKAGE = Path(cosense.__file__).parent

SENSORS = {"geometry", "sensing"}
SOURCES = {*SENSORS, "data", "simulation"}
METHODS = {*SENSORS, "messages", "tracking", "detectors", "methods"}
AGENTS = {*METHODS, "scene_graph", "trust", "cooperation"}
STUDY = {*SOURCES, *AGENTS, "evaluation"}
MAY_IMPORT = {
    "geometry": set(),
    "sensing": {"geometry"},
    "data": SENSORS,
    "simulation": {*SENSORS, "data"},
    "messages": SENSORS,
    "tracking": SENSORS,
    "detectors": SENSORS,
    "methods": METHODS,
    "scene_graph": {*SENSORS, "messages", "tracking", "detectors"},
    "trust": {*SENSORS, "messages", "tracking"},
    "cooperation": AGENTS,
    "evaluation": STUDY,
    "training": STUDY,
    "viewer": STUDY,
    "runs": {*STUDY, "viewer"},
    "nodes": {*STUDY, "runs", "viewer"},
    "cli": {*STUDY, "training", "runs", "viewer"},
}
FOR_ALL = {"", "config", "errors", "json_lines", "model_folders", "plugins", "progress", "shipped", "topics"}
# Import names of the dependencies that setup.py always installs.
ALWAYS_THERE = {
    *("cosense", "numpy", "torch", "scipy", "cv2", "yaml", "safetensors", "matplotlib", "PIL"),
    *("rich", "typer", "rosbags", "mcap", "zstandard", "cryptography"),
    *sys.stdlib_module_names,
}
# Parts of a dependency that it installs only on request.
NEEDS_AN_EXTRA = ("torch.utils.tensorboard",)


class Import(NamedTuple):
    module: str
    line: int
    at_module_level: bool


def imports_of(source: str, package: str) -> list[Import]:
    """Return all that a module of `package` imports, wherever in it; `from a import b` gives a and a.b."""
    found = []

    def visit(node: ast.AST, at_module_level: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, node.lineno, at_module_level) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            found.append(Import(base, node.lineno, at_module_level))
            found.extend(Import(f"{base}.{alias.name}", node.lineno, at_module_level) for alias in node.names)
        in_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, at_module_level and not in_function)

    visit(ast.parse(source), True)
    return found


def room_of(module: str) -> str:
    """Return the second part of `cosense.room.module`."""
    return [*module.split("."), ""][1]


def is_ros(module: str) -> bool:
    first = module.split(".")[0]
    of_ros = ("rclpy", "rosidl", "tf2_", "launch", "ament_")
    return first.startswith(of_ros) or first.endswith(("_msgs", "_interfaces"))


def complaints(source: str, module: str) -> list[str]:
    """Return what breaks the rule in the source of `module`, e.g. `cosense.cooperation.merge`."""
    room, broken = room_of(module), []
    for name, line, at_module_level in imports_of(source, module.rpartition(".")[0]):
        where = f"{module}:{line}"
        if name.split(".")[0] == "cosense":
            target = room_of(name)
            known = target in MAY_IMPORT or target in FOR_ALL
            allowed = FOR_ALL | MAY_IMPORT.get(room, set()) | {room}
            if known and target not in allowed:
                broken.append(f"{where}: {room or 'cosense'} imports {name}")
        elif is_ros(name):
            if room != "nodes":
                broken.append(f"{where}: {name} belongs into nodes")
        elif at_module_level:
            optional = name.split(".")[0] not in ALWAYS_THERE or name.startswith(NEEDS_AN_EXTRA)
            if optional:
                broken.append(f"{where}: {name} is optional, import it where it is used")
    return broken


def modules() -> list[tuple[str, Path]]:
    names = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        names.append((".".join(parts), path))
    return names


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_a_module_imports_no_more_than_it_may(module, path):
    assert complaints(path.read_text(encoding="utf-8"), module) == []


def test_every_room_has_its_rule():
    assert {path.parent.name for path in PACKAGE.glob("*/*.py")} == set(MAY_IMPORT)
    assert {path.stem for path in PACKAGE.glob("*.py")} == {
        "__init__",
        "config",
        "errors",
        "json_lines",
        "model_folders",
        "plugins",
        "progress",
        "shipped",
        "topics",
    }


@pytest.mark.parametrize(
    ("module", "source", "broken"),
    [
        ("cosense.cooperation.merge", "from cosense.data.dataset import CooperativeFrame", True),
        ("cosense.cooperation.merge", "from cosense import data", True),
        ("cosense.cooperation.merge", "from ..data import dataset", True),
        ("cosense.cooperation.merge", "from .. import data", True),
        ("cosense.cooperation.merge", "def f():\n    import cosense.data.dataset", True),
        ("cosense.cooperation.merge", "from . import gate\nfrom cosense.messages import envelope", False),
        ("cosense.cooperation.merge", "from cosense import __version__, config\nimport cosense", False),
        ("cosense.geometry.iou", "from cosense.sensing.cloud_formats import pcd", True),
        ("cosense.simulation.tree", "from cosense.data.dataset import CooperativeFrame", False),
        ("cosense.data.opv2v", "from cosense.simulation import simulate", True),
        ("cosense.viewer.bev", "from cosense.runs.scenario import Scenario", True),
        ("cosense.nodes.agent", "from cosense.cli.main import app", True),
        ("cosense.cli.run", "def command():\n    from cosense.runs import supervisor", False),
        ("cosense.cli.run", "def command():\n    from cosense.nodes import player", True),
        ("cosense.runs.processes", "def start():\n    from cosense.nodes import player", True),
        ("cosense.config", "from cosense.sensing.cloud_formats import pcd", True),
        ("cosense.nodes.agent", "import rclpy\nfrom sensor_msgs.msg import PointCloud2", False),
        ("cosense.cli.run", "def command():\n    import rclpy.node", True),
        ("cosense.viewer.bev", "from sensor_msgs.msg import Image", True),
        ("cosense.cli.run", "def command():\n    from launch_ros.actions import Node", True),
        ("cosense.viewer.bev", "import open3d", True),
        ("cosense.viewer.bev", "try:\n    import open3d\nexcept ImportError:\n    open3d = None", True),
        ("cosense.viewer.bev", "def show():\n    import open3d", False),
        ("cosense.training.log", "from torch.utils.tensorboard import SummaryWriter", True),
        ("cosense.training.log", "from torch.utils import tensorboard", True),
        ("cosense.training.log", "def log():\n    from torch.utils import tensorboard", False),
        ("cosense.detectors.pillars", "import os, numpy as np\nfrom torch import nn", False),
    ],
)
def test_the_rule_sees_what_it_should(module, source, broken):
    assert bool(complaints(source, module)) == broken


def test_no_baseline_is_imported_by_name():
    """What registrations are compared with is found by name, so that nothing else depends on it."""
    room = "cosense.scene_graph.baselines"
    for module, path in modules():
        if not module.startswith(room):
            names = {name for name, _, _ in imports_of(path.read_text(), module.rpartition(".")[0])}
            assert not any(name.startswith(f"{room}.") for name in names), module


def test_no_constant_of_a_module_is_set_twice():
    for module, path in modules():
        tree = ast.parse(path.read_text())
        targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
        names = [name for target in targets for name in _plain_names(target)]
        assert len(names) == len(set(names)), module


def _plain_names(target: ast.expr) -> list[str]:
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    return [part.id for part in parts if isinstance(part, ast.Name)]
