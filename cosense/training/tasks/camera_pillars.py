"""Training of pillars that cameras help, on the clouds, images and labels of single agents.

It starts from a trained detector for the LiDAR alone and from a pretrained image encoder, which is not
learned further: its maps are kept (`training.image_features`). What a step sees, see
`training.camera_examples`.

Losses: those of `training.targets`; a cross entropy of the distances that the image encoder guesses, against
those that the whole cloud shows; and, where asked for, against what the detector for the LiDAR alone makes of
the whole cloud, with all of its beams ("LiDAR distillation", Wei et al., ECCV 2022): the squared difference
of the maps before the head about objects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from cosense.detectors.camera_pillars import CameraPillarDetector, CameraPillarNetwork, CameraPillarsConfig
from cosense.detectors.grouping import Pillars
from cosense.detectors.head import HeadMaps
from cosense.detectors.layers import folded
from cosense.detectors.lidar_detector import LidarDetector
from cosense.detectors.pillars import PillarNetwork
from cosense.errors import CosenseError, nearest
from cosense.geometry.boxes import Boxes
from cosense.methods.model import read_network
from cosense.model_folders import find_model, network_tensors
from cosense.sensing.beams.fewer import FewerBeams
from cosense.sensing.beams.table import BeamTable
from cosense.training.cached import Show, silent
from cosense.training.camera_examples import (
    CameraBatch,
    CameraExamples,
    CameraRunConfig,
    is_in_view,
    join_examples,
)
from cosense.training.detector_task import DetectorTask
from cosense.training.detector_validation import figures, fitted_curves
from cosense.training.image_features import OF_OBJECT, UNKNOWN, StoredFeatures
from cosense.training.samples import Sample
from cosense.training.targets import detection_losses

_ENCODER = "images.backbone"
# Cells that show an object are few beside those of ground and walls.
_OBJECT_WEIGHT = 4.0
# The teacher is heard where the hill of an object is at least so high.
_ABOUT_OBJECTS = 0.05
# A validation with as few beams as this says what images are worth.
_FEW_BEAMS = 8


class CameraPillarsTask(DetectorTask):
    """A pillar network with its images and its losses."""

    Config = CameraRunConfig
    config: CameraRunConfig
    settings: CameraPillarsConfig
    network: CameraPillarNetwork

    def __init__(self, config: CameraRunConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.features = StoredFeatures(self.settings.image, config.cache)
        self.figures_mean = (
            "AP: bird's-eye IoU 0.5 for vehicles by kind of agent, 0.3 for people, objects with at least "
            f"{config.min_points} points in the whole cloud, all ranges, validation data, of which vehicles "
            f'have all beams or {_FEW_BEAMS}; "in view": of what the agent\'s images show, with them and '
            "without."
        )

    def network_of(self, seed: int) -> CameraPillarNetwork:
        """Return the network as training begins.

        Raises:
            CosenseError: the model to start from has other layers.
        """
        # What images without a cloud become has a run of its own, after this one.
        self.settings = replace(self.settings, without_cloud=None)
        self.model = replace(self.model, detector=self.settings)
        network = CameraPillarDetector.build(self.settings, seed)
        start = find_model(self.config.start_from)
        given, own = network_tensors(read_network(start)), network_tensors(network)
        for name in given:
            if name not in own or own[name].shape != given[name].shape:
                raise CosenseError(
                    f"start_from {self.config.start_from}: '{name}' is {tuple(given[name].shape)}, which "
                    f"{self.config.model} has not; give both the same layers"
                )
        network.load_state_dict(given, strict=False)
        network.images.backbone.load_pretrained()
        return network

    def load(self, show: Show = silent) -> None:
        super().load(show)
        self.features.prepare(self.samples, show)

    def augmented(self) -> Dataset[Any]:
        return CameraExamples(self.samples, self.features, self.settings, self.config)

    @property
    def join(self) -> Callable[[list[Any]], Any]:
        return join_examples

    def losses(self, batch: CameraBatch) -> dict[str, Tensor]:  # type: ignore[override]
        targets = batch.targets.to(self.device)
        with self._autocast():
            maps, context, distances = self._maps(batch)
        found = detection_losses(maps, targets)
        parts = {"heat": found.heat, "boxes": found.boxes}
        total = found.total
        if distances is not None:
            parts["distances"] = distance_loss(distances, batch.steps.to(self.device))
            total = total + self.config.distance_weight * parts["distances"]
        if batch.whole is not None:
            parts["teacher"] = self._teacher_loss(batch.whole, context, targets.heat)
            total = total + self.config.teacher_weight * parts["teacher"]
        return {"loss": total, **parts}

    def _maps(self, batch: CameraBatch) -> tuple[HeadMaps, Tensor, Tensor | None]:
        """Return the maps of the head, the map before it, and logits of distances where there are images."""
        network, pillars = self.network, batch.pillars.to(self.device)
        distances = None
        if batch.views.of:
            views = batch.views.to(self.device)
            images = network.images(views.stages)
            levels = network.encode_with(pillars, views, images, self.dtype)
            distances = images.depth_logits
        else:
            levels = network.encode(pillars, self.dtype)
        context = network.neck(levels)
        return network.head(context), context, distances

    def _teacher_loss(self, whole: Pillars, context: Tensor, heat: Tensor) -> Tensor:
        """Return the mean squared difference to what the teacher makes of the whole clouds, about objects."""
        with torch.no_grad(), self._autocast():
            taught = self.teacher.neck(self.teacher.encode(whole.to(self.device), self.dtype))
        about = (heat.amax(dim=1, keepdim=True) > _ABOUT_OBJECTS).float()
        apart = (context.float() - taught.float()).square().mean(dim=1, keepdim=True)
        return (apart * about).sum() / about.sum().clamp(min=1)

    @cached_property
    def teacher(self) -> PillarNetwork:
        """The detector for the LiDAR alone, with all of its beams."""
        network = read_network(find_model(self.config.start_from))
        assert isinstance(network, PillarNetwork)
        return folded(network.to(self.device))

    def validate(self) -> dict[str, float]:
        """Return figures of the unseen clouds, and of these with few beams, in view, without images too."""
        detector, unseen = self.detector(), self.unseen
        few = [_with_beams(sample, _FEW_BEAMS) for sample in unseen]
        blind = [replace(sample, images=()) for sample in few]
        values = figures(detector, unseen, self.config.min_points)
        for name, shown in ((f"{_FEW_BEAMS} beams", few), (f"{_FEW_BEAMS} beams, no image", blind)):
            found = figures(detector, unseen, self.config.min_points, shown, in_view)
            values[f"ap50 in view, {name}"] = found["ap50 vehicle"]
        return values

    def curves(self, raw: LidarDetector) -> dict[str, tuple[float, float, float]]:
        """Return what scores are worth, over clouds with the numbers of beams that are learned from."""
        beams = self.config.beams
        shown = [_with_beams(sample, beams[index % len(beams)]) for index, sample in enumerate(self.unseen)]
        return fitted_curves(raw, self.unseen, self.config.min_points, shown)

    def summary(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        learned = sum(p.numel() for p in self.network.parameters() if p.requires_grad)
        return (
            f"Pillar detector with cameras, {parameters / 1e6:.2f} million parameters, of which "
            f"{learned / 1e6:.2f} were learned; from {self.config.start_from}, and from EfficientNet-Lite0 "
            "as ImageNet has taught it."
        )

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def frozen(self) -> list[nn.Module]:
        """Return the parts of the network that are not learned.

        Raises:
            CosenseError: there is none of a name.
        """
        parts = dict(self.network.named_modules())
        for name in self.config.frozen:
            if name not in parts:
                raise CosenseError(f"frozen: the network has no part '{name}', {nearest(name, parts)}")
        return [parts[name] for name in (_ENCODER, *self.config.frozen)]


def distance_loss(logits: Tensor, steps: Tensor) -> Tensor:
    """Return the mean cross entropy of distances (V,bins,H,W) in the cells whose step (V,H,W) is known."""
    is_object = (steps >= OF_OBJECT) & (steps != UNKNOWN)
    target = torch.where(steps == UNKNOWN, -1, torch.where(is_object, steps - OF_OBJECT, steps).long())
    each = functional.cross_entropy(logits.float(), target, ignore_index=-1, reduction="none")
    weight = torch.where(is_object, _OBJECT_WEIGHT, 1.0) * (target >= 0)
    return (weight * each).sum() / weight.sum().clamp(min=1)


def _with_beams(sample: Sample, count: int) -> Sample:
    """Return the sample of a vehicle with fewer beams."""
    if sample.kind != "vehicle":
        return sample
    table = BeamTable.of([(sample.points, sample.rings)])
    kept = FewerBeams(count).kept(sample.points, sample.rings, table)
    return replace(sample, stored=sample.stored[kept], owner=sample.owner[kept], rings=None)


def in_view(sample: Sample, boxes: Boxes) -> NDArray[np.bool_]:
    """Return (M,) which boxes one of the images of a sample shows."""
    inside = np.zeros(len(boxes), dtype=bool)
    for camera in sample.cameras:
        height, width = camera.image.shape[:2]
        inside |= is_in_view(boxes[:, :3], camera.K @ camera.T_camera_agent[:3], (height, width))
    return inside
