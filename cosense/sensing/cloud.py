"""Point clouds: as a file or a message holds them, and as everything else takes them.

The readers of the formats hand over columns in the types in which they are stored (`RawCloud`). Which column
is what is found here, by its name, for all formats alike; what becomes of the numbers is the matter of
`SensorClouds`, one for each sensor, which decides for a whole sequence what its clouds do not say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError, counted
from cosense.sensing.intensity import IntensityScale

logger = logging.getLogger(__name__)

Item = TypeVar("Item")

# Names of the field in drivers and tools, the usual one first; without what stands around them.
_USUAL_NAMES = ("intensity", "intensities", "i", "reflectivity", "reflectance", "remission", "remissions")
_INTENSITY_NAMES = (*_USUAL_NAMES, *(f"scalar_{name}" for name in _USUAL_NAMES), "signal")
_RING_NAMES = ("ring", "channel", "laser_id", "laser_number", "beam", "beam_id")
_COLOR_NAMES = ("rgb", "rgba")
_CHANNELS = (("red", "green", "blue"), ("r", "g", "b"))
# Some drivers fill beams without an echo with zeros, others with NaN.
_NO_RETURNS = "points at exactly 0, 0, 0 are beams without a return, and left out"
_NO_NUMBER = "intensities that are no finite numbers are 0"
# Half of the points beyond or within these are no metres from a sensor.
_FARTHEST_MEDIAN_M = 1000.0
_NEAREST_MEDIAN_M = 0.01
_ENOUGH_POINTS = 16
_HIGHEST_RING = 4095
_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4")])
# Two bytes, as the drivers of spinning LiDARs write it.
_POINT_OF_RING = np.dtype([*((name, "<f4") for name in _POINT.names or ()), ("ring", "<u2")])
# Clouds of a sequence by which it is judged.
_SAMPLES = 16


@dataclass(frozen=True)
class PointCloud:
    """One scan.

    Attributes:
        xyz: (N,3) float32 in metres, all finite.
        intensity: (N,) float32 in [0, 1]; zero if the scan has none.
        rings: (N,) number of the beam of each point as the LiDAR counts them; None if the scan has none.
    """

    xyz: NDArray[np.float32]
    intensity: NDArray[np.float32]
    rings: NDArray[np.int16] | None = None

    def __len__(self) -> int:
        return len(self.xyz)

    @property
    def points(self) -> NDArray[np.float32]:
        """(N,4) float32: x, y, z, intensity."""
        return np.column_stack([self.xyz, self.intensity])


@dataclass(frozen=True)
class RawCloud:
    """One scan as it is stored, nothing dropped and nothing scaled.

    Attributes:
        source: the file or the message, for errors.
        xyz: the columns x, y and z, each (N,).
        intensity: (N,) in the type of its field; None without such a field.
        remarks: what was assumed, one sentence each.
        rings: (N,) in the type of its field; None without such a field.
    """

    source: str
    xyz: tuple[NDArray, NDArray, NDArray]
    intensity: NDArray | None
    remarks: tuple[str, ...] = ()
    rings: NDArray | None = None


@dataclass(frozen=True)
class CloudFields:
    """Which of the fields of a format are what, by their positions in it.

    Attributes:
        xyz: the coordinates.
        intensity: the intensity; None where there is no such field.
        colors: one field that packs a color, or three channels, where there is no intensity.
        remarks: what was assumed.
        ring: the number of the beam; None where there is no such field.
    """

    xyz: tuple[int, int, int]
    intensity: int | None
    colors: tuple[int, ...]
    remarks: tuple[str, ...]
    ring: int | None

    @property
    def wanted(self) -> tuple[int, ...]:
        """Positions of all fields that are read, in the order that `assembled` takes."""
        single = [position for position in (self.intensity, self.ring) if position is not None]
        return (*self.xyz, *single, *self.colors)

    def assembled(self, source: str, columns: Sequence[NDArray], remarks: Sequence[str] = ()) -> RawCloud:
        """Return the cloud of the columns (N,) at `wanted`.

        Raises:
            CosenseError: a packed color does not have four bytes.
        """
        said = [*remarks, *self.remarks]
        intensity = None if self.intensity is None else columns[3]
        if self.colors:
            intensity = _gray(source, columns[-len(self.colors) :])
            said.append(
                "the intensity is the red of a color"
                if intensity is not None
                else "there is no field of intensities but a color, which is none: they are 0"
            )
        rings = None if self.ring is None else columns[3 if self.intensity is None else 4]
        return RawCloud(source, (columns[0], columns[1], columns[2]), intensity, tuple(said), rings)


def find_fields(names: Sequence[str]) -> CloudFields | None:
    """Return which fields are what, None if one of x, y and z is missing.

    Args:
        names: the names of all fields, in any case; where one comes twice, the first counts.
    """
    lower = [name.lower() for name in names]
    positions = {name: position for position, name in reversed(list(enumerate(lower)))}
    if not positions.keys() >= {"x", "y", "z"}:
        return None
    x, y, z = (positions[name] for name in "xyz")
    found = next((name for name in _INTENSITY_NAMES if name in positions), None)
    twice = [name for name in ("x", "y", "z", found) if name is not None and lower.count(name) > 1]
    remarks = [f"field '{name}' comes twice, the first is read" for name in twice]
    colors: tuple[int, ...] = ()
    if found is None:
        packed = [(positions[name],) for name in _COLOR_NAMES if name in positions]
        channels = [tuple(positions[c] for c in names) for names in _CHANNELS if positions.keys() >= {*names}]
        colors = next(iter((*packed, *channels)), ())
        if not colors:
            others = ", ".join(name for name in lower if name not in ("x", "y", "z", "_"))
            beside = f", only {others}" if others else ""
            remarks.append(f"there is no field of intensities{beside}: they are 0")
    elif found != _INTENSITY_NAMES[0]:
        remarks.append(f"the intensity is the field '{names[positions[found]]}'")
    ring = next((positions[name] for name in _RING_NAMES if name in positions), None)
    return CloudFields((x, y, z), positions[found] if found else None, colors, tuple(remarks), ring)


class SensorClouds:
    """The clouds of one sensor: what they do not say is decided once for all of them.

    Args:
        name: name of the sensor.
        sequence: clouds from all over a recorded sequence; None for a live stream, or one cloud by itself.
        tell: takes a level of `logging` and what was assumed at that moment; the log if None.
    """

    def __init__(
        self,
        name: str,
        sequence: Iterable[RawCloud] | None = None,
        tell: Callable[[int, str], None] | None = None,
    ) -> None:
        self._name = name
        self._tell = tell or logger.log
        self._remarks: list[str] = []
        intensities = None if sequence is None else self._intensities(sequence)
        self._scale = IntensityScale(intensities)
        self._told: set[str] = set()
        self._tell_news()

    @property
    def notes(self) -> list[str]:
        """What was assumed of the clouds so far, one sentence each."""
        said = (*self._remarks, *self._scale.assumed, *self._scale.cut)
        return [f"{self._name}: {note}" for note in said]

    def read(self, raw: RawCloud) -> PointCloud:
        """Return a cloud with the intensity in [0, 1], without points that are no numbers or no returns.

        Raises:
            CosenseError: the coordinates are no metres in the frame of a sensor.
        """
        self._note(raw)
        with np.errstate(over="ignore", invalid="ignore"):
            xyz = np.empty((len(raw.xyz[0]), 3), dtype=np.float32)
            for axis, column in enumerate(raw.xyz):
                xyz[:, axis] = column
            valid = np.isfinite(xyz).all(axis=1)
            is_nowhere = ~xyz.any(axis=1)
        if is_nowhere.any():
            self._remark(_NO_RETURNS)
            valid &= ~is_nowhere
        xyz = xyz if valid.all() else xyz[valid]
        _check_metres(raw.source, xyz)
        scaled = np.zeros(len(xyz), np.float32)
        if raw.intensity is not None:
            intensity = raw.intensity[valid]
            is_number = np.isfinite(intensity)
            if not is_number.all():
                self._remark(_NO_NUMBER)
            scaled[is_number] = self._scale(intensity[is_number])
        self._tell_news()
        return PointCloud(xyz, scaled, None if raw.rings is None else _whole_numbers(raw.rings[valid]))

    def _intensities(self, sequence: Iterable[RawCloud]) -> Iterator[NDArray]:
        for raw in sequence:
            self._note(raw)
            if raw.intensity is not None:
                yield raw.intensity

    def _note(self, raw: RawCloud) -> None:
        for remark in raw.remarks:
            self._remark(remark)

    def _remark(self, remark: str) -> None:
        if remark not in self._remarks:
            self._remarks.append(remark)

    def _tell_news(self) -> None:
        """Tell what was not told before; that something was cut is a warning."""
        warnings = {f"{self._name}: {note}" for note in self._scale.cut}
        for note in self.notes:
            if note not in self._told:
                self._told.add(note)
                self._tell(logging.WARNING if note in warnings else logging.INFO, note)


def read_alone(raw: RawCloud) -> PointCloud:
    """Return a cloud that belongs to no sequence; see `SensorClouds.read`."""
    return SensorClouds(raw.source).read(raw)


def spread(items: Sequence[Item], read: Callable[[Item], RawCloud]) -> Iterator[RawCloud]:
    """Yield clouds from all over a sequence; those that cannot be read are left out.

    Args:
        items: the clouds of a sequence in order, e.g. paths.
        read: reads one of them.
    """
    for index in sorted({round(i) for i in np.linspace(0, len(items) - 1, min(_SAMPLES, len(items)))}):
        try:
            yield read(items[index])
        except CosenseError:
            continue


def _check_metres(source: str, xyz: NDArray[np.float32]) -> None:
    """Refuse coordinates that are no metres in the frame of a sensor."""
    if len(xyz) < _ENOUGH_POINTS:
        return
    some = np.abs(xyz[:: max(1, len(xyz) // 1000)]).max(axis=1)
    median_m = float(np.median(some))
    if not _NEAREST_MEDIAN_M < median_m < _FARTHEST_MEDIAN_M:
        is_far = median_m >= _FARTHEST_MEDIAN_M
        raise CosenseError(
            f"{source}: half of the points are {median_m:.5g} or {'more' if is_far else 'less'} away from "
            "the sensor; expected metres in its own frame: divide millimetres by 1000, take coordinates of a "
            "map back to the sensor, or correct the type or byte order of the fields"
        )


def to_records(points: NDArray[np.floating], rings: NDArray[np.int16] | None = None) -> NDArray:
    """Return points (N,4) as records of little-endian numbers, as files and messages hold them.

    Args:
        points: x, y, z in metres and intensity.
        rings: (N,) number of the beam of each point, where it is known.
    """
    plain = np.ascontiguousarray(points, dtype="<f4").view(_POINT).reshape(-1)
    if rings is None:
        return plain
    records = np.empty(len(plain), dtype=_POINT_OF_RING)
    for name in _POINT.names or ():
        records[name] = plain[name]
    records["ring"] = rings
    return records


def _whole_numbers(rings: NDArray) -> NDArray[np.int16] | None:
    """Return rings (N,) as they are counted, None if a number cannot be one."""
    with np.errstate(invalid="ignore"):
        is_ring = (rings >= 0) & (rings <= _HIGHEST_RING) & (rings == np.floor(rings))
    return rings.astype(np.int16) if is_ring.all() else None


def _gray(source: str, columns: Sequence[NDArray]) -> NDArray | None:
    """Return the red (N,) of a color that holds an intensity, as CARLA's does; None if it is a real color.

    An intensity is in red alone, or in all channels alike.
    """
    if len(columns) == 1:
        if columns[0].dtype.itemsize != 4:
            size = counted(columns[0].dtype.itemsize, "byte")
            raise CosenseError(f"{source}: a packed color has {size}, expected 4; write it again")
        packed = np.ascontiguousarray(columns[0]).view(columns[0].dtype.str[0] + "u4")
        red, green, blue = ((packed >> shift & 255).astype(np.uint8) for shift in (16, 8, 0))
    else:
        red, green, blue = columns
    is_red = not (green.any() or blue.any())
    is_gray = np.array_equal(red, green) and np.array_equal(green, blue)
    return red if is_red or is_gray else None
