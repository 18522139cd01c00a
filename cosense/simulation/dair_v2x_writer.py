"""Writes simulated frames as a tree of DAIR-V2X-C, the layout that most cooperative perception code reads.

The stored pose of the roadside unit is the true one minus `offset_m`; `system_error_offset` is `offset_m`.
The label files of the camera hold the labels at the time of the cloud. If a frame has no images, the
calibration files describe a nominal camera at the LiDAR.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.data.dair_index import COOPERATIVE_INDEX, SIDES
from cosense.data.dair_labels import TYPE_OF_CLASS
from cosense.data.provenance import MARK
from cosense.errors import CosenseError
from cosense.geometry.boxes import box_corners
from cosense.geometry.transforms import Matrix, invert, transform_from, transform_points, wrap_angle, yaw_of
from cosense.sensing.cloud_formats.pcd import write_pcd
from cosense.sensing.frame import AgentFrame, AgentKind, Camera
from cosense.sensing.objects import ObjectClass, Objects
from cosense.simulation.stage import SimulatedFrame
from cosense.simulation.tree import write_image, write_tree

# Mounting of the vehicle's LiDAR on its inertial unit, which has x to the right.
_T_NOVATEL_LIDAR = transform_from([[0, -1, 0], [1, 0, 0], [0, 0, 1]], [0.0, 0.4, 1.5])

_LABEL_FOLDERS = {"vehicle": ("lidar", "camera"), "infrastructure": ("virtuallidar", "camera")}
_POSE_FOLDERS: dict[AgentKind, tuple[str, ...]] = {
    "vehicle": ("lidar_to_novatel", "novatel_to_world"),
    "infrastructure": ("virtuallidar_to_world",),
}
_CAMERA_FOLDERS = {"vehicle": "lidar_to_camera", "infrastructure": "virtuallidar_to_camera"}
# Frame ids of the two sides differ, as in the original: code that mixes them up then fails here too.
_FIRST_ID = {"vehicle": 0, "infrastructure": 100_000}
_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 90]

_NOMINAL_CAMERA = Camera(
    name="camera",
    image=np.zeros((1080, 1920, 3), dtype=np.uint8),
    K=np.array([[2183.4, 0.0, 940.6], [0.0, 2329.3, 567.6], [0.0, 0.0, 1.0]]),
    T_camera_agent=transform_from([[0, -1, 0], [0, 0, -1], [1, 0, 0]], [0.0, 0.0, 0.0]),
    stamp_ns=0,
)


def write_dair_v2x(
    frames: Iterable[SimulatedFrame],
    out: Path,
    *,
    split: str = "val",
    source: Mapping[str, Any] | None = None,
) -> int:
    """Write frames of one vehicle (the ego) and one roadside unit, with one frame in memory at a time.

    Args:
        frames: the frames in order, sequence by sequence.
        out: root of the tree; new or empty.
        split: name of the split of all frames, in `cooperative-split-data.json`.
        source: arguments from which the frames were made (families, seed, ...), for `cosense.json`.

    Returns:
        The number of frames.

    Raises:
        CosenseError: `out` is not empty, or a frame has other agents than one vehicle and one roadside unit.
    """
    return write_tree(_DairV2xTree(out, split), frames, source or {})


class _DairV2xTree:
    """The tree that is being written, and the entries of its index files."""

    layout = "dair-v2x-c"

    def __init__(self, out: Path, split: str) -> None:
        self.out = out
        self._split = split
        self._pairs: list[dict[str, Any]] = []
        self._entries: dict[AgentKind, list[dict[str, Any]]] = {side: [] for side in SIDES}

    def start(self) -> None:
        for side, name in SIDES.items():
            calibration = ("camera_intrinsic", _CAMERA_FOLDERS[side], *_POSE_FOLDERS[side])
            folders = ["image", "velodyne", *(f"calib/{c}" for c in calibration)]
            for folder in folders + [f"label/{what}" for what in _LABEL_FOLDERS[side]]:
                (self.out / name / folder).mkdir(parents=True, exist_ok=True)
        (self.out / "cooperative" / "label_world").mkdir(parents=True, exist_ok=True)

    def add(self, simulated: SimulatedFrame) -> None:
        """Write all files of one frame."""
        frame = simulated.frame
        kinds = sorted(agent.kind for agent in frame.agents.values())
        if kinds != ["infrastructure", "vehicle"] or frame.ego.kind != "vehicle":
            raise CosenseError(
                f"frame {frame.frame_id} has agents {kinds}; the layout dair-v2x holds one vehicle, the ego, "
                "and one roadside unit: write others with the layout opv2v"
            )
        ids = {side: f"{first + len(self._pairs):06d}" for side, first in _FIRST_ID.items()}
        dx, dy = (float(value) for value in simulated.offset_m)
        offset = {"delta_x": dx, "delta_y": dy}
        entries: dict[AgentKind, dict[str, Any]] = {}
        for agent in frame.agents.values():
            entries[agent.kind] = self._write_side(agent, ids[agent.kind], frame.sequence)
        unit = frame.others[0]
        self._write_poses(frame.ego, ids["vehicle"], unit, ids["infrastructure"], offset)
        vehicle = ids["vehicle"]
        labels = _world_labels(frame.ground_truth, frame.ego.T_world_agent, offset)
        _dump(labels, self.out / "cooperative" / "label_world" / f"{vehicle}.json")
        pair = {
            f"{side}_{what}_path": f"{SIDES[side]}/{entries[side][f'{what}_path']}"
            for side in SIDES
            for what in ("image", "pointcloud")
        }
        pair["cooperative_label_path"] = f"cooperative/label_world/{vehicle}.json"
        self._pairs.append(pair | {"system_error_offset": offset})
        for side, entry in entries.items():
            self._entries[side].append(entry)

    def finish(self) -> None:
        """Write the index of each side, the pairs and the split file."""
        for side, entries in self._entries.items():
            batches: dict[str, list[str]] = {}
            for entry in entries:
                batches.setdefault(entry["batch_id"], []).append(Path(entry["pointcloud_path"]).stem)
            for entry in entries:
                ends = {
                    "batch_start_id": batches[entry["batch_id"]][0],
                    "batch_end_id": batches[entry["batch_id"]][-1],
                }
                entry |= ends
                if side == "infrastructure":
                    entry["valid_batch_splits"] = [ends]
            _dump(entries, self.out / SIDES[side] / "data_info.json")
        _dump(self._pairs, self.out / COOPERATIVE_INDEX)
        ids = {side: [Path(e["pointcloud_path"]).stem for e in self._entries[side]] for side in SIDES}
        batches_of_all = sorted({entry["batch_id"] for entry in self._entries["vehicle"]})
        splits = {
            "batch_split": {self._split: batches_of_all},
            "vehicle_split": {self._split: ids["vehicle"]},
            "infrastructure_split": {self._split: ids["infrastructure"]},
            "cooperative_split": {self._split: ids["vehicle"]},
        }
        _dump(splits, self.out / "cooperative-split-data.json")

    def _write_side(self, agent: AgentFrame, frame_id: str, sequence: str) -> dict[str, Any]:
        """Write cloud, image, calibration of the camera and labels of one side; return its index entry."""
        root = self.out / SIDES[agent.kind]
        write_pcd(root / "velodyne" / f"{frame_id}.pcd", agent.points, rings=agent.rings, comment=MARK)
        camera = agent.cameras[0] if agent.cameras else _NOMINAL_CAMERA
        if agent.cameras:
            write_image(camera.image, root / "image" / f"{frame_id}.jpg", _JPEG)
        height, width = camera.image.shape[:2]
        intrinsic = {
            "cam_D": [0.0] * 5,
            "cam_K": camera.K.ravel().tolist(),
            "P": np.column_stack([camera.K, np.zeros(3)]).ravel().tolist(),
            "height": height,
            "width": width,
        }
        _dump(intrinsic, root / "calib" / "camera_intrinsic" / f"{frame_id}.json")
        camera_folder = _CAMERA_FOLDERS[agent.kind]
        _dump(_transform(camera.T_camera_agent), root / "calib" / camera_folder / f"{frame_id}.json")
        labels = _side_labels(agent.objects if agent.objects is not None else Objects.empty(), camera)
        for folder in _LABEL_FOLDERS[agent.kind]:
            _dump(labels, root / "label" / folder / f"{frame_id}.json")
        lidar_labels, camera_labels = _LABEL_FOLDERS[agent.kind]
        entry = {
            "image_path": f"image/{frame_id}.jpg",
            "image_timestamp": str((camera.stamp_ns if agent.cameras else agent.stamp_ns) // 1000),
            "pointcloud_path": f"velodyne/{frame_id}.pcd",
            "pointcloud_timestamp": str(agent.stamp_ns // 1000),
            "calib_camera_intrinsic_path": f"calib/camera_intrinsic/{frame_id}.json",
            f"calib_{camera_folder}_path": f"calib/{camera_folder}/{frame_id}.json",
            "label_lidar_std_path": f"label/{lidar_labels}/{frame_id}.json",
            "label_camera_std_path": f"label/{camera_labels}/{frame_id}.json",
            "batch_id": sequence,
            "intersection_loc": "",
        }
        return entry | {f"calib_{p}_path": f"calib/{p}/{frame_id}.json" for p in _POSE_FOLDERS[agent.kind]}

    def _write_poses(
        self, ego: AgentFrame, ego_id: str, unit: AgentFrame, unit_id: str, offset: dict[str, float]
    ) -> None:
        """Write the world pose of each side, that of the roadside unit with its error."""
        calib = self.out / SIDES["vehicle"] / "calib"
        header = {"header": {}, "child_frame_id": "lidar", "transform": _transform(_T_NOVATEL_LIDAR)}
        _dump(header, calib / "lidar_to_novatel" / f"{ego_id}.json")
        T_world_novatel = ego.T_world_agent @ invert(_T_NOVATEL_LIDAR)
        _dump(_transform(T_world_novatel), calib / "novatel_to_world" / f"{ego_id}.json")
        claimed = unit.T_world_agent.copy()
        claimed[:2, 3] -= [offset["delta_x"], offset["delta_y"]]
        calib = self.out / SIDES["infrastructure"] / "calib"
        content = _transform(claimed) | {"relative_error": offset}
        _dump(content, calib / "virtuallidar_to_world" / f"{unit_id}.json")


def _dump(content: Any, path: Path) -> None:
    path.write_text(json.dumps(content))


def _transform(T: Matrix) -> dict[str, Any]:
    return {"rotation": T[:3, :3].tolist(), "translation": T[:3, 3:].tolist()}


def _side_labels(objects: Objects, camera: Camera) -> list[dict[str, Any]]:
    """Return the content of the label file of one side."""
    labels = []
    for box, label, name in zip(objects.boxes.tolist(), objects.labels, objects.ids, strict=True):
        x, y, z, length, width, height, yaw = box
        labels.append(
            {
                "type": TYPE_OF_CLASS[ObjectClass(label)],
                "track_id": str(name),
                "truncated_state": "0",
                "occluded_state": "0",
                "alpha": float(wrap_angle(yaw - np.arctan2(y, x))),
                "2d_box": _image_box(np.array([box]), camera),
                "3d_dimensions": {"h": height, "w": width, "l": length},
                "3d_location": {"x": x, "y": y, "z": z},
                "rotation": yaw,
            }
        )
    return labels


def _image_box(box: NDArray[np.float64], camera: Camera) -> dict[str, float]:
    """Return the rectangle of a box (1,7) in the image, all zero if a corner is behind the camera."""
    corners = transform_points(camera.T_camera_agent, box_corners(box)[0])
    if np.min(corners[:, 2]) <= 0.1:
        return {"xmin": 0.0, "ymin": 0.0, "xmax": 0.0, "ymax": 0.0}
    pixels = corners @ camera.K.T
    height, width = camera.image.shape[:2]
    pixels = np.clip(pixels[:, :2] / pixels[:, 2:], 0, [width - 1, height - 1])
    (xmin, ymin), (xmax, ymax) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    return {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}


def _world_labels(objects: Objects, T_world_ego: Matrix, offset: dict[str, float]) -> list[dict[str, Any]]:
    """Return the content of the cooperative label file for objects in the ego frame."""
    corners = transform_points(T_world_ego, box_corners(objects.boxes).reshape(-1, 3)).reshape(-1, 8, 3)
    labels = []
    for box, points, label, name in zip(objects.boxes, corners, objects.labels, objects.ids, strict=True):
        x, y, z = points.mean(axis=0).tolist()
        length, width, height, yaw = box[3:].tolist()
        labels.append(
            {
                "type": TYPE_OF_CLASS[ObjectClass(label)].lower(),
                "track_id": str(name),
                "occluded_state": "0",
                "3d_dimensions": {"h": height, "w": width, "l": length},
                "3d_location": {"x": x, "y": y, "z": z},
                "rotation": float(wrap_angle(yaw + yaw_of(T_world_ego))),
                "world_8_points": points.tolist(),
                "system_error_offset": offset,
            }
        )
    return labels
