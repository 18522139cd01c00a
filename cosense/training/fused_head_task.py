"""What the runs of methods with a fused head share: boxes drawn for it, and what merging makes of its own.

The boxes of all sources are averaged by calibrated scores, so these runs fit the curves too, and say what
late and hybrid fusion reach.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from cosense.cooperation.merge import MergeSettings, merge
from cosense.detectors.head import HeadMaps
from cosense.methods.fused_head import BoxMaps, draw_boxes
from cosense.methods.fused_head_method import not_among
from cosense.sensing.detections import Detections
from cosense.training.fusion_examples import Example, MethodRunConfig
from cosense.training.fusion_task import Found, FusionTask


class FusedHeadTask(FusionTask):
    """One method whose receiver has a `FusedHead`.

    Attributes:
        settings: amounts sent in validation, by name.
        only_adds: see `FusedHeadMethod`.
    """

    settings: ClassVar[Mapping[str, Any]]
    only_adds: ClassVar[bool] = False

    def __init__(self, config: MethodRunConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.figures_mean = self.figures_mean.replace(
            "fused maps alone", "fused maps alone or, late and hybrid, boxes of all sources merged"
        )

    @torch.no_grad()
    def maps_of(self, example: Example, setting: Any) -> HeadMaps:
        """Return the fused maps of one moment when everybody sends this much."""
        return self._maps([example], [setting], None)

    def _maps(self, examples: list[Example], amounts: list[Any], rng: np.random.Generator | None) -> HeadMaps:
        """Return the fused maps (B,...) of B moments, for each of which an amount is sent."""
        raise NotImplementedError

    def drawn_boxes(self, example: Example, count: int | None) -> BoxMaps:
        """Return the best `count` boxes of each sender, None for all, drawn into maps and cropped."""
        boxes = [sender.late_boxes(count) for sender in example.senders]
        maps = draw_boxes(boxes, example.ego.features.ground, self.detector.grid.coarser(2))
        return BoxMaps(*(example.crop(m) for m in (maps.heat, maps.codes, maps.near)))

    def further_figures(self, found: list[Found]) -> dict[str, float]:
        """Return the precision of late fusion, and of hybrid fusion in each setting, as an ego merges."""
        curves = self.curves_of(found)

        def merged(name: str | None) -> list[tuple[Detections, Found]]:
            each = []
            for one in found:
                parts = [curves.apply(part) for part in (one.ego, *one.late)]
                if name:
                    fused = curves.apply(one.fused[name])
                    parts.append(not_among(parts, fused) if self.only_adds else fused)
                candidates = Detections.concatenate(parts)
                each.append((merge(candidates, MergeSettings(), averages_boxes=True), one))
            return each

        figures = self._precision("late fusion", merged(None))
        for name in self.settings:
            figures |= self._precision(f"hybrid fusion, {name}", merged(name))
        return figures

    def export(self, out: Path, command: str) -> None:
        """Write the model with its calibration: the merge averages boxes, so their scores must compare."""
        # The whole detector is that of `start_from`, what its scores are worth included.
        self.model = replace(self.model, detector=self.detector.config)
        super().export(out, command)
        self.calibrate().write(out, command)
