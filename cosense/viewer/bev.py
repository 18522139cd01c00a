"""Pictures of one frame from above, drawn without a display.

Everything is given in the ego frame, with x (forward) to the right and y (left) up. The ground is bright
where the ego sees it, tinted where only others see it, and hatched where nobody does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Wedge
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import KDTree

from cosense.data.dataset import CooperativeFrame, Provenance
from cosense.evaluation.metrics.matching import NOT_MATCHED
from cosense.evaluation.metrics.participants import as_places
from cosense.evaluation.metrics.scoring import (
    NOT_COUNTED,
    PARTICIPANT,
    Verdict,
    most_points_of_one_agent,
    verdict_of,
)
from cosense.evaluation.protocol import Protocol
from cosense.geometry.boxes import Boxes, bev_corners
from cosense.geometry.transforms import transform_points, yaw_of
from cosense.sensing.detections import Detections, Source
from cosense.sensing.grid import BevGrid
from cosense.sensing.levelling import LevelFrame, levelled
from cosense.viewer import colors
from cosense.viewer.annotations import (
    MIN_SCORE,
    Extent,
    extent_around,
    field_of_view,
    fitting_extent,
    seen_by,
)

Style = Literal["-", "--", ":"]
OUTCOME_STYLES: Mapping[str, tuple[Style, str]] = {"missed": ("--", ""), "false": ("-", "xx")}


DPI = 150
_LEGEND_POINTS, _LEGEND_SHARE = 10.0, 0.98  # usual font size, and largest share of the width
# What fits into a row of the legend, what boxes and areas take of it, and the mark of an entry.
_ROW_CHARACTERS, _USUAL_CHARACTERS, _ENTRY_CHARACTERS = 180, 126, 5
_COVER_ALL_COLORS = 1  # Pillow's quantizer MAXCOVERAGE, whose name lies elsewhere in older versions
WIDTH_INCH, LEFT_INCH, RIGHT_INCH = 12.0, 0.42, 0.24
HEADER_INCH, CAPTION_INCH, TICKS_INCH, LEGEND_INCH, LEGEND_ROW_INCH = 0.46, 0.36, 0.26, 0.42, 0.22

SEEN_CELL_M = 0.25
HATCH_PERIOD_CELLS = 8
OBSTACLE_HEIGHT_M = 0.3
DENSE_CLOUD = 20_000  # with more points, the ground is drawn fainter, so that boxes stand out
FIELD_RADIUS_M = 9.0
TICK_M = 0.8  # length of the heading's tick beyond the front, shorter for small objects
TITLE_POINTS, TITLE_LENGTH = 14.0, 90  # usual font size, and how many letters have room in it
NAME_LENGTH = 28  # longest name of an agent in a picture
LABEL_M = (11.0, 4.0)  # half width and half height that an agent's name covers
OUTLINE = withStroke(linewidth=2.5, foreground=colors.BACKGROUND)


def draw_bev(
    frame: CooperativeFrame,
    detections: Detections,
    path: Path,
    *,
    title: str = "",
) -> None:
    """Draw a frame: clouds coloured by agent, ground truth, detections coloured by source, and what is seen.

    Args:
        frame: any number of agents, possibly without points or ground truth.
        detections: boxes in the ego frame; those below `MIN_SCORE` are left out.
        path: path of the PNG file; its folders are created.
        title: text at the top left, after what made the frame.
    """
    extent_m = fitting_extent(frame)
    figure, (axes,) = layout([""], extent_m, _with_kind(frame, title), legend_rows(frame))
    draw_surroundings(axes, frame, list(frame.agents), extent_m)
    draw_boxes(axes, frame.ground_truth.boxes, colors.GROUND_TRUTH, width=0.9)
    handles = [_box_handle(colors.GROUND_TRUTH, "ground truth")] if len(frame.ground_truth) else []
    shown = detections[detections.scores >= MIN_SCORE]
    for source in Source:
        chosen = shown[shown.sources == source]
        draw_boxes(axes, chosen.boxes, colors.SOURCES[source], width=1.7, opacity=0.3 + 0.7 * chosen.scores)
        if len(chosen):
            handles.append(_box_handle(colors.SOURCES[source], colors.SOURCE_NAMES[source]))
    draw_agents(axes, frame, list(frame.agents), extent_m)
    draw_legend(figure, frame, handles)
    save(figure, path)


def draw_comparison(
    frame: CooperativeFrame,
    panels: Mapping[str, Detections],
    path: Path,
    protocol: Protocol,
    *,
    title: str = "",
    notes: Sequence[str] = (),
) -> None:
    """Draw one panel for each result, below each other: objects found, objects missed, false alarms.

    Args:
        frame: any number of agents, possibly without points or ground truth.
        panels: detections in the ego frame by caption; the first is the ego alone, with only its own cloud.
            Those below `MIN_SCORE` are left out.
        path: path of the PNG file; its folders are created.
        protocol: what counts as found, missed or false alarm; everything else is drawn grey.
        title: text at the top left, after what made the frame.
        notes: one text for each panel, e.g. AP and bytes.
    """
    num_points = most_points_of_one_agent(frame)
    places = as_places(frame.participants.values())
    results = [detections[detections.scores >= MIN_SCORE] for detections in panels.values()]
    verdicts = [
        verdict_of(shown, frame.ground_truth, num_points, protocol, places, frame.labelled)
        for shown in results
    ]
    # Whatever is in the counts is in the picture.
    counted = [
        shown.boxes[verdict.found >= NOT_MATCHED, :2]
        for shown, verdict in zip(results, verdicts, strict=True)
    ]
    extent_m = extent_around(frame, np.vstack([frame.ground_truth.boxes[:, :2], *counted]))
    figure, all_axes = layout(list(panels), extent_m, _with_kind(frame, title), legend_rows(frame))
    for index, (axes, shown, verdict) in enumerate(zip(all_axes, results, verdicts, strict=True)):
        agents = list(frame.agents) if index else [frame.ego_id]
        draw_surroundings(axes, frame, agents, extent_m)
        summary = _draw_outcome(axes, frame, shown, verdict, verdicts[0])
        draw_agents(axes, frame, agents, extent_m)
        text = "   ·   ".join(filter(None, [summary, *notes[index : index + 1]]))
        axes.set_title(_plain(text), loc="right", color=colors.TEXT, fontsize=11, pad=6)
    names = [name for name in colors.OUTCOMES if name != "added" or len(panels) > 1]
    handles = [
        _box_handle(colors.OUTCOMES[name], colors.OUTCOME_NAMES[name], *OUTCOME_STYLES.get(name, ()))
        for name in names
    ]
    if any((verdict.found == PARTICIPANT).any() for verdict in verdicts):
        handles.append(_box_handle(colors.TEXT, "participant", ":"))
    draw_legend(figure, frame, [*handles, _box_handle(colors.MUTED, "not counted", ":")])
    save(figure, path)


def _with_kind(frame: CooperativeFrame, title: str) -> str:
    """Return a title that says first what made the frame, where that is known."""
    kind = str(frame.provenance) if frame.provenance != Provenance() else ""
    return ": ".join(filter(None, [kind, title]))


def layout(
    captions: list[str], extent_m: Extent, title: str = "", legend_rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """Return a figure of stacked axes of equal scale, each with its caption, and room for the legend."""
    width = WIDTH_INCH - LEFT_INCH - RIGHT_INCH
    axes_height = width * (extent_m[3] - extent_m[1]) / (extent_m[2] - extent_m[0])
    header = HEADER_INCH if title else RIGHT_INCH
    panel = axes_height + TICKS_INCH + (CAPTION_INCH if any(captions) else 0)
    height = header + panel * len(captions) + LEGEND_INCH + LEGEND_ROW_INCH * (legend_rows - 1)
    figure = Figure(figsize=(WIDTH_INCH, height), dpi=DPI, facecolor=colors.BACKGROUND)
    left, y = LEFT_INCH / WIDTH_INCH, 1 - 0.54 * HEADER_INCH / height
    points = min(TITLE_POINTS, TITLE_POINTS * TITLE_LENGTH / max(len(title), 1))
    figure.text(left, y, _plain(title), color=colors.TEXT, fontsize=points, fontweight="bold", va="center")
    all_axes = []
    for index, caption in enumerate(captions):
        bottom = height - header - (index + 1) * panel + TICKS_INCH
        place = (left, bottom / height, width / WIDTH_INCH, axes_height / height)
        axes = figure.add_axes(place, facecolor=colors.SEEN_BY_NOBODY)
        axes.set_title(_plain(caption), loc="left", color=colors.TEXT, fontsize=13, fontweight="bold", pad=6)
        _style_axes(axes, extent_m)
        all_axes.append(axes)
    return figure, all_axes


def _plain(text: str) -> str:
    """Return the text without formulas: matplotlib takes what is between dollar signs for one."""
    return text.replace("$", r"\$")


def _style_axes(axes: Axes, extent_m: Extent) -> None:
    axes.set_xlim(extent_m[0], extent_m[2])
    axes.set_ylim(extent_m[1], extent_m[3])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(20.0))
    axes.xaxis.set_major_formatter("{x:g} m")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.tick_params(colors=colors.MUTED, labelsize=9, length=0, pad=4)
    axes.grid(color="#FFFFFF", alpha=0.06, linewidth=0.6, zorder=0.5)
    for spine in axes.spines.values():
        spine.set_color(colors.FRAME)


def draw_surroundings(axes: Axes, frame: CooperativeFrame, agents: list[str], extent_m: Extent) -> None:
    """Draw the area that these agents see, and their clouds."""
    level = [levelled(frame.agents[agent_id]) for agent_id in agents]
    grid = BevGrid((*extent_m[:2], 0.0, *extent_m[2:], 0.0), SEEN_CELL_M)
    x_min, y_min, x_max, y_max = extent_m
    axes.imshow(
        _shade(seen_by(frame, level, grid)),
        origin="lower",
        extent=(x_min, x_max, y_min, y_max),
        interpolation="bilinear",
        aspect="auto",
        zorder=0,
    )
    palette = colors.agent_colors(frame.agents)
    for agent in reversed(level):
        _draw_cloud(axes, frame, agent, palette[agent.agent_id], extent_m)
    _draw_scale_bar(axes, extent_m)


def _shade(seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return an image (H,W,4) of the areas seen (A,H,W); the ego is the first agent."""
    rows, columns = np.indices(seen.shape[1:])
    stripe = (rows + columns) % HATCH_PERIOD_CELLS < 2
    image = np.where(stripe[..., None], colors.rgba(colors.HATCH), colors.rgba(colors.SEEN_BY_NOBODY))
    image[seen.any(axis=0)] = colors.rgba(colors.SEEN_BY_OTHERS)
    image[seen[0]] = colors.rgba(colors.SEEN_BY_EGO)
    return image


def _draw_cloud(axes: Axes, frame: CooperativeFrame, agent: LevelFrame, color: str, extent_m: Extent) -> None:
    """Draw one cloud; objects on the ground are brighter than the ground."""
    T_ego_level = frame.T_ego_agent(agent.agent_id) @ agent.T_sensor_level
    xy = transform_points(T_ego_level, agent.points[:, :3])[:, :2]
    inside = np.all((xy >= extent_m[:2]) & (xy < extent_m[2:]), axis=1)
    xy, height = xy[inside], agent.ground.heights(agent.points)[inside]
    on_ground = height <= OBSTACLE_HEIGHT_M
    faint = 0.3 * min(1.0, (DENSE_CLOUD / max(on_ground.sum(), 1)) ** 0.5)
    for chosen, size, alpha in ((on_ground, 0.25, faint), (~on_ground, 0.6, 0.75)):
        x, y = xy[chosen].T
        axes.scatter(x, y, s=size, color=color, alpha=alpha, linewidths=0, zorder=1)


def draw_boxes(
    axes: Axes,
    boxes: Boxes,
    color: str,
    *,
    width: float,
    opacity: NDArray | float = 1.0,
    style: Style = "-",
    crossed_out: bool = False,
) -> None:
    """Draw footprints, each with a tick from its centre to beyond its front, or crossed out."""
    corners = bev_corners(boxes)
    edges = np.tile(colors.rgba(color), (len(boxes), 1))
    edges[:, 3] = opacity
    faces = edges * [1, 1, 1, 0.18]
    heading = np.column_stack([np.cos(boxes[:, 6]), np.sin(boxes[:, 6])])
    reach = boxes[:, 3:4] / 2 + np.minimum(TICK_M, 0.4 * boxes[:, 3:4])
    ticks = np.stack([boxes[:, :2], boxes[:, :2] + heading * reach], axis=1)
    lines = [*corners[:, [0, 2]], *corners[:, [1, 3]]] if crossed_out else list(ticks)
    outlines = PolyCollection(list(corners), facecolors=faces, edgecolors=edges, linestyles=style)
    for collection in (outlines, LineCollection(lines, colors=color if crossed_out else edges)):
        collection.set(linewidths=width, zorder=3)
        axes.add_collection(collection)


def _draw_outcome(
    axes: Axes, frame: CooperativeFrame, detections: Detections, verdict: Verdict, alone: Verdict
) -> str:
    """Draw boxes that are right, missed or false alarms, and return the counts in words.

    What the ego alone has not found has a colour of its own.
    """
    truth = frame.ground_truth.boxes
    added_objects = np.flatnonzero(verdict.is_found & ~alone.is_found)
    is_added = np.isin(verdict.found, added_objects)
    is_alarm = verdict.found == NOT_MATCHED
    others = detections.boxes[verdict.found == NOT_COUNTED]
    participants = detections.boxes[verdict.found == PARTICIPANT]
    for boxes in (truth[~verdict.is_counted], others):
        draw_boxes(axes, boxes, colors.MUTED, width=0.8, style=":")
    draw_boxes(axes, participants, colors.TEXT, width=1.2, style=":")
    draw_boxes(axes, truth[verdict.is_found], colors.GROUND_TRUTH, width=0.6, opacity=0.5)
    draw_boxes(axes, truth[verdict.is_missed], colors.OUTCOMES["missed"], width=1.7, style="--")
    draw_boxes(axes, detections.boxes[is_alarm], colors.OUTCOMES["false"], width=1.7, crossed_out=True)
    draw_boxes(axes, detections.boxes[(verdict.found >= 0) & ~is_added], colors.OUTCOMES["found"], width=1.7)
    draw_boxes(axes, detections.boxes[is_added], colors.OUTCOMES["added"], width=2.2)
    found = f"{verdict.is_found.sum()} of {verdict.is_counted.sum()} found"
    if len(added_objects):
        found += f", {len(added_objects)} of them only together"
    return f"{found}, {is_alarm.sum()} false alarm{'' if is_alarm.sum() == 1 else 's'}"


def draw_agents(axes: Axes, frame: CooperativeFrame, agents: list[str], extent_m: Extent) -> None:
    """Mark position, heading and field of view of each agent."""
    palette = colors.agent_colors(frame.agents)
    for agent_id in agents:
        agent, color = frame.agents[agent_id], palette[agent_id]
        T = frame.T_ego_agent(agent_id)
        (x, y), heading = T[:2, 3], np.rad2deg(yaw_of(T))
        if not (extent_m[0] < x < extent_m[2] and extent_m[1] < y < extent_m[3]):
            continue
        first, width = np.rad2deg(field_of_view(agent.points))
        if width < 360:
            start = heading + first
            axes.add_patch(
                Wedge((x, y), FIELD_RADIUS_M, start, start + width, color=color, alpha=0.35, lw=0, zorder=2)
            )
        marker = (3, 0, heading - 90) if agent.kind == "vehicle" else (4, 0, heading + 45)
        axes.plot(x, y, marker=marker, color=color, markersize=13, mec=colors.BACKGROUND, zorder=5)
        side = _freer_side(frame.ground_truth.boxes, x, y)
        name = axes.annotate(
            _name(frame, agent_id), (x, y), xytext=(0, 15 * side), textcoords="offset points"
        )
        name.set(ha="center", va="center", color=color, fontsize=10, fontweight="bold", zorder=6)
        name.set_path_effects([OUTLINE])


def _freer_side(boxes: Boxes, x: float, y: float) -> int:
    """Return 1 if fewer boxes are in the way above a place, -1 if fewer are below it."""
    near = np.abs(boxes[:, 0] - x) < LABEL_M[0]
    above, below = (near & (np.abs(boxes[:, 1] - y - side * LABEL_M[1]) < LABEL_M[1]) for side in (1, -1))
    return 1 if above.sum() <= below.sum() else -1


def _name(frame: CooperativeFrame, agent_id: str) -> str:
    """Return the name of an agent in a picture; of a long one, beginning and end."""
    name = agent_id
    if len(name) > NAME_LENGTH:
        name = f"{name[: NAME_LENGTH // 2]}…{name[1 - NAME_LENGTH // 2 :]}"
    return _plain(f"{name} (ego)" if agent_id == frame.ego_id != "ego" else name)


def _draw_scale_bar(axes: Axes, extent_m: Extent) -> None:
    """Draw a bar of ten metres into the lower right corner."""
    right, bottom = extent_m[2] - 3.0, extent_m[1] + 2.5
    axes.plot([right - 10, right], [bottom, bottom], color=colors.TEXT, lw=2.2, zorder=6)
    length = axes.text(right - 5, bottom + 1, "10 m", color=colors.TEXT, fontsize=9, ha="center")
    length.set_path_effects([OUTLINE])
    length.set_zorder(6)


def _box_handle(color: str, label: str, style: Style = "-", hatch: str = "") -> Patch:
    return Patch(ec=color, fc=colors.rgba(color, 0.18), lw=1.6, ls=style, hatch=hatch, label=label)


def legend_rows(frame: CooperativeFrame) -> int:
    """Return how many rows the names of the agents and the usual boxes and areas take."""
    agents = sum(len(_name(frame, agent_id)) + _ENTRY_CHARACTERS for agent_id in frame.agents)
    return -(-(agents + _USUAL_CHARACTERS) // _ROW_CHARACTERS)


def draw_legend(figure: Figure, frame: CooperativeFrame, boxes: Sequence[Artist]) -> None:
    """Explain clouds, boxes and ground at the bottom."""
    clouds = [
        Line2D([], [], color=color, marker="o", markersize=5, linestyle="", label=_name(frame, agent_id))
        for agent_id, color in colors.agent_colors(frame.agents).items()
    ]
    ground = [Patch(facecolor=colors.SEEN_BY_EGO, edgecolor=colors.FRAME, label="seen by the ego")]
    if len(frame.agents) > 1:
        ground.append(Patch(facecolor=colors.SEEN_BY_OTHERS, edgecolor=colors.FRAME, label="only by others"))
    ground.append(
        Patch(facecolor=colors.SEEN_BY_NOBODY, edgecolor=colors.HATCH, hatch="/////", label="by nobody")
    )
    handles = [*clouds, *boxes, *ground]

    def legend(points: float) -> float:
        """Draw the legend in a font size, and return its share of the width of the picture."""
        drawn = figure.legend(
            handles=handles,
            loc="lower center",
            ncol=-(-len(handles) // legend_rows(frame)),
            frameon=False,
            labelcolor=colors.TEXT,
            fontsize=points,
            handlelength=1.6,
            columnspacing=1.6,
            handletextpad=0.5,
            borderaxespad=0.4,
        )
        return drawn.get_window_extent(FigureCanvasAgg(figure).get_renderer()).width / figure.bbox.width

    share = legend(_LEGEND_POINTS)
    if share > _LEGEND_SHARE:
        figure.legends[-1].remove()
        legend(_LEGEND_POINTS * _LEGEND_SHARE / share)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of 256 colours, which takes a tenth of the bytes of true colour.

    Every colour of the palette that is in the picture keeps its exact value. The others are those that cover
    the rest of the picture best: shades of clouds and the edges of lines.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    picture = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3])
    path.parent.mkdir(parents=True, exist_ok=True)
    reduced(picture).save(path, optimize=True, dpi=(DPI, DPI))


def reduced(picture: NDArray[np.uint8]) -> Image.Image:
    """Return a picture (H,W,3) with a palette of 256 colours, those of `colors.ALL` among them."""
    fixed = np.array([np.round(np.multiply(colors.rgba(color)[:3], 255)) for color in colors.ALL], np.uint8)
    free = Image.fromarray(picture).quantize(256 - len(fixed), _COVER_ALL_COLORS, kmeans=1)
    palette = np.vstack([fixed, np.array(free.getpalette(), np.uint8).reshape(-1, 3)])[:256]
    codes = picture.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    is_used = np.zeros(1 << 24, bool)
    is_used[codes] = True
    used = np.flatnonzero(is_used)
    nearest = np.zeros(1 << 24, np.uint8)
    nearest[used] = KDTree(palette).query(np.stack([used >> 16, used >> 8 & 255, used & 255], axis=1))[1]
    indexed = Image.fromarray(nearest[codes])
    indexed.putpalette(palette.tobytes())
    return indexed
