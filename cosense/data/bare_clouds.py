"""Clouds by themselves: one file, a folder of them, or the folders of KITTI.

    velodyne/*.bin, also below training/ or testing/     KITTI object and odometry, the latter with times.txt
                                                         (Geiger et al., CVPR 2012)
    velodyne_points/data/*.bin and timestamps.txt        a drive of KITTI raw (Geiger et al., IJRR 2013)

They are a data set of one vehicle without labels, with which nobody cooperates. Its poses are not known:
every cloud is a sequence of its own, at the origin, so that nothing relates one to the next. Stamps are those
of `timestamps.txt` or `times.txt`, or of the names of the files, else 100 ms apart. The labels of KITTI are
not read: they cover the view of one camera, and everything found elsewhere would count as false.
"""

from __future__ import annotations

import logging
import re
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import numpy as np

from cosense.data.dataset import NO_LABELS, CooperativeFrame, Dataset, DatasetInfo, Provenance
from cosense.data.files import Listing
from cosense.data.provenance import SIMULATOR, has_mark
from cosense.errors import CosenseError, counted, read_file
from cosense.sensing.cloud import SensorClouds, spread
from cosense.sensing.cloud_files import SUFFIXES, read_raw_cloud
from cosense.sensing.frame import AgentFrame, AgentKind
from cosense.sensing.number_tables import column_names
from cosense.sensing.objects import Objects

LAYOUT = f"a cloud ({', '.join(SUFFIXES)}) or a folder of clouds, also velodyne/ of KITTI"
OPTIONS = ("columns",)
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
        split: None or "all".
        labels: None.
        cameras: changes nothing, there are no images.
        columns: names of the columns of .bin and .npy files, as "x y z intensity ring"; empty to tell them by
            the values.

    Raises:
        CosenseError: a split or labels are asked for, the clouds have several formats, or they are those of
            one agent in the layout of OPV2V.
    """

    layout = "clouds"
    split = "all"
    label_set = NO_LABELS
    without_labels = (
        "clouds by themselves have no labels, and those of KITTI beside them are not read: they cover the "
        "view of one camera; take a data set of several agents, or a bag with ground truth"
    )

    def __init__(
        self,
        path: Path,
        *,
        split: str | None = None,
        labels: str | None = None,
        cameras: bool = False,
        columns: str = "",
    ) -> None:
        if split not in (None, "all") or labels not in (None, NO_LABELS):
            raise CosenseError(
                f"{path}: clouds by themselves have neither splits nor labels; leave these out"
            )
        self.path = path
        listing = Listing()
        self._clouds = [path] if path.is_file() else _clouds_in(path, listing)
        self.kind = str(self._provenance(self._clouds[0]))
        folder = self._clouds[0].parent
        formats = sorted({cloud.suffix.lower() for cloud in self._clouds})
        if len(formats) > 1:
            raise CosenseError(f"{path}: has clouds that end in {' and '.join(formats)}; name one file")
        _check_right_handed(self._clouds[0], listing)
        empty = [name for name in listing.empty(folder) if Path(name).suffix.lower() in SUFFIXES]
        self._stamps_ns, assumed = _stamps_of(self._clouds)
        self._notes = [_NO_POSES, assumed]
        if empty and not path.is_file():
            self._notes.append(f"{counted(len(empty), 'empty file')} left out, first {min(empty)}")
        self._read = partial(read_raw_cloud, columns=column_names(columns) if columns else ())
        self._lidar = SensorClouds(_EGO, spread(self._clouds, self._read))
        for note in self._notes:
            _log.warning("%s: %s", path, note)

    def __len__(self) -> int:
        return len(self._clouds)

    def __getitem__(self, index: int) -> CooperativeFrame:
        path = self._clouds[index]
        points = self._lidar.read(self._read(path)).points
        ego = AgentFrame(_EGO, "vehicle", self._stamps_ns[index], np.eye(4), points)
        return CooperativeFrame(
            path.stem,
            path.stem,
            _EGO,
            {_EGO: ego},
            Objects.empty(),
            is_labelled=False,
            provenance=self._provenance(path),
        )

    @property
    def agents(self) -> dict[str, AgentKind]:
        """See `Dataset.agents`."""
        return {_EGO: "vehicle"}

    def _provenance(self, cloud: Path) -> Provenance:
        return Provenance(SIMULATOR if has_mark([cloud]) else "", (self.layout,))

    def info(self, *, verify: bool = False) -> DatasetInfo:
        """See `Dataset.info`; `verify` reads every cloud."""
        problems = []
        for path in self._clouds if verify else ():
            try:
                self._lidar.read(self._read(path))
            except CosenseError as error:
                problems.append(str(error))
        return DatasetInfo(
            kind=self.kind,
            path=self.path,
            label_set=self.label_set,
            frames_per_split={"all": len(self)},
            agents=dict(self.agents),
            sensors=[f"LiDAR, {counted(len(self), 'file')} {self._clouds[0].suffix}"],
            problems=problems,
            notes=[*self._notes, *self._lidar.notes],
        )


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
