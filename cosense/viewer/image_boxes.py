"""Images of cameras with boxes drawn where the calibration puts them: one that is off is seen at once.

Boxes are where the clouds have them; an image that is taken later shows what moves farther on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError
from cosense.geometry.boxes import Boxes, box_corners
from cosense.geometry.transforms import invert, transform_points
from cosense.sensing.detections import Detections, Source
from cosense.sensing.images import reduced
from cosense.sensing.projection import NEAREST_M
from cosense.viewer import colors

# Farther boxes are a few pixels wide and hide each other.
_FARTHEST_M = 100.0
# Corners that the edges of a box join: below, above, and between.
_EDGES = np.array(
    [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]]
)
# Images beside each other in a picture.
_COLUMNS = 4


@dataclass(frozen=True)
class Picture:
    """One image of one agent, as a rule of a camera and with boxes.

    Attributes:
        agent_id: agent that carries the camera.
        camera: name of the camera, or of what is shown.
        image: (H,W,3) uint8 RGB.
    """

    agent_id: str
    camera: str
    image: NDArray[np.uint8]


def pictures_of(frame: CooperativeFrame, detections: Detections, size: tuple[int, int]) -> list[Picture]:
    """Return all images of a frame with ground truth, and with detections in the colours of their sources.

    Args:
        frame: the frame.
        detections: boxes in the ego frame, all of which are drawn.
        size: largest width and height of an image in pixels.
    """
    pictures = []
    for agent in frame.agents.values():
        T_agent_ego = invert(frame.T_ego_agent(agent.agent_id))
        for camera in agent.cameras:
            small = reduced(camera, size)
            canvas = small.image.copy()
            T_camera_ego = small.T_image_agent @ T_agent_ego
            layers: list[tuple[Boxes, str, int]] = [(frame.ground_truth.boxes, colors.GROUND_TRUTH, 1)]
            for source in Source:
                chosen = detections.boxes[detections.sources == source]
                layers.append((chosen, colors.SOURCES[source], 2))
            for boxes, color, width in layers:
                _draw(canvas, edges_of(boxes, small.K, T_camera_ego), color, width)
            pictures.append(Picture(agent.agent_id, camera.name, canvas))
    return pictures


def edges_of(boxes: Boxes, K: NDArray[np.float64], T_camera_ego: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the edges of boxes (M,7) in an image as lines (E,2,2), cut where they pass behind the lens."""
    corners = transform_points(T_camera_ego, box_corners(boxes).reshape(-1, 3)).reshape(-1, 8, 3)
    corners = corners[np.linalg.norm(corners.mean(axis=1), axis=1) < _FARTHEST_M]
    lines = corners[:, _EDGES].reshape(-1, 2, 3)
    lines = lines[(lines[..., 2] > NEAREST_M).any(axis=1)]
    for end, other in ((0, 1), (1, 0)):
        behind = lines[:, end, 2] < NEAREST_M
        far, near = lines[behind, other], lines[behind, end]
        share = (NEAREST_M - near[:, 2:]) / (far[:, 2:] - near[:, 2:])
        lines[behind, end] = near + share * (far - near)
    across = lines @ np.asarray(K, np.float64).T
    return np.asarray(across[..., :2] / across[..., 2:])


def write_pictures(path: Path, pictures: Sequence[Picture]) -> None:
    """Write images side by side, their agents and cameras named.

    Raises:
        CosenseError: the file cannot be written.
    """
    height = max(picture.image.shape[0] for picture in pictures)
    width = max(picture.image.shape[1] for picture in pictures)
    columns = min(_COLUMNS, len(pictures))
    tiles = []
    for picture in pictures:
        tile = np.zeros((height, width, 3), np.uint8)
        tile[: picture.image.shape[0], : picture.image.shape[1]] = picture.image
        tiles.append(captioned(tile, f"{picture.agent_id} {picture.camera}"))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.write_bytes(jpeg_of(np.vstack(rows), 90))
    except OSError as error:
        raise CosenseError(f"{path}: cannot be written: {error.strerror}") from None


def captioned(image: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Return an image with a name in its upper left corner, written into it."""
    for color, thick in ((colors.BACKGROUND, 4), (colors.TEXT, 1)):
        cv2.putText(image, name, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _rgb(color), thick, cv2.LINE_AA)
    return image


def jpeg_of(image: NDArray[np.uint8], quality: int) -> bytes:
    """Return an image (H,W,3) as a JPEG file."""
    _, jpeg = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(jpeg).tobytes()


def _draw(image: NDArray[np.uint8], lines: NDArray[np.float64], color: str, width: int) -> None:
    """Draw lines (E,2,2), in place."""
    height, length = image.shape[:2]
    for (u1, v1), (u2, v2) in np.clip(lines, -8 * length, 8 * length):
        inside, one, two = cv2.clipLine(
            (0, 0, length, height), (round(u1), round(v1)), (round(u2), round(v2))
        )
        if inside:
            cv2.line(image, one, two, _rgb(color), width, cv2.LINE_AA)


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue, _ = colors.rgba(color)
    return round(255 * red), round(255 * green), round(255 * blue)
