"""The numbers of a sweep for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from cosense.evaluation.sweep.results import TOLERATED_LOSS

# What tells points apart: heading and key.
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


def sweep_table(content: Mapping[str, Any]) -> Table:
    """Return all points, a row each: what they gain over the ego alone, with the interval that holds 95 %.

    Those that fall below it by more than is tolerated are marked.

    Args:
        content: of sweep.json.
    """
    points: Sequence[Mapping[str, Any]] = content["points"]
    told = [
        entry
        for entry in _SETTINGS
        if entry[1] == "fusion" or len({p.get(entry[1]) for p in points if p["fusion"] != "none"}) > 1
    ]
    thresholds = list(points[0]["ap"])[-2:]
    is_announced = all(point.get("is_announced", True) for point in points)
    title = (
        f"{content['curve']}{'' if is_announced else ' unannounced'}: {content['frames']} frames, "
        f"{content['protocol']} {content['protocol_hash']}, seed {content['seed']}, "
        f"models {', '.join(content['models'])}"
    )
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading, key in told:
        table.add_column(
            heading, justify="left" if key in ("model", "fusion", "selection", "registration") else "right"
        )
    for heading in (*(f"AP@{threshold}" for threshold in thresholds), "bytes", "gain", "low", "high"):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in points:
        cells = [_setting(point.get(key)) for _, key in told]
        cells += [_number(point["ap"][threshold]) for threshold in thresholds]
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
        return f"None of {len(compared)} points is more than {TOLERATED_LOSS:g} below the ego alone."
    lines = [f"{len(below)} of {len(compared)} points are more than {TOLERATED_LOSS:g} below the ego alone:"]
    for point in below:
        setting = ", ".join(
            f"{heading} {_setting(point[key])}" for heading, key in _SETTINGS if point.get(key) is not None
        )
        lines.append(f"  {_signed(point['difference'])}: {setting}")
    return "\n".join(lines)


def _setting(value: Any) -> str:
    if value is None:
        return _ABSENT
    return f"{value:g}" if isinstance(value, float) else str(value)


def _number(fraction: float | None) -> str:
    return _ABSENT if fraction is None else f"{100 * fraction:.1f}"


def _signed(value: float | None) -> str:
    # "+ 0.0" makes nothing of what would be rounded to minus zero.
    return _ABSENT if value is None else f"{round(value, 1) + 0.0:+.1f}"
