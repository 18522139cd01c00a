"""Runs on the same frames as one picture: precision over recall, and how far each is from the first."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from cosense.errors import counted
from cosense.viewer import colors
from cosense.viewer.sweep_plot import DPI, MARKERS, WANTED_THRESHOLDS, style_panel

_PANEL_INCH = (5.4, 4.6)
_PALETTE = (*colors.AGENTS, *colors.SOURCES.values())


def draw_paired(content: Mapping[str, Any], path: Path) -> None:
    """Draw what `cosense.evaluation.comparison.compare` returns.

    Args:
        content: the comparison.
        path: path of the PNG file; its folder exists.
    """
    runs = content["runs"]
    known = [key for key in runs[0]["ap"] if all(run["ap"][key] is not None for run in runs)]
    thresholds = [key for key in WANTED_THRESHOLDS if key in known] or known[:2]
    palette = [color for _, color in zip(runs, cycle(dict.fromkeys(_PALETTE)), strict=False)]
    figure = Figure((_PANEL_INCH[0] * (len(thresholds) + 1), _PANEL_INCH[1]), facecolor=colors.BACKGROUND)
    *panels, last = figure.subplots(1, len(thresholds) + 1, squeeze=False)[0]
    for axes, key in zip(panels, thresholds, strict=True):
        style_panel(axes)
        axes.set_title(f"AP@{key}", color=colors.TEXT, fontsize=12)
        for run, color in zip(runs, palette, strict=True):
            curve = run["curves"][key]
            label = f"{run['name']}  {100 * run['ap'][key]:.1f}"
            axes.plot(curve["recall"], curve["precision"], color=color, lw=2, label=label)
        axes.set(xlim=(0, 100), ylim=(0, 102), xlabel="recall, %", ylabel="precision, %")
        axes.legend(loc="lower left", frameon=False, labelcolor=colors.TEXT, fontsize=8)
    _draw_differences(last, content, thresholds, palette)
    title = (
        f"{runs[0]['dataset']['kind']}, {counted(content['frames'], 'frame')}, "
        f"protocol {content['protocol']} {content['protocol_hash']}"
    )
    figure.suptitle(title, color=colors.TEXT, fontsize=10, x=0.01, ha="left")
    figure.tight_layout()
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DPI)


def _draw_differences(
    axes: Axes, content: Mapping[str, Any], thresholds: list[str], palette: list[str]
) -> None:
    """Draw the difference of each run to the first with its interval, a marker for each threshold."""
    style_panel(axes)
    first, *others = content["runs"]
    axes.axvline(0, color=colors.TEXT, lw=1.2)
    for row, run in enumerate(others):
        for place, key in enumerate(thresholds):
            y = row + 0.24 * (place - (len(thresholds) - 1) / 2)
            axes.hlines(y, *run["difference_intervals"][key], color=palette[row + 1], lw=2)
            axes.plot(run["differences"][key], y, MARKERS[place], color=palette[row + 1], ms=7)
    for place, key in enumerate(thresholds):
        axes.plot([], [], MARKERS[place], color=colors.MUTED, label=f"AP@{key}")
    axes.set_yticks(range(len(others)), [run["name"] for run in others], color=colors.TEXT)
    axes.set_ylim(len(others) - 0.5, -0.5)
    axes.set_xlabel("points of AP, bars hold 95 %")
    axes.set_title(f"difference to {first['name']}", color=colors.TEXT, fontsize=12)
    axes.legend(loc="best", frameon=False, labelcolor=colors.TEXT, fontsize=8)
