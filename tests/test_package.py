"""What must agree between the files that describe the package."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import cosense
from tests.conftest import REPOSITORY


def test_version_is_the_same_everywhere() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    manifest = ElementTree.parse(REPOSITORY / "package.xml").getroot()
    changelog = (REPOSITORY / "CHANGELOG.rst").read_text()
    newest = re.search(r"^(\d+\.\d+\.\d+) \(", changelog, re.MULTILINE)
    assert newest is not None
    assert re.search(r'^version = "(.+)"$', project, re.MULTILINE)[1] == cosense.__version__
    assert manifest.findtext("version") == cosense.__version__
    assert newest[1] == cosense.__version__


def test_every_room_of_the_design_is_there() -> None:
    rooms = {path.name for path in (REPOSITORY / "cosense").iterdir() if path.is_dir()}
    design = "geometry sensing data simulation perception sharing fusion evaluation training nodes viewer cli"
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
