"""Training of CoSDH and its baselines: codec, neck and head on top of a fixed backbone.

Xu et al., CoSDH, CVPR 2025. As published, the loss is that of the fused output only, and what a sender sends
in training is the most confident share u of the cells of each level, u ~ U(0, 1), drawn anew for each moment
and level. Deviations: centre head and its losses instead of anchors, pose noise and late messages in
training, the mask lies on the latent, and the backbone is that of the detector that the run starts from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from cosense.detectors.bev_network import BevNetwork
from cosense.detectors.head import HeadMaps
from cosense.errors import CosenseError
from cosense.geometry.transforms import invert
from cosense.methods.cosdh.levels import CosdhConfig, LevelCodecs, random_mask, warp_levels
from cosense.methods.cosdh.method import supply_of
from cosense.methods.map_fusion import fuse_maps
from cosense.methods.model import read_network
from cosense.model_folders import find_model
from cosense.training.fusion_examples import Example, MethodRunConfig, SendingAgent
from cosense.training.fusion_task import FusionTask


class CosdhTask(FusionTask):
    """The networks of CoSDH: the detector's own is trained from its neck on.

    Attributes:
        settings: share of the cells that is sent in validation, by name.
    """

    settings: ClassVar[Mapping[str, Any]] = {"5 %": 0.05, "all": 1.0}

    def __init__(self, config: MethodRunConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self._method: CosdhConfig = self.model.sharing
        network = read_network(find_model(config.start_from))
        if not isinstance(network, BevNetwork):
            raise CosenseError(f"start_from: '{config.start_from}' has no neck and head to train further")
        torch.manual_seed(config.seed)
        self.sharing = LevelCodecs(self.detector.level_channels, self._method)
        self.neck, self.head = network.neck, network.head

    def drawn_maps(self, examples: list[Example], rng: np.random.Generator) -> HeadMaps:
        return self._maps(examples, rng)

    @torch.no_grad()
    def maps_of(self, example: Example, setting: float) -> HeadMaps:
        """Return the fused maps of one moment when everybody sends this share of the cells."""
        return self._maps([example], None, setting)

    def _maps(self, examples: list[Example], rng: np.random.Generator | None, share: float = 1.0) -> HeadMaps:
        levels = [self._fused(example, rng, share) for example in examples]
        joined = [torch.stack(level) for level in zip(*levels, strict=True)]
        maps: HeadMaps = self.head(self.neck(joined))
        return maps

    def _fused(self, example: Example, rng: np.random.Generator | None, share: float) -> list[Tensor]:
        others = [self._received(sender, rng, share) for sender in example.senders]
        fused = [
            fuse_maps(level, [received[index] for received in others], self._method.fusion)
            for index, level in enumerate(example.ego.features.levels)
        ]
        return [example.crop(level, 2**index) for index, level in enumerate(fused)]

    def _received(self, sender: SendingAgent, rng: np.random.Generator | None, share: float) -> list[Tensor]:
        features = sender.view.features
        latents = self.sharing.encode([level[None] for level in features.levels])
        masks = []
        for index in range(len(latents)):
            drawn = share if rng is None else float(rng.random())
            masks.append(random_mask(supply_of(features.class_logits, index, self._method), drawn))
        levels = self.sharing.decode(latents, masks)
        return warp_levels(levels, self.detector.grid, invert(sender.T_ego_sender))
