"""README.md, CONTRIBUTING.md, docs/, datasets/ and the cards of models say what the files in the tree say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
FOLDERS = ("*.md", "docs/**/*.md", "datasets/*.md", "models/*/card.md", "cosense/**/*.md")
PAGES = sorted(path for folder in FOLDERS for path in REPOSITORY.glob(folder))
ROOMS = {path.name for path in (REPOSITORY / "cosense").iterdir() if path.is_dir()}


def relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def anchors(page: str) -> set[str]:
    """Return what links may name after '#': headings, as code hosts write them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("script", ["validation_tables.py", "real_frame_tables.py", "registration_tables.py"])
def test_figures_come_from_the_kept_files(script: str) -> None:
    checked = subprocess.run(
        [sys.executable, f"benchmarks/{script}", "--check"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


def test_the_readme_gives_average_precisions_only_in_tables_made_from_files() -> None:
    words = re.sub(r"<!-- ([^:]*): benchmarks/.*?<!-- end of \1 -->", "", README, flags=re.DOTALL)
    assert "<!--" not in words
    assert re.findall(r"\b\d\d\.\d\b", words) == []
    assert not any(line.startswith("|") for line in words.splitlines())


def test_the_readme_is_short_and_its_tables_have_at_most_eight_rows() -> None:
    lines = README.splitlines()
    assert len(lines) <= 175
    tables = re.findall(r"(?:^\|.*\n)+", README, re.MULTILINE)
    assert all(table.count("\n") - 2 <= 8 for table in tables)


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        aim = page.parent / file if file else page
        assert aim.exists(), target
        assert not anchor or anchor in anchors(aim.read_text()), target


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_path_of_the_repository_in_a_page_exists(page: Path) -> None:
    """Paths are written from the root, those of modules also from the package."""
    for path in re.findall(r"`([\w./{},-]+/[\w./{},-]*)`", page.read_text()):
        top = path.split("/")[0]
        base = REPOSITORY / "cosense" if top in ROOMS else REPOSITORY
        if not (base / top).exists() or top in ("", "..", "results"):
            continue
        start, names, end = re.fullmatch(r"(.*?)(?:\{(.*)\})?([^{}]*)", path).groups()
        for name in (names or "").split(","):
            assert (base / f"{start}{name}{end}").exists(), path


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_lines_of_a_page_are_below_120_characters(page: Path) -> None:
    assert [line for line in page.read_text().splitlines() if len(line) >= 120] == []
