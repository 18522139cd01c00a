"""The README says what the files in the tree say."""

from __future__ import annotations

import re

from benchmarks.validation import with_table
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()


def test_figures_come_from_the_kept_metrics() -> None:
    assert with_table(README) == README


def test_every_relative_link_leads_somewhere() -> None:
    links = [target for target in re.findall(r"\]\(([^)#]+)", README) if "://" not in target]
    assert links
    assert [target for target in links if not (REPOSITORY / target).exists()] == []
