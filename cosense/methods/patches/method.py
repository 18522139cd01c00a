"""The product profile: as much as fits a hard byte budget, best first.

CoSDH (CVPR 2025) sends features where the sender is confident (supply) and the ego cannot see (demand): that
is where a box says it all. Deviations, which README.md explains: one latent at stride 4 over a coarse floor
(`encoder`), ranked by a learned value instead of thresholded: how much the loss at the receiver changes when
the patch is left out (the first-order term |dL/dg| of a gate g at 1, as in "Importance Estimation for Neural
Network Pruning", Molchanov et al., CVPR 2019), for cells that the ego wants and others, beside boxes and
without. At the receiver the patches become evidence from which a fused head decides
(`fusion_network`), and the boxes of all sources compete by calibrated scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from cosense.detectors.base import BevDetector, BevFeatures, Encoded, once
from cosense.detectors.head import HeadMaps
from cosense.geometry.transforms import yaw_of
from cosense.messages.chunks import Section
from cosense.methods.base import Admitted, RequestMap, Wanted, check_request_grid
from cosense.methods.calibration import IDENTITY, Calibration
from cosense.methods.fused_head import BoxMaps, head_maps_as_input
from cosense.methods.fused_head_method import FusedHeadMethod
from cosense.methods.patches.encoder import (
    FLOOR_STRIDE,
    PATCH_STRIDE,
    PatchEncoder,
    PatchesConfig,
    value_of,
)
from cosense.methods.patches.fusion_network import EvidenceFusion, strongest
from cosense.methods.selection.base import Candidates, rank_cells
from cosense.methods.supply_demand import supply_map, wanted_cells


class PatchesNetwork(nn.Module):
    """What is learned beside the detector: the sender's network and the receiver's."""

    def __init__(self, level_channels: Sequence[int], context_channels: int, config: PatchesConfig) -> None:
        super().__init__()
        self.sharing = PatchEncoder(level_channels, config)
        self.fusion = EvidenceFusion(context_channels, config)


class Patches(FusedHeadMethod):
    """Ranked patches over a coarse floor; boxes of one object are averaged."""

    Config = PatchesConfig
    config: PatchesConfig
    network: PatchesNetwork

    def __init__(
        self,
        config: PatchesConfig,
        detector: BevDetector,
        network: PatchesNetwork,
        calibration: Calibration = IDENTITY,
    ) -> None:
        super().__init__(config, detector, network, calibration)
        self.encoder, self.fusion = network.sharing, network.fusion
        self.specs = self.encoder.specs
        self._latents: WeakKeyDictionary[Encoded, tuple[Tensor, Tensor, Tensor]] = WeakKeyDictionary()

    @classmethod
    def build(cls, config: PatchesConfig, detector: BevDetector, seed: int) -> PatchesNetwork:
        """Return untrained networks; see `Method.build`."""
        check_request_grid(detector.grid)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return PatchesNetwork(detector.level_channels, detector.context_channels, config)

    def request(self, own: Encoded) -> RequestMap:
        """Ask for the cells at stride 8 with few points."""
        assert isinstance(own, BevFeatures)
        wanted = wanted_cells(own.point_counts, FLOOR_STRIDE, self.config.wanted_below_points)
        return RequestMap(own.grid.coarser(FLOOR_STRIDE), wanted.cpu().numpy())

    def offer(
        self, own: Encoded, wanted: Wanted, selection: str | None, seed: int, *, with_boxes: bool
    ) -> list[Section]:
        """Return the best patches, then the floor, then all other patches; see `Method.offer`."""
        assert isinstance(own, BevFeatures)
        patches, floor, value = (tensor.cpu() for tensor in self.latents(own))
        with torch.inference_mode():
            there = wanted(PATCH_STRIDE)
            candidates = Candidates(
                own,
                PATCH_STRIDE,
                supply=self.supply(own)[1].cpu(),
                wanted=there,
                value=value_of(value[0], there, with_boxes=with_boxes),
                least_supply=0.0,
                seed=seed,
            )
            cells = rank_cells(selection or "ranked", candidates)
            values = patches[0].flatten(1).T[cells].to(torch.int8).numpy()
            below = floor[0].flatten(1).T.to(torch.int8).numpy()
        first = self.config.floor_after_patches
        ranked = cells.numpy()
        return [
            Section(0, ranked[:first], values[:first]),
            Section(1, np.arange(len(below)), below),
            Section(0, ranked[first:], values[first:]),
        ]

    def supply(self, own: Encoded) -> tuple[int, Tensor]:
        """Return the stride of the patches and the supply there."""
        assert isinstance(own, BevFeatures)
        return PATCH_STRIDE, supply_map(own.class_logits, PATCH_STRIDE // 2)

    def latents(self, own: BevFeatures) -> tuple[Tensor, Tensor, Tensor]:
        """Return patches, floor and values of one frame as `PatchEncoder` does, computed once."""
        return once(self._latents, own, lambda: self._encode(own))

    def _encode(self, own: BevFeatures) -> tuple[Tensor, Tensor, Tensor]:
        head = head_maps_as_input(own.class_logits, own.box_codes)
        with torch.inference_mode():
            latents: tuple[Tensor, Tensor, Tensor] = self.encoder(
                [level[None].float() for level in own.levels], head[None]
            )
        return latents

    def fused_maps(self, own: BevFeatures, precise: Sequence[Admitted], boxes: BoxMaps) -> HeadMaps:
        """Return what the fused head says of the strongest evidence and the boxes."""
        evidence = strongest(
            [
                self.fusion.evidence_of(
                    self.received_cells(other, 0),
                    self.received_cells(other, 1),
                    yaw_of(other.T_ego_sender),
                    own.grid.coarser(PATCH_STRIDE),
                )
                for other in precise
            ]
        )
        with self.in_detector_dtype():
            maps: HeadMaps = self.fusion(
                own.context[None].float(), own.class_logits[None], own.box_codes[None], evidence[None], boxes
            )
        return maps
