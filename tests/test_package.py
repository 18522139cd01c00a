"""What must agree between the files that describe the package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from fnmatch import fnmatch
from typing import Any

import pytest

import cosense
from tests.conftest import REPOSITORY

# What colcon does to a setup.py: run it, print what it was given, read that back.
READ_SETUP = """
import setuptools
from distutils.core import run_setup
given = run_setup("setup.py", script_args=["--dry-run"], stop_after="config")
left_out = {"cmdclass", "distclass", "ext_modules", "metadata", *given.display_option_names}
values = {
    key: value
    for key, value in vars(given).items()
    if key[0] != "_" and key not in left_out and not callable(value)
}
print({**values, "metadata": {key: value for key, value in vars(given.metadata).items() if key[0] != "_"
    and key not in ("license_files", "provides_extras")}})
"""
# The key of rosdep for what has another name on the package index.
ROSDEP = {"opencv-python-headless": "opencv", "PyYAML": "yaml", "Pillow": "pil"}
# Imports of packages of ROS 2.
ROS = r"^(?:from|import) (rclpy|ament_index_python|launch|launch_ros|\w+_msgs|\w+_interfaces)\b"


@pytest.fixture(scope="module")
def setup() -> dict[str, Any]:
    """Return what setup.py says, as colcon reads it."""
    pytest.importorskip("setuptools")
    printed = subprocess.run(
        [sys.executable, "-c", READ_SETUP], cwd=REPOSITORY, capture_output=True, check=True, text=True
    )
    return ast.literal_eval(printed.stdout)


def ros_dependencies() -> set[str]:
    manifest = ElementTree.parse(REPOSITORY / "package.xml").getroot()
    return {str(element.text) for element in manifest.iter("exec_depend")}


def test_version_is_the_same_everywhere() -> None:
    project = (REPOSITORY / "setup.py").read_text()
    manifest = ElementTree.parse(REPOSITORY / "package.xml").getroot()
    changelog = (REPOSITORY / "CHANGELOG.rst").read_text()
    newest = re.search(r"^(\d+\.\d+\.\d+) \(", changelog, re.MULTILINE)
    assert newest is not None
    assert re.search(r'^    version="(.+)",$', project, re.MULTILINE)[1] == cosense.__version__
    assert manifest.findtext("version") == cosense.__version__
    assert newest[1] == cosense.__version__


def test_every_room_of_the_design_is_there() -> None:
    rooms = {path.name for path in (REPOSITORY / "cosense").iterdir() if path.is_dir()}
    design = (
        "geometry sensing data simulation messages detectors methods scene_graph trust tracking cooperation "
        "evaluation training runs nodes viewer cli"
    )
    assert set(design.split()) <= rooms


def test_no_file_outgrows_one_subject() -> None:
    """450 lines are where a reader loses the thread."""
    long = {
        str(path.relative_to(REPOSITORY)): lines
        for folder in ("cosense", "tests", "benchmarks", "launch")
        for path in (REPOSITORY / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 450
    }
    assert long == {}


def test_what_is_needed_comes_from_ros_or_from_the_one_file(setup) -> None:
    lines = (REPOSITORY / "requirements-ros.txt").read_text().splitlines()
    from_file = [line for line in lines if line and not line.startswith("#")]
    from_ros = []
    for requirement in setup["install_requires"]:
        package = re.match(r"[\w-]+", requirement)[0]
        if f"python3-{ROSDEP.get(package, package.lower())}" in ros_dependencies():
            from_ros.append(requirement)
        else:
            assert requirement in from_file
    assert sorted(from_file + from_ros) == sorted(setup["install_requires"])


def test_the_manifest_names_every_ros_package_that_is_imported() -> None:
    files = [*(REPOSITORY / "cosense" / "nodes").rglob("*.py"), *(REPOSITORY / "launch").glob("*.py")]
    imported = {
        name
        for path in files
        for name in re.findall(ROS, re.sub(r"^ +", "", path.read_text(), flags=re.MULTILINE), re.MULTILINE)
    }
    assert {"rclpy", "std_msgs", "launch_ros", "tf2_msgs"} <= imported
    assert imported - ros_dependencies() == set()


def test_colcon_finds_the_tests(setup) -> None:
    """Without pytest under a name that colcon knows it runs unittest, finds nothing, and passes."""
    found = [re.match(r"[\w-]+", requirement)[0] for requirement in setup["extras_require"]["test"]]
    # What tests/conftest.py and the settings of pytest need as well.
    assert found == ["pytest", "pytest-timeout", "hypothesis"]
    # They run in the folder of the package; those of two hosts would need another machine.
    settings = (REPOSITORY / "pyproject.toml").read_text()
    assert 'testpaths = ["tests"]' in settings
    assert "-m 'not hosts'" in settings


def test_without_a_gpu_nobody_has_to_take_cuda() -> None:
    """The command that takes gigabytes is the place where one learns how to do without."""
    cure = "pip install torch --index-url https://download.pytorch.org/whl/cpu"
    for name in ("README.md", "requirements-ros.txt"):
        text = (REPOSITORY / name).read_text()
        assert cure in text
        assert text.index(cure) < (
            text.index("requirements-ros.txt\n") if name == "README.md" else text.index("\ntorch")
        )


def test_colcon_installs_every_file_of_the_package(setup) -> None:
    patterns = setup["package_data"]["cosense"]
    # The setuptools of Humble takes "**" for "*".
    assert not any("**" in pattern for pattern in patterns)
    files = [
        path.relative_to(REPOSITORY / "cosense").as_posix()
        for path in (REPOSITORY / "cosense").rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc")
    ]
    assert files
    for file in files:
        assert any(fnmatch(file, p) and file.count("/") == p.count("/") for p in patterns), file
    folders = {path.parent for path in (REPOSITORY / "cosense").rglob("*.py")}
    packages = {".".join(folder.relative_to(REPOSITORY).parts) for folder in folders}
    assert set(setup["packages"]) == packages


def test_colcon_installs_what_ros2_looks_for(setup) -> None:
    installed = {(folder, file) for folder, files in setup["data_files"] for file in files}
    assert ("share/ament_index/resource_index/packages", "resource/cosense") in installed
    assert ("share/cosense", "package.xml") in installed
    for path in (REPOSITORY / "launch").glob("*.launch.py"):
        assert ("share/cosense/launch", f"launch/{path.name}") in installed
    scripts = {file for folder, file in installed if folder == "lib/cosense"}
    assert scripts == {f"scripts/{path.name}" for path in (REPOSITORY / "scripts").iterdir()}
