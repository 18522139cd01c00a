"""The whole pillar network: encoder, backbone, neck, head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cosense.detectors.backbone import Backbone
from cosense.detectors.config import ModelConfig
from cosense.detectors.head import CenterHead, HeadMaps
from cosense.detectors.layers import ConvBlock
from cosense.detectors.neck import Neck
from cosense.detectors.pillar_encoder import PillarEncoder
from cosense.detectors.pillars import Pillars
from cosense.errors import CosenseError


class PillarNetwork(nn.Module):
    """Pillars to head maps in two halves: `encode` up to the levels that agents may share, then `decide`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = PillarEncoder(config.pillar_channels, config.cell_m)
        self.backbone = Backbone(config.pillar_channels, config.stages)
        level_channels = [stage.channels for stage in config.stages]
        self.neck = Neck(level_channels, config.neck_channels, config.shrink_channels)
        self.head = CenterHead(config.shrink_channels[-1])
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def encode(self, pillars: Pillars, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Return the levels of the backbone, (B,C_l,H/2^(l+1),W/2^(l+1)).

        Args:
            pillars: B clouds.
            dtype: of the map that enters the backbone; under autocast its type, else that of the weights.
        """
        canvas: Tensor = self.encoder(pillars, dtype or self.head.classes.weight.dtype)
        levels: list[Tensor] = self.backbone(canvas)
        return levels

    def decide(self, levels: list[Tensor]) -> HeadMaps:
        """Return the maps of the head, float32, at the size of the finest level."""
        maps: HeadMaps = self.head(self.neck(levels))
        return maps

    def forward(self, pillars: Pillars, dtype: torch.dtype | None = None) -> HeadMaps:
        """Return the maps of the head; see `encode` and `decide`."""
        return self.decide(self.encode(pillars, dtype))

    def prepare_for_inference(self, dtype: torch.dtype) -> PillarNetwork:
        """Fold the batch norms and bring the convolutions to `dtype`, in place; there is no way back."""
        self.eval().requires_grad_(False)
        for module in self.modules():
            if isinstance(module, ConvBlock):
                module.fold()
        for part in (self.backbone, self.neck, self.head):
            part.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self


def build_network(config: ModelConfig, seed: int) -> PillarNetwork:
    """Return an untrained network with weights drawn from `seed`, for training, benchmarks and tests."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PillarNetwork(config)


def usable_device(name: str) -> torch.device:
    """Return the device of that name.

    Raises:
        CosenseError: torch does not know it, or this machine does not have it.
    """
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise CosenseError(f"device '{name}' cannot be used, 'cpu' always can: {reason}") from None


def inference_dtype(config: ModelConfig, device: torch.device) -> torch.dtype:
    """Return the type that the convolutions run in.

    A flag of the processor decides, not a timing: the same machine gives the same boxes in every process.
    AVX-512 without the matrix instructions (AMX) also knows bfloat16, but gains little and loses digits.
    """
    if config.precision != "auto":
        return torch.float32 if config.precision == "float32" else torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    return torch.bfloat16 if has_bfloat16_matrix_instructions() else torch.float32


def has_bfloat16_matrix_instructions() -> bool:
    """Return whether the processor multiplies bfloat16 matrices by itself (AMX)."""
    try:
        with open("/proc/cpuinfo") as file:
            return any("amx_bf16" in line for line in file if line.startswith("flags"))
    except OSError:
        return False
