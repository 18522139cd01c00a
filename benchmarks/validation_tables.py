"""The tables of README.md and docs/results.md, made from the sweeps that are kept beside the weights.

python benchmarks/validation_tables.py            # writes both pages
python benchmarks/validation_tables.py --check    # status 1 where a page differs from what is kept
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markdown import command, paragraph, table, update

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "models" / "cosense-lite" / "validation"
PAGES = (ROOT / "README.md", ROOT / "docs" / "results.md")
# What the README measures pose errors, delay and loss at.
NOISES_M, UNANNOUNCED_M, DELAY_MS, LOSS = (0.0, 0.2, 0.4, 0.6), 1.0, 300.0, 0.5


def with_tables(page: str) -> str:
    """Return a page with each table between its two marks made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name}: benchmarks/validation.py -->\n", f"<!-- end of {name} -->\n"
        if begin in page:
            before, rest = page.split(begin)
            page = f"{before}{begin}\n{make()}\n{end}{rest.split(end)[1]}"
    return page


def kept(name: str) -> dict[str, Any]:
    """Return what a sweep has found."""
    content: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text())
    return content


def overview() -> str:
    """Return the README's table: fusions side by side, a row for each thing that goes wrong."""
    noise, corrected, hidden = kept("pose-noise"), kept("registration"), kept("registration-unannounced")

    def disturbed(name: str, content: Mapping[str, Any], **where: float) -> list[str]:
        cooperating = (_point(content, fusion=fusion, **where) for fusion in ("late", "hybrid"))
        return [name, *map(_ap, (content["points"][0], *cooperating))]

    def with_graphs(content: Mapping[str, Any], noise_m: float) -> dict[str, Any]:
        return _point(content, registration="scene_graph", pose_noise=noise_m)

    rows = []
    for value in NOISES_M:
        name = f"poses are off by {value:g} m, {value:g}°" if value else "poses are exact, messages fresh"
        rows.append([*disturbed(name, noise, pose_noise=value), _ap(with_graphs(corrected, value))])
    believed = _point(hidden, registration="none", pose_noise=UNANNOUNCED_M)
    graphs = with_graphs(hidden, UNANNOUNCED_M)
    name = f"poses are off by {UNANNOUNCED_M:g} m, {UNANNOUNCED_M:g}° and claim to be exact"
    rows.append([name, _ap(hidden["points"][0]), "", _ap(believed), _ap(graphs)])
    rows.append([*disturbed(f"messages are {DELAY_MS:.0f} ms late", kept("delay"), delay_ms=DELAY_MS), ""])
    rows.append([*disturbed(f"{100 * LOSS:.0f} % of the messages are lost", kept("loss"), loss=LOSS), ""])
    sent = [_point(noise, fusion=fusion, pose_noise=0.0) for fusion in ("late", "hybrid")]
    rows.append(["*kB sent per frame*", "0", *map(_kilobytes, (*sent, with_graphs(corrected, 0.0)))])
    headings = [f"{_made_by(noise)}: AP@0.5 when", "ego alone", "late", "hybrid", "hybrid + graphs"]
    return f"{table(headings, rows)}\n{paragraph(_worst(kept('grid')))}"


def budget() -> str:
    """Return average precision over the bytes of a message."""
    return sweep(kept("budget"))


def disturbed() -> str:
    """Return late and hybrid fusion side by side where poses are wrong and where messages are late."""
    noise, delay = kept("pose-noise"), kept("delay")
    rows = []
    for content, key, words in ((noise, "pose_noise", "{0:g} m, {0:g}°"), (delay, "delay_ms", "{:.0f} ms")):
        alone = _aps(content["points"][0])
        rows.append([f"*{content['frames']} frames, ego alone*", *alone, *alone])
        for value in sorted({point[key] for point in content["points"] if point["fusion"] == "late"}):
            where = {key: value}
            late, hybrid = (_point(content, fusion=fusion, **where) for fusion in ("late", "hybrid"))
            rows.append([words.format(value), *_aps(late), *_aps(hybrid)])
    headings = ["pose error, delay", "late AP@0.5", "@0.7", "hybrid AP@0.5", "@0.7"]
    title = f"{_named(noise)}:\n"
    return "\n".join([title, command(noise["command"]), command(delay["command"]), table(headings, rows)])


def registration() -> str:
    """Return registrations side by side where covariances announce the pose errors."""
    return _corrected(kept("registration"))


def unannounced() -> str:
    """Return scene graphs beside nothing where no covariance announces the pose errors."""
    return _corrected(kept("registration-unannounced"))


# What is between which marks.
TABLES = {
    "overview": overview,
    "budget": budget,
    "disturbances": disturbed,
    "registration": registration,
    "registration-unannounced": unannounced,
}


def _corrected(content: Mapping[str, Any]) -> str:
    """Return a sweep of registrations over pose noise, a row for each kind of registration."""
    alone, *points = content["points"]
    noises = sorted({point["pose_noise"] for point in points})
    rows = [["*ego alone*", "0", *[" / ".join(_aps(alone))] * len(noises)]]
    for kind in dict.fromkeys(point["registration"] for point in points):
        of_noise = [_point(content, fusion="hybrid", registration=kind, pose_noise=noise) for noise in noises]
        cells = [" / ".join(_aps(point)) for point in of_noise]
        rows.append(["nothing" if kind == "none" else kind, _kilobytes(of_noise[0]), *cells])
    headings = ["poses corrected by", "kB/frame", *(f"{noise:g} m, {noise:g}°" for noise in noises)]
    title = f"{_named(content)}, {content['frames']} frames, hybrid fusion, AP@0.5 / AP@0.7:\n"
    return "\n".join([title, command(content["command"]), table(headings, rows)])


def sweep(content: Mapping[str, Any]) -> str:
    """Return a sweep as a line that says what was measured, its command, and a row for each point."""
    points = content["points"]
    keys = ("model", "selection", "registration", "budget_bytes", "pose_noise", "delay_ms", "loss", "agents")
    cooperating = [point for point in points if point["fusion"] != "none"]
    varied = [key for key in keys if len({str(point.get(key)) for point in cooperating}) > 1]
    names = {"budget_bytes": "budget B", "pose_noise": "noise m °", "delay_ms": "delay ms"}
    headings = ["fusion", *(names.get(key, key) for key in varied)]
    headings += [*(f"AP@{iou}" for iou in points[0]["ap"]), "kB/frame", "p95", "gain@0.5"]
    rows = []
    for point in points:
        row = ["ego alone" if point["fusion"] == "none" else point["fusion"]]
        row += ["" if point.get(key) is None else f"{point[key]}" for key in varied]
        row += [f"{100 * ap:.1f}" for ap in point["ap"].values()]
        row += [f"{point['bytes_per_frame'][key] / 1000:.3g}" for key in ("mean", "p95")]
        row.append("" if point["difference"] is None else f"{point['difference']:+.1f}")
        rows.append(row)
    models = ", ".join(
        f"{name} {model['weights_sha256'][:12]} ({model['dtype'].removeprefix('torch.')})"
        for name, model in content["models"].items()
    )
    title = paragraph(
        f"{_named(content)}, {content['frames']} frames of {content['dataset']['path']}, "
        f"protocol {content['protocol']} {content['protocol_hash']}, seed {content['seed']}, {models}:"
    )
    return "\n".join([title, command(content["command"]), table(headings, rows, names=1 + len(varied))])


def _made_by(content: Mapping[str, Any]) -> str:
    """Return what made the data of a sweep, without their layout: "Simulated by cosense"."""
    return _named(content).partition(" (")[0]


def _named(content: Mapping[str, Any]) -> str:
    """Return what made the data of a sweep as the begin of a sentence."""
    kind = str(content["dataset"]["kind"])
    return kind[0].upper() + kind[1:]


def _worst(grid: Mapping[str, Any]) -> str:
    """Return how far below the ego alone the worst combination of disturbances lies."""
    alone, *points = grid["points"]
    below = [max(alone["ap"][iou] - point["ap"][iou] for point in points) for iou in ("0.5", "0.7")]
    return (
        f"Hybrid fusion in {len(points)} combinations of announced pose noise, delay and loss: the worst is "
        f"{100 * below[0]:.1f} points of AP@0.5, or {100 * below[1]:.1f} of AP@0.7, below the ego alone."
    )


def _point(content: Mapping[str, Any], **where: object) -> dict[str, Any]:
    """Return the one point of a sweep that was measured so."""
    found: list[dict[str, Any]] = [
        point
        for point in content["points"]
        if point["fusion"] != "none" and all(point[key] == value for key, value in where.items())
    ]
    if len(found) != 1:
        raise SystemExit(f"{content['command']}: {len(found)} points with {where}, one is needed")
    return found[0]


def _ap(point: Mapping[str, Any]) -> str:
    return f"{100 * point['ap']['0.5']:.1f}"


def _aps(point: Mapping[str, Any]) -> Sequence[str]:
    return [f"{100 * point['ap'][iou]:.1f}" for iou in ("0.5", "0.7")]


def _kilobytes(point: Mapping[str, Any]) -> str:
    return f"{point['bytes_per_frame']['mean'] / 1000:.3g}"


if __name__ == "__main__":
    update(PAGES, with_tables)
