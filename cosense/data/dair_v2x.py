"""DAIR-V2X-C: one vehicle and one roadside unit, real, 10 Hz (Yu et al., CVPR 2022).

Poses. `T_world_vehicle = novatel_to_world @ lidar_to_novatel`. The claimed pose of the roadside unit is
`virtuallidar_to_world`; its known error, `system_error_offset`, is added to the translation in the world.
Cooperative labels were made with the vehicle's world pose, which is why the offset has no part in bringing
them into the vehicle frame.

Labels. "original" covers the view of the vehicle's front camera. The complemented annotations (Lu et al.,
ICRA 2023) cover all directions; they are installed in place of the originals, which then lie in `*_backup`.
Results on the two are not comparable, so the name is part of everything that is reported.

Pairs that lack a file are left out and counted: the released index also lists the test split, whose files are
not released.
"""

from __future__ import annotations

import copy
import dataclasses
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from cosense.data.dair_index import (
    COOPERATIVE_INDEX,
    SIDES,
    Pair,
    choose_split,
    earlier_frame,
    is_sequential,
    read_pairs,
    read_side,
    read_splits,
)
from cosense.data.dair_labels import read_intrinsic, read_objects, read_transform, read_world_objects
from cosense.data.dataset import CooperativeFrame, Dataset, DatasetInfo, MissingFiles, Provenance
from cosense.data.files import Listing, broken_files, missing_files, read_image
from cosense.data.provenance import SIMULATED, SIMULATOR, has_mark, is_simulated_tree
from cosense.errors import CosenseError, counted, nearest
from cosense.geometry.timed_pose import DEFAULT_POSE_GAP_MS, TimedPose
from cosense.geometry.transforms import Matrix, invert
from cosense.sensing.cloud import SensorClouds, spread
from cosense.sensing.cloud_formats.pcd import read_raw_pcd
from cosense.sensing.frame import AgentFrame, AgentKind, Camera
from cosense.sensing.objects import Objects
from cosense.sensing.projection import way_along

LAYOUT = f"{COOPERATIVE_INDEX} (DAIR-V2X-C)"
OPTIONS = ("async_frames",)

_log = logging.getLogger(__name__)

# The files of a frame: keys of data_info.json, of which the first that is there counts, else the usual place.
_FILES: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "vehicle": {
        "cloud": (("pointcloud_path",), "velodyne/{}.pcd"),
        "image": (("image_path",), "image/{}.jpg"),
        "label": (("label_lidar_std_path", "label_lidar_path"), "label/lidar/{}.json"),
        "lidar_to_novatel": (("calib_lidar_to_novatel_path",), "calib/lidar_to_novatel/{}.json"),
        "novatel_to_world": (("calib_novatel_to_world_path",), "calib/novatel_to_world/{}.json"),
        "camera": (("calib_lidar_to_camera_path",), "calib/lidar_to_camera/{}.json"),
        "intrinsic": (("calib_camera_intrinsic_path",), "calib/camera_intrinsic/{}.json"),
    },
    "infrastructure": {
        "cloud": (("pointcloud_path",), "velodyne/{}.pcd"),
        "image": (("image_path",), "image/{}.jpg"),
        "label": (("label_lidar_std_path", "label_lidar_path"), "label/virtuallidar/{}.json"),
        "to_world": (("calib_virtuallidar_to_world_path",), "calib/virtuallidar_to_world/{}.json"),
        "camera": (("calib_virtuallidar_to_camera_path",), "calib/virtuallidar_to_camera/{}.json"),
        "intrinsic": (("calib_camera_intrinsic_path",), "calib/camera_intrinsic/{}.json"),
    },
}


def recognises(path: Path) -> type[Dataset] | None:
    """Return the reader of this module for the root of a tree of DAIR-V2X-C."""
    return DairV2xDataset if (path / COOPERATIVE_INDEX).is_file() and not is_sequential(path) else None


class DairV2xDataset(Dataset):
    """One tree of DAIR-V2X-C; see the module.

    Args:
        path: folder that holds `cooperative/`, `vehicle-side/` and `infrastructure-side/`.
        split: name of a split, or "FILE.json:NAME"; None or "all" for every pair.
        labels: label set; None for the one in place.
        cameras: also read images, of the sides that have any.
        async_frames: take the infrastructure's frame this many frames earlier (VIC-Async-k); pairs without
            such a frame in the same batch are left out.
        apply_offset: correct the roadside unit's pose by `system_error_offset`.

    Raises:
        CosenseError: a broken index, an unknown split or label set, or no frame has its files.
    """

    layout = "dair-v2x-c"
    split_files: tuple[str, ...] = ("cooperative-split-data.json", "example-cooperative-split-data.json")

    def __init__(
        self,
        path: Path,
        *,
        split: str | None = None,
        labels: str | None = None,
        cameras: bool = False,
        async_frames: int = 0,
        apply_offset: bool = True,
    ) -> None:
        if async_frames < 0:
            raise CosenseError(f"async_frames={async_frames}: expected 0 or a number of frames")
        self.path = path
        self.split = split or "all"
        self._listing = Listing()
        self._entries = {side: read_side(path, side) for side in SIDES}
        self._is_simulated = is_simulated_tree(path) or has_mark(self._listed_clouds())
        folders = self._label_folders()
        self.label_set = next(iter(folders)) if labels is None else labels
        if self.label_set not in folders:
            raise CosenseError(f"{path}: no label set '{labels}' here, {nearest(self.label_set, folders)}")
        self._label_folder = folders[self.label_set]
        self._vehicle_backup = self._vehicle_label_backup()
        self._cameras = cameras
        self.async_frames = async_frames
        self._apply_offset = apply_offset
        self._lidars: dict[AgentKind, SensorClouds] = {}
        self.has_same_lidars = not self._is_simulated
        earlier = f"{async_frames} frame{'s' if async_frames > 1 else ''}"
        self._provenance = Provenance(
            SIMULATOR if self._is_simulated else "",
            (self.layout,),
            (f"roadside unit {earlier} earlier",) if async_frames else (),
        )
        self.kind = str(self._provenance)
        self._splits = read_splits(path, self.split_files)
        self._sort_pairs(async_frames)
        self._frames = self._usable
        if split is not None and split != "all":
            wanted = choose_split(path, split, self._splits, self.split_files)
            self._frames = [pair for pair in self._usable if pair.vehicle_id in wanted]
        if not self._frames:
            lines = [str(item) for item in self._missing(self._partial)] + self._unknown(self._partial)
            lines = lines or [f"{len(self._unreleased)} listed, none has any file here"]
            raise CosenseError(f"{path}: split '{self.split}' has no complete frame; " + "; ".join(lines[:3]))

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> CooperativeFrame:
        pair = self._frames[index]
        T_world_vehicle = self._T_world_vehicle(pair.vehicle_id)
        claimed = read_transform(self._files("infrastructure", pair.infrastructure_id)("to_world"))
        offset_m = pair.offset_m if self._apply_offset else (0.0, 0.0)
        T_world_unit = self._corrected(claimed, T_world_vehicle, offset_m)
        agents = {
            "vehicle": self._read_agent("vehicle", pair.vehicle_id, T_world_vehicle),
            "infrastructure": self._read_agent("infrastructure", pair.infrastructure_id, T_world_unit),
        }
        truth = self._ground_truth(pair, T_world_vehicle)
        return CooperativeFrame(
            pair.vehicle_id, pair.sequence, "vehicle", agents, truth, provenance=self._provenance
        )

    def info(self, *, verify: bool = False) -> DatasetInfo:
        """See `Dataset.info`."""
        counts = {name: sum(p.vehicle_id in ids for p in self._usable) for name, ids in self._splits.items()}
        problems = self._unknown(self._partial)
        if (self._vehicle_backup is None) == ("complemented" in self._label_folders()):
            problems.append(
                "complemented labels are half installed: of vehicle-side/label/lidar_backup and "
                "cooperative/label_world_backup only one is there"
            )
        missing = self._missing(self._partial)
        if verify:
            wanted = [path for pair in self._frames for path in self._all_files(pair)]
            missing += missing_files(self.path, wanted, self._listing)
            with_images = copy.copy(self)
            with_images._cameras = True
            problems += broken_files(with_images, wanted, self._listing)
        return DatasetInfo(
            kind=self.kind,
            path=self.path,
            label_set=self.label_set,
            frames_per_split=counts | {"all": len(self._usable)},
            agents={"vehicle": "vehicle", "infrastructure": "infrastructure"},
            sensors=[f"{side}: LiDAR" + (", camera" if self._has_images(side) else "") for side in SIDES],
            problems=[str(item) for item in missing] + problems,
            missing=missing,
            notes=self._notes(),
        )

    def _notes(self) -> list[str]:
        notes = []
        if self._unreleased:
            notes.append(
                f"no files of {counted(len(self._unreleased), 'listed pair')} "
                "(the test split is not released)"
            )
        if self._without_predecessor:
            notes.append(
                "no earlier infrastructure frame in the batch of "
                f"{counted(self._without_predecessor, 'pair')}"
            )
        notes += [f"{SIDES[side]}/image: no images here" for side in SIDES if not self._has_images(side)]
        return [*notes, *(note for side in SIDES for note in self._lidar(side).notes)]

    def _label_folders(self) -> dict[str, str]:
        """Return the folder of the cooperative labels of each label set, the one in place first."""
        if (self.path / "cooperative" / "label_world_backup").is_dir():
            return {"complemented": "label_world", "original": "label_world_backup"}
        return {self._made_here("original"): "label_world"}

    def _made_here(self, default: str) -> str:
        """Return the name of the one label set: that of our own trees, else the default."""
        return SIMULATED if self._is_simulated else default

    def _listed_clouds(self) -> Iterator[Path]:
        """Yield the clouds that the indices of both sides name and that are there."""
        for side, entries in self._entries.items():
            for frame, entry in entries.items():
                cloud = self.path / SIDES[side] / (entry.get("pointcloud_path") or f"velodyne/{frame}.pcd")
                if self._listing.has(cloud):
                    yield cloud

    def _vehicle_label_backup(self) -> Path | None:
        """Return the folder of the original vehicle labels where the complemented ones are in place."""
        folder = self.path / SIDES["vehicle"] / "label" / "lidar_backup"
        return folder if folder.is_dir() else None

    def _label_file(self, pair: Pair) -> Path:
        return self.path / "cooperative" / self._label_folder / f"{pair.vehicle_id}.json"

    def _ground_truth(self, pair: Pair, T_world_vehicle: Matrix) -> Objects:
        return read_world_objects(self._label_file(pair), invert(T_world_vehicle))

    def _corrected(
        self, T_world_unit: Matrix, T_world_vehicle: Matrix, offset_m: tuple[float, float]
    ) -> Matrix:
        """Return the roadside unit's pose corrected by the offset, which is given in the world here."""
        corrected = T_world_unit.copy()
        corrected[:2, 3] += offset_m
        return corrected

    def _sort_pairs(self, async_frames: int) -> None:
        """Sort the listed pairs into usable ones, ones that lack some files, and ones without any file."""
        self._usable: list[Pair] = []
        self._partial: list[Pair] = []
        self._unreleased: list[Pair] = []
        self._without_predecessor = 0
        for pair in read_pairs(self.path):
            if async_frames:
                earlier = earlier_frame(self._entries["infrastructure"], pair.infrastructure_id, async_frames)
                if earlier is None:
                    self._without_predecessor += 1
                    continue
                pair = dataclasses.replace(pair, infrastructure_id=earlier)
            entry = self._entries["vehicle"].get(pair.vehicle_id, {})
            if not pair.sequence:
                pair = dataclasses.replace(pair, sequence=str(entry.get("batch_id", "")))
            known = entry and pair.infrastructure_id in self._entries["infrastructure"]
            present = [self._listing.has(path) for path in self._needed_files(pair)]
            if known and all(present):
                self._usable.append(pair)
            elif any(present):
                self._partial.append(pair)
            else:
                self._unreleased.append(pair)
        if self._partial:
            _log.warning("%s: %s left out, files are missing", self.path, counted(len(self._partial), "pair"))

    def _missing(self, pairs: list[Pair]) -> list[MissingFiles]:
        """Return the necessary files that pairs lack."""
        needed = (path for pair in pairs for path in self._needed_files(pair))
        return missing_files(self.path, needed, self._listing)

    def _unknown(self, pairs: list[Pair]) -> list[str]:
        """Return a line for each side whose index lacks frames of the pairs."""
        lines = []
        for side in SIDES:
            unknown = [p.frames[side] for p in pairs if p.frames[side] not in self._entries[side]]
            if unknown:
                lines.append(
                    f"{SIDES[side]}/data_info.json: no entry for {counted(len(unknown), 'frame')}: "
                    f"{unknown[0]}"
                )
        return lines

    def _needed_files(self, pair: Pair) -> Iterator[Path]:
        """Yield the files without which a pair is left out."""
        for side, frame in pair.frames.items():
            file = self._files(side, frame)
            yield file("cloud")
            if self._cameras and self._has_images(side):
                yield file("image")
        yield self._label_file(pair)

    def _all_files(self, pair: Pair) -> Iterator[Path]:
        """Yield every file of a pair; images only where the tree has any."""
        for side, frame in pair.frames.items():
            file = self._files(side, frame)
            yield from (file(what) for what in _FILES[side] if what != "image" or self._has_images(side))
        yield self._label_file(pair)

    def _has_images(self, side: AgentKind) -> bool:
        return bool(self._listing.names(self.path / SIDES[side] / "image"))

    def _files(self, side: AgentKind, frame: str) -> Callable[[str], Path]:
        """Return a function that gives the path of one of a frame's files, e.g. of its "cloud"."""
        root, entry = self.path / SIDES[side], self._entries[side].get(frame, {})
        backup = self._vehicle_backup if side == "vehicle" and self.label_set == "original" else None

        def file(what: str) -> Path:
            if what == "label" and backup is not None:
                return backup / f"{frame}.json"
            keys, usual = _FILES[side][what]
            return root / next((entry[key] for key in keys if entry.get(key)), usual.format(frame))

        return file

    def _read_agent(self, kind: AgentKind, frame: str, T_world_agent: Matrix) -> AgentFrame:
        file = self._files(kind, frame)
        labels = file("label")
        cameras: tuple[Camera, ...] = ()
        if self._cameras and self._has_images(kind):
            cameras = (
                Camera(
                    name="camera",
                    image=read_image(file("image")),
                    K=read_intrinsic(file("intrinsic")),
                    T_camera_agent=read_transform(file("camera")),
                    stamp_ns=self._stamp_ns(kind, frame, "image_timestamp"),
                    T_then_agent=self._way(kind, frame, T_world_agent),
                ),
            )
        scan = self._lidar(kind).read(read_raw_pcd(file("cloud")))
        return AgentFrame(
            agent_id=kind,
            kind=kind,
            stamp_ns=self._stamp_ns(kind, frame, "pointcloud_timestamp"),
            T_world_agent=T_world_agent,
            points=scan.points,
            cameras=cameras,
            objects=read_objects(labels) if self._listing.has(labels.parent) else None,
            rings=scan.rings,
        )

    def _T_world_vehicle(self, frame: str) -> Matrix:
        file = self._files("vehicle", frame)
        return read_transform(file("novatel_to_world")) @ read_transform(file("lidar_to_novatel"))

    def _way(self, kind: AgentKind, frame: str, T_world_agent: Matrix) -> Matrix | None:
        """Return T_then_agent (4,4) of an image by the frame beside it in time; None where nothing says it.

        A roadside unit stands.
        """
        if kind != "vehicle":
            return None
        cloud_ns, image_ns = (
            self._stamp_ns(kind, frame, key) for key in ("pointcloud_timestamp", "image_timestamp")
        )
        # The frame on the side of the image comes first.
        for steps in (-1, 1) if image_ns > cloud_ns else (1, -1):
            other = earlier_frame(self._entries[kind], frame, steps)
            if other is None or not self._listing.has(self._files(kind, other)("novatel_to_world")):
                continue
            other_ns = self._stamp_ns(kind, other, "pointcloud_timestamp")
            if 0 < abs(other_ns - cloud_ns) <= 1e6 * DEFAULT_POSE_GAP_MS:
                beside = TimedPose(other_ns, self._T_world_vehicle(other))
                return way_along(TimedPose(cloud_ns, T_world_agent), beside, image_ns)
        return None

    def _lidar(self, side: AgentKind) -> SensorClouds:
        """Return what is known of the clouds of one side, after looking at some from all over it."""
        if side not in self._lidars:
            clouds = [self._files(side, frame)("cloud") for frame in sorted(self._entries[side])]
            recorded = spread([path for path in clouds if self._listing.has(path)], read_raw_pcd)
            # Our own simulator writes intensities from 0 to 1.
            self._lidars[side] = SensorClouds(side, None if self._is_simulated else recorded)
        return self._lidars[side]

    def _stamp_ns(self, side: AgentKind, frame: str, key: str) -> int:
        """Return a time stamp of an index, which gives microseconds as a string."""
        value = self._entries[side][frame].get(key)
        try:
            return int(str(value)) * 1000
        except ValueError:
            where = f"{self.path / SIDES[side] / 'data_info.json'}: frame {frame}"
            raise CosenseError(f"{where}: {key} is {value!r}, expected microseconds") from None
