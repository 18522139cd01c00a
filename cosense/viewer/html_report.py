"""A report as one HTML file in which a reader moves through the frames of a run, without server or network.

The page draws everything itself from the data inside it (pack.py), so it can zoom, and fifty frames fit into
a few megabytes. Its parts lie in template/ and are put together here.
"""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosense.sensing.detections import Source
from cosense.viewer import bev, colors
from cosense.viewer.annotations import Extent, fitting_extent
from cosense.viewer.pack import BYTES_PER_POINT, ReportFrame, pack_frame, pack_grid

TEMPLATE = Path(__file__).parent / "template"
SCRIPTS = ("decode.js", "scene.js", "charts.js", "controls.js")
POINTS_BYTES = 3_500_000  # share of the points in a file of five megabytes
MIN_POINTS, MAX_POINTS = 2_000, 40_000  # points in a frame


def write_report(path: Path, pages: Sequence[ReportFrame], metrics: Mapping[str, Any]) -> None:
    """Write the report of a run.

    Args:
        path: path of the .html file; its folders are created.
        pages: the frames in order, possibly none.
        metrics: content of metrics.json; whatever it lacks is left out.
    """
    points = POINTS_BYTES / BYTES_PER_POINT / max(len(pages), 1)
    max_points = int(min(max(points, MIN_POINTS), MAX_POINTS))
    view = _view(pages)
    grid = pack_grid(view)
    data = {
        "frames": [pack_frame(page, grid, max_points) for page in pages],
        "colors": colors.agent_colors(dict.fromkeys(name for page in pages for name in page.frame.agents)),
        "palette": _palette(),
        "seen": {"shape": grid.shape[::-1], "extent": [*grid.range_m[:2], *grid.range_m[3:5]]},
        "view": view,
        "min_score": bev.MIN_SCORE,
    }
    parts = {
        "TITLE": html.escape(_title(metrics)),
        "TILES": "\n".join(_tiles(metrics)),
        "METRICS": "\n".join(_rows(metrics)),
        "STYLE": (TEMPLATE / "report.css").read_text(),
        "SCRIPT": "\n".join((TEMPLATE / name).read_text() for name in SCRIPTS),
        # A "<" inside JSON is always within a string, where \u003c means the same and ends no element.
        "DATA": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
    }
    page = (TEMPLATE / "report.html").read_text()
    for name, content in parts.items():
        page = page.replace(f"<!--{name}-->", content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _view(pages: Sequence[ReportFrame]) -> Extent:
    """Return an extent that contains those of all frames."""
    extents = [fitting_extent(page.frame) for page in pages] or [(0.0, 0.0, 1.0, 1.0)]
    x_min, y_min, x_max, y_max = zip(*extents, strict=True)
    return min(x_min), min(y_min), max(x_max), max(y_max)


def _palette() -> dict[str, Any]:
    return {
        "sources": {
            source.name.lower(): {"name": colors.SOURCE_NAMES[source], "color": colors.SOURCES[source]}
            for source in Source
        },
        "own_source": Source.EGO.name.lower(),
        "outcomes": colors.OUTCOMES,
        "ground_truth": colors.GROUND_TRUTH,
        "background": colors.BACKGROUND,
        "seen_by_ego": colors.SEEN_BY_EGO,
        "seen_by_others": colors.SEEN_BY_OTHERS,
        "seen_by_nobody": colors.SEEN_BY_NOBODY,
        "hatch": colors.HATCH,
        "text": colors.TEXT,
        "muted": colors.MUTED,
    }


def _title(metrics: Mapping[str, Any]) -> str:
    parts = [metrics.get("dataset", {}).get("kind"), metrics.get("model")]
    if metrics.get("fusion"):
        parts.append("ego alone" if metrics["fusion"] == "none" else f"{metrics['fusion']} fusion")
    return " · ".join(filter(None, ["cosense", *parts]))


def _tiles(metrics: Mapping[str, Any]) -> list[str]:
    """Return the figures that a reader looks for first, as HTML."""
    figures = [(f"AP@{threshold}", value, ".3f") for threshold, value in metrics.get("ap", {}).items()]
    figures.append(("bytes a frame", metrics.get("bytes_per_frame", {}).get("mean"), ",.0f"))
    figures.append(("frames", metrics.get("frames"), "d"))
    return [
        f"<li><b>{value:{form}}</b><span>{html.escape(name)}</span></li>"
        for name, value, form in figures
        if value is not None
    ]


def _rows(metrics: Mapping[str, Any]) -> list[str]:
    rows = []
    for key, value in metrics.items():
        text = html.escape(_text(value))
        text = f"<code>{text}</code>" if key == "command" else text
        rows.append(f"<tr><th>{html.escape(key.replace('_', ' '))}</th><td>{text}</td></tr>")
    return rows


def _leaves(value: Any, name: str) -> list[tuple[str, Any]]:
    """Return the values in nested mappings, each under the keys that lead to it."""
    if not isinstance(value, Mapping):
        return [(name, value)]
    return [leaf for key, item in value.items() for leaf in _leaves(item, f"{name} {key}".strip())]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "   ·   ".join(f"{name}: {_text(item)}" for name, item in _leaves(value, ""))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    if isinstance(value, float):
        return f"{value:.4g}"
    return "–" if value is None else str(value)
