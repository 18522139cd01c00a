"""A picture of two clouds in one frame by a registration: it shows at once whether the pose is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from cosense.data.dataset import CooperativeFrame
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import Matrix
from cosense.messages.scene_graph import SceneGraph
from cosense.viewer import bev, colors
from cosense.viewer.annotations import extent_around

MATCH_COLOR = colors.AGREEMENT


def draw_registration(
    frame: CooperativeFrame,
    graphs: tuple[SceneGraph, SceneGraph],
    matches: NDArray[np.int64],
    path: Path,
    *,
    title: str = "",
) -> None:
    """Draw two agents with the nodes of both graphs and their matches.

    Args:
        frame: frame of exactly two agents, the ego first, with the pose between them that is shown.
        graphs: graphs of the ego and of the other agent, each in its own frame.
        matches: (K,2) indices of nodes in both graphs.
        path: PNG file; folders are made.
        title: text at the top left.
    """
    places = [
        boxes_in_ego(graph, frame.T_ego_agent(agent_id))
        for graph, agent_id in zip(graphs, frame.agents, strict=True)
    ]
    matched = np.stack([places[0][matches[:, 0], :2], places[1][matches[:, 1], :2]], axis=1)
    extent_m = extent_around(frame, matched.reshape(-1, 2))
    figure, (axes,) = bev.layout([""], extent_m, title, bev.legend_rows(frame))
    bev.draw_surroundings(axes, frame, list(frame.agents), extent_m)
    palette = colors.agent_colors(frame.agents)
    # The dots of the ego are larger: they are visible below those of the other agent.
    for boxes, color, size in zip(places, palette.values(), (70, 18), strict=True):
        _draw_nodes(axes, boxes, color, size)
    lines = LineCollection(list(matched), colors=MATCH_COLOR, linewidths=1.5, zorder=4)
    axes.add_collection(lines)
    x, y = matched.mean(axis=1).T
    axes.scatter(x, y, s=220, facecolors="none", edgecolors=MATCH_COLOR, zorder=4)
    bev.draw_agents(axes, frame, list(frame.agents), extent_m)
    ring = Line2D([], [], color=MATCH_COLOR, marker="o", mfc="none", markersize=9, ls="", label="matched")
    bev.draw_legend(figure, frame, [ring])
    bev.save(figure, path)


def boxes_in_ego(graph: SceneGraph, T_ego_agent: Matrix) -> NDArray[np.float64]:
    """Return the nodes of a graph as boxes (N,7) in the ego frame; NaN yaws stay NaN."""
    boxes = np.column_stack([graph.positions, graph.sizes, graph.yaws])
    return transform_boxes(T_ego_agent, boxes)


def _draw_nodes(axes: Axes, boxes: NDArray[np.float64], color: str, size: float) -> None:
    """Draw nodes with a heading as footprints, the others as dots."""
    headed = np.isfinite(boxes[:, 6])
    bev.draw_boxes(axes, boxes[headed], color, width=1.2)
    x, y = boxes[~headed, :2].T
    axes.scatter(x, y, s=size, color=color, edgecolors=colors.BACKGROUND, zorder=3)
