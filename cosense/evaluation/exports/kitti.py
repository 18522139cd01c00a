"""Text files as those of KITTI's object benchmark (Geiger et al., CVPR 2012), for its devkit and what reads
it.

    detections/000000.txt   type -1 -1 alpha left top right bottom h w l x y z rotation_y score
    label_2/000000.txt      the ground truth likewise, truncated and occluded 0, without score
    calib/000000.txt        P0..P3, R0_rect, Tr_velo_to_cam, Tr_imu_to_velo
    frames.txt              one line a file: its number and the frame's own name

KITTI places boxes in a camera. Here it is one at the origin of the ego's LiDAR that looks along its x axis,
with the image of KITTI's own (1242 x 375 pixels, f = 721.5377): calib says so, and readers get the LiDAR's
boxes back exactly. An object outside of that image has the 2D box -1 -1 -1 -1, which the devkit leaves out,
as KITTI labels nothing there.

The location is the middle of the lower face, rotation_y the angle about the camera's y axis (down), 0 along
its x. Vehicles are Car and riders Cyclist, as for detectors here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosense.evaluation.exports.base import PlacedFrame, single_class
from cosense.geometry.boxes import Boxes, box_corners
from cosense.geometry.transforms import wrap_angle
from cosense.sensing.objects import ObjectClass

# Camera axes (x right, y down, z forward) from those of the LiDAR (x forward, y left, z up).
R_CAMERA_LIDAR = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
K = np.array([[721.5377, 0.0, 609.5593], [0.0, 721.5377, 172.854], [0.0, 0.0, 1.0]])
IMAGE_SIZE = (1242, 375)
_NEAREST_M = 0.1
_NOT_IN_IMAGE = (-1.0, -1.0, -1.0, -1.0)


def write(frames: Iterable[PlacedFrame], out: Path) -> None:
    """Write all frames into the folder `out`."""
    folders = {name: out / name for name in ("detections", "label_2", "calib")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    names = []
    for number, frame in enumerate(frames):
        found, truth = frame.result.detections, frame.result.ground_truth
        detected = _lines(found.boxes, found.labels, (-1, -1), [f" {score:.6f}" for score in found.scores])
        content = {
            "detections": detected,
            "label_2": _lines(truth.boxes, truth.labels, (0, 0), [""] * len(truth)),
            "calib": _calibration(),
        }
        for name, lines in content.items():
            (folders[name] / f"{number:06d}.txt").write_text("".join(line + "\n" for line in lines))
        names.append(f"{number:06d} {frame.result.frame_id}\n")
    (out / "frames.txt").write_text("".join(names))


def boxes_2d(boxes: Boxes) -> NDArray[np.float64]:
    """Return (M,4) left, top, right and bottom of boxes (M,7) in the image, -1 for what is not in it."""
    found = np.full((len(boxes), 4), _NOT_IN_IMAGE)
    for index, corners in enumerate(box_corners(boxes) @ R_CAMERA_LIDAR.T):
        ahead = corners[corners[:, 2] >= _NEAREST_M]
        if not len(ahead):
            continue
        pixels = (ahead @ K.T)[:, :2] / ahead[:, 2:]
        limits = np.array(IMAGE_SIZE, dtype=np.float64) - 1
        low, high = np.clip(pixels.min(axis=0), 0, limits), np.clip(pixels.max(axis=0), 0, limits)
        if (high > low).all():
            found[index] = (*low, *high)
    return found


def _lines(
    boxes: Boxes, labels: NDArray[np.int64], seen: tuple[int, int], endings: Sequence[str]
) -> list[str]:
    """Return a line for each box, with truncated and occluded, and what stands at its end."""
    foot = boxes[:, :3] - np.array([0.0, 0.0, 0.5]) * boxes[:, 5:6]
    places = foot @ R_CAMERA_LIDAR.T
    rotations = wrap_angle(-boxes[:, 6] - np.pi / 2)
    alphas = wrap_angle(rotations - np.arctan2(places[:, 0], places[:, 2]))
    lines = []
    for index, rectangle in enumerate(boxes_2d(boxes)):
        length, width, height = boxes[index, 3:6]
        numbers = [alphas[index], *rectangle, height, width, length, *places[index], rotations[index]]
        values = " ".join(f"{number:.6f}" for number in numbers)
        lines.append(f"{seen[0]} {seen[1]} {values}{endings[index]}")
    return [f"{_name(label)} {line}" for label, line in zip(single_class(labels), lines, strict=True)]


def _name(label: ObjectClass) -> str:
    return label.name.title().replace("_", "")


def _calibration() -> list[str]:
    projection = np.hstack([K, np.zeros((3, 1))])
    still = np.hstack([np.eye(3), np.zeros((3, 1))])
    matrices = {
        **{f"P{camera}": projection for camera in range(4)},
        "R0_rect": np.eye(3),
        "Tr_velo_to_cam": np.hstack([R_CAMERA_LIDAR, np.zeros((3, 1))]),
        "Tr_imu_to_velo": still,
    }
    return [f"{name}: " + " ".join(f"{v:.12e}" for v in matrix.ravel()) for name, matrix in matrices.items()]
