"""The numbers as tables for a terminal: one run in full, several side by side, and all points of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cosense.errors import counted
from cosense.evaluation.sweep.results import TOLERATED_LOSS

# What distinguishes runs, in the order of the columns: heading, keys into metrics.json.
_IDENTITY = (
    ("data", ("dataset", "kind")),
    ("path", ("dataset", "path")),
    ("split", ("dataset", "split")),
    ("labels", ("dataset", "label_set")),
    ("frames", ("frames",)),
    ("protocol", ("protocol",)),
    ("hash", ("protocol_hash",)),
    ("model", ("model",)),
    ("weights", ("weights_sha256",)),
    ("fusion", ("fusion",)),
    ("budget", ("budget_bytes",)),
    ("selection", ("selection",)),
    ("pose noise", ("pose_noise",)),
    ("registration", ("registration",)),
)
# What distinguishes points: heading, key of a point in sweep.json.
_SETTINGS = (
    ("model", "model"),
    ("fusion", "fusion"),
    ("selection", "selection"),
    ("budget", "budget_bytes"),
    ("noise m °", "pose_noise"),
    ("delay ms", "delay_ms"),
    ("loss", "loss"),
    ("burst", "burst"),
    ("rate B/s", "rate_bytes_per_s"),
    ("range m", "range_m"),
    ("agents", "agents"),
    ("registration", "registration"),
)
_ABSENT = "–"


def comparison_table(metrics: Sequence[Mapping[str, Any]]) -> Table:
    """Return several runs side by side, a row each; what all have in common is in the title.

    Args:
        metrics: contents of one or more metrics.json files.
    """
    title, headings, rows = _compare(metrics)
    table = Table(title=Text(title), title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in dict(_IDENTITY) else "right")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def result_view(metrics: Mapping[str, Any]) -> RenderableType:
    """Return all numbers of one run: AP by class and band, recall by class, bytes and time."""
    title = _title({heading: _identity(metrics, keys) for heading, keys in _IDENTITY})
    return Group(Text(title), _ap_table(metrics), _recall_table(metrics), _cost_line(metrics))


def sweep_table(content: Mapping[str, Any]) -> Table:
    """Return all points, a row each: what they gain over the ego alone, with the 95 % interval.

    Points that are worse than the ego alone by more than is tolerated are marked.

    Args:
        content: content of sweep.json.
    """
    points: Sequence[Mapping[str, Any]] = content["points"]
    settings = [
        entry
        for entry in _SETTINGS
        if entry[1] == "fusion" or len({p.get(entry[1]) for p in points if p["fusion"] != "none"}) > 1
    ]
    thresholds = list(points[0]["ap"])[-2:]
    is_announced = all(point.get("is_announced", True) for point in points)
    curve = f"{content['curve']}{'' if is_announced else ' unannounced'}"
    title = (
        f"{content['dataset']['kind']}: {curve}, {counted(content['frames'], 'frame')}, "
        f"protocol {content['protocol']} {content['protocol_hash']}, seed {content['seed']}, "
        f"models {', '.join(content['models'])}"
    )
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading, key in settings:
        table.add_column(
            heading, justify="left" if key in ("model", "fusion", "selection", "registration") else "right"
        )
    for heading in (*(f"AP@{threshold}" for threshold in thresholds), "bytes", "gain", "low", "high"):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in points:
        cells = [_setting(point.get(key)) for _, key in settings]
        cells += [_percent(point["ap"][threshold]) for threshold in thresholds]
        cells.append(f"{point['bytes_per_frame']['mean']:.0f}")
        cells += [
            _signed(gain) for gain in (point["difference"], *(point["difference_interval"] or (None, None)))
        ]
        table.add_row(*map(Text, cells), style="bold red" if falls_below(point) else None)
    return table


def falls_below(point: Mapping[str, Any]) -> bool:
    """Say whether a point is worse than the ego alone by more than is tolerated."""
    return point["difference"] is not None and point["difference"] < -TOLERATED_LOSS


def verdict(points: Sequence[Mapping[str, Any]]) -> str:
    """Say which points are worse than the ego alone by more than is tolerated."""
    compared = [point for point in points if point["difference"] is not None]
    below = [point for point in compared if falls_below(point)]
    if not below:
        return (
            f"None of {counted(len(compared), 'point')} is more than {TOLERATED_LOSS:g} below the ego alone."
        )
    lines = [
        f"More than {TOLERATED_LOSS:g} below the ego alone: "
        f"{len(below)} of {counted(len(compared), 'point')}:"
    ]
    for point in below:
        setting = ", ".join(
            f"{heading} {_setting(point[key])}" for heading, key in _SETTINGS if point.get(key) is not None
        )
        lines.append(f"  {_signed(point['difference'])}: {setting}")
    return "\n".join(lines)


def _compare(metrics: Sequence[Mapping[str, Any]]) -> tuple[str, list[str], list[list[str]]]:
    """Return title, headings and rows."""
    values = {heading: [_identity(run, keys) for run in metrics] for heading, keys in _IDENTITY}
    common = {heading: cells[0] for heading, cells in values.items() if len(set(cells)) == 1}
    columns = {heading: cells for heading, cells in values.items() if heading not in common}
    if not columns:
        columns["fusion"] = values["fusion"]
        del common["fusion"]
    thresholds = list(dict.fromkeys(threshold for run in metrics for threshold in run["ap"]))
    middle = thresholds[len(thresholds) // 2]
    wanted = [("ap", "AP", threshold) for threshold in thresholds]
    wanted += [("ap_3d", "AP 3D", middle), ("ap_near", "AP near", middle)]
    for key, heading, threshold in wanted:
        if any(key in run for run in metrics):
            columns[f"{heading}@{threshold}"] = [_percent(run.get(key, {}).get(threshold)) for run in metrics]
    columns["kB/frame"] = [_kilobytes(run["bytes_per_frame"]["mean"]) for run in metrics]
    # A live run measures from the ego's message to its boxes, an offline one all agents' networks too.
    if len({run.get("live", False) for run in metrics}) == 1:
        columns["ms/frame"] = [_number(run["ms_per_frame"]["p50"]) for run in metrics]
    return _title(common), list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def _ap_table(metrics: Mapping[str, Any]) -> Table:
    table = Table()
    table.add_column("average precision")
    table.add_column("objects", justify="right")
    entries = list(metrics["ap_per_class"].items())
    main = entries[0][0]
    entries[1:1] = [(f"{main}, {band}", entry) for band, entry in metrics["ap_per_band"].items()]
    columns = list(
        dict.fromkeys(
            (kind, threshold)
            for _, entry in entries
            for kind in ("bev", "3d")
            for threshold in entry.get(kind, {})
        )
    )
    columns.sort()
    columns.sort(key=lambda column: column[0], reverse=True)
    for kind, threshold in columns:
        table.add_column(f"{'BEV' if kind == 'bev' else '3D'}@{threshold}", justify="right")
    for name, entry in entries:
        cells = [
            _percent(entry[kind][threshold]) if threshold in entry.get(kind, {}) else ""
            for kind, threshold in columns
        ]
        table.add_row(name, str(entry["num_ground_truth"]), *cells)
    return table


def _recall_table(metrics: Mapping[str, Any]) -> Table:
    table = Table()
    table.add_column("recall of")
    table.add_column("objects", justify="right")
    entries = {name: entry for name, entry in metrics["recall"].items() if entry["num_ground_truth"]}
    entries["vehicles above 6 m"] = metrics["recall_long_vehicles"]
    thresholds = sorted({key for entry in entries.values() for key in entry} - {"num_ground_truth"})
    for threshold in thresholds:
        table.add_column(f"@{threshold}", justify="right")
    for name, entry in entries.items():
        cells = [_percent(entry[key]) if key in entry else "" for key in thresholds]
        table.add_row(name, str(entry["num_ground_truth"]), *cells)
    return table


def _cost_line(metrics: Mapping[str, Any]) -> str:
    sent, spent = metrics["bytes_per_frame"], metrics["ms_per_frame"]
    line = (
        f"Each collaborator sent {_kilobytes(sent['mean'])} kB a frame (p50 {_kilobytes(sent['p50'])}, "
        f"p95 {_kilobytes(sent['p95'])}). All agents together took {_number(spent['p50'])} ms a frame "
        f"(p95 {_number(spent['p95'])})."
    )
    uses = {use: count for use, count in metrics.get("messages_used_for", {}).items() if count}
    if uses:
        line += " Messages were used for " + ", ".join(
            f"{use} {counted(count, 'time')}" for use, count in uses.items()
        )
        line += "."
    of_participants = metrics.get("detections_on_participants", {})
    if of_participants.get("number"):
        boxes = f"{of_participants['number']} box{'es' if of_participants['number'] > 1 else ''}"
        line += (
            f" {boxes} on cooperating vehicles without a label: the protocol counts them as "
            f"{of_participants['count_as']}."
        )
    if metrics.get("frames_skipped"):
        line += f" {counted(metrics['frames_skipped'], 'frame')} could not be read."
    return line


def _title(identity: Mapping[str, str]) -> str:
    return ", ".join(f"{heading} {value}" for heading, value in identity.items() if value != _ABSENT)


def _identity(metrics: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return one fact about a run in words, `_ABSENT` where there is nothing to say."""
    value: Any = metrics
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None or value == "":
        return _ABSENT
    if keys == ("weights_sha256",):
        return str(value)[:12]
    if keys == ("budget_bytes",):
        return f"{value} B"
    if keys == ("pose_noise",):
        if not value["position_m"] and not value["heading_deg"]:
            return _ABSENT
        note = "" if value.get("is_announced", True) else " unannounced"
        return f"{value['position_m']:g} m {value['heading_deg']:g}°{note}"
    return str(value)


def _percent(value: float | None) -> str:
    return _ABSENT if value is None else f"{100 * value:.1f}"


def _kilobytes(value: float | None) -> str:
    return _ABSENT if value is None else f"{value / 1000:.3g}" if value < 1e6 else f"{value / 1000:.0f}"


def _number(value: float | None) -> str:
    return _ABSENT if value is None else f"{value:.0f}"


def _setting(value: Any) -> str:
    if value is None:
        return _ABSENT
    return f"{value:g}" if isinstance(value, float) else str(value)


def _signed(value: float | None) -> str:
    # "+ 0.0" makes nothing of what would be rounded to minus zero.
    return _ABSENT if value is None else f"{round(value, 1) + 0.0:+.1f}"
