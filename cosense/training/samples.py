"""Samples: one agent's cloud with the objects that this agent's own labels name.

Simulated scenes are ray-cast once into a folder of small files; a run that was interrupted goes on where it
stopped. Everything is then held in memory, a cloud takes about one megabyte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosense.config import to_mapping
from cosense.data import open_dataset
from cosense.data.dataset import CooperativeFrame
from cosense.detectors.head import detected_class
from cosense.errors import CosenseError, nearest
from cosense.geometry.boxes import Boxes, points_in_boxes
from cosense.simulation import FAMILIES, SCENES_VERSION, simulate
from cosense.training.config import DataConfig, SceneConfig

# Raised whenever the cached files get another form; what is in them has the version of the simulation.
_CACHE_VERSION = 1


@dataclass(frozen=True)
class Sample:
    """One cloud with its objects, in the agent frame.

    Attributes:
        name: frame and agent.
        kind: vehicle or infrastructure.
        points: (N,4) float32.
        boxes: (M,7).
        classes: (M,) int64, index into `DETECTED_CLASSES`.
        owner: (N,) int16, which box a point lies in, -1 for none.
    """

    name: str
    kind: str
    points: NDArray[np.float32]
    boxes: Boxes
    classes: NDArray[np.int64]
    owner: NDArray[np.int16]


def point_counts(owner: NDArray[np.int16], boxes: int) -> NDArray[np.int64]:
    """Return (M,) how many points each of M boxes owns."""
    return np.bincount(owner[owner >= 0], minlength=boxes)


def samples_of(frame: CooperativeFrame) -> Iterator[Sample]:
    """Return one sample for each agent that has labels of its own."""
    for agent in frame.agents.values():
        if agent.objects is None:
            continue
        classes = [detected_class(int(label)) for label in agent.objects.labels]
        known = np.array([index is not None for index in classes], dtype=bool)
        boxes = agent.objects.boxes[known]
        inside = points_in_boxes(agent.points[:, :3], boxes)
        owner = np.full(len(agent.points), -1, dtype=np.int16)
        for index, mask in enumerate(inside):
            owner[mask] = index
        yield Sample(
            name=f"{frame.sequence}/{frame.frame_id}/{agent.agent_id}",
            kind=agent.kind,
            points=agent.points,
            boxes=boxes,
            classes=np.array([index for index in classes if index is not None], dtype=np.int64),
            owner=owner,
        )


def load_samples(
    config: DataConfig, cache: Path, progress: Callable[[str, int, int], None] = lambda what, done, of: None
) -> list[Sample]:
    """Return all samples of a configuration, simulating what is not in the cache yet.

    Args:
        config: what to load.
        cache: folder of simulated samples, created where it is missing.
        progress: called with what is going on, how much is done, of how much.

    Raises:
        CosenseError: nothing to learn from, or what the data set's reader finds.
    """
    samples: list[Sample] = []
    if config.scenes is not None:
        samples += _simulated(config.scenes, cache, progress)
    for path in config.paths:
        dataset = open_dataset(path, split=config.split)
        for index in range(len(dataset)):
            samples += samples_of(dataset[index])
            progress(f"read {path}", index + 1, len(dataset))
    if not any(len(sample.boxes) for sample in samples):
        raise CosenseError(f"{to_mapping(config)}: no labelled objects to learn from")
    return samples


def _simulated(
    scenes: SceneConfig, cache: Path, progress: Callable[[str, int, int], None]
) -> Iterator[Sample]:
    if unknown := sorted(set(scenes.families) - set(FAMILIES)):
        raise CosenseError(f"families: no family '{unknown[0]}', {nearest(unknown[0], FAMILIES)}")
    for number in range(scenes.sequences):
        family = scenes.families[number % len(scenes.families)]
        yield from _sequence(scenes, family, scenes.first_seed + number, cache)
        progress("simulate or read scenes", number + 1, scenes.sequences)


def _sequence(scenes: SceneConfig, family: str, seed: int, cache: Path) -> list[Sample]:
    """Return the samples of one sequence from its file, which is written first where it is missing."""
    versions = [_CACHE_VERSION, SCENES_VERSION]
    key = json.dumps([versions, family, seed, scenes.frames_per_sequence, scenes.frame_step])
    path = cache / f"{family}-{seed}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.npz"
    if not path.exists():
        frames = simulate(family, seed, (scenes.frames_per_sequence - 1) * scenes.frame_step + 1)
        used = (f.frame for index, f in enumerate(frames) if index % scenes.frame_step == 0)
        _write(path, (sample for frame in used for sample in samples_of(frame)))
    return _read(path)


def _write(path: Path, samples: Iterable[Sample]) -> None:
    arrays: dict[str, NDArray] = {}
    names = []
    for index, sample in enumerate(samples):
        names.append([sample.name, sample.kind])
        for key in ("points", "boxes", "classes", "owner"):
            arrays[f"{index}.{key}"] = getattr(sample, key)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, names=np.array(names), **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def _read(path: Path) -> list[Sample]:
    with np.load(path) as arrays:
        return [
            Sample(
                str(name), str(kind), *(arrays[f"{i}.{k}"] for k in ("points", "boxes", "classes", "owner"))
            )
            for i, (name, kind) in enumerate(arrays["names"])
        ]
