"""The ego's side of feature sharing: one frame of messages to boxes, and what to ask for next.

Features of all senders that the gate admits are fused in the ego's map. In hybrid fusion the boxes that the
fused head finds, the ego's own and those of all others are then merged: they compete by calibrated scores,
those of others lowered by how likely they still lie where they say. Without any usable message the result is
the ego's own boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from cosense.cooperation.gate import GateSettings
from cosense.cooperation.hybrid import merge_averaged
from cosense.cooperation.late import merge
from cosense.cooperation.received import Received, receive_features
from cosense.cooperation.receiver import FusionResult, FusionSettings, without_ego_body
from cosense.detectors.box_maps import middle_cells
from cosense.detectors.features import BevFeatures
from cosense.geometry.transforms import invert, yaw_of
from cosense.messages.chunks import ReceivedLayer
from cosense.messages.demand import MAX_DEMAND_BYTES, DemandMap, encode_demand
from cosense.messages.envelope import (
    MAX_PAYLOAD_BYTES,
    MessageError,
    PayloadKind,
    decode,
    encode,
    envelope_bytes,
)
from cosense.messages.objects import decode_objects
from cosense.methods.cosdh.codec import LevelEncoder
from cosense.methods.cosdh.levels import fuse_maps, warp_levels
from cosense.methods.models import CooperativeDetector
from cosense.methods.patches.encoder import FLOOR_STRIDE, PATCH_STRIDE
from cosense.methods.patches.evidence import Cells, strongest
from cosense.methods.patches.placement import cell_places, draw_boxes
from cosense.scene_graph.correction.pose_correction import Place, as_sent
from cosense.sensing.detections import Detections, Source
from cosense.sensing.grid import BevGrid


class FeatureReceiver:
    """One ego; call `fuse` once a frame, in the order of time.

    Attributes:
        settings: how boxes are merged; may be set at any time.
        gate: what a message may do; may be set at any time.
    """

    def __init__(
        self,
        detector: CooperativeDetector,
        *,
        with_boxes: bool = True,
        settings: FusionSettings | None = None,
        gate: GateSettings | None = None,
    ) -> None:
        """Start.

        Args:
            detector: of the ego; others take part with features if theirs is the same.
            with_boxes: hybrid fusion; without it the boxes of others are not merged (intermediate).
            settings: how boxes are merged.
            gate: what a message may do.
        """
        self._detector = detector
        self._with_boxes = with_boxes
        self.settings = settings or FusionSettings()
        self.gate = gate or GateSettings()
        self._received: list[Received] = []

    def fuse(
        self,
        ego_message: bytes,
        features: BevFeatures,
        messages: Sequence[bytes],
        place: Place = as_sent,
    ) -> FusionResult:
        """Fuse one frame.

        Args:
            ego_message: the ego's own OBJECTS message.
            features: of the ego's own cloud.
            messages: FEATURES or OBJECTS of the others, as they came. What cannot be used becomes a report.
            place: says where each sender is.

        Returns:
            detections in the ego frame, with calibrated scores, and a report for each message.

        Raises:
            MessageError: the ego's own message is broken.
        """
        ego = decode(ego_message)
        if ego.kind != PayloadKind.OBJECTS:
            raise MessageError(f"the ego's own message carries {ego.kind.name}, expected OBJECTS")
        received, reports = receive_features(
            messages,
            ego,
            self._detector.sharing.specs,
            features.grid.shape,
            self.gate,
            self.settings.max_senders,
            place,
        )
        self._received = received
        return FusionResult(self.fuse_received(ego_message, features, received), reports)

    def fuse_received(
        self, ego_message: bytes, features: BevFeatures, received: Sequence[Received]
    ) -> Detections:
        """Return the boxes in the ego frame, from messages that were read and judged already; see `fuse`."""
        own = decode_objects(decode(ego_message).payload)
        as_published = isinstance(self._detector.sharing, LevelEncoder)
        fuse, one_per_object = (
            (self._fuse_levels, merge) if as_published else (self._fuse_evidence, merge_averaged)
        )
        found = without_ego_body(Detections.concatenate(fuse(own, features, received)))
        return one_per_object(found, self.settings.nms_iou)

    def demands(self, ego_message: bytes, features: BevFeatures) -> dict[str, bytes]:
        """Return the DEMAND messages for the next frame, by addressee.

        One for everybody ("") as long as there is at most one sender. Several senders are each told what is
        still missing: what the ego cannot see, without the cells in which another one, who is nearer, has
        just told of an object.
        """
        ego = decode(ego_message)
        stride, wanted = self._detector.sharing.demand(features)
        grid = features.grid.coarser(stride)
        maps = {"": wanted.cpu().numpy()}
        if len(self._received) > 1:
            maps = {other.sender: maps[""] & ~self._told_by_nearer(other, grid) for other in self._received}
        room = MAX_PAYLOAD_BYTES if stride < PATCH_STRIDE else MAX_DEMAND_BYTES - envelope_bytes(ego.sender)
        return {
            addressee: encode(
                replace(
                    ego,
                    kind=PayloadKind.DEMAND,
                    payload=encode_demand(
                        DemandMap(addressee, ego.stamp_ns, ego.T_world_agent, grid, cells), room
                    ),
                )
            )
            for addressee, cells in maps.items()
        }

    def _told_by_nearer(self, sender: Received, grid: BevGrid) -> NDArray[np.bool_]:
        """Return (H,W): the cells with a box of another sender who is nearer to it than this one."""
        told = np.zeros(grid.shape, dtype=np.bool_)
        for other in self._received:
            if other.sender == sender.sender:
                continue
            places = other.boxes.boxes[:, :2]
            nearer = np.linalg.norm(places - other.T_ego_sender[:2, 3], axis=1) < np.linalg.norm(
                places - sender.T_ego_sender[:2, 3], axis=1
            )
            cells, inside = middle_cells(other.boxes.boxes, grid)
            told[tuple(cells[inside & nearer].T)] = True
        return told

    def _fuse_evidence(
        self, own: Detections, features: BevFeatures, received: Sequence[Received]
    ) -> list[Detections]:
        """Return the boxes of the fused head and those of the others, by the product profile."""
        calibrate = self._detector.calibration.apply
        precise = [other for other in received if other.is_precise]
        if not self._with_boxes:
            has_features = any(other.use == "features" for other in precise)
            return [calibrate(self._fused_head(features, precise) if has_features else own)]
        parts = [calibrate(own), *(calibrate(other.boxes, other.reliability) for other in received)]
        return [*parts, calibrate(self._fused_head(features, precise))] if precise else parts

    def _fused_head(self, features: BevFeatures, precise: Sequence[Received]) -> Detections:
        detector, grid = self._detector, features.grid
        network = detector.fusion
        assert network is not None
        with torch.inference_mode():
            evidence = strongest(
                [
                    network.evidence_of(
                        self._cells(other, 0, PATCH_STRIDE),
                        self._cells(other, 1, FLOOR_STRIDE),
                        yaw_of(other.T_ego_sender),
                        grid.coarser(PATCH_STRIDE),
                    )
                    for other in precise
                ]
            )
            told = [scaled(other.boxes, other.reliability) for other in precise if self._with_boxes]
            drawn = draw_boxes(told, features.ground_m, grid.coarser(2)).to(detector.device)
            with torch.autocast(
                detector.device.type, dtype=detector.dtype, enabled=detector.dtype != torch.float32
            ):
                maps = network(
                    features.context[None].float(),
                    features.class_logits[None],
                    features.box_codes[None],
                    evidence[None],
                    drawn,
                )
        fused = detector.decode(
            replace(features, class_logits=maps.class_logits[0], box_codes=maps.box_codes[0])
        )
        return replace(fused, sources=np.full(len(fused), Source.FUSED, dtype=np.uint8))

    def _cells(self, other: Received, layer: int, stride: int) -> Cells:
        """Return what a sender has sent of one layer, where it belongs by now."""
        channels = self._detector.sharing.specs[layer].channels
        if other.use != "features" or not len(other.layers[layer].cells):
            return Cells(torch.zeros(0, channels), torch.zeros(0, 2)).to(self._detector.device)
        received = other.layers[layer]
        grid = self._detector.grid.coarser(stride)
        shifts = other.cell_shifts(received.cells, grid) @ other.T_ego_sender[:2, :2].T
        places = cell_places(torch.from_numpy(received.cells), grid, other.T_ego_sender)
        return Cells(
            torch.from_numpy(received.values.astype(np.float32)), places + torch.from_numpy(shifts).float()
        ).to(self._detector.device)

    def _fuse_levels(
        self, own: Detections, features: BevFeatures, received: Sequence[Received]
    ) -> list[Detections]:
        """Return the boxes of the fused levels and those of the others, as CoSDH does."""
        detector = self._detector
        config = detector.config.cosdh
        assert config is not None
        senders = [other for other in received if other.use == "features"]
        parts = [own]
        if senders:
            fused = detector.decode(self._fused_levels(features, senders))
            parts = [replace(fused, sources=np.full(len(fused), Source.FUSED, dtype=np.uint8))]
        for other in received if self._with_boxes else ():
            sure = other.boxes[other.boxes.scores >= config.late_score_threshold]
            parts.append(scaled(sure, np.full(len(sure), config.late_score_factor)))
        return parts

    def _fused_levels(self, features: BevFeatures, senders: Sequence[Received]) -> BevFeatures:
        detector = self._detector
        sharing, config = detector.sharing, detector.config.cosdh
        assert isinstance(sharing, LevelEncoder)
        assert config is not None
        with torch.inference_mode():
            own = sharing.own_levels([level.float() for level in features.levels])
            others = [self._decoded_levels(other) for other in senders]
            fused = [
                fuse_maps(level, [levels[index] for levels in others], config.fusion).to(detector.dtype)
                for index, level in enumerate(own)
            ]
        return detector.decide(fused, features.point_counts, features.ground_m)

    def _decoded_levels(self, other: Received) -> list[torch.Tensor]:
        """Return the levels of one sender, decoded from the cells that it has sent, in the ego's map."""
        detector = self._detector
        latents, masks = [], []
        for level, received in enumerate(other.layers):
            grid = detector.grid.coarser(2 ** (level + 1))
            latent, mask = _map_of(received, detector.sharing.specs[level].channels, grid.shape)
            latents.append(latent[None].to(detector.device))
            masks.append(mask.to(detector.device))
        assert isinstance(detector.sharing, LevelEncoder)
        levels = detector.sharing.decode_sent(latents, masks)
        return warp_levels(levels, detector.grid, invert(other.T_ego_sender))


def scaled(detections: Detections, factors: NDArray[np.float64]) -> Detections:
    """Return the detections with their scores multiplied by factors (M,)."""
    scores = (detections.scores * factors).astype(np.float32)
    return replace(detections, scores=scores)


def _map_of(
    received: ReceivedLayer, channels: int, shape: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (C,H,W) with the received cells in their places, zeros elsewhere, and (H,W) which they are."""
    cells = torch.from_numpy(received.cells)
    mask = torch.zeros(shape[0] * shape[1])
    mask[cells] = 1.0
    latent = torch.zeros(channels, shape[0] * shape[1])
    latent[:, cells] = torch.from_numpy(received.values.astype(np.float32)).T
    return latent.view(channels, *shape), mask.view(shape)
