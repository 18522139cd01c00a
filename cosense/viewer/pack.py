"""Packs frames into compact JSON for the report; template/decode.js unpacks them.

Points become centimetres in int16 (base64); of each cell of 10 cm only the highest point is kept, as it hides
the others from above. The map of what is seen is run-length coded. Everything is given in the ego frame.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.cooperation.outcome import FusionResult
from cosense.cooperation.sender import SelectionMaps
from cosense.data.dataset import CooperativeFrame
from cosense.evaluation.metrics.participants import as_places
from cosense.evaluation.metrics.scoring import Verdict, most_points_of_one_agent, verdict_of
from cosense.evaluation.protocol import Protocol
from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import transform_points, yaw_of
from cosense.sensing.detections import Detections, Source
from cosense.sensing.grid import BevGrid
from cosense.sensing.levelling import LevelFrame, levelled
from cosense.sensing.objects import ObjectClass
from cosense.viewer.annotations import MARGIN_M, MIN_SCORE, Extent, field_of_view, seen_by
from cosense.viewer.image_boxes import jpeg_of, pictures_of
from cosense.viewer.sharing_maps import sharing_pictures

SEEN_CELL_M = 0.5
REACH_M = 320.0  # farther places do not fit into int16 centimetres
POINT_CELL_M = 0.1
HEIGHT_STEP_M = 0.1
BYTES_PER_POINT = 5 * 4 / 3
MAX_RUN = 0x3FFF
IMAGE_SIZE = (480, 360)
SEEN_BY_OTHERS, SEEN_BY_EGO = 1, 2


@dataclass(frozen=True)
class ReportFrame:
    """One page of the report.

    Attributes:
        frame: the measurements, with or without ground truth.
        result: what the ego knows, boxes in its frame; None where nobody has looked for boxes.
        alone: what the ego finds without the others, None where that is not known.
        messages: what agents have sent in this frame, requests of the ego last; empty where it is not kept.
        maps: by sender why its features are what they are; empty where that is not known.
        mode: how well the ego was helped, and why not better; empty where that is not known.
        elapsed_ms: what it took, None where that is not known.
    """

    frame: CooperativeFrame
    result: FusionResult | None = None
    alone: Detections | None = None
    messages: Sequence[bytes] = ()
    maps: Mapping[str, SelectionMaps] = field(default_factory=dict)
    mode: str = ""
    elapsed_ms: float | None = None

    @cached_property
    def num_points(self) -> NDArray[np.int64]:
        """(K,) LiDAR points on each object, counted by the agent that has most."""
        return most_points_of_one_agent(self.frame)

    def verdict(self, detections: Detections, protocol: Protocol) -> Verdict:
        """Return what a protocol says of detections in this frame."""
        frame = self.frame
        places = as_places(frame.participants.values())
        return verdict_of(detections, frame.ground_truth, self.num_points, protocol, places, frame.labelled)


def pack_grid(extent_m: Extent) -> BevGrid:
    """Return the grid of the map of what is seen: an extent in whole metres, with a margin."""
    x_min, y_min = (max(value - MARGIN_M, -REACH_M) for value in extent_m[:2])
    x_max, y_max = (min(value + MARGIN_M, REACH_M) for value in extent_m[2:])
    return BevGrid((x_min, y_min, 0.0, x_max, y_max, 0.0), SEEN_CELL_M)


def pack_frame(page: ReportFrame, grid: BevGrid, max_points: int, protocol: Protocol) -> dict[str, Any]:
    """Return one frame, ready for JSON.

    Args:
        page: page of the report.
        grid: cells of the map of what is seen; points outside are left out.
        max_points: largest number of points of all agents together.
        protocol: what counts as found, missed or false alarm.
    """
    frame, result = page.frame, page.result or FusionResult(Detections.empty(), [])
    level = [levelled(agent) for agent in frame.agents.values()]
    truth = frame.ground_truth
    is_counted = page.verdict(Detections.empty(), protocol).is_counted
    return {
        "id": frame.frame_id,
        "sequence": frame.sequence,
        "agents": [_pack_agent(frame, agent, grid, max_points // len(frame.agents)) for agent in level],
        "seen": pack_runs(_seen(frame, level, grid)),
        "truth": [
            {"box": box, "label": _label(label), "id": str(object_id), "counted": bool(counted)}
            for box, label, object_id, counted in zip(
                _pack_boxes(truth.boxes), truth.labels, truth.ids, is_counted, strict=True
            )
        ],
        "detections": _pack_detections(page, result.detections, protocol),
        "alone": None if page.alone is None else _pack_detections(page, page.alone, protocol),
        "peers": [
            {"sender": peer.sender, "bytes": peer.bytes, "used_for": peer.used_for, "reason": peer.reason}
            for peer in result.peers
        ],
        "bytes": result.bytes_per_sender,
        "images": _pack_images(page, result.detections),
    }


def _pack_images(page: ReportFrame, detections: Detections) -> list[dict[str, str]]:
    """Return the images of all agents with the boxes that are shown, and the maps, as JPEG in base64."""
    shown = detections[detections.scores >= MIN_SCORE]
    pictures = [*pictures_of(page.frame, shown, IMAGE_SIZE), *sharing_pictures(page.maps)]
    return [
        {"agent": picture.agent_id, "camera": picture.camera, "jpeg": _base64(jpeg_of(picture.image, 75))}
        for picture in pictures
    ]


def _pack_detections(page: ReportFrame, detections: Detections, protocol: Protocol) -> list[dict[str, Any]]:
    """Return boxes, each with the index of the object that it found, or why it found none (see `Verdict`)."""
    found = page.verdict(detections, protocol).found
    return [
        {
            "box": box,
            "score": round(float(score), 3),
            "label": _label(label),
            "source": Source(source).name.lower(),
            "truth": int(truth),
        }
        for box, score, label, source, truth in zip(
            _pack_boxes(detections.boxes),
            detections.scores,
            detections.labels,
            detections.sources,
            found,
            strict=True,
        )
    ]


def pack_runs(values: NDArray) -> str:
    """Return a map (H,W) of numbers 0 to 3 as base64 of runs: uint16 with 2 bits value, 14 bits length."""
    flat = values.ravel().astype(np.int64)
    starts = np.append(0, np.flatnonzero(np.diff(flat)) + 1)
    lengths = np.diff(np.append(starts, len(flat)))
    pieces = -(-lengths // MAX_RUN)
    run_values = np.repeat(flat[starts], pieces)
    run_lengths = np.full(len(run_values), MAX_RUN)
    last = np.cumsum(pieces) - 1
    run_lengths[last] = lengths - (pieces - 1) * MAX_RUN
    return _base64((run_values << 14 | run_lengths).astype("<u2"))


def pack_points(xy: NDArray, height: NDArray, max_points: int) -> tuple[str, str]:
    """Return a cloud as base64 of x, y (int16, centimetres) and of heights (uint8, steps of 10 cm).

    Args:
        xy: (N,2) metres in the ego frame, within 327 m.
        height: (N,) metres above the ground.
        max_points: number of points to which larger clouds are thinned evenly.
    """
    cell = np.floor(xy / POINT_CELL_M).astype(np.int64)
    order = np.lexsort((-height, cell[:, 1], cell[:, 0]))
    cell = cell[order]
    first = np.append(True, np.any(np.diff(cell, axis=0), axis=1))[: len(cell)]
    highest = order[first]
    if len(highest) > max_points:
        highest = highest[np.linspace(0, len(highest) - 1, max_points).astype(np.int64)]
    steps = np.clip(height[highest] / HEIGHT_STEP_M, 0, 255)
    return _base64(np.round(xy[highest] * 100).astype("<i2")), _base64(steps.astype(np.uint8))


def _pack_agent(frame: CooperativeFrame, agent: LevelFrame, grid: BevGrid, max_points: int) -> dict[str, Any]:
    T = frame.T_ego_agent(agent.agent_id)
    xy = transform_points(T @ agent.T_sensor_level, agent.points[:, :3])[:, :2]
    inside = np.all((xy >= grid.range_m[:2]) & (xy < grid.range_m[3:5]), axis=1)
    height = agent.ground.heights(agent.points)
    packed_xy, packed_height = pack_points(xy[inside], height[inside], max_points)
    return {
        "id": agent.agent_id,
        "kind": agent.kind,
        "ego": agent.agent_id == frame.ego_id,
        "pose": [round(float(value), 3) for value in (T[0, 3], T[1, 3], yaw_of(T))],
        "field": [round(value, 3) for value in field_of_view(agent.points)],
        "points": len(agent.points),
        "xy": packed_xy,
        "height": packed_height,
    }


def _seen(frame: CooperativeFrame, agents: Sequence[LevelFrame], grid: BevGrid) -> NDArray[np.int64]:
    """Return (H,W): whether each cell is seen by the ego, only by others, or by nobody (0)."""
    seen = seen_by(frame, agents, grid)
    return np.where(seen[0], SEEN_BY_EGO, np.where(seen.any(axis=0), SEEN_BY_OTHERS, 0))


def _pack_boxes(boxes: Boxes) -> list[list[float]]:
    """Return x, y, l, w, yaw of each box."""
    return [[round(float(value), 3) for value in box[[0, 1, 3, 4, 6]]] for box in boxes]


def _label(label: int) -> str:
    return ObjectClass(label).name.lower().replace("_", " ")


def _base64(content: NDArray | bytes) -> str:
    content = content if isinstance(content, bytes) else content.tobytes()
    return base64.b64encode(content).decode("ascii")
