"""The numbers as tables: one run in full, several side by side, and all points of a sweep.

A file or a pipe gets each table as wide as it is; on a narrower terminal a table goes on below itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from cosense.errors import counted
from cosense.evaluation.protocol import Protocol
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
    ("budget B", "budget_bytes"),
    ("noise m °", "pose_noise"),
    ("pose error", "pose_error"),
    ("delay ms", "delay_ms"),
    ("loss", "loss"),
    ("burst", "burst"),
    ("rate B/s", "rate_bytes_per_s"),
    ("range m", "range_m"),
    ("agents", "agents"),
    ("registration", "registration"),
    ("attack", "attack"),
    ("liars", "attackers"),
    ("defence", "defence"),
)
_ABSENT = "–"
_NUMBER = re.compile(r"[-+]?\d[\d.]*|–|none")
WORKING_MEANING = (
    "Found, reversed and longer are at the least IoU threshold of the class. Precision is how many of the "
    "boxes have found something, said is what their scores say of that. Other boxes have found nothing, also "
    "where nothing is labelled."
)
# As wide as a table may be in a file or a pipe.
_WIDEST = 1000


@dataclass(frozen=True)
class WholeTable:
    """A table of which nothing is cut off or abbreviated: columns that do not fit go below the others.

    Attributes:
        headings: one for each column.
        rows: the cells of each row.
        num_keys: number of columns at the left that say what a row is; they are there in every part.
        marked: indices of the rows that are to be seen.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    num_keys: int = 1
    marked: frozenset[int] = frozenset()

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return self._part(range(self.num_keys, len(self.headings))).__rich_measure__(console, options)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        left = list(range(self.num_keys, len(self.headings)))
        while left:
            counts = range(1, len(left) + 1)
            fitting = [count for count in counts if self._fits(left[:count], console, options)]
            count = max(fitting, default=1)
            yield self._part(left[:count])
            left = left[count:]

    def _fits(self, columns: Sequence[int], console: Console, options: ConsoleOptions) -> bool:
        unlimited = options.update(max_width=_WIDEST)
        return Measurement.get(console, unlimited, self._part(columns)).maximum <= options.max_width

    def _part(self, columns: Sequence[int]) -> Table:
        """Return a table of the keys and some of the other columns."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        chosen = [*range(self.num_keys), *columns]
        for column in chosen:
            is_number = all(_NUMBER.fullmatch(row[column]) for row in self.rows)
            table.add_column(
                Text(self.headings[column]),
                justify="right" if is_number else "left",
                no_wrap=column >= self.num_keys,
                overflow="fold",
            )
        for index, row in enumerate(self.rows):
            style = "bold red" if index in self.marked else None
            table.add_row(*(Text(row[column]) for column in chosen), style=style)
        return table


def print_whole(console: Console, view: RenderableType) -> None:
    """Print tables so that nothing of them is lost: in a file or a pipe as wide as they are."""
    usual = console.width
    if not console.is_terminal:
        console.width = _WIDEST
    console.print(view)
    console.width = usual


def comparison_view(metrics: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Return several runs side by side, a row each; what all have in common is above them.

    Args:
        metrics: contents of one or more metrics.json files.
    """
    title, table = comparison(metrics)
    return Group(Text(title), table, Text("AP in %, kB a frame and collaborator."))


def paired_view(content: Mapping[str, Any]) -> RenderableType:
    """Return runs on the same frames: a row each, and how far each is from the first, with 95 % intervals.

    Args:
        content: what `cosense.evaluation.comparison.compare` returns.
    """
    runs: Sequence[Mapping[str, Any]] = content["runs"]
    title, table = comparison(runs)
    named = WholeTable(
        ["run", *table.headings],
        [[run["name"], *row] for run, row in zip(runs, table.rows, strict=True)],
        table.num_keys + 1,
    )
    thresholds = list(runs[0]["ap"])
    rows = []
    for run in runs:
        cells = []
        for key in thresholds:
            low, high = run["intervals"].get(key, (None, None))
            cells.append(f"{_points(low)} to {_points(high)}" if low is not None else _ABSENT)
            low, high = run.get("difference_intervals", {}).get(key, (None, None))
            difference = _signed(run.get("differences", {}).get(key))
            cells.append(difference if low is None else f"{difference} ({_signed(low)} to {_signed(high)})")
        rows.append([run["name"], *cells])
    columns = [f"{what}@{key}" for key in thresholds for what in ("AP", "to the first")]
    differences = WholeTable(["95 %", *columns], rows)
    places = counted(content["sequences"], "sequence") if content["sequences"] > 1 else "frames"
    note = f"AP in %, kB a frame and collaborator; intervals from draws of {places}, the same for all runs."
    if content["frames_left_out"]:
        note += f" {counted(content['frames_left_out'], 'frame')} that not all runs have left out."
    return Group(Text(title), named, differences, Text(note))


def result_view(metrics: Mapping[str, Any], protocol: Protocol) -> RenderableType:
    """Return all numbers of one run: AP by class and band, recall by class, bytes and time.

    Args:
        metrics: content of metrics.json.
        protocol: what was counted.
    """
    title = _title({heading: _identity(metrics, keys) for heading, keys in _IDENTITY})
    tables = [*_ap_tables(metrics), _recall_table(metrics), working_table(metrics)]
    notes = []
    if any(_ABSENT in row for table in tables for row in table.rows):
        notes.append(f"{_ABSENT} is where there is nothing to find, or no such threshold for the class.")
    if protocol.max_extent_m is not None and metrics["recall_long_vehicles"]["num_ground_truth"]:
        notes.append(
            f"{protocol.name} drops detections that extend over more than {protocol.max_extent_m:g} m along "
            "x or y: buses and other vehicles of that length count as missed, whatever the model finds."
        )
    notes.append(WORKING_MEANING)
    return Group(Text(title), *tables, *map(Text, notes), Text(_cost_line(metrics)))


def sweep_view(content: Mapping[str, Any]) -> RenderableType:
    """Return all points, a row each: what they gain over the ego alone, with the 95 % interval.

    Points that are worse than the ego alone by more than is tolerated are marked.

    Args:
        content: content of sweep.json.
    """
    is_announced = all(point.get("is_announced", True) for point in content["points"])
    curve = f"{content['curve']}{'' if is_announced else ' unannounced'}"
    title = (
        f"{content['dataset']['kind']}: {curve}, {counted(content['frames'], 'frame')}, "
        f"protocol {content['protocol']} {content['protocol_hash']}, seed {content['seed']}, "
        f"models {', '.join(content['models'])}"
    )
    meaning = (
        "AP in %, bytes a frame and collaborator, gain over the ego alone in points of AP with the limits of "
        "its 95 % interval."
    )
    return Group(Text(title), sweep_table(content), Text(meaning))


def sweep_table(content: Mapping[str, Any]) -> WholeTable:
    """Return the table of `sweep_view`."""
    points: Sequence[Mapping[str, Any]] = content["points"]
    settings = [
        entry
        for entry in _SETTINGS
        if entry[1] == "fusion" or len({p.get(entry[1]) for p in points if p["fusion"] != "none"}) > 1
    ]
    thresholds = list(points[0]["ap"])[-2:]
    headings = [heading for heading, _ in settings] + [f"AP@{threshold}" for threshold in thresholds]
    rows = []
    for point in points:
        cells = [_setting(point.get(key)) for _, key in settings]
        cells += [_percent(point["ap"][threshold]) for threshold in thresholds]
        cells.append(f"{point['bytes_per_frame']['mean']:.0f}")
        cells += [
            _signed(gain) for gain in (point["difference"], *(point["difference_interval"] or (None, None)))
        ]
        rows.append(cells)
    marked = frozenset(index for index, point in enumerate(points) if falls_below(point))
    return WholeTable([*headings, "bytes", "gain", "low", "high"], rows, len(settings), marked)


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


def comparison(metrics: Sequence[Mapping[str, Any]]) -> tuple[str, WholeTable]:
    """Return what runs have in common, in words, and the table of what they do not."""
    values = {heading: [_identity(run, keys) for run in metrics] for heading, keys in _IDENTITY}
    common = {heading: cells[0] for heading, cells in values.items() if len(set(cells)) == 1}
    columns = {heading: cells for heading, cells in values.items() if heading not in common}
    if not columns:
        columns["fusion"] = values["fusion"]
        del common["fusion"]
    num_keys = len(columns)
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
    return _title(common), WholeTable(list(columns), list(zip(*columns.values(), strict=True)), num_keys)


def _ap_tables(metrics: Mapping[str, Any]) -> list[WholeTable]:
    """Return a table for each kind of overlap."""
    entries = list(metrics["ap_per_class"].items())
    main = entries[0][0]
    bands = metrics["ap_per_band"].items()
    entries[1:1] = [(f"{main}, {band}{' m' if band[0].isdigit() else ''}", entry) for band, entry in bands]
    kinds = {"BEV": "bev", "3D": "3d"}
    return [
        _by_threshold(f"AP in %, {name}", {of: (entry, entry[kind]) for of, entry in entries})
        for name, kind in kinds.items()
        if any(kind in entry for _, entry in entries)
    ]


def _recall_table(metrics: Mapping[str, Any]) -> WholeTable:
    entries = {name: entry for name, entry in metrics["recall"].items() if entry["num_ground_truth"]}
    entries["vehicles above 6 m"] = metrics["recall_long_vehicles"]
    return _by_threshold(
        "recall in %",
        {
            name: (entry, {key: value for key, value in entry.items() if key != "num_ground_truth"})
            for name, entry in entries.items()
        },
    )


def working_table(metrics: Mapping[str, Any]) -> WholeTable:
    """Return what the boxes above the working score are like, a column for each class."""
    entries = metrics["working"]
    score = next(iter(entries.values()))["score"]
    return WholeTable([f"score above {score:g}", *entries], working_rows(list(entries.values())))


def working_rows(entries: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return what boxes above the working score are like: a row for each figure, with its name first.

    Args:
        entries: what `working_point` gives, a column for each.
    """

    def shares(key: str, words: str) -> list[list[str]]:
        names = dict.fromkeys(name for entry in entries for name in entry[key])
        cells = {name: [_percent(entry[key].get(name)) for entry in entries] for name in names}
        return [[words.format(name), *row] for name, row in cells.items() if set(row) != {_ABSENT}]

    def row(name: str, key: str, in_words: Callable[[Any], str]) -> list[str]:
        return [name, *(in_words(entry[key]) for entry in entries)]

    return [
        row("objects", "num_ground_truth", str),
        *shares("recall", "found at IoU {}, %"),
        *shares("recall_by_distance", "found at {} m, %"),
        row("false a frame", "false_per_frame", _decimals),
        row("precision, %", "precision", _percent),
        row("said, %", "mean_score", _percent),
        row("reversed, %", "reversed", _percent),
        row("longer by, m", "length_bias_m", lambda value: _decimals(value, sign="+")),
        row("other boxes a frame", "other_boxes_per_frame", _decimals),
    ]


def _by_threshold(
    heading: str, entries: Mapping[str, tuple[Mapping[str, Any], Mapping[str, float | None]]]
) -> WholeTable:
    """Return a table with a row for each name: the number of objects, and a share for each IoU threshold."""
    thresholds = sorted({threshold for _, shares in entries.values() for threshold in shares})
    rows = [
        [name, str(entry["num_ground_truth"]), *(_percent(shares.get(threshold)) for threshold in thresholds)]
        for name, (entry, shares) in entries.items()
    ]
    return WholeTable([heading, "objects", *(f"@{threshold}" for threshold in thresholds)], rows)


def _cost_line(metrics: Mapping[str, Any]) -> str:
    sent, spent = metrics["bytes_per_frame"], metrics["ms_per_frame"]
    line = (
        f"Each collaborator sent {_kilobytes(sent['mean'])} kB a frame (p50 {_kilobytes(sent['p50'])} kB, "
        f"p95 {_kilobytes(sent['p95'])} kB). All agents together took "
        if sent["mean"]
        else "Nobody sent anything. The ego took "
    )
    line += f"{_number(spent['p50'])} ms a frame (p95 {_number(spent['p95'])} ms)."
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
        if value.get("preset"):
            return str(value["preset"])
        if not value["position_m"] and not value["heading_deg"]:
            return _ABSENT
        note = "" if value.get("is_announced", True) else " unannounced"
        return f"{value['position_m']:g} m {value['heading_deg']:g}°{note}"
    return str(value)


def _percent(value: float | None) -> str:
    return _ABSENT if value is None else f"{100 * value:.1f}"


def _points(value: float) -> str:
    return f"{value:.1f}"


def _decimals(value: float | None, sign: str = "") -> str:
    return _ABSENT if value is None else f"{value:{sign}.2f}"


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
