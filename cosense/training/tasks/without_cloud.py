"""Training of what a detector with cameras makes of images alone, on images of single agents.

All other parts stay as they are, bit for bit: neck and head, so that whatever takes the features of clouds
takes these, and the pretrained encoder. What is learned begins as the parts of the detector that do the same:
its pyramid, and its backbone. Losses: those of `training.targets`, and a cross entropy of the distances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from cosense.detectors.camera.without_cloud import WithoutCloud
from cosense.detectors.camera_pillars import CameraPillarDetector, CameraPillarNetwork, CameraPillarsConfig
from cosense.errors import CosenseError
from cosense.geometry.boxes import Boxes
from cosense.model_folders import CONFIG, WEIGHTS, fill, find_model, read_weights, write_weights
from cosense.training.camera_examples import CameraBatch, join_examples
from cosense.training.detector_task import DetectorTask
from cosense.training.detector_validation import figures
from cosense.training.image_examples import ImageExamples, ImageRunConfig
from cosense.training.samples import Sample
from cosense.training.targets import detection_losses
from cosense.training.tasks.camera_pillars import distance_loss, in_view

_PART = "without_cloud"
# Validation: objects and boxes between these distances.
_JUDGED_M = (10.0, 60.0)


class WithoutCloudTask(DetectorTask):
    """The part of a detector with cameras that sees without a cloud, and its losses."""

    Config = ImageRunConfig
    config: ImageRunConfig
    settings: CameraPillarsConfig
    network: CameraPillarNetwork

    def __init__(self, config: ImageRunConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.figures_mean = (
            "AP: bird's-eye IoU 0.3 and 0.5, what images show between "
            f"{_JUDGED_M[0]:g} and {_JUDGED_M[1]:g} m of which the cloud has at least {config.seen_points} "
            "points, validation data; the detector has no points."
        )

    def network_of(self, seed: int) -> CameraPillarNetwork:
        """Return the network as training begins.

        Raises:
            CosenseError: the model has no such part, or that to start from other layers.
        """
        if self.settings.without_cloud is None:
            raise CosenseError(f"model {self.config.model}: has no key '{_PART}' in its config.yaml; add it")
        network = CameraPillarDetector.build(self.settings, seed)
        part = network.without_cloud
        assert part is not None
        folder = find_model(self.config.start_from)
        given = {n: t for n, t in read_weights(folder)[0].items() if not n.startswith(_PART)}
        network.without_cloud = None
        fill(network, given, folder)
        part.images.pyramid.load_state_dict(network.images.pyramid.state_dict())
        part.backbone.load_state_dict(network.backbone.state_dict())
        network.without_cloud = part
        return network

    def frozen(self) -> list[nn.Module]:
        return [part for name, part in self.network.named_children() if name != _PART]

    @property
    def part(self) -> WithoutCloud:
        """What is learned."""
        assert self.network.without_cloud is not None
        return self.network.without_cloud

    def augmented(self) -> Dataset[Any]:
        return ImageExamples(self.samples, self.settings, self.config)

    @property
    def join(self) -> Callable[[list[Any]], Any]:
        return join_examples

    def losses(self, batch: CameraBatch) -> dict[str, Tensor]:  # type: ignore[override]
        views = batch.views.to(self.device)
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32):
            images = self.part.images(views.stages)
            maps = self.network.decide(self.part(views, images, batch.pillars.shape, self.dtype))
        found = detection_losses(maps, batch.targets.to(self.device))
        distances = distance_loss(images.depth_logits, batch.steps.to(self.device))
        total = found.total + self.config.distance_weight * distances
        return {"loss": total, "heat": found.heat, "boxes": found.boxes, "distances": distances}

    def validate(self) -> dict[str, float]:
        """Return figures of the unseen images without their clouds."""
        detector, blind = self.detector(), _blind(self.unseen)
        return figures(detector, self.unseen, self.config.seen_points, blind, _in_view_and_near)

    def export(self, out: Path, command: str) -> None:
        """Write weights and configuration; what scores of boxes from clouds are worth stays as it was."""
        write_weights(self.network, out / WEIGHTS)
        (out / CONFIG).write_text(yaml.safe_dump(self.model.to_mapping(), sort_keys=False))

    def summary(self) -> str:
        learned = sum(parameter.numel() for parameter in self.part.parameters())
        return (
            f"What {self.config.start_from} makes of images without a cloud, {learned / 1e6:.2f} million "
            "parameters; the others are as they were."
        )


def _blind(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples without their points."""
    nothing = np.zeros(0, np.int16)
    return [replace(s, stored=s.stored[:0], owner=nothing, rings=None) for s in samples]


def _in_view_and_near(sample: Sample, boxes: Boxes) -> NDArray[np.bool_]:
    """Return (M,) which boxes an image of a sample shows, neither too near nor too far."""
    distance_m = np.hypot(boxes[:, 0], boxes[:, 1])
    return in_view(sample, boxes) & (distance_m >= _JUDGED_M[0]) & (distance_m < _JUDGED_M[1])
