"""CoSDH as published (Xu et al., CVPR 2025), with its codec or, as a baseline, without.

A level l of the backbone is encoded (`codec`) and sent in float16 where

    s_l = [G * max sigmoid(P) > epsilon_c]   supply at the size of the level, `methods.supply_demand`
    D   = [n < epsilon_a]                    demand, n = the ego's points in a pillar, nearest-resized

are both 1. The ego takes the maximum of its own levels and the decoded ones (`levels`), runs the detector's
neck and head again, and merges the boxes with those of others, whose scores are multiplied by beta.
Deviations: README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from cosense.detectors.base import BevDetector, BevFeatures, Encoded, once
from cosense.geometry.transforms import invert
from cosense.messages.chunks import ReceivedLayer, Section
from cosense.methods.base import Admitted, Method, RequestMap, Wanted, check_request_grid, marked, scaled
from cosense.methods.calibration import IDENTITY, Calibration
from cosense.methods.cosdh.levels import CosdhConfig, LevelCodecs, warp_levels
from cosense.methods.map_fusion import fuse_maps
from cosense.methods.selection.base import Candidates, rank_cells
from cosense.methods.supply_demand import supply_map, wanted_pillars
from cosense.sensing.detections import Detections, Source


class CosdhNetwork(nn.Module):
    """What is learned beside the detector."""

    def __init__(self, level_channels: Sequence[int], config: CosdhConfig) -> None:
        super().__init__()
        self.sharing = LevelCodecs(level_channels, config)


class Cosdh(Method):
    """Supply and demand masks over whole levels; the best box of each object is kept."""

    Config = CosdhConfig
    averages_boxes: ClassVar[bool] = False
    config: CosdhConfig
    network: CosdhNetwork

    def __init__(
        self,
        config: CosdhConfig,
        detector: BevDetector,
        network: CosdhNetwork,
        calibration: Calibration = IDENTITY,
    ) -> None:
        super().__init__(config, detector, network, calibration)
        self.codecs = network.sharing
        self.specs = self.codecs.specs
        self._latents: WeakKeyDictionary[Encoded, list[Tensor]] = WeakKeyDictionary()

    @classmethod
    def build(cls, config: CosdhConfig, detector: BevDetector, seed: int) -> CosdhNetwork:
        """Return untrained auto-encoders; see `Method.build`."""
        check_request_grid(detector.grid)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return CosdhNetwork(detector.level_channels, config)

    def request(self, own: Encoded) -> RequestMap:
        """Ask for the pillars with few points, at full resolution as published: the message may be large."""
        assert isinstance(own, BevFeatures)
        wanted = wanted_pillars(own.point_counts, self.config.demand_points).cpu().numpy()
        return RequestMap(own.grid.coarser(2), wanted, max_bytes=None)

    def offer(
        self, own: Encoded, wanted: Wanted, selection: str | None, seed: int, *, with_boxes: bool
    ) -> list[Section]:
        """Return the levels of one frame, coarse to fine, best cells first; see `Method.offer`."""
        assert isinstance(own, BevFeatures)
        sections = []
        latents = [latent.cpu() for latent in self.latents(own)]
        with torch.inference_mode():
            for level in reversed(range(len(latents))):
                stride = 2 ** (level + 1)
                candidates = Candidates(
                    own,
                    stride,
                    supply=supply_of(own.class_logits, level, self.config).cpu(),
                    wanted=wanted(stride),
                    value=None,
                    least_supply=self.config.supply_threshold,
                    seed=seed + level,
                )
                cells = rank_cells(selection or "supply_demand", candidates)
                values = latents[level][0].flatten(1).T[cells].half().numpy()
                sections.append(Section(level, cells.numpy(), values))
        return sections

    def supply(self, own: Encoded) -> tuple[int, Tensor]:
        """Return the stride and the supply of the finest level."""
        assert isinstance(own, BevFeatures)
        return 2, supply_of(own.class_logits, 0, self.config)

    def fuse(
        self, own: Encoded, detections: Detections, admitted: Sequence[Admitted], *, with_boxes: bool
    ) -> Detections:
        """Decide again over the fused levels; boxes of others are added with beta times their score."""
        assert isinstance(own, BevFeatures)
        senders = [other for other in admitted if other.use == "features"]
        parts = [detections]
        if senders:
            parts = [marked(self.detector.decode(self._fused_levels(own, senders)), Source.FUSED)]
        for other in admitted if with_boxes else ():
            sure = other.boxes[other.boxes.scores >= self.config.late_score_threshold]
            parts.append(scaled(sure, np.full(len(sure), self.config.late_score_factor)))
        return Detections.concatenate(parts)

    def latents(self, own: BevFeatures) -> list[Tensor]:
        """Return the latents (1,C_l/c,H_l,W_l) of one frame, computed once."""
        return once(self._latents, own, lambda: self._encode(own))

    def _encode(self, own: BevFeatures) -> list[Tensor]:
        with torch.inference_mode():
            return self.codecs.encode([level[None].float() for level in own.levels])

    def _fused_levels(self, own: BevFeatures, senders: Sequence[Admitted]) -> BevFeatures:
        with torch.inference_mode():
            others = [self._decoded_levels(other) for other in senders]
            fused = [
                fuse_maps(level.float(), [levels[index] for levels in others], self.config.fusion).to(
                    self.detector.dtype
                )
                for index, level in enumerate(own.levels)
            ]
        return self.detector.decide(fused, own.point_counts, own.ground)

    def _decoded_levels(self, other: Admitted) -> list[Tensor]:
        """Return the levels of one sender, decoded from the cells that it sent, in the ego's map."""
        device = self.detector.device
        latents, masks = [], []
        for spec, received in zip(self.specs, other.layers, strict=True):
            shape = self.detector.grid.coarser(spec.stride).shape
            latent, mask = _map_of(received, spec.channels, shape)
            latents.append(latent[None].to(device))
            masks.append(mask.to(device))
        levels = self.codecs.decode(latents, masks)
        return warp_levels(levels, self.detector.grid, invert(other.T_ego_sender))


def supply_of(class_logits: Tensor, level: int, config: CosdhConfig) -> Tensor:
    """Return the smoothed confidence (H_l,W_l) of logits (classes,H/2,W/2) at the size of a level."""
    return supply_map(class_logits, 2**level, config.gaussian_kernel, config.gaussian_sigma)


def _map_of(received: ReceivedLayer, channels: int, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return (C,H,W) with the received cells in their places, zeros elsewhere, and their mask (H,W)."""
    cells = torch.from_numpy(received.cells)
    mask = torch.zeros(shape[0] * shape[1])
    mask[cells] = 1.0
    latent = torch.zeros(channels, shape[0] * shape[1])
    latent[:, cells] = torch.from_numpy(received.values.astype(np.float32)).T
    return latent.view(channels, *shape), mask.view(shape)
