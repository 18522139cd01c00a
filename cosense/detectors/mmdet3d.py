"""Detectors of mmdet3d, by configuration and checkpoint: their boxes for late fusion, graphs and evaluation.

    detector: mmdet3d
    config: pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py
    checkpoint: path/to/vehicle.pth
    classes: {Car: car, Pedestrian: pedestrian, Cyclist: cyclist}
    infrastructure: {config: …, checkpoint: …, classes: …}     # optional: roadside units have their own

or the same in one line, in a scenario or on the command line: `model: {mmdet3d: {config: …, …}}`.

mmdet3d is asked when a model is loaded, never before (`make mmdet3d` installs it); mmcv's compiled operators
are used where they are installed, those of `detectors.mmcv_operators` elsewhere. A checkpoint is a pickle and
a configuration is Python: both run what is in them, so take only those that you trust.

*Frames.* A checkpoint has learned clouds as its LiDAR measured them, so it sees the frame of the sensor, not
the levelled one, and its boxes are brought into the frame that was asked for.

*Boxes.* mmdet3d gives a box by the middle of its foot. Since 1.0.0rc0 it has sizes along x, y and z of the
box and a yaw about +z from +x on, as here. Before, sizes were width, length, height, and the yaw was about -z
from -y on: yaw here = -yaw there - π/2. Which of them a checkpoint has learned is in its meta data; one that
does not say is refused until `boxes:` says it. A configuration must be of mmdet3d 1.1 or later, which is what
builds the network; to run a checkpoint of 0.x, write one with its anchors, as models/dair-v2x-late does.
Overlaps are then suppressed by the axes of 0.x.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cosense.detectors.base import Detector, Encoded
from cosense.detectors.head import DETECTED_CLASSES, detected_class
from cosense.detectors.mmcv_operators import provide
from cosense.detectors.spconv_library import load_spconv
from cosense.errors import CosenseError, nearest
from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import invert, wrap_angle
from cosense.sensing.detections import Detections, Source
from cosense.sensing.frame import AgentFrame
from cosense.sensing.levelling import LevelFrame
from cosense.sensing.objects import ObjectClass

Convention = Literal["0.x", "1.x"]


@dataclass(frozen=True)
class CheckpointConfig:
    """A checkpoint of mmdet3d."""

    config: Path  # file, or name below mmdet3d's own configurations
    checkpoint: Path
    classes: dict[str, str]  # class of the checkpoint to class here; those that are not named are dropped
    boxes: Literal["auto", "0.x", "1.x"] = "auto"  # convention; "auto": what the checkpoint says
    score_threshold: float = 0.1  # boxes below it are not reported
    intensity_scale: float = 1.0  # intensities here are from 0 to 1; 255 for checkpoints that know bytes

    def __post_init__(self) -> None:
        known = [kind.name.lower() for kind in ObjectClass if detected_class(kind) is not None]
        if not self.classes:
            raise ValueError("classes is empty, expected for example {Car: car}")
        for name, kind in self.classes.items():
            if kind not in known:
                raise ValueError(f"classes: {name}: '{kind}' is none of {', '.join(known)}")
        if not 0 <= self.score_threshold < 1:
            raise ValueError(f"score_threshold is {self.score_threshold}, expected a number from 0 to 1")
        if not 0 < self.intensity_scale < math.inf:
            raise ValueError(f"intensity_scale is {self.intensity_scale}, expected a number above 0")


@dataclass(frozen=True)
class Mmdet3dConfig(CheckpointConfig):
    """Keys of config.yaml for `detector: mmdet3d`: a checkpoint, and that of roadside units."""

    infrastructure: CheckpointConfig | None = None  # None: the same as for vehicles


@dataclass(frozen=True, eq=False)
class FoundBoxes(Encoded):
    """What a checkpoint has found, in the frame that was encoded."""

    detections: Detections


class Mmdet3dDetector(Detector):
    """Boxes of checkpoints of mmdet3d; it has no features that agents could share."""

    Config = Mmdet3dConfig
    config: Mmdet3dConfig

    def __init__(self, name: str, config: Mmdet3dConfig, network: nn.Module, **identity: Any) -> None:
        """Load the checkpoints; `identity` are the keyword arguments of `Detector`.

        Raises:
            CosenseError: mmdet3d is not installed, or a configuration or a checkpoint cannot be used.
        """
        super().__init__(name, config, network, **identity)
        vehicle = Checkpoint(config, self.device)
        unit = config.infrastructure
        self.checkpoints = {
            "vehicle": vehicle,
            "infrastructure": vehicle if unit is None else Checkpoint(unit, self.device),
        }
        hashes = [self.checkpoints[kind].sha256 for kind in ("vehicle", "infrastructure")]
        self.weights_sha256 = hashlib.sha256("".join(hashes).encode()).hexdigest()
        self.fingerprint = bytes.fromhex(self.weights_sha256)[:8]

    @classmethod
    def build(cls, config: Mmdet3dConfig, seed: int) -> nn.Module:
        """Return an empty module: what there is to know is in the checkpoints."""
        return nn.Module()

    def detect(self, frame: AgentFrame) -> Detections:
        """Return the objects around an agent, in the frame that is given; see `encode` for a levelled one."""
        if isinstance(frame, LevelFrame):
            return self.encode(frame).detections
        return self.checkpoints[frame.kind].found(frame.points)

    def encode(self, frame: AgentFrame) -> FoundBoxes:
        """Return the boxes of a frame; one that is levelled is seen as its sensor has measured it."""
        if not isinstance(frame, LevelFrame):
            return FoundBoxes(self.detect(frame))
        T_sensor_level = frame.T_sensor_level
        points = frame.points.copy()
        points[:, :3] = frame.points[:, :3] @ T_sensor_level[:3, :3].T.astype(np.float32)
        found = self.checkpoints[frame.kind].found(points)
        return FoundBoxes(found.transformed(invert(T_sensor_level)))

    def decode(self, encoded: Encoded) -> Detections:
        assert isinstance(encoded, FoundBoxes)
        return encoded.detections


class Checkpoint:
    """A network of mmdet3d with its weights.

    Attributes:
        model: as mmdet3d builds it.
        convention: of its boxes.
        sha256: hash of the weights, the configuration and the keys, wherever their files are.
    """

    def __init__(self, settings: CheckpointConfig, device: torch.device) -> None:
        library()
        self._settings = settings
        path = settings.checkpoint.expanduser()
        config = _read_config(settings.config)
        state, meta, weights = _read_checkpoint(path)
        self.convention = convention_of(meta, settings.boxes, path)
        keys = [settings.classes, settings.score_threshold, settings.intensity_scale, self.convention]
        told = json.dumps([keys, config.to_dict()], default=str)
        self.sha256 = hashlib.sha256(told.encode() + weights).hexdigest()
        self.model = _built(config, settings, state, device)
        self._labels = _labels(_class_names(meta, config, settings), settings)
        self._prepare, self._columns = _pipeline(config, settings)
        self._box_type = box_type(self.convention)

    def found(self, points: NDArray[np.float32]) -> Detections:
        """Return the objects in a cloud (N,4), in its frame, best first, with source EGO."""
        if not len(points):
            return Detections.empty()
        given = np.zeros((len(points), self._columns), np.float32)
        given[:, :4] = points[:, : self._columns][:, :4]
        given[:, 3] *= self._settings.intensity_scale
        mode = import_module("mmdet3d.structures").Box3DMode.LIDAR
        data = {"points": given, "timestamp": 1, "axis_align_matrix": np.eye(4), "box_mode_3d": mode}
        collated = import_module("mmengine.dataset").pseudo_collate(
            [self._prepare({**data, "box_type_3d": self._box_type})]
        )
        with torch.no_grad():
            (result,) = self.model.test_step(collated)
        made = result.pred_instances_3d
        boxes = boxes_of(made.bboxes_3d.tensor.cpu().double().numpy(), self.convention)
        scores = made.scores_3d.detach().cpu().float().numpy()
        labels = self._labels[made.labels_3d.cpu().numpy()]
        kept = np.flatnonzero((labels >= 0) & (scores >= self._settings.score_threshold))
        kept = kept[np.argsort(-scores[kept], kind="stable")]
        sources = np.full(len(kept), Source.EGO, dtype=np.uint8)
        return Detections(boxes[kept], scores[kept], labels[kept], sources)


def boxes_of(rows: NDArray[np.float64], convention: Convention) -> Boxes:
    """Return boxes (M,7) of rows (M,>=7) as mmdet3d has them, in the axes of a LiDAR."""
    x, y, foot, a, b, height, yaw = rows[:, :7].T
    length, width = (a, b) if convention == "1.x" else (b, a)
    heading = yaw if convention == "1.x" else -yaw - np.pi / 2
    return np.column_stack([x, y, foot + height / 2, length, width, height, wrap_angle(heading)])


def box_type(convention: Convention) -> Any:
    """Return mmdet3d's class of boxes in the axes of a LiDAR, which says how they lie when seen from above.

    mmdet3d suppresses overlaps among boxes that turn by +yaw; those of 0.x turn by -yaw.
    """
    of_today = import_module("mmdet3d.structures").LiDARInstance3DBoxes
    return of_today if convention == "1.x" else _mirrored(of_today)


@cache
def _mirrored(of_today: Any) -> Any:
    class BoxesBefore1(of_today):
        @property
        def bev(self) -> torch.Tensor:
            x, y, width, length, yaw = super().bev.unbind(dim=1)
            return torch.stack([x, y, width, length, -yaw], dim=1)

    return BoxesBefore1


def convention_of(meta: Mapping[str, Any], said: str, path: Path) -> Convention:
    """Return the convention of a checkpoint's boxes.

    Args:
        meta: what the checkpoint says of itself.
        said: value of `boxes:`.
        path: of the checkpoint, for errors.

    Raises:
        CosenseError: neither says it, or they contradict each other.
    """
    version = str(meta.get("mmdet3d_version", ""))
    told: Convention | None = None
    if version or "mmengine_version" in meta:
        told = "0.x" if version.startswith("0.") else "1.x"
    if said == "auto":
        if told is None:
            raise CosenseError(
                f"{path}: does not say which mmdet3d it is from, and boxes before 1.0.0rc0 have other axes; "
                "add 'boxes: 0.x' or 'boxes: 1.x' to its keys"
            )
        return told
    if told is not None and told != said:
        found = version or "1.1 or later"
        raise CosenseError(f"{path}: is from mmdet3d {found}, which 'boxes: {said}' contradicts")
    return "0.x" if said == "0.x" else "1.x"


@cache
def library() -> None:
    """Import mmdet3d with all that it can build.

    Raises:
        CosenseError: it is not installed, or cannot be imported.
    """
    try:
        import_module("mmcv")
        provide()
        if find_spec("spconv") is not None:
            load_spconv()  # Its layers are wrong on processors until they are cured.
        import_module("mmdet3d.utils").register_all_modules(init_default_scope=False)
    except ModuleNotFoundError as error:
        raise CosenseError(
            f"detectors of mmdet3d need {error.name}, which is not installed: make mmdet3d, see "
            "docs/mmdet3d.md"
        ) from None
    except (ImportError, AssertionError, OSError) as error:
        raise CosenseError(f"mmdet3d cannot be imported: {error}; make mmdet3d installs what fits") from error
    # Silent about every model that it builds.
    logging.getLogger("mmengine").setLevel(logging.ERROR)


def _read_config(name: Path) -> Any:
    """Return the configuration in a file, or of a name below those that mmdet3d ships."""
    mmdet3d = Path(str(import_module("mmdet3d").__file__)).parent
    for path in (name.expanduser(), mmdet3d / ".mim" / "configs" / name):
        if path.is_file():
            break
    else:
        raise CosenseError(f"config: {name}: no such file, nor one below mmdet3d's own configurations")
    try:
        config = import_module("mmengine.config").Config.fromfile(str(path))
    except Exception as error:
        raise CosenseError(f"{path}: not readable as a configuration of mmdet3d: {error}") from error
    if "test_dataloader" not in config or "model" not in config:
        raise CosenseError(
            f"{path}: has no 'test_dataloader' or no 'model'; configurations before mmdet3d 1.1 cannot be "
            "built by today's, write it anew after one of .mim/configs"
        )
    return config


def _read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Return weights by name, what the file says of itself, and its bytes."""
    try:
        data = path.read_bytes()
    except OSError as error:
        there = " there or beside the file that names it" if isinstance(error, FileNotFoundError) else ""
        raise CosenseError(f"checkpoint: {path}: {error.strerror}{there}") from None
    try:
        # Checkpoints hold more than tensors, histories and configurations of their training.
        stored = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:
        raise CosenseError(f"checkpoint: {path}: not readable by torch.load: {error}") from error
    if not isinstance(stored, dict):
        raise CosenseError(f"checkpoint: {path}: holds a {type(stored).__name__}, expected a dictionary")
    state = stored.get("state_dict", stored)
    named = {str(name).removeprefix("module."): value for name, value in state.items()}
    return named, dict(stored.get("meta") or {}), data


def _built(config: Any, settings: CheckpointConfig, state: dict[str, Any], device: torch.device) -> Any:
    """Return the network of a configuration, filled."""
    try:
        model = import_module("mmdet3d.apis").init_model(config, None, device=str(device))
    except Exception as error:
        raise CosenseError(f"config: {settings.config}: mmdet3d cannot build it: {error}") from error
    try:
        missing = list(model.load_state_dict(state, strict=False).missing_keys)
    except RuntimeError as error:
        raise CosenseError(f"checkpoint: {settings.checkpoint}: of another network: {error}") from None
    if missing:
        raise CosenseError(
            f"checkpoint: {settings.checkpoint}: has no '{missing[0]}' ({len(missing)} missing), which "
            f"{settings.config} asks for; they do not belong together"
        )
    return model


def _class_names(meta: Mapping[str, Any], config: Any, settings: CheckpointConfig) -> list[str]:
    """Return the classes of a checkpoint, in the order of its labels."""
    of_dataset = meta.get("dataset_meta") or {}
    for names in (
        of_dataset.get("classes"),
        of_dataset.get("CLASSES"),
        meta.get("CLASSES"),
        config.get("class_names"),
        (config.get("metainfo") or {}).get("classes"),
    ):
        if names:
            return [str(name) for name in names]
    raise CosenseError(
        f"{settings.checkpoint}: neither it nor {settings.config} says what its classes are; add "
        "class_names = [...] to the configuration"
    )


def _labels(names: list[str], settings: CheckpointConfig) -> NDArray[np.int64]:
    """Return the label here of each class of the checkpoint, -1 for those that are dropped."""
    labels = np.full(len(names), -1, dtype=np.int64)
    for name, kind in settings.classes.items():
        if name not in names:
            raise CosenseError(
                f"classes: {name}: {settings.checkpoint} has no such class, {nearest(name, names)}"
            )
        detected = detected_class(ObjectClass[kind.upper()])
        assert detected is not None
        labels[names.index(name)] = DETECTED_CLASSES[detected]
    return labels


def _pipeline(config: Any, settings: CheckpointConfig) -> tuple[Any, int]:
    """Return what prepares a cloud, and how many numbers of a point are wanted."""
    dataset = config.test_dataloader.dataset
    steps = deepcopy(dataset.pipeline)
    if "LoadPointsFromFile" not in str(steps[0].type):
        raise CosenseError(
            f"config: {settings.config}: does not begin with a cloud, but with {steps[0].type}"
        )
    steps[0].type = "LoadPointsFromDict"
    if dataset.get("box_type_3d", "LiDAR") != "LiDAR":
        raise CosenseError(
            f"config: {settings.config}: has boxes in the axes of a {dataset.box_type_3d}, expected LiDAR"
        )
    compose = import_module("mmengine.dataset").Compose(steps)
    return compose, max(4, int(steps[0].get("load_dim", 4)))
