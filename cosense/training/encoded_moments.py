"""Features of a frozen detector for each cloud, kept on disk: fusion is then trained without a backbone.

A view takes some megabytes as float16; that of a sender lacks what only an ego needs. Files are mapped, not
read, so that several trainings on one machine share the memory. Where the disk is slow, `cache` of a run may
lie in memory (/dev/shm).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from cosense.detectors.base import BevDetector, BevFeatures
from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import Matrix, transform_from_slopes
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.ground import GroundSurface
from cosense.sensing.levelling import levelled
from cosense.training.cached import Show, silent
from cosense.training.run_config import SceneConfig
from cosense.training.samples import Moment, load_moments

_MAPS = ("class_logits", "box_codes")
# Only read of the agent that fuses.
_OF_EGO = ("context", "point_counts")


@dataclass(frozen=True)
class EncodedView:
    """One cloud as a frozen detector sees it.

    Attributes:
        T_world_agent: (4,4) pose of the levelled frame.
        T_sensor_level: (4,4) maps the levelled frame into that of the sensor.
        features: float32; context and point counts are empty where the cloud is not the ego's.
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
    scenes: Sequence[SceneConfig], cache: Path, detector: BevDetector, show: Show = silent
) -> list[EncodedMoment]:
    """Simulate and encode what is not in the cache yet; see `load_moments`."""
    folder = cache / f"features-{detector.fingerprint.hex()}-{detector.dtype}".replace("torch.", "")
    folder.mkdir(parents=True, exist_ok=True)
    return [
        EncodedMoment(
            tuple(_encoded(moment, moment.views, "now", folder, detector)),
            tuple(_encoded(moment, moment.earlier[1:], "earlier", folder, detector)),
            moment.boxes,
            moment.classes,
            moment.num_points,
        )
        for moment in load_moments(scenes, cache, show)
    ]


def _encoded(
    moment: Moment, views: Sequence[AgentFrame], when: str, folder: Path, detector: BevDetector
) -> Iterator[tuple[Path, Matrix]]:
    for index, view in enumerate(views):
        name = hashlib.sha256(f"{moment.name}/{when}/{view.agent_id}".encode()).hexdigest()[:16]
        path = folder / f"{name}.safetensors"
        if not path.exists():
            _write(path, detector, view, is_ego=when == "now" and index == 0)
        yield path, view.T_world_agent


def _write(path: Path, detector: BevDetector, view: AgentFrame, *, is_ego: bool) -> None:
    level = levelled(view, detector.site)
    features = detector.encode(level)
    detections = detector.decode(features)
    tensors = {f"level{index}": level.half() for index, level in enumerate(features.levels)}
    tensors |= {name: getattr(features, name).half() for name in _MAPS}
    if is_ego:
        tensors["context"] = features.context.half()
        tensors["point_counts"] = features.point_counts.clamp(max=255).to(torch.uint8)
    tensors |= {
        "slopes": torch.tensor(level.slopes, dtype=torch.float64),
        "ground_plane": torch.tensor(level.ground.plane_m, dtype=torch.float64),
        "ground_relief": torch.from_numpy(level.ground.relief_m),
        "boxes": torch.from_numpy(detections.boxes),
        "scores": torch.from_numpy(detections.scores),
        "labels": torch.from_numpy(detections.labels),
    }
    partial = path.with_suffix(".part")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
    partial.replace(path)


def read_view(path: Path, T_world_sensor: Matrix, detector: BevDetector) -> EncodedView:
    """Read a view that `encoded_moments` has written."""
    with safe_open(path, "pt") as file:

        def tensor(name: str) -> Tensor:
            found: Tensor = file.get_tensor(name)
            return found

        levels = tuple(tensor(f"level{index}").float() for index in range(len(detector.level_channels)))
        known = set(file.keys())
        own = {name: tensor(name) if name in known else torch.zeros(0) for name in _OF_EGO}
        features = BevFeatures(
            levels=levels,
            context=own["context"].float(),
            point_counts=own["point_counts"].long(),
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
