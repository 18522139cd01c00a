"""Settings of CoSDH (Xu et al., CVPR 2025) and of the two baselines that are built like it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class CosdhConfig:
    """Keys of `sharing:` for the method cosdh; the defaults are the published constants."""

    codec_ratio: int = 16  # channels of a level per channel of its latent: 16 for 64, 128 and 256 channels
    codec: bool = True  # levels pass the channel auto-encoder; without it they are sent as they are
    supply_threshold: float = 0.01  # epsilon_c: a cell is offered if its smoothed confidence is higher
    gaussian_kernel: int = 5  # edge of the smoothing window in cells
    gaussian_sigma: float = 1.0  # of the smoothing, in cells
    demand_points: int = 4  # epsilon_a: the ego asks for a pillar in which it has fewer points
    fusion: Literal["max", "attention"] = "max"  # over the agents, cell by cell
    late_score_threshold: float = 0.3  # boxes of others with a lower score are not merged
    late_score_factor: float = 0.8  # beta: the scores of others' boxes are multiplied by it

    def __post_init__(self) -> None:
        if self.codec_ratio < 1:
            raise ValueError(f"codec_ratio is {self.codec_ratio}, expected at least 1")
        if self.gaussian_kernel < 1 or self.gaussian_kernel % 2 == 0 or not self.gaussian_sigma > 0:
            raise ValueError("gaussian_kernel is an odd number of cells, gaussian_sigma above 0")
        for name in ("supply_threshold", "late_score_threshold", "late_score_factor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected a number in [0, 1]")
