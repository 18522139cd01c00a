"""What every training run says of itself: the common part of the YAML that `cosense train` reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from cosense.errors import CosenseError, nearest
from cosense.sensing.beams.fewer import FewerBeams
from cosense.sensing.images import parse_size
from cosense.simulation import FAMILIES, IMAGES_VERSION, LIDARS


@dataclass(frozen=True)
class SceneConfig:
    """Simulated scenes: sequence n is of family n modulo their number, with seed first_seed + n.

    Attributes:
        families: names from `cosense.simulation.FAMILIES`.
        first_seed: seed of the first sequence.
        sequences: number of sequences.
        frames_per_sequence: number of frames used of each sequence, for a detector.
        frame_step: time between them in steps of 0.1 s; neighbours are nearly the same.
        vehicles: number of vehicles that measure; a roadside unit always does.
        lidar: their LiDARs, one of `cosense.simulation.LIDARS`; "any" draws other ones for every sequence.
        beams: number of beams to which the LiDARs of vehicles are reduced, as "16"; empty for none.
        images: size to which the images of the cameras are reduced, as "512x288"; empty for no images.
    """

    families: tuple[str, ...]
    first_seed: int
    sequences: int
    frames_per_sequence: int = 1
    frame_step: int = 1
    vehicles: int = 1
    lidar: str = "standard"
    beams: str | int = ""
    images: str = ""

    def __post_init__(self) -> None:
        if not self.families:
            raise ValueError("families is empty")
        for family in self.families:
            if family not in FAMILIES:
                raise ValueError(f"families: no family '{family}', {nearest(family, FAMILIES)}")
        if self.lidar not in LIDARS:
            raise ValueError(f"lidar: no LiDAR '{self.lidar}', {nearest(self.lidar, LIDARS)}")
        if min(self.sequences, self.frames_per_sequence, self.frame_step, self.vehicles) < 1:
            raise ValueError("sequences, frames_per_sequence, frame_step and vehicles are at least 1")
        _check_beams(self.beams)
        _check_images(self.images)

    @property
    def sensors(self) -> list[int | str]:
        """What clouds and images depend on besides the scene, for the keys of caches."""
        beams = [str(self.beams)] if self.beams != "" else []
        images = [f"images {IMAGES_VERSION} {self.images}"] if self.images != "" else []
        return [self.vehicles, self.lidar, *beams, *images]

    def each(self) -> list[tuple[str, int]]:
        """Return family and seed of each sequence."""
        return [
            (self.families[number % len(self.families)], self.first_seed + number)
            for number in range(self.sequences)
        ]


@dataclass(frozen=True)
class DataConfig:
    """Where single clouds come from: scenes, data sets on disk, or both.

    Attributes:
        scenes: simulated once, then cached.
        paths: data sets that `cosense.data.open_dataset` opens.
        split: part of these data sets, e.g. "train".
        labels: label set, e.g. "complemented"; None for the one that is in place.
        frames: number of frames of each data set, evenly spread; None for all.
        beams: number of beams to which the LiDARs of vehicles in them are reduced; empty for none.
        images: size into which the images of these data sets are reduced to fit; empty for no images.
    """

    scenes: SceneConfig | None = None
    paths: tuple[Path, ...] = ()
    split: str | None = None
    labels: str | None = None
    frames: int | None = None
    beams: str | int = ""
    images: str = ""

    def __post_init__(self) -> None:
        if self.scenes is None and not self.paths:
            raise ValueError("neither scenes nor paths is given")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames is {self.frames}, expected at least 1")
        _check_beams(self.beams)
        _check_images(self.images)


DataEntry = SceneConfig | DataConfig
# What the data of a run are, and its validation.
Data = TypeVar("Data", SceneConfig, DataConfig, DataEntry, tuple[DataEntry, ...])


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What all runs have in common; a task adds its own fields, among them `data` and `validation`.

    Attributes:
        train: kind of thing that is trained.
        cache: folder of simulated samples and of what is computed from them.
        seed: source of the initial weights, the order of the samples and every other random choice.
        epochs: length of the run in passes over the samples,
        minutes: or in wall time, preparing samples included, where the learning rate follows the clock,
        steps: or in steps of the optimiser.
        batch_size: samples per step and process.
        learning_rate: its peak.
        decay_at: shares of the run after each of which the learning rate is a tenth of what it was; without
            any it rises over the first tenth of the run and falls along a cosine.
        weight_decay: AdamW's.
        gradient_norm: gradients longer than this are shortened to it.
        checkpoint_minutes: wall time between two checkpoints.
        validation_minutes: wall time between two validations,
        validation_steps: or steps between them, where this is given.
        device: torch device of the detector, be it trained or not.
    """

    train: Literal["detector", "method", "encoder"]
    cache: Path = Path("results/cache")
    seed: int = 1
    epochs: int | None = None
    minutes: float | None = None
    steps: int | None = None
    batch_size: int = 4
    learning_rate: float = 2e-3
    decay_at: tuple[float, ...] = ()
    weight_decay: float = 1e-2
    gradient_norm: float = 10.0
    checkpoint_minutes: float = 3.0
    validation_minutes: float = 10.0
    validation_steps: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if sum(length is not None for length in (self.epochs, self.minutes, self.steps)) != 1:
            raise ValueError("give one of epochs, minutes and steps")
        for name in ("epochs", "steps", "validation_steps"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}, expected at least 1")
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(f"minutes is {self.minutes:g}, expected more than 0")
        if self.batch_size < 1 or not self.learning_rate > 0:
            raise ValueError("batch_size or learning_rate is too small")
        if not all(0 < share < 1 for share in self.decay_at):
            raise ValueError(f"decay_at is {list(self.decay_at)}, expected shares of the run between 0 and 1")

    def check_probabilities(self, *names: str) -> None:
        """Raise ValueError where one of these fields is no number in [0, 1]."""
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number in [0, 1]")


def with_beams(data: Data, beams: str) -> Data:
    """Return data with the LiDARs of vehicles reduced to so many beams."""
    if isinstance(data, SceneConfig):
        return replace(data, beams=beams)
    if isinstance(data, DataConfig):
        scenes = None if data.scenes is None else with_beams(data.scenes, beams)
        return replace(data, scenes=scenes, beams=beams)
    return tuple(with_beams(entry, beams) for entry in data)


def with_path(data: Data, path: Path) -> Data:
    """Return data with one data set in place of those that are named."""
    if isinstance(data, SceneConfig):
        return data
    if isinstance(data, DataConfig):
        return replace(data, paths=(path,)) if data.paths else data
    return tuple(with_path(entry, path) for entry in data)


def paths_of(data: DataEntry | tuple[DataEntry, ...]) -> list[Path]:
    """Return the data sets that are named."""
    if isinstance(data, SceneConfig):
        return []
    if isinstance(data, DataConfig):
        return list(data.paths)
    return [path for entry in data for path in paths_of(entry)]


def _check_beams(beams: str | int) -> None:
    try:
        if beams != "":
            FewerBeams.parse(beams)
    except CosenseError as error:
        raise ValueError(str(error)) from None


def _check_images(images: str) -> None:
    try:
        if images != "":
            parse_size(images)
    except CosenseError as error:
        raise ValueError(str(error)) from None
