"""Pictures of a sweep: average precision over the quantity that was varied, or over a grid of three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.evaluation.runs.pose_noise import POSE_ERRORS
from cosense.evaluation.sweep.curves import AXES, GRID_AXES, Curve, line_of
from cosense.evaluation.sweep.point import Point
from cosense.evaluation.sweep.results import TOLERATED_LOSS
from cosense.sensing.detections import Source
from cosense.viewer import colors

DPI = 150
LETTERS_PER_INCH = 12.0  # of the title, in its usual size
PANEL_INCH = (6.2, 4.6)
CELL_INCH = (0.62, 0.42)
ATTACK_INCH, ATTACK_COLUMNS = (2.6, 2.1), 4
GRID_COLUMNS = 3
WANTED_THRESHOLDS = ("0.5", "0.7")
# The first line of each fusion has the same colour in every picture; further lines take other colours.
FUSION_COLORS = {
    "late": colors.SOURCES[Source.LATE],
    "early": colors.AGENTS[4],
    "intermediate": colors.SOURCES[Source.EGO],
    "hybrid": colors.SOURCES[Source.FUSED],
}
FURTHER_COLORS = (colors.AGENTS[1], colors.AGENTS[2], colors.AGENTS[5], colors.AGENTS[3], colors.AGENTS[4])
MARKERS = "osD^vP*X"
STYLES = ("-", "--", ":", "-.")
ALONE_STYLES = ("--", ":", "-.")
X_LABELS = {
    "budget": "bytes per sender and frame, as measured",
    "pose-noise": "pose noise, metres and degrees",
    "pose-error": "error of poses and times",
    "delay": "delay, ms",
    "loss": "messages lost, %",
    "burst": "messages lost in a row, on average",
    "rate": "rate of each link, bytes per second",
    "range": "range of the radio, m",
    "agents": "agents, the ego included",
    "attack": "senders that lie",
}
_POSE_ERRORS = ("none", *POSE_ERRORS)
# Red means worse than the ego alone, green better; no difference has the colour of the ground.
DIFFERENCE = LinearSegmentedColormap.from_list(
    "difference", [colors.OUTCOMES["missed"], colors.SEEN_BY_EGO, colors.AGREEMENT]
)


def draw_sweep(content: Mapping[str, Any], path: Path) -> None:
    """Draw a sweep.

    Args:
        content: content of sweep.json.
        path: path of the PNG file; its folders are created.
    """
    kinds = {"grid": _draw_grid, "attack": _draw_attacks}
    figure = kinds.get(content["curve"], _draw_lines)(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DPI)


def shown_thresholds(content: Mapping[str, Any]) -> list[str]:
    """Return the IoU thresholds that have a panel: 0.5 and 0.7, else the first two."""
    known = list(content["points"][0]["ap"])
    return [threshold for threshold in WANTED_THRESHOLDS if threshold in known] or known[:2]


def lines_of(content: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the points of each line, in the order of the command."""
    several_models = len(content["models"]) > 1
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for values in content["points"]:
        point = Point(**{name: values[name] for name in Point.__dataclass_fields__ if name in values})
        lines.setdefault(line_of(point, several_models), []).append(values)
    return lines


def _draw_lines(content: Mapping[str, Any]) -> Figure:
    thresholds = shown_thresholds(content)
    lines = lines_of(content)
    rows = -(-len(lines) // 4)
    height = PANEL_INCH[1] + 0.52 + 0.26 * rows
    figure = Figure((PANEL_INCH[0] * len(thresholds), height), facecolor=colors.BACKGROUND)
    panels = figure.subplots(1, len(thresholds), squeeze=False)[0]
    for axes, threshold in zip(panels, thresholds, strict=True):
        style_panel(axes)
        axes.set_title(f"AP@{threshold}", color=colors.TEXT, fontsize=12)
        axes.set_ylabel("average precision, %")
        axes.set_xlabel(X_LABELS[content["curve"]])
        _draw_panel(axes, lines, content, threshold)
    _draw_title(figure, content, height)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.22 / height),
        ncol=min(4, len(labels)),
        frameon=False,
        labelcolor=colors.TEXT,
    )
    with_bands = [
        f"AP@{threshold}"
        for threshold in thresholds
        if any(threshold in (point["difference_intervals"] or {}) for point in content["points"])
    ]
    if with_bands:
        explained = (
            f"Bands ({', '.join(with_bands)}): 95 % interval of the difference to the ego alone, same frames"
        )
        figure.text(0.012, 0.1 / height, explained, color=colors.MUTED, fontsize=9)
    figure.tight_layout(rect=(0, (0.34 + 0.26 * rows) / height, 1, 1 - 0.34 / height))
    return figure


def _draw_attacks(content: Mapping[str, Any]) -> Figure:
    """Draw a panel for each way of lying and threshold, all with the same lines: fusions and defences."""
    thresholds = shown_thresholds(content)
    points = [point for point in content["points"] if point["fusion"] != "none"]
    attacks = list(dict.fromkeys(point["attack"] for point in points if point["attack"])) or [None]
    columns = min(len(attacks), ATTACK_COLUMNS)
    rows_each = -(-len(attacks) // columns)
    rows = rows_each * len(thresholds)
    size = (max(ATTACK_INCH[0] * columns, 8.0), ATTACK_INCH[1] * rows + 1.1)
    figure = Figure(size, facecolor=colors.BACKGROUND)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for block, threshold in enumerate(thresholds):
        of_block = panels[block * rows_each : (block + 1) * rows_each].ravel()
        for axes, attack in zip(of_block, attacks, strict=False):
            style_panel(axes)
            axes.set_title(f"{attack or 'nobody lies'}, AP@{threshold}", color=colors.TEXT, fontsize=10)
            _draw_attack(axes, content, points, attack, threshold)
        for axes in of_block[len(attacks) :]:
            axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("AP, %")
    for axes in panels[-1]:
        axes.set_xlabel(X_LABELS["attack"])
    _draw_title(figure, content, size[1])
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.05 / size[1]),
        ncol=min(ATTACK_COLUMNS, len(labels)),
        frameon=False,
        labelcolor=colors.TEXT,
        fontsize=9,
    )
    legend_inch = 0.3 + 0.22 * -(-len(labels) // ATTACK_COLUMNS)
    figure.tight_layout(rect=(0, legend_inch / size[1], 1, 1 - 0.34 / size[1]))
    return figure


def _draw_attack(
    axes: Axes,
    content: Mapping[str, Any],
    points: Sequence[Mapping[str, Any]],
    attack: str | None,
    threshold: str,
) -> None:
    """Draw a line for each fusion and defence; they begin where nobody lies."""
    for point in content["points"]:
        if point["fusion"] == "none" and point["ap"][threshold] is not None:
            axes.axhline(100 * point["ap"][threshold], color=colors.TEXT, ls="--", lw=1.2, label="ego alone")
    settings = list(dict.fromkeys((point["fusion"], point["defence"]) for point in points))
    shades = cycle((*FUSION_COLORS.values(), *FURTHER_COLORS))
    for number, (setting, shade) in enumerate(zip(settings, shades, strict=False)):
        line = sorted(
            (point["attackers"], 100 * point["ap"][threshold])
            for point in points
            if (point["fusion"], point["defence"]) == setting
            and point["attack"] in (attack, None)
            and point["ap"][threshold] is not None
        )
        axes.plot(
            [attackers for attackers, _ in line],
            [ap for _, ap in line],
            color=shade,
            marker=MARKERS[number % len(MARKERS)],
            lw=1.6,
            ms=4,
            label=f"{setting[0]}, {setting[1].replace('_', ' ')}",
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 100)


def _draw_panel(
    axes: Axes, lines: Mapping[str, Sequence[Mapping[str, Any]]], content: Mapping[str, Any], threshold: str
) -> None:
    models = list(content["models"])
    palette = _line_colors(lines)
    alone = {
        point["model"]: point for points in lines.values() for point in points if point["fusion"] == "none"
    }
    for index, (name, points) in enumerate(lines.items()):
        style = STYLES[models.index(points[0]["model"]) % len(STYLES)]
        aps = [np.nan if point["ap"][threshold] is None else 100 * point["ap"][threshold] for point in points]
        if points[0]["fusion"] == "none":
            # The ego alone does not depend on anything that is varied.
            style = ALONE_STYLES[models.index(points[0]["model"]) % len(ALONE_STYLES)]
            axes.axhline(aps[0], color=colors.TEXT, ls=style, lw=1.2, label=name)
            continue
        xs = [_place(content["curve"], point) for point in points]
        order = np.argsort(xs, kind="stable")
        reference = alone[points[0]["model"]]
        ends = [interval_of(points[position], reference, threshold) for position in order]
        _draw_band(axes, np.array(xs)[order], np.array(ends), palette[name])
        axes.plot(
            np.array(xs)[order],
            np.array(aps)[order],
            color=palette[name],
            marker=MARKERS[index % len(MARKERS)],
            ls=style,
            lw=2,
            ms=6,
            label=name,
        )
    if content["curve"] in ("budget", "rate"):
        compared = [p for points in lines.values() for p in points if p["fusion"] != "none"]
        _use_log_bytes(axes, [_place(content["curve"], point) for point in compared])
    elif content["curve"] == "pose-error":
        axes.set_xticks(range(len(_POSE_ERRORS)), _POSE_ERRORS)
    elif content["curve"] == "agents":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def interval_of(point: Mapping[str, Any], alone: Mapping[str, Any], threshold: str) -> tuple[float, float]:
    """Return where a point is in 95 of 100 cases, in % of AP, NaN where that is not known.

    It is the interval of the difference to the ego alone on the same frames, drawn from the ego's line: where
    it stays above that line, the setting is better.
    """
    known = point["difference_intervals"] or {}
    if threshold not in known:
        return np.nan, np.nan
    low, high = known[threshold]
    return 100 * alone["ap"][threshold] + low, 100 * alone["ap"][threshold] + high


def _draw_band(axes: Axes, places: NDArray[np.float64], ends: NDArray[np.float64], color: str) -> None:
    """Draw intervals (N,2) at N places as a band; a single one as a line."""
    low, high = ends.T
    if len(places) > 1:
        axes.fill_between(places, low, high, color=color, alpha=0.18, lw=0)
    axes.vlines(places, low, high, color=color, alpha=0.7, lw=1.2)


def _use_log_bytes(axes: Axes, places: Sequence[float]) -> None:
    sent = [place for place in places if place > 0]
    if not sent:
        return
    axes.set_xlim(min(sent) / 1.3, max(sent) * 1.3)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(_bytes_label))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _line_colors(lines: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    free, taken = cycle(FURTHER_COLORS), set()
    palette = {}
    for name, points in lines.items():
        fusion = points[0]["fusion"]
        palette[name] = next(free) if fusion in taken else FUSION_COLORS.get(fusion, colors.MUTED)
        taken.add(fusion)
    return palette


def _place(curve: str, point: Mapping[str, Any]) -> float:
    if curve == "budget":
        return float(point["bytes_per_frame"]["mean"])
    if curve == "pose-error":
        return float(_POSE_ERRORS.index(point["pose_error"] or "none"))
    return float(point[AXES[cast("Curve", curve)]]) * (100 if curve == "loss" else 1)


def _draw_grid(content: Mapping[str, Any]) -> Figure:
    """Draw a map for each pose noise and line: the gain over the ego alone, in points."""
    lines = {name: points for name, points in lines_of(content).items() if points[0]["fusion"] != "none"}
    noises, delays, losses = (
        list(dict.fromkeys(point[name] for points in lines.values() for point in points))
        for name in GRID_AXES
    )
    columns = min(len(noises), GRID_COLUMNS)
    rows = -(-len(noises) // columns) * len(lines)
    size = (
        max((CELL_INCH[0] * len(losses) + 0.75) * columns + 0.2, 8.0),
        (CELL_INCH[1] * len(delays) + 0.95) * rows + 0.75,
    )
    figure = Figure(size, facecolor=colors.BACKGROUND)
    panels = iter(figure.subplots(rows, columns, squeeze=False).ravel())
    largest = max(
        (abs(point["difference"]) for points in lines.values() for point in points if point["difference"]),
        default=1.0,
    )
    for name, points in lines.items():
        for noise in noises:
            axes = next(panels)
            of = {(p["delay_ms"], p["loss"]): p["difference"] for p in points if p["pose_noise"] == noise}
            _draw_map(
                axes, [[of[delay, loss] for loss in losses] for delay in delays], delays, losses, largest
            )
            title = f"pose noise {noise:g} m and °"
            axes.set_title(f"{name}, {title}" if len(lines) > 1 else title, color=colors.TEXT, fontsize=10)
        for _ in range(-len(noises) % columns):
            next(panels).set_axis_off()
    _draw_title(figure, content, size[1])
    figure.text(
        0.5,
        0.08 / size[1],
        f"AP@0.5 above the ego alone, in points; outlined: more than {TOLERATED_LOSS:g} below it",
        ha="center",
        color=colors.MUTED,
        fontsize=9,
    )
    figure.tight_layout(rect=(0, 0.24 / size[1], 1, 1 - 0.34 / size[1]))
    return figure


def _draw_map(
    axes: Axes,
    values: Sequence[Sequence[float | None]],
    delays: Sequence[float],
    losses: Sequence[float],
    largest: float,
) -> None:
    style_panel(axes)
    axes.grid(False)
    shown = np.array([[np.nan if value is None else value for value in row] for row in values])
    axes.imshow(shown, cmap=DIFFERENCE, vmin=-largest, vmax=largest, aspect="auto")
    axes.set_xticks(range(len(losses)), [f"{100 * loss:g}" for loss in losses])
    axes.set_yticks(range(len(delays)), [f"{delay:g}" for delay in delays])
    axes.set_xlabel(X_LABELS["loss"])
    axes.set_ylabel(X_LABELS["delay"])
    for (y, x), value in np.ndenumerate(shown):
        axes.text(
            x, y, f"{round(value, 1) + 0.0:+.1f}", ha="center", va="center", color=colors.TEXT, fontsize=8
        )
        if value < -TOLERATED_LOSS:
            axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, fill=False, ec=colors.TEXT, lw=1.6))


def style_panel(axes: Axes) -> None:
    """Give a panel the colours of all pictures."""
    axes.set_facecolor(colors.BACKGROUND)
    axes.grid(color=colors.FRAME, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=colors.MUTED, which="both")
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(colors.TEXT)
    for spine in axes.spines.values():
        spine.set_color(colors.FRAME)


def _draw_title(figure: Figure, content: Mapping[str, Any], height: float) -> None:
    data = content["dataset"]
    parts = [
        data["kind"],
        ", ".join(content["models"]),
        f"{Path(data['path']).name} ({data['split']}), {counted(content['frames'], 'frame')}",
        f"protocol {content['protocol']}",
    ]
    budgets = {point["budget_bytes"] for point in content["points"] if point["budget_bytes"]}
    if content["curve"] != "budget" and len(budgets) == 1:
        parts.append(f"budget {budgets.pop()} bytes")
    title = "  ·  ".join(parts)
    points = min(10.0, 10.0 * LETTERS_PER_INCH * figure.get_figwidth() / len(title))
    figure.text(0.012, 1 - 0.24 / height, title, color=colors.TEXT, fontsize=points)


def _bytes_label(value: float, _: int) -> str:
    return f"{value:g}" if value < 1000 else f"{value / 1000:g}k" if value < 1e6 else f"{value / 1e6:g}M"
