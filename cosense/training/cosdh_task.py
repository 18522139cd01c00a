"""Training of CoSDH and its baselines: codec, neck and head on what a fixed backbone gives.

As published (spec cosdh.md §1.6, §1.9): the loss is that of the fused output only, and what a sender sends in
training is the most confident share u of the cells of each level, u ~ U(0, 1), drawn anew for each moment and
level. We differ: centre head and its losses instead of anchors, pose noise and late messages in training, the
mask lies on the latent, and the backbone is that of the detector it starts from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from cosense.detectors.base import BevDetector
from cosense.detectors.head import HeadMaps
from cosense.detectors.pillars import PillarNetwork
from cosense.geometry.transforms import invert
from cosense.methods.cosdh.codec import LevelCodecs, random_mask
from cosense.methods.cosdh.levels import fuse_maps, warp_levels
from cosense.methods.cosdh.method import supply_of
from cosense.methods.cosdh.settings import CosdhConfig
from cosense.training.fusion_examples import Example, Sender
from cosense.training.losses import detection_losses
from cosense.training.targets import join_targets
from cosense.training.task import Task


class CosdhTask(Task):
    """The networks of CoSDH with their losses; `network` is trained from its neck on.

    Attributes:
        settings: what validation tries: the share of cells that is sent, by name.
    """

    settings: ClassVar[Mapping[str, Any]] = {"5 %": 0.05, "all": 1.0}

    def __init__(self, config: CosdhConfig, detector: BevDetector, network: PillarNetwork) -> None:
        super().__init__()
        self.config = config
        self.detector = detector
        self.sharing = LevelCodecs(detector.level_channels, config)
        self.neck, self.head = network.neck, network.head

    def losses(self, examples: list[Example], rng: np.random.Generator) -> dict[str, Tensor]:
        """Return what is minimised, "loss" first."""
        maps = self._maps(examples, rng)
        losses = detection_losses(maps, join_targets([example.cropped_targets for example in examples]))
        return {"loss": losses.total, "heat": losses.heat, "boxes": losses.boxes}

    @torch.no_grad()
    def maps_of(self, example: Example, share: float) -> HeadMaps:
        """Return the fused maps of one moment when everybody sends this share of the cells."""
        return self._maps([example], None, share)

    def _maps(self, examples: list[Example], rng: np.random.Generator | None, share: float = 1.0) -> HeadMaps:
        levels = [self._fused(example, rng, share) for example in examples]
        joined = [torch.stack(level) for level in zip(*levels, strict=True)]
        maps: HeadMaps = self.head(self.neck(joined))
        return maps

    def _fused(self, example: Example, rng: np.random.Generator | None, share: float) -> list[Tensor]:
        others = [self._received(sender, rng, share) for sender in example.senders]
        fused = [
            fuse_maps(level, [received[index] for received in others], self.config.fusion)
            for index, level in enumerate(example.ego.features.levels)
        ]
        return [example.crop(level, 2**index) for index, level in enumerate(fused)]

    def _received(self, sender: Sender, rng: np.random.Generator | None, share: float) -> list[Tensor]:
        features = sender.view.features
        latents = self.sharing.encode([level[None] for level in features.levels])
        masks = []
        for index in range(len(latents)):
            drawn = share if rng is None else float(rng.random())
            masks.append(random_mask(supply_of(features.class_logits, index, self.config), drawn))
        levels = self.sharing.decode(latents, masks)
        return warp_levels(levels, self.detector.grid, invert(sender.T_ego_sender))
