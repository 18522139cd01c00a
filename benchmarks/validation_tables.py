"""The tables of README.md and docs/results.md, made from the sweeps that are kept beside the weights.

python benchmarks/validation_tables.py            # writes both pages
python benchmarks/validation_tables.py --check    # status 1 where a page differs from what is kept
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markdown import command, filled, paragraph, percent, table, update

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "models"
KEPT = MODELS / "cosense-lite" / "validation"
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
SCRIPT = "benchmarks/validation.py"
# Sweeps of fusions under true, noisy and measured poses, with what they are of: families that no training has
# seen, and, on all of these, makes of LiDAR that no training has drawn.
CONDITIONS = {
    "t_junction": "T-junctions",
    "roundabout": "roundabouts",
    "underpass": "underpasses",
    "unseen_lidars": "unseen LiDARs, all three",
}
FAMILIES = ("t_junction", "roundabout", "underpass")
POSES = {None: "true poses", "literature": "0.2 m, 0.2°, 100 ms", "dair": "as measured, unannounced"}
# Rows: name, fusion, how poses are corrected.
ROWS = (
    ("ego alone", "none", "none"),
    ("late", "late", "none"),
    ("late + registration", "late", "scene_graph"),
    ("early", "early", "none"),
    ("intermediate", "intermediate", "none"),
    ("intermediate + registration", "intermediate", "scene_graph"),
    ("hybrid", "hybrid", "none"),
    ("hybrid + registration", "hybrid", "scene_graph"),
)
COMPACT = ("ego alone", "late", "early", "intermediate", "hybrid", "hybrid + registration")
SHORT = ("ego alone", "late", "hybrid", "hybrid + registration")

Content = Mapping[str, Any]


def with_tables(page: str) -> str:
    """Return a page with each table between its two marks made anew."""
    return filled(page, SCRIPT, TABLES)


def kept(name: str) -> dict[str, Any] | None:
    """Return what a sweep has found.

    None if it was never made, with other weights than those that ship, or by a sweep that did not say yet how
    many places it has seen.
    """
    path = KEPT / f"{name}.json"
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text())
    if "sequences" not in content:
        return None
    for model, said in content["models"].items():
        weights = MODELS / model / "weights.safetensors"
        if hashlib.sha256(weights.read_bytes()).hexdigest() != said["weights_sha256"]:
            return None
    return content


def of_sweeps(names: Sequence[str], make: Callable[..., str]) -> Callable[[], str]:
    """Return what makes a table of kept sweeps, or says which of them are to be made first."""

    def made() -> str:
        contents = [kept(name) for name in names]
        if all(contents):
            return make(*contents)
        missing = " ".join(name for name, content in zip(names, contents, strict=True) if content is None)
        return paragraph(f"To be measured with the weights that ship: `python {SCRIPT} {missing}`.")

    return made


def overview(*contents: Content) -> str:
    """Return the README's table: a row for each fusion, the mean over the families; see `CONDITIONS`.

    Args:
        contents: a sweep for each of `FAMILIES`.
    """
    rows = []
    for name, fusion, registration in ROWS:
        if name not in COMPACT:
            continue
        cells = []
        for error in POSES:
            points = [pose_point(content, fusion, registration, error) for content in contents]
            cells.append(" / ".join(percent(_mean(points, iou)) for iou in ("0.5", "0.7")))
        points = [pose_point(content, fusion, registration, None) for content in contents]
        mean = float(np.mean([point["bytes_per_frame"]["mean"] for point in points]))
        p95 = max(point["bytes_per_frame"]["p95"] for point in points)
        rows.append([name, *cells, _kilo(mean), _kilo(p95)])
    headings = ["AP@0.5 / AP@0.7", *POSES.values(), "kB a frame", "p95"]
    return f"{_made_of(contents)}\n{table(headings, rows)}"


def families(*contents: Content) -> str:
    """Return the README's second table: a row for each family, with errors of poses as measured.

    Args:
        contents: a sweep for each of `CONDITIONS`.
    """
    settings = {name: (fusion, registration) for name, fusion, registration in ROWS}
    rows = [
        [title, *(_both(pose_point(content, *settings[name], "dair")) for name in SHORT)]
        for title, content in zip(CONDITIONS.values(), contents, strict=True)
    ]
    below = max(
        point["ap"][iou] - pose_point(content, *settings["hybrid + registration"], "dair")["ap"][iou]
        for content in contents
        for point in [pose_point(content, "none", "none", "dair")]
        for iou in ("0.5", "0.7")
    )
    said = (
        f"Simulated. In one family hybrid with registration is {100 * below:.1f} points below the ego alone."
        if below > 0
        else "Simulated. In no family is hybrid with registration below the ego alone."
    )
    return f"{table(['poses as measured, unannounced', *SHORT], rows)}\n{paragraph(said)}"


def conditions(name: str, content: Content) -> str:
    """Return one sweep of `CONDITIONS` in full: AP with its standard deviation over sequences, and bytes."""
    headings = [CONDITIONS[name]]
    headings += [f"{said} {iou}" for said in POSES.values() for iou in ("@0.5", "@0.7")]
    rows = []
    for row, fusion, registration in ROWS:
        points = [pose_point(content, fusion, registration, error) for error in POSES]
        cells = [_sure(point, iou) for point in points for iou in ("0.5", "0.7")]
        sent = points[0]["bytes_per_frame"]
        rows.append([row, *cells, _kilo(sent["mean"]), _kilo(sent["p95"])])
    title = _title(content)
    return "\n".join([title, command(content["command"]), table([*headings, "kB a frame", "p95"], rows)])


def all_conditions(*contents: Content) -> str:
    """Return all sweeps of `CONDITIONS` in full, each with a heading."""
    titles = [title[0].upper() + title[1:] for title in CONDITIONS.values()]
    parts = zip(titles, CONDITIONS, contents, strict=True)
    return "\n".join(f"### {title}\n\n{conditions(name, content)}" for title, name, content in parts)


def disturbed(noise: Content, delay: Content) -> str:
    """Return late and hybrid fusion side by side where poses are wrong and where messages are late."""
    rows = []
    for content, key, words in ((noise, "pose_noise", "{0:g} m, {0:g}°"), (delay, "delay_ms", "{:.0f} ms")):
        alone = _aps(content["points"][0])
        rows.append([f"*{content['frames']} frames, ego alone*", *alone, *alone])
        for value in sorted({point[key] for point in content["points"] if point["fusion"] == "late"}):
            late, hybrid = (_point(content, fusion=fusion, **{key: value}) for fusion in ("late", "hybrid"))
            rows.append([words.format(value), *_aps(late), *_aps(hybrid)])
    headings = ["pose error, delay", "late AP@0.5", "@0.7", "hybrid AP@0.5", "@0.7"]
    title = f"{_named(noise)}:\n"
    return "\n".join([title, command(noise["command"]), command(delay["command"]), table(headings, rows)])


def tilted(level: Content, leaning: Content) -> str:
    """Return fusions of the same places with level sensors and with sensors that lean by five degrees."""
    rows = [
        [name, *(_both(pose_point(content, fusion, registration, error)) for content in (level, leaning))]
        for error in (None, "dair")
        for name, fusion, registration in _rows_under(error)
    ]
    headings = ["AP@0.5 / AP@0.7", "level", "tilted by 5°"]
    commands = [command(content["command"]) for content in (level, leaning)]
    return "\n".join([_title(leaning), *commands, table(headings, rows)])


def _rows_under(error: str | None) -> list[tuple[str, str, str]]:
    """Return the rows of `tilted` under an error of the poses, named by it."""
    shown = SHORT[:3] if error is None else SHORT[1:]
    return [
        (f"{name}, {POSES[error]}" if fusion != "none" else name, fusion, registration)
        for name, fusion, registration in ROWS
        if name in shown
    ]


def corrected(content: Content) -> str:
    """Return a sweep of registrations over pose noise, a row for each kind of registration."""
    alone, *points = content["points"]
    noises = sorted({point["pose_noise"] for point in points})
    rows = [["*ego alone*", "0", *[_both(alone)] * len(noises)]]
    for kind in dict.fromkeys(point["registration"] for point in points):
        of_noise = [_point(content, fusion="hybrid", registration=kind, pose_noise=noise) for noise in noises]
        cells = [_both(point) for point in of_noise]
        rows.append(
            ["nothing" if kind == "none" else kind, _kilo(of_noise[0]["bytes_per_frame"]["mean"]), *cells]
        )
    headings = ["poses corrected by", "kB/frame", *(f"{noise:g} m, {noise:g}°" for noise in noises)]
    title = f"{_named(content)}, {content['frames']} frames, hybrid fusion, AP@0.5 / AP@0.7:\n"
    return "\n".join([title, command(content["command"]), table(headings, rows)])


def worst(grid: Content) -> str:
    """Return how far below the ego alone the worst combination of disturbances lies."""
    alone, *points = grid["points"]
    below = [max(alone["ap"][iou] - point["ap"][iou] for point in points) for iou in ("0.5", "0.7")]
    return paragraph(
        f"Hybrid fusion in {len(points)} combinations of announced pose noise, delay and loss: the worst is "
        f"{100 * below[0]:.1f} points of AP@0.5, or {100 * below[1]:.1f} of AP@0.7, below the ego alone."
    )


def attacked(content: Content) -> str:
    """Return a row for each way of lying and number of liars: what fusion gives with each defence."""
    alone, *points = content["points"]
    defences, fusions = (list(dict.fromkeys(point[key] for point in points)) for key in ("defence", "fusion"))
    settings = [(fusion, defence) for fusion in fusions for defence in defences]
    rows = [["*ego alone*", "", *[_both(alone)] * len(settings)]]
    for attack, attackers in dict.fromkeys((point["attack"], point["attackers"]) for point in points):
        of_setting = [
            _point(content, fusion=fusion, defence=defence, attack=attack, attackers=attackers)
            for fusion, defence in settings
        ]
        rows.append([attack or "nobody lies", str(attackers), *(_both(point) for point in of_setting)])
    headings = ["lie", "liars", *(f"{fusion}, {defence.replace('_', ' ')}" for fusion, defence in settings)]
    title = f"{_named(content)}, {content['frames']} frames, the ego and 5 senders, AP@0.5 / AP@0.7:\n"
    return "\n".join([title, command(content["command"]), table(headings, rows, names=2)])


def sweep(content: Content) -> str:
    """Return a sweep as a line that says what was measured, its command, and a row for each point."""
    points = content["points"]
    keys = (
        "model",
        "selection",
        "registration",
        "budget_bytes",
        "pose_noise",
        "pose_error",
        "delay_ms",
        "loss",
        "agents",
        "attack",
        "attackers",
        "defence",
    )
    cooperating = [point for point in points if point["fusion"] != "none"]
    varied = [key for key in keys if len({str(point.get(key)) for point in cooperating}) > 1]
    names = {"budget_bytes": "budget B", "pose_noise": "noise m °", "delay_ms": "delay ms"}
    headings = ["fusion", *(names.get(key, key.replace("_", " ")) for key in varied)]
    headings += [*(f"AP@{iou}" for iou in points[0]["ap"]), "kB/frame", "p95", "gain@0.5"]
    rows = []
    for point in points:
        row = ["ego alone" if point["fusion"] == "none" else point["fusion"]]
        row += ["" if point.get(key) is None else f"{point[key]}" for key in varied]
        row += [f"{100 * ap:.1f}" for ap in point["ap"].values()]
        row += [_kilo(point["bytes_per_frame"][key]) for key in ("mean", "p95")]
        row.append("" if point["difference"] is None else f"{point['difference']:+.1f}")
        rows.append(row)
    return "\n".join(
        [_title(content), command(content["command"]), table(headings, rows, names=1 + len(varied))]
    )


# What is between which marks.
TABLES = {
    "overview": of_sweeps(FAMILIES, overview),
    "families": of_sweeps(list(CONDITIONS), families),
    "conditions": of_sweeps(list(CONDITIONS), all_conditions),
    "budget": of_sweeps(["budget"], sweep),
    "disturbances": of_sweeps(["pose-noise", "delay"], disturbed),
    "tilted": of_sweeps(["level", "tilted"], tilted),
    "registration": of_sweeps(["registration"], corrected),
    "registration-unannounced": of_sweeps(["registration-unannounced"], corrected),
    "grid": of_sweeps(["grid"], worst),
    "attack": of_sweeps(["attack"], attacked),
}


def pose_point(content: Content, fusion: str, registration: str, error: str | None) -> dict[str, Any]:
    """Return the point of a fusion under an error of the poses; the ego alone is the same under all."""
    if fusion == "none":
        alone: dict[str, Any] = next(point for point in content["points"] if point["fusion"] == "none")
        return alone
    return _point(content, fusion=fusion, registration=registration, pose_error=error)


def _made_of(contents: Sequence[Content]) -> str:
    """Return in words what the mean of several sweeps is of, and how sure it is."""
    frames, places = (sum(content[key] for content in contents) for key in ("frames", "sequences"))
    deviations = [
        float(np.hypot.reduce([_deviation(content, row, error, iou) for content in contents])) / len(contents)
        for row in ROWS
        for error in POSES
        for iou in ("0.5", "0.7")
        if row[0] in COMPACT
    ]
    made_by = _named(contents[0]).partition(" (")[0]
    return paragraph(
        f"{made_by}: mean of {', '.join(CONDITIONS[name] for name in FAMILIES)}, {frames} frames of {places} "
        f"places; other places would move a figure by {100 * max(deviations):.1f} points (one standard "
        "deviation of the least certain)."
    )


def _deviation(content: Content, row: tuple[str, str, str], error: str | None, iou: str) -> float:
    return float(pose_point(content, row[1], row[2], error)["ap_deviation"][iou])


def _title(content: Content) -> str:
    models = ", ".join(
        f"{name} {model['weights_sha256'][:12]} ({model['dtype'].removeprefix('torch.')})"
        for name, model in content["models"].items()
    )
    return paragraph(
        f"{_named(content)}, {content['frames']} frames of {content['sequences']} sequences of "
        f"{content['dataset']['path']}, "
        f"protocol {content['protocol']} {content['protocol_hash']}, seed {content['seed']}, {models}:"
    )


def _named(content: Content) -> str:
    """Return what made the data of a sweep as the begin of a sentence."""
    kind = str(content["dataset"]["kind"])
    return kind[0].upper() + kind[1:]


def _point(content: Content, **where: object) -> dict[str, Any]:
    """Return the one point of a sweep that was measured so."""
    found: list[dict[str, Any]] = [
        point
        for point in content["points"]
        if point["fusion"] != "none" and all(point[key] == value for key, value in where.items())
    ]
    if len(found) != 1:
        raise SystemExit(f"{content['command']}: {len(found)} points with {where}, one is needed")
    return found[0]


def _mean(points: Sequence[Content], iou: str) -> float:
    return float(np.mean([point["ap"][iou] for point in points]))


def _aps(point: Content) -> list[str]:
    return [percent(point["ap"][iou]) for iou in ("0.5", "0.7")]


def _both(point: Content) -> str:
    return " / ".join(_aps(point))


def _sure(point: Content, iou: str) -> str:
    return f"{percent(point['ap'][iou])} ± {percent(point['ap_deviation'][iou])}"


def _kilo(count: float) -> str:
    return f"{count / 1000:.3g}"


if __name__ == "__main__":
    update(PAGES, with_tables)
