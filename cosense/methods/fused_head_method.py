"""Methods whose receiver has a fused head: the boxes of all sources compete by calibrated scores.

What is fused is the method's own business; here is what such methods have in common: which messages take
part, boxes drawn for the head, and all sources brought to one scale.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch

from cosense.detectors.base import BevFeatures, Encoded
from cosense.detectors.head import HeadMaps
from cosense.geometry.iou import bev_iou
from cosense.methods.base import Admitted, Method, marked, scaled
from cosense.methods.cells import Cells, cell_places
from cosense.methods.fused_head import BoxMaps, draw_boxes
from cosense.sensing.detections import Detections, Source

# A fused box that overlaps another one more than this is of the same object.
_SAME_OBJECT_IOU = 0.15


class FusedHeadMethod(Method):
    """Boxes of one object are averaged over all sources.

    Attributes:
        only_adds: whether hybrid fusion takes of the fused head only what no other box is of, so that all
            boxes of late fusion stay as they are.
    """

    averages_boxes: ClassVar[bool] = True
    only_adds: ClassVar[bool] = False

    @abstractmethod
    def fused_maps(self, own: BevFeatures, precise: Sequence[Admitted], boxes: BoxMaps) -> HeadMaps:
        """Return what the fused head says (B = 1); runs in inference mode.

        Args:
            own: the ego's encoding.
            precise: messages whose features may be placed to a cell, at least one.
            boxes: those of these messages, drawn into maps.
        """

    def fuse(
        self, own: Encoded, detections: Detections, admitted: Sequence[Admitted], *, with_boxes: bool
    ) -> Detections:
        """Return the boxes of the fused head and, in hybrid fusion, those of the ego and of all others."""
        assert isinstance(own, BevFeatures)
        calibrate = self.calibration.apply
        precise = [other for other in admitted if other.is_precise]
        if not with_boxes:
            has_features = any(other.use == "features" for other in precise)
            return calibrate(self._fused_head(own, precise, []) if has_features else detections)
        parts = [calibrate(detections), *(calibrate(other.boxes, other.worth) for other in admitted)]
        if precise:
            drawn = [scaled(other.boxes, other.reliability) for other in precise]
            fused = calibrate(self._fused_head(own, precise, drawn))
            parts.append(not_among(parts, fused) if self.only_adds else fused)
        return Detections.concatenate(parts)

    def _fused_head(
        self, own: BevFeatures, precise: Sequence[Admitted], boxes: Sequence[Detections]
    ) -> Detections:
        """Return what the fused head finds, with the boxes of others drawn into its input."""
        detector = self.detector
        drawn = draw_boxes(boxes, own.ground, own.grid.coarser(2)).to(detector.device)
        with torch.inference_mode():
            maps = self.fused_maps(own, precise, drawn)
        fused = replace(own, class_logits=maps.class_logits[0], box_codes=maps.box_codes[0])
        return marked(detector.decode(fused), Source.FUSED)

    def in_detector_dtype(self) -> torch.autocast:
        """Return a context in which convolutions run in the detector's own dtype."""
        device, dtype = self.detector.device.type, self.detector.dtype
        return torch.autocast(device, dtype=dtype, enabled=dtype != torch.float32)

    def received_cells(self, other: Admitted, layer: int) -> Cells:
        """Return what a sender sent of one layer, moved to the ego's time, in the ego frame."""
        device, spec = self.detector.device, self.specs[layer]
        if other.use != "features" or not len(other.layers[layer].cells):
            return Cells(torch.zeros(0, spec.channels), torch.zeros(0, 2)).to(device)
        received = other.layers[layer]
        grid = self.detector.grid.coarser(spec.stride)
        shifts = other.cell_shifts(received.cells, grid) @ other.T_ego_sender[:2, :2].T
        places = cell_places(torch.from_numpy(received.cells), grid, other.T_ego_sender)
        return Cells(
            torch.from_numpy(received.values.astype(np.float32)), places + torch.from_numpy(shifts).float()
        ).to(device)


def not_among(known: Sequence[Detections], fused: Detections) -> Detections:
    """Return the fused boxes that overlap no box of what is known already."""
    overlap = bev_iou(fused.boxes, Detections.concatenate(list(known)).boxes)
    return fused[np.all(overlap <= _SAME_OBJECT_IOU, axis=1)]
