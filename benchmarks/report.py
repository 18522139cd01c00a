"""Turn results/benchmarks/*.json and the kept sweeps into docs/benchmarks.md.

python benchmarks/report.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markdown import command, paragraph, table
from timing import RESULTS
from validation import SWEEPS
from validation_tables import KEPT, sweep

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
HEADING = """# Benchmarks

Made by `make bench`; do not edit. Times are the least of many repeats on the machine named, which is
shared and noisy: compare rows of one table. `limit` columns are what the project asked for. A table that is
too wide goes on below it.
"""


def main() -> None:
    """Write the page."""
    parts = [HEADING, "## Detection\n"]
    for name in SWEEPS:
        path = KEPT / f"{name}.json"
        if path.is_file():
            picture = "" if name == "grid" else f"\n![{name}](images/sweep-{name}.png)\n"
            parts.append(f"### {name}\n\n{sweep(json.loads(path.read_text()))}{picture}")
    parts += [section(json.loads(path.read_text())) for path in sorted(RESULTS.glob("*.json"))]
    PAGE.write_text("\n".join(parts))


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
