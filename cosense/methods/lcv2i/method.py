"""LCV2I (arXiv 2502.17039): a vehicle with a camera and few beams is told the regions that are worth it.

The vehicle asks where its need is high; a sender answers with the regions of its enhanced features, ordered
by need, score and difference (`regional_maps`, `regions`); the vehicle fuses them with its own enhanced
features, and the boxes of all sources compete by calibrated scores. It shares the features of any detector
with bird's-eye maps; that the paper's comes from a LiDAR and a camera is the detector's business. What is the
paper's and what is ours: README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from cosense.detectors.base import BevDetector, BevFeatures, Encoded, once
from cosense.detectors.head import HeadMaps
from cosense.errors import nearest
from cosense.geometry.transforms import yaw_of
from cosense.messages.chunks import Section
from cosense.methods.base import Admitted, RequestMap, Wanted, check_request_grid
from cosense.methods.calibration import IDENTITY, Calibration
from cosense.methods.fused_head import BoxMaps
from cosense.methods.fused_head_method import FusedHeadMethod
from cosense.methods.lcv2i.regional_maps import difference_of, regional, score_of, wanted_regions
from cosense.methods.lcv2i.regions import (
    REGION_STRIDE,
    REQUEST_STRIDE,
    Lcv2iConfig,
    RegionalEnhancement,
    RegionEncoder,
    RegionFusion,
    region_specs,
)
from cosense.methods.selection.base import Candidates, rank_cells, selection_names


class Lcv2iNetwork(nn.Module):
    """What is learned beside the detector, the same at the sender and at the vehicle."""

    def __init__(self, channels: int, config: Lcv2iConfig) -> None:
        super().__init__()
        self.enhancement = RegionalEnhancement(channels) if config.enhancement else None
        self.regions = RegionEncoder(channels, config)
        self.regional_fusion = RegionFusion(channels, config)

    def enhanced(self, features: Tensor, difference: Tensor) -> Tensor:
        """Return F^E (B,C,H,W) of features (B,C,H,W) and their difference maps (B,1,H,W)."""
        return features if self.enhancement is None else self.enhancement(features, difference)


class Lcv2i(FusedHeadMethod):
    """Regions by value; in hybrid fusion they add what no box is of."""

    only_adds: ClassVar[bool] = True

    Config = Lcv2iConfig
    config: Lcv2iConfig
    network: Lcv2iNetwork

    def __init__(
        self,
        config: Lcv2iConfig,
        detector: BevDetector,
        network: Lcv2iNetwork,
        calibration: Calibration = IDENTITY,
    ) -> None:
        super().__init__(config, detector, network, calibration)
        self.specs = region_specs(config)
        self._enhanced: WeakKeyDictionary[Encoded, Tensor] = WeakKeyDictionary()
        self._latents: WeakKeyDictionary[Encoded, Tensor] = WeakKeyDictionary()

    @classmethod
    def build(cls, config: Lcv2iConfig, detector: BevDetector, seed: int) -> Lcv2iNetwork:
        """Return untrained networks; see `Method.build`."""
        check_request_grid(detector.grid)
        names = selection_names()
        if config.selection not in names:
            raise ValueError(f"selection '{config.selection}' is unknown, {nearest(config.selection, names)}")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return Lcv2iNetwork(detector.context_channels, config)

    def request(self, own: Encoded) -> RequestMap:
        """Ask for the regions at stride 8 that the vehicle needs."""
        assert isinstance(own, BevFeatures)
        wanted = needed_regions(own, self.config)
        return RequestMap(own.grid.coarser(REQUEST_STRIDE), wanted.cpu().numpy())

    def offer(
        self, own: Encoded, wanted: Wanted, selection: str | None, seed: int, *, with_boxes: bool
    ) -> list[Section]:
        """Return the regions, best first; see `Method.offer`."""
        assert isinstance(own, BevFeatures)
        latent = self.latents(own).cpu()
        candidates = Candidates(
            own,
            REGION_STRIDE,
            supply=self.supply(own)[1].cpu(),
            wanted=wanted(REGION_STRIDE),
            value=None,
            least_supply=0.0,
            seed=seed,
        )
        cells = rank_cells(selection or self.config.selection, candidates)
        values = latent[0].flatten(1).T[cells].to(torch.int8).numpy()
        return [Section(0, cells.numpy(), values)]

    def supply(self, own: Encoded) -> tuple[int, Tensor]:
        """Return the stride of the regions and their score."""
        assert isinstance(own, BevFeatures)
        return REGION_STRIDE, regional(score_of(own), REGION_STRIDE)

    def difference(self, own: Encoded) -> Tensor:
        """Return the regional difference map."""
        assert isinstance(own, BevFeatures)
        return regional(difference_of(own), REGION_STRIDE)

    def latents(self, own: BevFeatures) -> Tensor:
        """Return the integers (1,C',H/4,W/4) of all regions of one frame, computed once."""
        return once(self._latents, own, lambda: self._encode(own))

    def enhanced(self, own: BevFeatures) -> Tensor:
        """Return F^E (1,C,H/2,W/2) of one frame, computed once."""
        return once(self._enhanced, own, lambda: self._enhance(own))

    def fused_maps(self, own: BevFeatures, precise: Sequence[Admitted], boxes: BoxMaps) -> HeadMaps:
        """Return what the fused head says of the fused features and the boxes."""
        enhanced = self.enhanced(own)[0]
        others = [self._received(other) for other in precise if other.use == "features"]
        fused = self.network.regional_fusion.fused(enhanced, others)
        with self.in_detector_dtype():
            maps: HeadMaps = self.network.regional_fusion(
                fused[None], own.class_logits[None], own.box_codes[None], boxes
            )
        return maps

    def _enhance(self, own: BevFeatures) -> Tensor:
        with torch.inference_mode():
            return self.network.enhanced(own.context[None].float(), difference_of(own)[None, None])

    def _encode(self, own: BevFeatures) -> Tensor:
        with torch.inference_mode():
            latent: Tensor = self.network.regions(self.enhanced(own))
        return latent

    def _received(self, other: Admitted) -> Tensor:
        """Return the map (C,H/2,W/2) of one sender, in the ego frame."""
        grid = self.detector.grid
        placed, sent = self.network.regional_fusion.placed(
            self.received_cells(other, 0), yaw_of(other.T_ego_sender), grid.coarser(REGION_STRIDE)
        )
        return self.network.regional_fusion.received(placed[None], sent[None], grid.coarser(2).shape)[0]


def needed_regions(own: BevFeatures, config: Lcv2iConfig) -> Tensor:
    """Return (H/8,W/8) bool: the regions that a vehicle asks for."""
    return wanted_regions(
        own, REQUEST_STRIDE, config.need_from_points, config.need_below_points, config.need_threshold
    )
