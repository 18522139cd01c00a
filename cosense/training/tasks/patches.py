"""Training of the product profile: encoder, evidence and fused head together, through the rounding.

A step draws for each moment how much is sent, from nothing but boxes to everything, so that one set of
weights serves every budget. What the loss says about the gate of a patch is the target of its learned value,
one for each case that a sender knows: wanted by the ego or not, beside boxes or without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cosense.detectors.head import HeadMaps
from cosense.geometry.transforms import yaw_of
from cosense.methods.cells import Cells, cell_places, look_up
from cosense.methods.fused_head import BoxMaps, head_maps_as_input
from cosense.methods.patches.encoder import (
    FLOOR_STRIDE,
    PATCH_STRIDE,
    PatchEncoder,
    PatchesConfig,
    value_of,
)
from cosense.methods.patches.fusion_network import EvidenceFusion, strongest
from cosense.methods.supply_demand import wanted_cells
from cosense.training.fused_head_task import FusedHeadTask
from cosense.training.fusion_examples import Example, MethodRunConfig, SendingAgent

_FEWEST_PATCHES = 16
# Which patches are tried is drawn around the order that the sender would keep to, in logits.
_RANK_NOISE = 0.5


@dataclass(frozen=True)
class Amount:
    """How much a sender sends.

    Attributes:
        patches: number of patches, best ones first; None for all.
        boxes: number of boxes, best ones first; None for all.
        floor: whether the floor is sent.
    """

    patches: int | None
    boxes: int | None
    floor: bool


class PatchesTask(FusedHeadTask):
    """The networks of the product profile.

    Attributes:
        settings: amounts sent in validation, by name.
    """

    settings: ClassVar[Mapping[str, Any]] = {
        "boxes": Amount(0, None, False),
        "2000 patches, no boxes": Amount(2000, 0, True),
        "160 patches": Amount(160, None, False),
        "2000 patches": Amount(2000, None, True),
        "all": Amount(None, None, True),
    }

    def __init__(self, config: MethodRunConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self._profile: PatchesConfig = self.model.sharing
        torch.manual_seed(config.seed)
        self.sharing = PatchEncoder(self.detector.level_channels, self._profile)
        self.fusion = EvidenceFusion(self.detector.context_channels, self._profile)
        self._gates: list[tuple[Tensor, Tensor]] = []

    def drawn_maps(self, examples: list[Example], rng: np.random.Generator) -> HeadMaps:
        self._gates = []
        return self._maps(examples, [self._draw_amount(rng) for _ in examples], rng)

    def after_backward(self) -> dict[str, Tensor]:
        """Add the gradients of the learned value, whose target is what the loss says about the gates."""
        parts = []
        for gate, logits in self._gates:
            if gate.grad is not None and len(gate):
                weight = gate.grad.abs()
                share = weight / (weight + weight.mean() + 1e-12)
                parts.append(functional.binary_cross_entropy_with_logits(logits, share))
        if not parts:
            return {}
        value = torch.stack(parts).mean()
        value.backward()
        return {"value": value.detach()}

    def _maps(
        self, examples: list[Example], amounts: list[Amount], rng: np.random.Generator | None
    ) -> HeadMaps:
        evidence, drawn = [], []
        for example, amount in zip(examples, amounts, strict=True):
            wanted = wanted_cells(
                example.ego.features.point_counts, FLOOR_STRIDE, self._profile.wanted_below_points
            )
            each = [self._evidence(sender, wanted, amount, rng) for sender in example.senders]
            evidence.append(example.crop(strongest(each), 2))
            drawn.append(self.drawn_boxes(example, amount.boxes))
        own = [example.ego.features for example in examples]
        pairs = list(zip(examples, own, strict=True))
        result: HeadMaps = self.fusion(
            torch.stack([example.crop(f.context) for example, f in pairs]),
            torch.stack([example.crop(f.class_logits) for example, f in pairs]),
            torch.stack([example.crop(f.box_codes) for example, f in pairs]),
            torch.stack(evidence),
            BoxMaps.joined(drawn),
        )
        return result

    def _evidence(
        self, sender: SendingAgent, wanted: Tensor, amount: Amount, rng: np.random.Generator | None
    ) -> Tensor:
        features, grid = sender.view.features, self.detector.grid
        head = head_maps_as_input(features.class_logits, features.box_codes)
        patches, floor, value = self.sharing([level[None] for level in features.levels], head[None])
        places = cell_places(
            torch.arange(patches[0, 0].numel()), grid.coarser(PATCH_STRIDE), sender.T_ego_sender
        )
        there = look_up(wanted, places, grid.coarser(FLOOR_STRIDE))
        value = value_of(value[0].flatten(1), there, with_boxes=amount.boxes != 0)
        rank = value.detach()
        if rng is not None:
            rank = rank + _RANK_NOISE * torch.from_numpy(rng.standard_normal(len(rank))).float()
        chosen = torch.sort(rank, descending=True, stable=True).indices[: amount.patches]
        gate = torch.ones(len(chosen), requires_grad=rng is not None)
        if rng is not None:
            self._gates.append((gate, value[chosen]))
        values = patches[0].flatten(1).T[chosen] * gate[:, None]
        floor_places = cell_places(
            torch.arange(floor[0, 0].numel()), grid.coarser(FLOOR_STRIDE), sender.T_ego_sender
        )
        below = floor[0].flatten(1).T
        if not amount.floor:
            below, floor_places = below[:0], floor_places[:0]
        return self.fusion.evidence_of(
            Cells(values, places[chosen]),
            Cells(below, floor_places),
            yaw_of(sender.T_ego_sender),
            grid.coarser(PATCH_STRIDE),
        )

    def _draw_amount(self, rng: np.random.Generator) -> Amount:
        """Draw how much one moment's senders send; without boxes the patches have to say it all."""
        with_boxes = rng.random()
        boxes = None if with_boxes < 0.5 else 0 if with_boxes < 0.8 else int(rng.integers(1, 20))
        kind = rng.random()
        cells = int(np.prod(self.detector.grid.coarser(PATCH_STRIDE).shape))
        if kind < 0.05:
            return Amount(0, boxes, False)
        if kind < 0.25:
            return Amount(None, boxes, True)
        patches = round(float(np.exp(rng.uniform(np.log(_FEWEST_PATCHES), np.log(cells)))))
        with_floor = patches >= self._profile.floor_after_patches
        return Amount(patches, boxes, with_floor != (rng.random() < 0.1))
