"""A report as one HTML file in which a reader moves through the frames of a run, without server or network.

The page draws everything itself from the data inside it (pack.py), so it can zoom, and fifty frames fit into
a few megabytes. Its parts lie in template/ and are put together here.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosense.data.dataset import Provenance, kind_of
from cosense.evaluation.metrics.scoring import main_threshold
from cosense.evaluation.metrics.summary import summarise
from cosense.evaluation.metrics.working_point import threshold_key
from cosense.evaluation.protocol import Protocol
from cosense.evaluation.run_files import FrameResult, result_of
from cosense.evaluation.tables import WORKING_MEANING, comparison, working_rows
from cosense.sensing.detections import Detections, Source
from cosense.viewer import colors
from cosense.viewer.annotations import MIN_SCORE, Extent, fitting_extent
from cosense.viewer.pack import BYTES_PER_POINT, ReportFrame, pack_frame, pack_grid

TEMPLATE = Path(__file__).parent / "template"
SCRIPTS = ("decode.js", "scene.js", "charts.js", "controls.js")
POINTS_BYTES = 3_500_000  # share of the points in a file of five megabytes
MIN_POINTS, MAX_POINTS = 2_000, 40_000  # points in a frame
ABSENT = "–"


def write_report(
    path: Path,
    pages: Sequence[ReportFrame],
    facts: Mapping[str, Any],
    protocol: Protocol,
    *,
    runs: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Write the report of a run.

    Args:
        path: path of the .html file; its folders are created.
        pages: the frames in order, possibly none. All figures are those of these frames.
        facts: how the run came about, with the keys of metrics.json; whatever it lacks is left out.
        protocol: what counts as found, missed or false alarm.
        runs: contents of metrics.json of this and other runs on these frames, to be set side by side.
    """
    points = POINTS_BYTES / BYTES_PER_POINT / max(len(pages), 1)
    max_points = int(min(max(points, MIN_POINTS), MAX_POINTS))
    view = _view(pages)
    grid = pack_grid(view)
    data = {
        "frames": [pack_frame(page, grid, max_points, protocol) for page in pages],
        "colors": colors.agent_colors(dict.fromkeys(name for page in pages for name in page.frame.agents)),
        "palette": _palette(),
        "seen": {"shape": grid.shape[::-1], "extent": [*grid.range_m[:2], *grid.range_m[3:5]]},
        "view": view,
        "min_score": MIN_SCORE,
        "labelled": _is_labelled(pages),
        "detected": any(page.result for page in pages),
        "compared": _is_compared(pages),
    }
    summaries = _summaries(pages, protocol)
    parts = {
        "TITLE": html.escape(_title(pages, facts)),
        "TILES": "\n".join(_tiles(pages, summaries, protocol)),
        "RESULTS": _compared(runs) + _results(summaries, protocol) + _working(summaries),
        "FACTS": "\n".join(_rows(facts)),
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


def _is_labelled(pages: Sequence[ReportFrame]) -> bool:
    return any(len(page.frame.ground_truth) for page in pages)


def _is_compared(pages: Sequence[ReportFrame]) -> bool:
    return any(page.alone is not None for page in pages)


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
        "outcomes": {
            name: {"name": colors.OUTCOME_NAMES[name], "color": color}
            for name, color in colors.OUTCOMES.items()
        },
        "ground_truth": colors.GROUND_TRUTH,
        "background": colors.BACKGROUND,
        "seen_by_ego": colors.SEEN_BY_EGO,
        "seen_by_others": colors.SEEN_BY_OTHERS,
        "seen_by_nobody": colors.SEEN_BY_NOBODY,
        "hatch": colors.HATCH,
        "text": colors.TEXT,
        "muted": colors.MUTED,
    }


def _title(pages: Sequence[ReportFrame], facts: Mapping[str, Any]) -> str:
    """Return what made the frames, and then what ran on them."""
    known = [page.frame.provenance for page in pages if page.frame.provenance != Provenance()]
    kind = kind_of(known) or facts.get("dataset", {}).get("kind")
    parts = [kind, facts.get("model")]
    if facts.get("fusion"):
        parts.append("ego alone" if facts["fusion"] == "none" else f"{facts['fusion']} fusion")
    return " · ".join(filter(None, parts)) or "cosense"


def _summaries(pages: Sequence[ReportFrame], protocol: Protocol) -> dict[str, dict[str, Any]]:
    """Return the figures of the pages by view, "alone" and "together", where there is anything to count."""
    views = {
        "alone": [(page, _of(page, "alone")) for page in pages if page.result],
        "together": [(page, _of(page, "together")) for page in pages if page.result],
    }
    if not _is_labelled(pages):
        return {}
    if not _is_compared(pages):
        del views["alone"]
    return {
        name: summarise([_frame_result(page, found) for page, found in results], protocol)
        for name, results in views.items()
        if results
    }


def _of(page: ReportFrame, view: str) -> Detections:
    """Return what the ego finds alone or together; where nobody else is there, that is the same."""
    together = page.result.detections if page.result else Detections.empty()
    return page.alone if view == "alone" and page.alone is not None else together


def _frame_result(page: ReportFrame, detections: Detections) -> FrameResult:
    frame, sent = page.frame, page.result.bytes_per_sender if page.result else {}
    return result_of(frame, page.num_points, detections, sent, math.nan)


def _tiles(
    pages: Sequence[ReportFrame], summaries: Mapping[str, Mapping[str, Any]], protocol: Protocol
) -> list[str]:
    """Return the figures that a reader looks for first, as HTML: alone and together."""
    tiles = []
    for key in map(threshold_key, protocol.main_class.iou_thresholds):
        tiles.append((f"AP@{key}, %", [_percent(summary["ap"][key]) for summary in summaries.values()]))
    if summaries:
        found, objects = _found(pages, protocol)
        tiles.append((f"found of {objects:,}", [f"{found[name]:,}" for name in summaries]))
    figures = [(" → ".join(values), name) for name, values in tiles if set(values) - {ABSENT}]
    sent = [count for page in pages if page.result for count in page.result.bytes_per_sender.values()]
    if sent:
        figures.append((f"{np.mean(sent):,.0f}", "bytes a sender and frame"))
    figures.append((f"{len(pages):,}", "frame" if len(pages) == 1 else "frames"))
    heading = [f'<li class="heading">{" → ".join(summaries)}</li>'] if len(summaries) > 1 else []
    return heading + [f"<li><b>{value}</b><span>{html.escape(name)}</span></li>" for value, name in figures]


def _found(pages: Sequence[ReportFrame], protocol: Protocol) -> tuple[dict[str, int], int]:
    """Return how many objects are found by view, at the score that is shown, and how many there are."""
    found, objects = {"alone": 0, "together": 0}, 0
    for page in pages:
        for view in found:
            detections = _of(page, view)
            shown = detections[detections.scores >= MIN_SCORE]
            verdict = page.verdict(shown, protocol)
            found[view] += int(verdict.is_found.sum())
        objects += int(verdict.is_counted.sum())
    return found, objects


def _compared(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return a table of several runs, a row each, as HTML."""
    if not runs:
        return ""
    title, table = comparison(runs)
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in table.headings)
    rows = []
    for first, *cells in table.rows:
        values = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        rows.append(f"<tr><th>{html.escape(first)}</th>{values}</tr>")
    return (
        f'<section class="results"><h2>Ways to cooperate</h2><p>{html.escape(title)}</p>'
        f"<table><tr>{head}</tr>{''.join(rows)}</table></section>"
    )


def _results(summaries: Mapping[str, Mapping[str, Any]], protocol: Protocol) -> str:
    """Return a table of average precision by class and band, alone and together, as HTML."""
    if not summaries:
        return ""
    kind, views = protocol.iou[0], list(summaries)
    entries = {
        view: {
            **summary["ap_per_class"],
            **{_band_name(protocol, band): entry for band, entry in summary["ap_per_band"].items()},
        }
        for view, summary in summaries.items()
    }
    threshold = threshold_key(main_threshold(protocol.main_class))
    head = ["", "objects", *views, *(["gain"] if len(views) > 1 else [])]
    rows = []
    for name, last in entries[views[-1]].items():
        if not last["num_ground_truth"]:
            continue
        values = [entries[view][name][kind].get(threshold) for view in views]
        cells = [f"{last['num_ground_truth']:,}", *map(_percent, values)]
        row = "".join(f"<td>{cell}</td>" for cell in cells)
        if len(values) > 1:
            gain = ABSENT if None in values else f"{100 * (values[1] - values[0]):+.1f}"
            row += f'<td class="gain">{gain}</td>'
        rows.append(f"<tr><th>{html.escape(name)}</th>{row}</tr>")
    return (
        f'<section class="results"><h2>Average precision at an IoU of {threshold}, in %</h2>'
        f"<p>Protocol {html.escape(protocol.name)}: {html.escape(protocol.description.strip())}</p>"
        f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{''.join(rows)}</table></section>"
    )


def _working(summaries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of what boxes above the working score are like, alone and together, as HTML."""
    by_view = [summary["working"] for summary in summaries.values()]
    names = [name for name in (by_view[0] if by_view else {}) if by_view[0][name]["num_ground_truth"]]
    if not names:
        return ""
    tables = [working_rows([entries[name] for name in names]) for entries in by_view]
    rows = []
    for same_row in zip(*tables, strict=True):
        values = [dict.fromkeys(cells) for cells in zip(*(row[1:] for row in same_row), strict=True)]
        cells = "".join(f"<td>{' → '.join(value)}</td>" for value in values)
        rows.append(f"<tr><th>{html.escape(same_row[0][0])}</th>{cells}</tr>")
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *names))
    return (
        f'<section class="results"><h2>Boxes above a score of {by_view[0][names[0]]["score"]:g}</h2>'
        f"<p>{html.escape(WORKING_MEANING)}</p><table><tr>{head}</tr>{''.join(rows)}</table></section>"
    )


def _band_name(protocol: Protocol, band: str) -> str:
    return f"{protocol.main_class.name}, {band}{' m' if band[0].isdigit() else ''}"


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.1f}"


def _rows(facts: Mapping[str, Any]) -> list[str]:
    """Return what is said about the run in words, as rows of HTML; what is not known here goes last."""
    named = {key: facts[key] for key in FACTS if key in facts}
    others = {key: value for key, value in facts.items() if key not in FACTS and key not in FIGURES}
    rows = []
    for key, value in (named | others).items():
        name, in_words = FACTS.get(key, (key.replace("_", " ").capitalize(), _text))
        text = html.escape(ABSENT if value is None else in_words(value))
        text = f"<code>{text}</code>" if key == "command" else text
        if text:
            rows.append(f"<tr><th>{html.escape(name)}</th><td>{text}</td></tr>")
    return rows


def _dataset(value: Mapping[str, Any]) -> str:
    words = {"label_set": "labels", "async_frames": "clouds of the others earlier by frames"}
    return _joined(
        str(item) if key in ("kind", "path") else f"{words.get(key, key.replace('_', ' '))} {_text(item)}"
        for key, item in value.items()
        if item not in (None, 0, "")
    )


def _pose_noise(value: Mapping[str, Any]) -> str:
    if value.get("preset"):
        return str(value["preset"])
    if not (value["position_m"] or value["heading_deg"]):
        return "none"
    announced = "announced" if value.get("is_announced", True) else "not announced"
    return f"{value['position_m']:g} m, {value['heading_deg']:g}°, {announced}"


def _spread(unit: str) -> Callable[[Mapping[str, float | None]], str]:
    def in_words(value: Mapping[str, float | None]) -> str:
        known = {name: count for name, count in value.items() if count is not None}
        return _joined(f"{name} {count:,.0f} {unit}" for name, count in known.items()) or ABSENT

    return in_words


def _counts(value: Mapping[str, Any]) -> str:
    return _joined(f"{name} {_text(count)}" for name, count in value.items() if count)


def _joined(parts: Iterable[str]) -> str:
    return "   ·   ".join(parts)


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
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ABSENT if value is None else str(value)


# What a row is called and how its value is said, in the order of the table.
FACTS: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "command": ("Command", str),
    "dataset": ("Data", _dataset),
    "protocol": ("Protocol", str),
    "protocol_hash": ("Protocol, hash", str),
    "model": ("Model", str),
    "weights_sha256": ("Weights, SHA-256", str),
    "fingerprint": ("Model, fingerprint", str),
    "device": ("Device", str),
    "dtype": ("Numbers", lambda value: str(value).removeprefix("torch.")),
    "fusion": ("Fusion", str),
    "budget_bytes": ("Budget", lambda value: f"{value:,} bytes a message"),
    "selection": ("Selection", str),
    "registration": ("Registration", str),
    "trust": ("Checks of messages", lambda value: ", ".join(value) or "none"),
    "pose_noise": ("Pose noise", _pose_noise),
    "seed": ("Seed", str),
    "live": ("Run live", _text),
    "frames": ("Frames", _text),
    "frames_fused": ("Frames fused", _text),
    "frames_not_fused": ("Frames not fused", _text),
    "frames_skipped": ("Frames that could not be read", _text),
    "modes": ("Modes, frames", _counts),
    "messages_used_for": ("Messages used for", _counts),
    "bytes_per_frame": ("Sent by each in a frame", _spread("bytes")),
    "bytes_total": ("Sent in all", lambda value: f"{value:,} bytes"),
    "ms_per_frame": ("Time of a frame", _spread("ms")),
    "latency_ms_p50_p95": ("Latency in ms, p50 / p95", _counts),
    "versions": ("Versions", _counts),
}
# Figures of metrics.json that the report computes from its own frames.
FIGURES = {
    *("ap", "ap_3d", "ap_near", "ap_per_class", "ap_per_band", "recall", "recall_long_vehicles"),
    "working",
    *("num_ground_truth", "num_detections", "detections_on_participants"),
}
