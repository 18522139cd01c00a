"""Features of a frozen detector for each cloud, kept on disk: fusion is then trained without a backbone.

A view takes some megabytes as float16; that of a sender lacks what only an ego needs. Files are mapped, not
read, so that several trainings on one machine share the memory, and all runs on one detector share the files
(`cosense train --only-samples` makes them before the first one). Where the disk is slow, `cache` of a run may
lie in memory (/dev/shm).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cosense.data.dataset import Dataset
from cosense.detectors.base import BevDetector, BevFeatures, Detector
from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import Matrix, transform_from_slopes
from cosense.methods.model import load_model
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.ground import GroundSurface
from cosense.sensing.levelling import levelled
from cosense.simulation import SCENES_VERSION
from cosense.training.cached import Cached, Show, fill, not_written, silent
from cosense.training.run_config import DataConfig, SceneConfig
from cosense.training.samples import Moment, indices_of, open_recorded, recorded_moment, simulated_moment

# Raised whenever the files get another form.
_VERSION = 1
_MAPS = ("class_logits", "box_codes")


@dataclass(frozen=True)
class EncodedView:
    """One cloud as a frozen detector sees it.

    Attributes:
        T_world_agent: (4,4) pose of the levelled frame.
        T_sensor_level: (4,4) maps the levelled frame into that of the sensor.
        features: float32; the context is empty where the cloud is not the ego's.
        detections: boxes in the levelled frame.
    """

    T_world_agent: Matrix
    T_sensor_level: Matrix
    features: BevFeatures
    detections: Detections


@dataclass(frozen=True)
class EncodedMoment:
    """A `Moment` whose clouds are files of features.

    Attributes:
        views: file and pose of the sensor of each agent, the ego first.
        earlier: file and pose of the sensor of each other agent one period before; the ego's own past is not
            learned from.
        boxes, classes, num_points: the same as of a `Moment`.
    """

    views: tuple[tuple[Path, Matrix], ...]
    earlier: tuple[tuple[Path, Matrix], ...]
    boxes: Boxes
    classes: NDArray[np.int64]
    num_points: NDArray[np.int64]


def encoded_moments(
    data: Sequence[SceneConfig | DataConfig],
    cache: Path,
    detector: BevDetector,
    model: str,
    show: Show = silent,
) -> list[EncodedMoment]:
    """Return the moments of all entries, made by all cores where they are not in the cache yet.

    Args:
        data: scenes to simulate, of which the moment is the second frame of a sequence, and data sets on
            disk, of which every frame with several agents is one.
        cache: folder of moments and features, created where it is missing.
        detector: makes the features.
        model: name or folder by which `load_model` loads it; what other processes do.
        show: sees the progress.
    """
    folder = cache / f"features-{detector.fingerprint.hex()}-{detector.dtype}".replace("torch.", "")
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, key, source in _sources(data, cache):
        make = partial(_encode_moment, source, folder, model, str(detector.device))
        files.append(Cached.of(folder, name, [_VERSION, *key], make))
    fill(files, show)
    moments = []
    for number, file in enumerate(files):
        moments.append(_from_arrays(file.read(), folder))
        show("read moments", number + 1, len(files))
    return [moment for moment in moments if len(moment.views) > 1]


def _sources(
    data: Sequence[SceneConfig | DataConfig], cache: Path
) -> Iterator[tuple[str, list[Any], Callable[[], Moment]]]:
    """Yield for each moment a name for people, what it depends on, and what makes it, in any process."""
    for entry in data:
        scenes = entry if isinstance(entry, SceneConfig) else entry.scenes
        if scenes is not None:
            for family, seed in scenes.each():
                key = [SCENES_VERSION, family, seed, *scenes.sensors]
                yield f"{family}-{seed}", key, partial(_simulate_moment, scenes, family, seed, cache)
        if isinstance(entry, SceneConfig):
            continue
        for path in entry.paths:
            dataset = open_recorded(entry, path)
            digest = _digest(entry, path, dataset)
            for index in indices_of(entry, dataset):
                make = partial(_read_moment, entry, path, index, digest)
                yield f"{path.resolve().name}-{index}", [digest, index], make


def _digest(entry: DataConfig, path: Path, dataset: Dataset) -> str:
    """Return what tells the frames of one data set from those of another, or the same seen otherwise."""
    described = [dataset.description(), str(path.resolve()), str(entry.beams), entry.images]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()[:8]


def _simulate_moment(scenes: SceneConfig, family: str, seed: int, cache: Path) -> Moment:
    return simulated_moment(scenes, family, seed, cache)


def _read_moment(entry: DataConfig, path: Path, index: int, digest: str) -> Moment:
    """Return a moment of a data set, under a name that no other data set has."""
    moment = recorded_moment(entry, _opened(entry, path), index)
    return replace(moment, name=f"{digest}/{moment.name}")


@lru_cache(maxsize=2)
def _opened(entry: DataConfig, path: Path) -> Dataset:
    """Return a data set, opened once in each process that makes samples of it."""
    return open_recorded(entry, path)


def _encode_moment(source: Callable[[], Moment], folder: Path, model: str, device: str) -> dict[str, NDArray]:
    """Write the features of one moment, and return what `_from_arrays` reads."""
    moment = source()
    detector = loaded_detector(model, device)
    assert isinstance(detector, BevDetector)
    arrays: dict[str, NDArray] = {"boxes": moment.boxes, "classes": moment.classes}
    arrays["num_points"] = moment.num_points
    for when, views in (("now", moment.views), ("earlier", moment.earlier[1:])):
        names = [_encode(moment, view, when, folder, detector) for view in views]
        arrays[when] = np.array(names)
        arrays[f"{when}.poses"] = np.array([view.T_world_agent for view in views])
    return arrays


def _encode(moment: Moment, view: AgentFrame, when: str, folder: Path, detector: BevDetector) -> str:
    """Write the features of one view where they are not there yet; return the name of the file."""
    name = hashlib.sha256(f"{moment.name}/{when}/{view.agent_id}".encode()).hexdigest()[:16] + ".safetensors"
    if not (folder / name).exists():
        _write(folder / name, detector, view, is_ego=when == "now" and view is moment.views[0])
    return name


@lru_cache(maxsize=1)
def loaded_detector(model: str, device: str) -> Detector:
    """Return the detector of a model, loaded once in each process that makes samples with it."""
    return load_model(model, device).detector


def _from_arrays(arrays: dict[str, NDArray], folder: Path) -> EncodedMoment:
    now, earlier = (
        tuple(
            (folder / str(name), pose)
            for name, pose in zip(arrays[when], arrays[f"{when}.poses"], strict=True)
        )
        for when in ("now", "earlier")
    )
    return EncodedMoment(now, earlier, arrays["boxes"], arrays["classes"], arrays["num_points"])


def _write(path: Path, detector: BevDetector, view: AgentFrame, *, is_ego: bool) -> None:
    level = levelled(view, detector.site)
    features = detector.encode(level)
    detections = detector.decode(features)
    tensors = {f"level{index}": level.half() for index, level in enumerate(features.levels)}
    tensors |= {name: getattr(features, name).half() for name in _MAPS}
    if is_ego:
        tensors["context"] = features.context.half()
    tensors |= {
        "point_counts": features.point_counts.clamp(max=255).to(torch.uint8),
        "slopes": torch.tensor(level.slopes, dtype=torch.float64),
        "ground_plane": torch.tensor(level.ground.plane_m, dtype=torch.float64),
        "ground_relief": torch.from_numpy(level.ground.relief_m),
        "boxes": torch.from_numpy(detections.boxes),
        "scores": torch.from_numpy(detections.scores),
        "labels": torch.from_numpy(detections.labels),
    }
    partial = path.with_suffix(".part")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    except (OSError, SafetensorError) as error:
        partial.unlink(missing_ok=True)
        raise not_written(path, error) from None
    partial.replace(path)


def read_view(path: Path, T_world_sensor: Matrix, detector: BevDetector) -> EncodedView:
    """Read a view that `encoded_moments` has written."""
    with safe_open(path, "pt") as file:

        def tensor(name: str) -> Tensor:
            found: Tensor = file.get_tensor(name)
            return found

        levels = tuple(tensor(f"level{index}").float() for index in range(len(detector.level_channels)))
        known = set(file.keys())
        features = BevFeatures(
            levels=levels,
            context=tensor("context").float() if "context" in known else torch.zeros(0),
            point_counts=tensor("point_counts").long() if "point_counts" in known else torch.zeros(0),
            grid=detector.grid,
            ground=GroundSurface(float(tensor("ground_plane")), tensor("ground_relief").numpy()),
            **{name: tensor(name).float() for name in _MAPS},
        )
        boxes = tensor("boxes").numpy()
        detections = Detections(
            boxes, tensor("scores").numpy(), tensor("labels").numpy(), np.zeros(len(boxes), np.uint8)
        )
        T_sensor_level = transform_from_slopes(*tensor("slopes").tolist())
    return EncodedView(T_world_sensor @ T_sensor_level, T_sensor_level, features, detections)
