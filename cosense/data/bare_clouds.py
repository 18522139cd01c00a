"""Clouds by themselves: one file, a folder of them, or the folders of KITTI.

    velodyne/*.bin, also below training/ or testing/     KITTI object and odometry, the latter with times.txt
                                                         (Geiger et al., CVPR 2012)
    velodyne_points/data/*.bin and timestamps.txt        a drive of KITTI raw (Geiger et al., IJRR 2013)

They are a data set of one vehicle with which nobody cooperates. Labels, the region that they cover and poses
are read where they lie beside the clouds of a folder, or beside velodyne/, as bare_labels.py says, and so are
images of KITTI object (kitti_camera.py). Without poses every cloud is a sequence of its own, at the origin,
so that nothing relates one to the next. Stamps are those of `poses.json`, `timestamps.txt` or `times.txt`, or
of the names of the files, else 100 ms apart.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cosense.data.bare_labels import POSES, LabelFolder, find_labels, in_words, read_poses
from cosense.data.dataset import (
    NO_LABELS,
    CooperativeFrame,
    Dataset,
    DatasetInfo,
    MissingFiles,
    Provenance,
)
from cosense.data.files import Listing
from cosense.data.kitti_camera import CALIBRATIONS, IMAGES, kitti_camera
from cosense.data.kitti_camera import SUFFIXES as IMAGE_SUFFIXES
from cosense.data.provenance import SIMULATOR, has_mark
from cosense.errors import CosenseError, counted, nearest, read_file
from cosense.geometry.transforms import Matrix
from cosense.sensing.cloud import SensorClouds, spread
from cosense.sensing.cloud_formats.cloud_files import SUFFIXES, read_raw_cloud
from cosense.sensing.cloud_formats.number_tables import column_names
from cosense.sensing.frame import AgentFrame, AgentKind
from cosense.sensing.labelled_area import EVERYWHERE, LabelledArea
from cosense.sensing.objects import Objects

LAYOUT = f"a cloud ({', '.join(SUFFIXES)}) or a folder of clouds, also velodyne/ of KITTI"
# Pairs of the frames of a drive are made by `frame_pairs`.
OPTIONS = ("columns", "region", "pair_gap")
# Any other data set also consists of clouds.
IS_LAST_RESORT = True

_EGO = "ego"
_KITTI_FOLDERS = ("velodyne", "training/velodyne", "velodyne_points/data")
# Files with a line for each cloud, by the folder beside which they lie.
_TIMES = {"data": "timestamps.txt", "velodyne": "times.txt"}
_PERIOD_NS = 100_000_000
_NO_POSES = "poses are not known: each cloud is a sequence of its own, at the origin"
# Names that are times, by the number of their digits: ns, us and ms since 1970.
_UNITS_NS = {19: 1, 16: 1_000, 13: 1_000_000}
_SECONDS = re.compile(r"(\d{9,10})[._](\d{6,9})")
# nuScenes: n015-2018-07-24-11-22-45+0800__LIDAR_TOP__1532402927647951.pcd
_OF_NUSCENES = re.compile(r".*__LIDAR_TOP__(\d+)\.pcd")

_log = logging.getLogger(__name__)


def recognises(path: Path) -> type[Dataset] | None:
    """Return the reader of this module for a cloud or a folder of clouds."""
    if path.is_file():
        return BareClouds if path.suffix.lower() in SUFFIXES else None
    return BareClouds if _clouds_in(path, Listing()) else None


class BareClouds(Dataset):
    """One or more clouds; see the module.

    Args:
        path: a file or a folder.
        split: "all", or "labelled" where a part of the clouds has labels; None for those with labels where
            there are any.
        labels: name of a label set, see `LABEL_SETS`; None for the one that is there.
        cameras: also read the images of KITTI, image_2/ and calib/ beside the clouds, where there are any.
        columns: names of the columns of .bin and .npy files, as "x y z intensity ring"; empty to tell them by
            the values.
        region: azimuths in degrees between which objects are labelled, as "-38,38", or "all"; empty for what
            region.yaml says, else for what the labels show.

    Raises:
        CosenseError: a split or labels that are not there, clouds of several formats or of one agent in the
            layout of OPV2V, or a region without labels.
    """

    layout = "clouds"
    has_same_lidars = True
    without_labels = (
        "clouds by themselves have no labels unless they lie beside them, as label/ID.json or as "
        "label_2/ID.txt and calib/ID.txt of KITTI; name the folder that has both, or take a data set of "
        "several agents"
    )

    def __init__(
        self,
        path: Path,
        *,
        split: str | None = None,
        labels: str | None = None,
        cameras: bool = False,
        columns: str = "",
        region: str = "",
    ) -> None:
        self.path = path
        listing = Listing()
        self._clouds = [path] if path.is_file() else _clouds_in(path, listing)
        self.kind = str(self.provenance)
        folder = self._clouds[0].parent
        formats = sorted({cloud.suffix.lower() for cloud in self._clouds})
        if len(formats) > 1:
            raise CosenseError(f"{path}: has clouds that end in {' and '.join(formats)}; name one file")
        _check_right_handed(self._clouds[0], listing)
        empty = [name for name in sorted(listing.empty(folder)) if Path(name).suffix.lower() in SUFFIXES]
        self._empty = [] if path.is_file() else [folder / name for name in empty]
        base = folder.parent if folder.name == "velodyne" else folder
        self._notes: list[str] = []
        there = [] if path.is_file() or labels == NO_LABELS else find_labels(base, listing)
        if labels is not None and there and labels not in there:
            raise CosenseError(f"{path}: has no label set '{labels}', {nearest(labels, there)}")
        self._labels = LabelFolder(base, labels or there[0], listing, region) if there else None
        if labels is None and len(there) > 1:
            self._notes.append(
                f"labels are in {' and '.join(there)}: {there[0]} is taken, --labels takes another"
            )
        self.label_set = NO_LABELS if self._labels is None else self._labels.label_set
        if self._labels is None and (region or labels not in (None, NO_LABELS)):
            raise CosenseError(f"{path}: no labels are beside it, so leave out the label set and the region")
        self._images: dict[str, Path] = {}
        if cameras and not path.is_file() and listing.names(base / CALIBRATIONS):
            names = sorted(listing.names(base / IMAGES), reverse=True)
            files = [base / IMAGES / name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
            self._images = {file.stem: file for file in files}
        self._calibrations = base / CALIBRATIONS
        self._poses = None
        if not path.is_file() and listing.has(base / POSES):
            self._poses = _poses_of(self._clouds, base / POSES)
        self._choose_split(split)
        if self._poses is not None:
            self._stamps_ns = [self._poses[cloud.stem][0] for cloud in self._clouds]
            self._notes.append(f"poses and stamps are those of {POSES}")
        else:
            self._stamps_ns, assumed = _stamps_of(self._clouds)
            self._notes += [_NO_POSES, assumed]
        if self._empty:
            self._notes.append(f"{counted(len(empty), 'empty file')} left out, first {empty[0]}")
        self._read = partial(read_raw_cloud, columns=column_names(columns) if columns else ())
        self._lidar = SensorClouds(_EGO, spread(self._clouds, self._read))
        if self._labels is not None and self._labels.note:
            self._notes.append(self._labels.note)
        for note in self._notes:
            _log.warning("%s: %s", path, note)

    @property
    def has_poses(self) -> bool:
        """Whether poses relate the clouds to each other."""
        return self._poses is not None

    @property
    def names(self) -> list[str]:
        """Names of the clouds, without their ending."""
        return [cloud.stem for cloud in self._clouds]

    @property
    def provenance(self) -> Provenance:
        """What made the clouds."""
        return self._provenance(self._clouds[0])

    def T_world_agent(self, index: int) -> Matrix:
        """Return the pose (4,4) of a frame."""
        return np.eye(4) if self._poses is None else self._poses[self._clouds[index].stem][1]

    def _choose_split(self, split: str | None) -> None:
        """Keep the clouds of a split, and say what has no partner."""
        stems = {cloud.stem for cloud in self._clouds}
        with_labels = frozenset[str]() if self._labels is None else self._labels.stems
        by_split = {"all": self._clouds}
        if stems & with_labels and not stems <= with_labels:
            by_split["labelled"] = [cloud for cloud in self._clouds if cloud.stem in with_labels]
            without = counted(len(stems - with_labels), "cloud")
            self._notes.append(
                f"{without} without labels, first {min(stems - with_labels)}: only in split all"
            )
        if self._labels is not None and not stems & with_labels:
            raise CosenseError(
                f"{self._labels.folder}: none of its files has the name of a cloud, as {min(stems)}; "
                "name them alike, or move the labels away"
            )
        self.frames_per_split = {name: len(clouds) for name, clouds in by_split.items()}
        self.split = split or ("labelled" if "labelled" in by_split else "all")
        if self.split not in by_split:
            raise CosenseError(f"{self.path}: no split '{split}', {nearest(self.split, by_split)}")
        self._clouds = by_split[self.split]
        self._alone = tuple(sorted(with_labels - stems))
        if self._alone:
            number = counted(len(self._alone), "file")
            self._notes.append(f"{number} of labels without a cloud left out, first {self._alone[0]}")

    def __len__(self) -> int:
        return len(self._clouds)

    def __getitem__(self, index: int) -> CooperativeFrame:
        path = self._clouds[index]
        scan = self._lidar.read(self._read(path))
        T_world_agent, stamp_ns = self.T_world_agent(index), self._stamps_ns[index]
        image = self._images.get(path.stem)
        cameras = (
            () if image is None else (kitti_camera(image, self._calibrations / f"{path.stem}.txt", stamp_ns),)
        )
        ego = AgentFrame(
            _EGO, "vehicle", stamp_ns, T_world_agent, scan.points, cameras=cameras, rings=scan.rings
        )
        truth, area = self.labels_of(index)
        found, area = area.divided(truth or Objects.empty())
        return CooperativeFrame(
            path.stem,
            path.stem if self._poses is None else self.path.resolve().name,
            _EGO,
            {_EGO: ego},
            found,
            is_labelled=truth is not None,
            provenance=self._provenance(path),
            labelled=area,
        )

    def labels_of(self, index: int) -> tuple[Objects | None, LabelledArea]:
        """Return all objects of a label file, None where there is none, and of what it says something.

        Raises:
            CosenseError: the labels are broken.
        """
        stem = self._clouds[index].stem
        if self._labels is None or stem not in self._labels.stems:
            return None, EVERYWHERE
        labels = self._labels.read(stem)
        return labels.objects, LabelledArea((self._labels.region,), labels.ignored)

    def _left_open(self, index: int) -> Counter[str]:
        """Return how many labels of a frame are of no class of ours, by type, or outside of the region."""
        stem = self._clouds[index].stem
        if self._labels is None or stem not in self._labels.stems:
            return Counter()
        labels = self._labels.read(stem)
        unknown = Counter(
            f"'{t}'" for t, label in zip(labels.types, labels.classes, strict=True) if label is None
        )
        inside = self._labels.region.contains(labels.objects.boxes[:, :2])
        return unknown + Counter({"outside of the region": int(np.count_nonzero(~inside))})

    @property
    def agents(self) -> dict[str, AgentKind]:
        """See `Dataset.agents`."""
        return {_EGO: "vehicle"}

    def description(self) -> dict[str, Any]:
        """See `Dataset.description`; says too where objects are labelled."""
        region = {} if self._labels is None else {"region": in_words(self._labels.region)}
        return super().description() | region

    def _provenance(self, cloud: Path) -> Provenance:
        return Provenance(SIMULATOR if has_mark([cloud]) else "", (self.layout,))

    def info(self, *, verify: bool = False) -> DatasetInfo:
        """See `Dataset.info`; `verify` reads every cloud and its labels."""
        problems = []
        for path in [*self._empty, *self._clouds] if verify else ():
            try:
                self._lidar.read(self._read(path))
            except CosenseError as error:
                problems.append(str(error))
        left_open = Counter[str]()
        for index in range(len(self)) if verify and self._labels is not None else ():
            try:
                left_open += self._left_open(index)
            except CosenseError as error:
                problems.append(str(error))
        missing = []
        if self._alone:
            names = tuple(f"{stem}{self._clouds[0].suffix}" for stem in self._alone)
            missing = [MissingFiles(self._clouds[0].parent.name, names, len(self) + len(names))]
        notes = [*self._notes, *self._lidar.notes]
        if self._labels is not None:
            notes.append(f"objects are labelled {in_words(self._labels.region)}")
        if left_open:
            said = ", ".join(f"{name} ({number})" for name, number in left_open.most_common())
            notes.append(f"labels that count neither way: {said}")
        return DatasetInfo(
            kind=self.kind,
            path=self.path,
            label_set=self.label_set,
            frames_per_split=self.frames_per_split,
            agents=dict(self.agents),
            sensors=[f"LiDAR, {counted(len(self), 'file')} {self._clouds[0].suffix}"],
            problems=[*map(str, missing), *problems],
            notes=notes,
            missing=missing,
        )


def _poses_of(clouds: list[Path], path: Path) -> dict[str, tuple[int, Matrix]]:
    """Return stamp and pose of each cloud by its name."""
    poses = read_poses(path)
    absent = [cloud.stem for cloud in clouds if cloud.stem not in poses]
    if absent:
        raise CosenseError(
            f"{path}: has no pose of {counted(len(absent), 'cloud')}, first {absent[0]}; add them, or move "
            "the file away to read the clouds without poses"
        )
    return poses


def _clouds_in(folder: Path, listing: Listing) -> list[Path]:
    """Return the clouds of a folder in the order of the numbers in their names."""
    for place in (folder, *(folder / name for name in _KITTI_FOLDERS)):
        names = [name for name in listing.names(place) if Path(name).suffix.lower() in SUFFIXES]
        found = [place / name for name in sorted(names, key=_in_order) if (place / name).is_file()]
        if found:
            return found
    return []


def _in_order(name: str) -> list[tuple[bool, int, str]]:
    """Return the key by which "scan 10" comes after "scan 9"."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _check_right_handed(cloud: Path, listing: Listing) -> None:
    """Refuse the folder of an agent in the layout of OPV2V, whose clouds may be left-handed."""
    if f"{cloud.stem}.yaml" in listing.names(cloud.parent):
        raise CosenseError(
            f"{cloud.parent}: is one agent in the layout of OPV2V, whose clouds are left-handed in some data "
            f"sets; open the folder above it, {cloud.parent.resolve().parent}"
        )


def _stamps_of(clouds: list[Path]) -> tuple[list[int], str]:
    """Return the stamps of clouds, and what they were taken from."""
    folder = clouds[0].parent
    path = folder.parent / _TIMES.get(folder.name, "")
    if path.is_file():
        lines = read_file(path).decode("ascii", errors="replace").split("\n")
        stamps_ns = []
        for cloud in clouds:
            number = int(cloud.stem) if cloud.stem.isdecimal() else len(lines)
            if number >= len(lines) or not lines[number].strip():
                raise CosenseError(f"{path}: has no time of {cloud.name}; fetch the file again")
            stamps_ns.append(_time_ns(lines[number], path))
        return stamps_ns, f"stamps are those of {path.name}"
    named = [_named_ns(cloud.stem) for cloud in clouds]
    stamps_ns = [stamp_ns for stamp_ns in named if stamp_ns is not None]
    if len(stamps_ns) == len(clouds) and all(np.diff(stamps_ns) > 0):
        return stamps_ns, "stamps are those in the names of the files"
    return [index * _PERIOD_NS for index in range(len(clouds))], "stamps are not known: taken 100 ms apart"


def _named_ns(stem: str) -> int | None:
    """Return the time that a name gives, None if it gives none."""
    stem = _OF_NUSCENES.sub(r"\1", stem)
    seconds = _SECONDS.fullmatch(stem)
    if seconds:
        return int(seconds[1]) * 1_000_000_000 + int(seconds[2].ljust(9, "0"))
    unit_ns = _UNITS_NS.get(len(stem)) if stem.isdecimal() and not stem.startswith("0") else None
    return None if unit_ns is None else int(stem) * unit_ns


def _time_ns(line: str, path: Path) -> int:
    """Return a time as KITTI writes it: "2011-09-26 13:02:25.594360375", or seconds as "1.037360e-01"."""
    try:
        if path.name == _TIMES["velodyne"]:
            return round(float(line) * 1_000_000_000)
        whole, _, fraction = line.strip().partition(".")
        moment = datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=timezone.utc)
        return int(moment.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])
    except (ValueError, OverflowError):
        raise CosenseError(
            f"{path}: '{line.strip()}' is no time as KITTI writes it; fetch the file again"
        ) from None
