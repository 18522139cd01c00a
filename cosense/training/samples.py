"""Samples: labelled clouds of one agent, or of all agents of one moment; from simulated scenes or from disk.

Simulated scenes are ray-cast once into a folder of small files; a run that was interrupted goes on where it
stopped. Single clouds are then held in memory, each takes about one megabyte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.config import to_mapping
from cosense.data import open_dataset
from cosense.data.dataset import CooperativeFrame
from cosense.detectors.head import detected_class
from cosense.errors import CosenseError
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.geometry.boxes import Boxes, points_in_boxes
from cosense.sensing.frame import AgentFrame, AgentKind
from cosense.sensing.objects import Objects
from cosense.simulation import SCENES_VERSION, simulate
from cosense.training.run_config import DataConfig, SceneConfig

# Raised whenever the cached files get another form; what is in them has the version of the simulation.
_SAMPLES_VERSION = 1
_MOMENTS_VERSION = 2
_SAMPLE_ARRAYS = ("points", "boxes", "classes", "owner")
_MOMENT_ARRAYS = ("boxes", "classes", "num_points")

# Called with what is going on, how much of it is done, and how much there is.
Show = Callable[[str, int, int], None]


def silent(what: str, done: int, of: int) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class Sample:
    """One cloud with the objects that this agent's own labels name, in the agent frame.

    Attributes:
        name: sequence, frame and agent.
        kind: vehicle or infrastructure.
        points: (N,4) float32.
        boxes: (M,7).
        classes: (M,) int64, index into `DETECTED_CLASSES`.
        owner: (N,) int16, index of the box that a point lies in, -1 for none.
    """

    name: str
    kind: AgentKind
    points: NDArray[np.float32]
    boxes: Boxes
    classes: NDArray[np.int64]
    owner: NDArray[np.int16]


@dataclass(frozen=True)
class Moment:
    """The clouds of all agents of one moment, and what they could know together.

    Attributes:
        name: sequence and frame.
        views: frames of all agents, the ego first.
        earlier: frames of the same agents one period (100 ms) before, since a message may be that old.
        boxes: (M,7) objects of which any agent has a point, in the ego frame.
        classes: (M,) int64, index into `DETECTED_CLASSES`.
        num_points: (M,) int64, points on each object, counted on the agent that has most.
    """

    name: str
    views: tuple[AgentFrame, ...]
    earlier: tuple[AgentFrame, ...]
    boxes: Boxes
    classes: NDArray[np.int64]
    num_points: NDArray[np.int64]


def point_counts(owner: NDArray[np.int16], boxes: int) -> NDArray[np.int64]:
    """Return (M,) how many points each of M boxes owns."""
    return np.bincount(owner[owner >= 0], minlength=boxes)


def load_samples(config: DataConfig, cache: Path, show: Show = silent) -> list[Sample]:
    """Return all samples of a configuration, simulating what is not in the cache yet.

    Args:
        config: scenes and data sets to load.
        cache: folder of simulated samples, created where it is missing.
        show: sees the progress.

    Raises:
        CosenseError: nothing to learn from, or what the data set's reader finds.
    """
    samples: list[Sample] = []
    if config.scenes is not None:
        for number, (family, seed) in enumerate(config.scenes.each()):
            samples += _sequence(config.scenes, family, seed, cache)
            show("simulate or read scenes", number + 1, config.scenes.sequences)
    for path in config.paths:
        dataset = open_dataset(path, split=config.split)
        for index in range(len(dataset)):
            samples += samples_of(dataset[index])
            show(f"read {path}", index + 1, len(dataset))
    if not any(len(sample.boxes) for sample in samples):
        raise CosenseError(f"{to_mapping(config)}: no labelled objects to learn from")
    return samples


def samples_of(frame: CooperativeFrame) -> Iterator[Sample]:
    """Yield one sample for each agent that has labels of its own."""
    for agent in frame.agents.values():
        if agent.objects is None:
            continue
        known, classes = _detected(agent.objects)
        boxes = agent.objects.boxes[known]
        owner = np.full(len(agent.points), -1, dtype=np.int16)
        for index, mask in enumerate(points_in_boxes(agent.points[:, :3], boxes)):
            owner[mask] = index
        yield Sample(
            name=f"{frame.sequence}/{frame.frame_id}/{agent.agent_id}",
            kind=agent.kind,
            points=agent.points,
            boxes=boxes,
            classes=classes,
            owner=owner,
        )


def load_moments(scenes: Sequence[SceneConfig], cache: Path, show: Show = silent) -> Iterator[Moment]:
    """Yield one moment of each sequence of each entry, simulating what is not in the cache yet.

    Args:
        scenes: scenes to simulate; the moment is the second frame of a sequence.
        cache: folder of simulated moments, created where it is missing.
        show: sees the progress.
    """
    each = [(*sequence, entry.vehicles) for entry in scenes for sequence in entry.each()]
    for number, (family, seed, vehicles) in enumerate(each):
        yield simulated_moment(family, seed, vehicles, cache)
        show("simulate or read scenes", number + 1, len(each))


def simulated_moment(family: str, seed: int, vehicles: int, cache: Path) -> Moment:
    """Return the moment of one sequence, simulating it where it is not in the cache yet."""

    def make() -> dict[str, NDArray]:
        earlier, frame = (made.frame for made in simulate(family, seed, 2, vehicles=vehicles))
        return _moment_to_arrays(moment_of(earlier, frame))

    key = [_MOMENTS_VERSION, SCENES_VERSION, family, seed, vehicles]
    return _moment_from_arrays(cached(cache, f"cooperative-{family}-{seed}", key, make))


def moment_of(earlier: CooperativeFrame, frame: CooperativeFrame) -> Moment:
    """Return the moment of two consecutive frames."""
    known, classes = _detected(frame.ground_truth)
    return Moment(
        name=f"{frame.sequence}/{frame.frame_id}",
        views=(frame.ego, *frame.others),
        earlier=(earlier.ego, *earlier.others),
        boxes=frame.ground_truth.boxes[known],
        classes=classes,
        num_points=most_points_of_one_agent(frame)[known],
    )


def cached(
    folder: Path, name: str, key: Sequence[Any], make: Callable[[], dict[str, NDArray]]
) -> dict[str, NDArray]:
    """Return arrays by name from a file of a cache, which is made first where it is missing.

    Args:
        folder: the cache, created where it is missing.
        name: first part of the file's name, for people.
        key: everything that the arrays depend on; another key is another file.
        make: makes the arrays.
    """
    path = folder / f"{name}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]}.npz"
    if not path.exists():
        arrays = make()
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        partial.replace(path)
    with np.load(path) as stored:
        return dict(stored)


def _detected(objects: Objects) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return (N,) which of N objects a network looks for, and (M,) the classes of these M."""
    classes = [detected_class(int(label)) for label in objects.labels]
    known = np.array([index is not None for index in classes], dtype=bool)
    return known, np.array([index for index in classes if index is not None], dtype=np.int64)


def _sequence(scenes: SceneConfig, family: str, seed: int, cache: Path) -> list[Sample]:
    """Return the samples of one sequence."""

    def make() -> dict[str, NDArray]:
        frames = simulate(family, seed, (scenes.frames_per_sequence - 1) * scenes.frame_step + 1)
        used = (f.frame for index, f in enumerate(frames) if index % scenes.frame_step == 0)
        return _samples_to_arrays(sample for frame in used for sample in samples_of(frame))

    versions = [_SAMPLES_VERSION, SCENES_VERSION]
    key = [versions, family, seed, scenes.frames_per_sequence, scenes.frame_step]
    return _samples_from_arrays(cached(cache, f"{family}-{seed}", key, make))


def _samples_to_arrays(samples: Iterable[Sample]) -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {}
    names = []
    for index, sample in enumerate(samples):
        names.append([sample.name, sample.kind])
        arrays |= {f"{index}.{key}": getattr(sample, key) for key in _SAMPLE_ARRAYS}
    return {"names": np.array(names), **arrays}


def _samples_from_arrays(arrays: dict[str, NDArray]) -> list[Sample]:
    return [
        Sample(str(name), _kind(kind), *(arrays[f"{index}.{key}"] for key in _SAMPLE_ARRAYS))
        for index, (name, kind) in enumerate(arrays["names"])
    ]


def _kind(stored: str) -> AgentKind:
    return "infrastructure" if stored == "infrastructure" else "vehicle"


def _moment_to_arrays(moment: Moment) -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {
        "name": np.array(moment.name),
        "agents": np.array([[view.agent_id, view.kind] for view in moment.views]),
        **{key: getattr(moment, key) for key in _MOMENT_ARRAYS},
    }
    for when, views in (("now", moment.views), ("earlier", moment.earlier)):
        for index, view in enumerate(views):
            arrays[f"{when}.{index}.stamp_ns"] = np.array(view.stamp_ns)
            arrays[f"{when}.{index}.pose"] = view.T_world_agent
            arrays[f"{when}.{index}.points"] = view.points
    return arrays


def _moment_from_arrays(arrays: dict[str, NDArray]) -> Moment:
    now, earlier = (
        tuple(
            AgentFrame(
                str(agent),
                _kind(kind),
                int(arrays[f"{when}.{index}.stamp_ns"]),
                arrays[f"{when}.{index}.pose"],
                arrays[f"{when}.{index}.points"],
            )
            for index, (agent, kind) in enumerate(arrays["agents"])
        )
        for when in ("now", "earlier")
    )
    return Moment(str(arrays["name"]), now, earlier, *(arrays[key] for key in _MOMENT_ARRAYS))
