"""What there is to see of a frame in three dimensions: everything in the frame of the ego's sensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.boxes import Boxes, box_corners
from cosense.geometry.transforms import Matrix, invert, transform_points
from cosense.messages.demand import decode_demand
from cosense.messages.envelope import Message, PayloadKind, decode
from cosense.messages.features import decode_features
from cosense.messages.scene_graph import SceneGraph, decode_scene_graph
from cosense.methods.model import Model
from cosense.sensing.detections import Source
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.grid import BevGrid
from cosense.viewer import colors
from cosense.viewer.pack import ReportFrame

# Pairs of corners that an edge of a box joins, in the order of `box_corners`, and its nose.
_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
# Camera images hang at this distance before their camera.
IMAGE_DISTANCE_M = 2.5
_CAMERA_CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))


@dataclass(frozen=True)
class Cloud:
    """Points (N,3) of one agent."""

    name: str
    color: str
    points: NDArray[np.float64]


@dataclass(frozen=True)
class Wires:
    """Straight lines (K,2,3): boxes, nodes of graphs."""

    name: str
    color: str
    lines: NDArray[np.float64]


@dataclass(frozen=True)
class Tiles:
    """Cells on the ground as rectangles (K,4,3)."""

    name: str
    color: str
    corners: NDArray[np.float64]


@dataclass(frozen=True)
class Picture:
    """A camera image and where it hangs.

    Attributes:
        name: of agent and camera.
        image: (H,W,3) uint8 RGB.
        corners: (4,3) its corners: top left, top right, bottom right, bottom left.
    """

    name: str
    image: NDArray[np.uint8]
    corners: NDArray[np.float64]


@dataclass(frozen=True)
class Contents:
    """All that is shown of one frame."""

    clouds: list[Cloud]
    wires: list[Wires]
    tiles: list[Tiles]
    pictures: list[Picture]


def contents_of(page: ReportFrame, model: Model | None = None) -> Contents:
    """Return what there is to see.

    Args:
        page: the frame, with boxes and messages where agents have worked together.
        model: whose cells are in the messages; None where nobody has looked for boxes.
    """
    frame = page.frame
    palette = colors.agent_colors(frame.agents)
    clouds, pictures = [], []
    for name, agent in frame.agents.items():
        T_ego_agent = frame.T_ego_agent(name)
        points = transform_points(T_ego_agent, agent.points[:, :3].astype(np.float64))
        clouds.append(Cloud(name, palette[name], points))
        pictures += [_picture(agent, camera, T_ego_agent) for camera in agent.cameras]
    wires = [Wires("ground truth", colors.GROUND_TRUTH, box_lines(frame.ground_truth.boxes))]
    if page.result is not None:
        found = page.result.detections
        for source, color in colors.SOURCES.items():
            lines = box_lines(found.boxes[found.sources == source])
            wires.append(Wires(colors.SOURCE_NAMES[Source(source)], color, lines))
    tiles = []
    T_ego_world = invert(frame.ego.T_world_agent)
    for message in _readable(page):
        color = palette.get(message.sender, colors.MUTED)
        T_ego_sender = T_ego_world @ message.T_world_agent
        if message.kind == PayloadKind.SCENE_GRAPH:
            graph = decode_scene_graph(message)
            wires.append(Wires(f"graph of {message.sender}", color, node_lines(graph, T_ego_sender)))
        elif message.kind == PayloadKind.FEATURES and model is not None and model.method is not None:
            corners = _sent_cells(message, model, T_ego_sender)
            tiles.append(Tiles(f"sent by {message.sender}", color, corners))
        elif message.kind == PayloadKind.DEMAND:
            demand = decode_demand(message.payload, message.T_world_agent, message.stamp_ns)
            ground_m = float(np.percentile(clouds[0].points[:, 2], 5)) if len(clouds[0].points) else 0.0
            cells = np.flatnonzero(demand.wanted)
            corners = cell_corners(cells, demand.grid, ground_m, T_ego_sender)
            tiles.append(Tiles(f"asked for by {message.sender}", colors.MUTED, corners))
    return Contents(
        clouds,
        [each for each in wires if len(each.lines)],
        [each for each in tiles if len(each.corners)],
        pictures,
    )


def box_lines(boxes: Boxes) -> NDArray[np.float64]:
    """Return the edges of boxes (M,7), and a line from the middle to the front of each, as (13 M,2,3)."""
    corners = box_corners(boxes)
    edges = corners[:, np.array(_EDGES)]
    front = corners[:, [0, 1, 4, 5]].mean(axis=1)
    noses = np.stack([corners.mean(axis=1), front], axis=1)[:, None]
    return np.concatenate([edges, noses], axis=1).reshape(-1, 2, 3)


def node_lines(graph: SceneGraph, T_ego_agent: Matrix) -> NDArray[np.float64]:
    """Return the nodes of a graph: an upright line each, and its length along the heading if it has one."""
    places, sizes = graph.positions, graph.sizes
    top = places + np.array([0.0, 0.0, 1.0]) * np.maximum(sizes[:, 2:], 0.5)
    headed = np.isfinite(graph.yaws)
    along = np.stack([np.cos(graph.yaws), np.sin(graph.yaws), np.zeros(len(graph))], axis=1)[headed]
    half = 0.5 * sizes[headed, :1] * along
    walls = np.stack([places[headed] - half, places[headed] + half], axis=1)
    lines = np.concatenate([np.stack([places, top], axis=1), walls])
    return transform_points(T_ego_agent, lines.reshape(-1, 3)).reshape(-1, 2, 3)


def cell_corners(
    cells: NDArray[np.int64], grid: BevGrid, ground_m: float, T_ego_sender: Matrix
) -> NDArray[np.float64]:
    """Return the corners (K,4,3) of cells of a grid that lies at a height in the sender's frame.

    Args:
        cells: (K,) flat indices, row by row.
        grid: of the sender.
        ground_m: z of the ground in its frame.
        T_ego_sender: (4,4).
    """
    rows, columns = np.divmod(cells, grid.shape[1])
    low = np.stack([columns, rows], axis=1) * grid.cell_m + np.array(grid.range_m[:2])
    steps = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * grid.cell_m
    flat = low[:, None] + steps
    corners = np.concatenate([flat, np.full((*flat.shape[:2], 1), ground_m)], axis=2)
    return transform_points(T_ego_sender, corners.reshape(-1, 3)).reshape(-1, 4, 3)


def _readable(page: ReportFrame) -> Iterator[Message]:
    for data in page.messages:
        yield decode(data)


def _sent_cells(message: Message, model: Model, T_ego_sender: Matrix) -> NDArray[np.float64]:
    """Return the cells of the finest layer that a message holds."""
    assert model.method is not None
    grid = model.detector.grid  # type: ignore[attr-defined]
    content = decode_features(message.payload)
    (first, *_), spec = content.layers(model.method.specs, grid.shape), model.method.specs[0]
    return cell_corners(first.cells, grid.coarser(spec.stride), content.ground_m, T_ego_sender)


def _picture(agent: AgentFrame, camera: Camera, T_ego_agent: Matrix) -> Picture:
    height, width = camera.image.shape[:2]
    pixels = np.array([[u * width, v * height, 1.0] for u, v in _CAMERA_CORNERS])
    rays = pixels @ np.linalg.inv(camera.K).T
    T_ego_camera = T_ego_agent @ invert(camera.T_camera_agent)
    corners = transform_points(T_ego_camera, IMAGE_DISTANCE_M * rays)
    return Picture(f"{agent.agent_id}/{camera.name}", camera.image, corners)
