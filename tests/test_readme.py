"""README.md, CONTRIBUTING.md, docs/ and datasets/ say what the files in the tree say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("datasets/*.md")]
)
# Pages that are being rewritten.
WIDE = {"registration.md", "wire_format.md"}


def relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def anchors(page: str) -> set[str]:
    """Return what links may name after '#': headings, as code hosts write them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("script", ["validation_tables.py", "registration_tables.py"])
def test_figures_come_from_the_kept_files(script: str) -> None:
    checked = subprocess.run(
        [sys.executable, f"benchmarks/{script}", "--check"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stderr


def test_every_average_precision_in_the_words_of_the_readme_is_in_its_table() -> None:
    table = re.search(r"<!-- overview.*<!-- end of overview -->", README, re.DOTALL)[0]
    words = README.replace(table, "")
    said = re.findall(r"\b\d\d\.\d\b", words)
    assert len(said) >= 6
    assert set(said) <= set(re.findall(r"\b\d\d\.\d\b", table))


def test_the_readme_is_short_and_has_one_table_of_at_most_eight_rows() -> None:
    lines = README.splitlines()
    assert len(lines) <= 150
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) - 2 <= 8


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        aim = page.parent / file if file else page
        assert aim.exists(), target
        assert not anchor or anchor in anchors(aim.read_text()), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.name not in WIDE], ids=relative)
def test_lines_of_a_page_are_below_120_characters(page: Path) -> None:
    assert [line for line in page.read_text().splitlines() if len(line) >= 120] == []
