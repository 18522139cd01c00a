"""Turn results/benchmarks/*.json and the kept sweeps into docs/benchmarks.md.

    python benchmarks/report.py

Sections of benchmarks that have no result in results/benchmarks stay as they are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markdown import command, paragraph, table
from real_frame_tables import TABLES
from timing import RESULTS
from validation import SWEEPS
from validation_tables import CONDITIONS, conditions, kept, sweep

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
HEADING = "# Benchmarks\n\n" + paragraph(
    "Made by `make bench`; do not edit. Times are the least of many repeats on the machine named, which is "
    "shared and noisy: compare rows of one table. `limit` columns are what the project asked for. A table "
    "that is too wide goes on below it."
)


def main() -> None:
    """Write the page."""
    there = sections(PAGE.read_text())
    there["Detection"] = detection()
    for path in RESULTS.glob("*.json"):
        there[path.stem] = section(json.loads(path.read_text()))
    timed = sorted(name for name in there if name != "Detection")
    PAGE.write_text("\n".join([HEADING, *(there[name] for name in ("Detection", *timed))]))


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page by their headings, each with its heading."""
    parts = [f"## {part.rstrip()}\n" for part in page.split("\n## ")[1:]]
    return {part.splitlines()[0].removeprefix("## "): part for part in parts}


def detection() -> str:
    """Return what the kept sweeps have found, each with its picture."""
    parts = ["## Detection\n"]
    for name in SWEEPS:
        content = kept(name)
        if content is None:
            continue
        words = conditions(name, content) if name in CONDITIONS else sweep(content)
        picture = "" if name == "grid" else f"\n![{name}](images/sweep-{name}.png)\n"
        parts.append(f"### {name}\n\n{words}{picture}")
    return "\n".join([*parts, "### Real frames\n", TABLES["real frames"](), TABLES["real pairs"]()])


def section(report: dict[str, Any]) -> str:
    """Return one benchmark as Markdown: heading, command, machine, a table with a row for each figure."""
    machine = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    data = report["data"][0].upper() + report["data"][1:]
    headings = list(dict.fromkeys(key for row in report["rows"] for key in row))
    rows = [[cell(row.get(heading)) for heading in headings] for row in report["rows"]]
    return "\n".join(
        [
            f"## {report['benchmark']}\n",
            command(report["command"]),
            paragraph(f"{data}; {machine}."),
            table(headings, rows),
        ]
    )


def cell(value: Any) -> str:
    """Return a value as it is written in a table."""
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
