"""Generated parts of pages: tables and commands in lines below 120 characters."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

WIDTH = 119


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], names: int = 1) -> str:
    """Return a table; one that is too wide goes on below it, for the rows that have something there.

    Args:
        headings: one for each column; the first column is repeated in each part.
        rows: cells of each row, as many as there are headings.
        names: number of columns that name the row and are aligned left; all others are figures.
    """
    lines = [list(headings), [":--"] * names + ["--:"] * (len(headings) - names), *map(list, rows)]
    parts = [[0]]
    for column in range(1, len(headings)):
        if max(len(_row([line[i] for i in (*parts[-1], column)])) for line in lines) > WIDTH:
            parts.append([0])
        parts[-1].append(column)
    blocks = []
    for part in parts:
        cells = [[line[i] for i in part] for line in lines]
        blocks.append("\n".join(_row(line) for line in cells if any(line[1:])))
    return "\n\n".join(blocks) + "\n"


def percent(share: float | None) -> str:
    """Return a share in percent, a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f}"


def command(words: str) -> str:
    """Return a command as a block of bash, broken before an option where it is too long."""
    lines = [""]
    for part in words.replace(" --", "\n--").split("\n"):
        if lines[-1] and len(f"{lines[-1]} {part} \\") > WIDTH:
            lines.append(f"    {part}")
        else:
            lines[-1] = f"{lines[-1]} {part}".lstrip(" ") if len(lines) == 1 else f"{lines[-1]} {part}"
    return "```bash\n" + " \\\n".join(lines) + "\n```\n"


def paragraph(words: str) -> str:
    """Return text in lines of the page's width."""
    return textwrap.fill(words, WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"


def filled(page: str, script: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with each table of a script between its two marks made anew."""
    for name, make in tables.items():
        begin, end = f"<!-- {name}: {script} -->\n", f"<!-- end of {name} -->\n"
        if begin in page:
            before, rest = page.split(begin)
            page = f"{before}{begin}\n{make()}\n{end}{rest.split(end)[1]}"
    return page


def update(pages: Sequence[Path], made_anew: Callable[[str], str], *, check: bool | None = None) -> None:
    """Write pages with their generated parts made anew, or only say which differ, with status 1.

    Args:
        pages: the pages.
        made_anew: what a page becomes.
        check: whether only to compare; None for what the command line says.
    """
    stale = [page for page in pages if made_anew(page.read_text()) != page.read_text()]
    if not ("--check" in sys.argv[1:] if check is None else check):
        for page in stale:
            page.write_text(made_anew(page.read_text()))
    elif stale:
        sys.exit(f"{', '.join(map(str, stale))}: not what is kept, run python {sys.argv[0]}")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
