"""Training of LCV2I's sharing: enhancement, regions and fused head, on a detector that stays as it is.

As far as the paper is known to us (arXiv 2502.17039) it says nothing of its losses; everything here is ours.
The loss is that of the fused maps. What is sent is drawn for each moment, as Where2comm and CoSDH train: from
nothing but boxes to all regions, around the order that the sender keeps to, so that one set of weights serves
every budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from cosense.detectors.base import BevFeatures
from cosense.detectors.head import HeadMaps
from cosense.geometry.transforms import yaw_of
from cosense.methods.cells import Cells, cell_places, look_up
from cosense.methods.fused_head import BoxMaps
from cosense.methods.lcv2i.method import Lcv2i, Lcv2iNetwork, needed_regions
from cosense.methods.lcv2i.regional_maps import difference_of, regional, score_of
from cosense.methods.lcv2i.regions import REGION_STRIDE, REQUEST_STRIDE, Lcv2iConfig
from cosense.methods.selection.base import Candidates, find_selection
from cosense.training.fused_head_task import FusedHeadTask
from cosense.training.fusion_examples import Example, MethodRunConfig, SendingAgent
from cosense.training.targets import detection_losses, join_targets

_FEWEST_REGIONS = 16
# Regions are tried around the order that the sender would keep to: spread of the logarithm of their worth.
_RANK_NOISE = 0.5
_EPSILON = 1e-6


@dataclass(frozen=True)
class Amount:
    """How much a sender sends.

    Attributes:
        regions: number of regions, best ones first; None for all.
        boxes: number of boxes, best ones first; None for all.
    """

    regions: int | None
    boxes: int | None


class Lcv2iTask(FusedHeadTask):
    """The networks of LCV2I beside its detector.

    Attributes:
        settings: amounts sent in validation, by name.
    """

    settings: ClassVar[Mapping[str, Any]] = {
        "boxes": Amount(0, None),
        "2000 regions, no boxes": Amount(2000, 0),
        "160 regions": Amount(160, None),
        "2000 regions": Amount(2000, None),
        "all": Amount(None, None),
    }

    only_adds: ClassVar[bool] = Lcv2i.only_adds

    def __init__(self, config: MethodRunConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self._method: Lcv2iConfig = self.model.sharing
        torch.manual_seed(config.seed)
        # Under the names that the method's own network has.
        network = Lcv2iNetwork(self.detector.context_channels, self._method)
        self.enhancement, self.regions = network.enhancement, network.regions
        self.regional_fusion = network.regional_fusion
        self._worth = find_selection(self._method.selection)

    def losses(self, batch: tuple[list[Example], np.random.Generator]) -> dict[str, Tensor]:
        """Add the loss of the same regions without any boxes, beside which they have little left to say."""
        examples, rng = batch
        inputs = self._inputs(examples, [self._draw_amount(rng) for _ in examples], rng)
        targets = join_targets([example.cropped_targets for example in examples])
        losses = detection_losses(self.regional_fusion(*inputs), targets)
        alone = detection_losses(self.regional_fusion(*inputs[:-1], _without(inputs[-1])), targets)
        return {
            "loss": losses.total + alone.total,
            "heat": losses.heat,
            "boxes": losses.boxes,
            "heat, regions alone": alone.heat,
            "boxes, regions alone": alone.boxes,
        }

    def _maps(
        self, examples: list[Example], amounts: list[Amount], rng: np.random.Generator | None
    ) -> HeadMaps:
        maps: HeadMaps = self.regional_fusion(*self._inputs(examples, amounts, rng))
        return maps

    def _inputs(
        self, examples: list[Example], amounts: list[Amount], rng: np.random.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor, BoxMaps]:
        """Return what the vehicle's network takes of B moments."""
        fused, drawn = [], []
        for example, amount in zip(examples, amounts, strict=True):
            own = example.ego.features
            wanted = needed_regions(own, self._method)
            others = []
            if amount.regions != 0:
                others = [self._received(example, sender, wanted, amount, rng) for sender in example.senders]
            fused.append(self.regional_fusion.fused(example.crop(self._enhanced(own)[0]), others))
            drawn.append(self.drawn_boxes(example, amount.boxes))
        return (
            torch.stack(fused),
            torch.stack([example.crop(example.ego.features.class_logits) for example in examples]),
            torch.stack([example.crop(example.ego.features.box_codes) for example in examples]),
            BoxMaps.joined(drawn),
        )

    def _enhanced(self, features: BevFeatures) -> Tensor:
        """Return F^E (1,C,H/2,W/2)."""
        if self.enhancement is None:
            return features.context[None]
        enhanced: Tensor = self.enhancement(features.context[None], difference_of(features)[None, None])
        return enhanced

    def _received(
        self,
        example: Example,
        sender: SendingAgent,
        wanted: Tensor,
        amount: Amount,
        rng: np.random.Generator | None,
    ) -> Tensor:
        """Return the cropped map (C,H/2,W/2) of what one sender sends, in the ego frame."""
        grid = self.detector.grid
        features = self._whole(sender.view.features)
        latent = self.regions(self._enhanced(features))[0].flatten(1).T
        places = cell_places(torch.arange(len(latent)), grid.coarser(REGION_STRIDE), sender.T_ego_sender)
        there = look_up(wanted, places, grid.coarser(REQUEST_STRIDE))
        chosen = self._chosen(features, there, amount, rng)
        placed, sent = self.regional_fusion.placed(
            Cells(latent[chosen], places[chosen]), yaw_of(sender.T_ego_sender), grid.coarser(REGION_STRIDE)
        )
        placed, sent = example.crop(placed, 2)[None], example.crop(sent, 2)[None]
        columns = example.columns
        size = (grid.coarser(2).shape[0], columns.stop - columns.start)
        return self.regional_fusion.received(placed, sent, size)[0]

    def _chosen(
        self, features: BevFeatures, wanted: Tensor, amount: Amount, rng: np.random.Generator | None
    ) -> Tensor:
        """Return the flat indices (K,) of the regions that are sent, given where (H W,) they are wanted."""
        shape = features.grid.coarser(REGION_STRIDE).shape
        candidates = Candidates(
            features,
            REGION_STRIDE,
            supply=regional(score_of(features), REGION_STRIDE),
            wanted=wanted.view(shape),
            value=None,
            least_supply=0.0,
            seed=0,
        )
        rank = torch.log(self._worth(candidates).flatten().clamp(min=0) + _EPSILON)
        if rng is not None:
            rank = rank + _RANK_NOISE * torch.from_numpy(rng.standard_normal(len(rank))).float()
        return torch.sort(rank, descending=True, stable=True).indices[: amount.regions]

    def _whole(self, features: BevFeatures) -> BevFeatures:
        """Return what a sender knows, with the context that its file lacks."""
        if features.context.numel():
            return features
        levels = [level.to(self.detector.dtype) for level in features.levels]
        whole = self.detector.decide(levels, features.point_counts, features.ground)
        # A copy, since what was made without gradients must not meet any.
        return replace(features, context=whole.context.float().clone())

    def _draw_amount(self, rng: np.random.Generator) -> Amount:
        """Draw how much one moment's senders send; that boxes may be missing is part of the loss."""
        boxes = None if rng.random() < 0.7 else int(rng.integers(1, 20))
        kind = rng.random()
        if kind < 0.05:
            return Amount(0, boxes)
        if kind < 0.25:
            return Amount(None, boxes)
        cells = int(np.prod(self.detector.grid.coarser(REGION_STRIDE).shape))
        regions = round(float(np.exp(rng.uniform(np.log(_FEWEST_REGIONS), np.log(cells)))))
        return Amount(regions, boxes)


def _without(boxes: BoxMaps) -> BoxMaps:
    """Return maps of the same size in which nothing is drawn."""
    return BoxMaps(*(torch.zeros_like(maps) for maps in (boxes.heat, boxes.codes, boxes.near)))
