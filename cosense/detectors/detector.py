"""From a point cloud to boxes: the one way in which everything else uses a network."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cosense.config import load_config
from cosense.detectors.config import DETECTED_CLASSES, ModelConfig
from cosense.detectors.features import BevFeatures
from cosense.detectors.head import cell_centers, decode_boxes, find_peaks
from cosense.detectors.models import find_model, fingerprint, read_network
from cosense.detectors.network import PillarNetwork, inference_dtype, usable_device
from cosense.detectors.pillars import Pillars, group_points
from cosense.errors import CosenseError
from cosense.geometry.nms import rotated_nms
from cosense.sensing.detections import Detections, Source
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import ground_height
from cosense.sensing.objects import ObjectClass

# Classes that suppress each other: somebody is on foot or on a bicycle, but may well stand beside a car.
_RIVALS = ((ObjectClass.CAR,), (ObjectClass.PEDESTRIAN, ObjectClass.CYCLIST))


class Detector:
    """A network with its configuration and identity; made by `load_detector`, or directly for untrained nets.

    Attributes:
        name: of the model.
        config: as in config.yaml.
        grid: of the pillars, in the agent frame.
        fingerprint: 8 bytes; detectors that differ in it never exchange features.
        weights_sha256: of the weights file, in hexadecimal.
        device: where the network runs.
        dtype: of the convolutions, chosen once (see `inference_dtype`).
        network: as it runs, with batch norms folded.
    """

    def __init__(
        self,
        name: str,
        config: ModelConfig,
        network: PillarNetwork,
        *,
        fingerprint: bytes = bytes(8),
        weights_sha256: str = "",
        device: str = "cpu",
    ) -> None:
        self.name = name
        self.config = config
        self.grid = config.grid
        self.fingerprint = fingerprint
        self.weights_sha256 = weights_sha256
        self.device = usable_device(device)
        self.dtype = inference_dtype(config, self.device)
        self.network = network.to(self.device).prepare_for_inference(self.dtype)

    def detect(self, points: NDArray[np.float32]) -> Detections:
        """Return what stands around the sensor, boxes in the agent frame.

        Args:
            points: (N,4) x, y, z in metres in the agent frame, intensity in [0, 1]; N may be 0.

        Raises:
            CosenseError: another shape, or coordinates that are not finite.
        """
        return self.decode(self.encode(points))

    def encode(self, points: NDArray[np.float32]) -> BevFeatures:
        """Return the maps of a cloud (N,4); see `detect`."""
        with torch.inference_mode():
            pillars, ground_m = self.group(points)
            return self.infer(pillars, ground_m)

    def group(self, points: NDArray[np.float32]) -> tuple[Pillars, float]:
        """Return the pillars of a cloud (N,4), heights counted from the ground, and z of the ground."""
        cloud = _checked(points)
        ground_m = ground_height(cloud)
        moved = torch.from_numpy(cloud).to(self.device) - torch.tensor(
            [0, 0, ground_m, 0], device=self.device
        )
        return group_points(moved, height_grid(self.config)), ground_m

    def infer(self, pillars: Pillars, ground_m: float) -> BevFeatures:
        """Run the network over grouped points."""
        with torch.inference_mode():
            levels = tuple(level[0] for level in self.network.encode(pillars))
            return self.decide(levels, pillars.count_map()[0], ground_m)

    def decide(self, levels: Sequence[Tensor], point_counts: Tensor, ground_m: float) -> BevFeatures:
        """Run neck and head over levels, the cloud's own or fused ones; see `BevFeatures`."""
        with torch.inference_mode():
            context = self.network.neck([level[None] for level in levels])
            maps = self.network.head(context)
        return BevFeatures(
            levels=tuple(levels),
            context=context[0],
            class_logits=maps.class_logits[0],
            box_codes=maps.box_codes[0],
            point_counts=point_counts,
            grid=self.grid,
            ground_m=ground_m,
        )

    def decode(self, features: BevFeatures) -> Detections:
        """Return the boxes that the maps stand for: peaks, then non-maximum suppression."""
        with torch.inference_mode():
            scores, labels, cells = find_peaks(
                features.class_logits, self.config.max_detections, self.config.score_threshold
            )
            grid = self.grid.coarser(2)
            codes = features.box_codes.flatten(1).index_select(1, cells).T
            boxes = decode_boxes(codes, cell_centers(cells, grid), grid.cell_m)
        boxes_m = boxes.cpu().numpy().astype(np.float64)
        boxes_m[:, 2] += features.ground_m
        return _suppress(boxes_m, scores.cpu().numpy(), labels.cpu().numpy(), self.config.nms_iou)


def load_detector(name_or_folder: str | Path, device: str = "cpu") -> Detector:
    """Return a trained detector.

    Args:
        name_or_folder: a name below `models/`, or a path to such a folder.
        device: a torch device.

    Raises:
        CosenseError: unknown model, broken configuration, weights missing, broken or of another network,
            or a device that is not there.
    """
    folder = find_model(name_or_folder)
    config = load_config(ModelConfig, folder / "config.yaml")
    network, data = read_network(folder, config)
    return Detector(
        folder.resolve().name,
        config,
        network,
        fingerprint=fingerprint(config, data),
        weights_sha256=hashlib.sha256(data).hexdigest(),
        device=device,
    )


def height_grid(config: ModelConfig) -> BevGrid:
    """Return the grid of the pillars with z counted from the ground."""
    x_min, y_min, _, x_max, y_max, _ = config.range_m
    low, high = config.height_m
    return BevGrid((x_min, y_min, low, x_max, y_max, high), config.cell_m)


def _checked(points: NDArray[np.float32]) -> NDArray[np.float32]:
    if points.ndim != 2 or points.shape[1] != 4:
        raise CosenseError(f"a cloud of shape {points.shape} cannot be detected in, expected (N, 4)")
    # A sum over everything is the cheapest test: one NaN or infinity makes it so.
    if not np.isfinite(points.sum(dtype=np.float64)):
        bad = int(np.count_nonzero(~np.isfinite(points).all(axis=1)))
        raise CosenseError(f"{bad} of {len(points)} points are not finite; drop them before detection")
    return np.ascontiguousarray(points, dtype=np.float32)


def _suppress(
    boxes: NDArray[np.float64], scores: NDArray[np.float32], indices: NDArray[np.int64], iou: float
) -> Detections:
    """Return the boxes (M,7) of class indices (M,) that survive within their group, best first."""
    labels = np.array(DETECTED_CLASSES, dtype=np.int64)[indices]
    parts = []
    for group in _RIVALS:
        mine = np.flatnonzero(np.isin(labels, group))
        kept = mine[rotated_nms(boxes[mine], scores[mine], iou)]
        sources = np.full(len(kept), Source.EGO, dtype=np.uint8)
        parts.append(Detections(boxes[kept], scores[kept], labels[kept], sources))
    return Detections.concatenate(parts)
