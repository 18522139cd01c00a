"""Keep what the benchmarks of registration have found, and put it into docs/registration.md.

python benchmarks/registration_tables.py            # writes the page
python benchmarks/registration_tables.py --check    # status 1 where it differs from what is kept
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markdown import paragraph, table, update

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "models" / "cosense-lite" / "validation" / "scene_graphs"
PAGE = ROOT / "docs" / "registration.md"
# The benchmarks whose rows are kept, each between two marks of the page.
BENCHMARKS = ("scene_graph_pairs", "registration_honesty", "registration", "real_clouds")
HEADINGS = {
    "median_m": "median m",
    "median_degrees": "median °",
    "p90_m": "p90 m",
    "p90_degrees": "p90 °",
    "median_ms": "median ms",
    "p90_ms": "p90 ms",
    "right_percent": "right %",
    "median_bytes": "median B",
    "limit_ms": "asked ms",
}


def keep(result: Path) -> None:
    """Copy a result beside the weights of the product profile and write it into the page."""
    KEPT.mkdir(parents=True, exist_ok=True)
    shutil.copy(result, KEPT / f"{result.stem}.json")
    update([PAGE], with_tables)


def with_tables(page: str) -> str:
    """Return the page with the tables of what is kept between their marks."""
    for name in BENCHMARKS:
        path = KEPT / f"{name}.json"
        if path.is_file():
            begin, end = f"<!-- benchmarks/{name}.py -->\n", f"<!-- end of benchmarks/{name}.py -->\n"
            before, rest = page.split(begin)
            page = f"{before}{begin}\n{tables(json.loads(path.read_text()))}\n{end}{rest.split(end)[1]}"
    return page


def tables(report: Mapping[str, Any]) -> str:
    """Return a line that says what was run where, and a table for each kind of row."""
    rows = report["rows"]
    kinds: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        kinds.setdefault(tuple(row), []).append(row)
    machine = report["machine"]
    data = report["data"][0].upper() + report["data"][1:]
    title = paragraph(
        f"{data}: `{report['command']}` on {machine['cpu']}, {machine['torch_threads']} thread:"
    ).rstrip()
    return "\n".join([title, *(_table(list(keys), part) for keys, part in kinds.items())])


def _table(keys: list[str], rows: list[Mapping[str, Any]]) -> str:
    headings = [HEADINGS.get(key, key.replace("_", " ")) for key in keys]
    return "\n" + table(headings, [[_cell(key, row[key]) for key in keys] for row in rows])


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    tenths = key.endswith(("_ms", "percent", "_frame")) or key.startswith(("AP@", "found"))
    digits = 2 if key.endswith(("_m", "_degrees")) else 1 if tenths else 0
    return f"{value:.{digits}f}"


if __name__ == "__main__":
    update([PAGE], with_tables)
