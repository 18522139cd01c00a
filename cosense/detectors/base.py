"""What a detector is: it turns an agent's frame into an encoding, and the encoding into boxes.

Two steps because agents share what lies between them: a method (`cosense.methods`) sends parts of the
encoding and changes it by what others sent, before it is decoded again.

A detector is a module of this package, found by the `detector:` of a model's config.yaml; the module defines
one class that derives from `Detector` (or `BevDetector`, if methods are to share its features).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from cosense.detectors.device import usable_device
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import ANY_SITE, GroundSurface
from cosense.sensing.levelling import levelled

Result = TypeVar("Result")


class Encoded:
    """What a detector knows of a frame before it decides; a key of results, so compared by identity."""


@dataclass(frozen=True, eq=False)
class BevFeatures(Encoded):
    """Bird's-eye maps of one frame, without a batch dimension, on the device of the detector.

    Attributes:
        levels: multi-scale maps (C_l,H/2^(l+1),W/2^(l+1)), never negative, in the detector's own dtype.
        context: (C,H/2,W/2), all levels joined, from which the head computes the two maps below.
        class_logits: (classes,H/2,W/2) float32 before the sigmoid; classes as in `head.DETECTED_CLASSES`.
        box_codes: (10,H/2,W/2) float32, as `detectors.head` describes them.
        point_counts: (H,W) int64, points that fell into each cell of the grid.
        grid: cells (H,W) in the levelled frame of the agent.
        ground: ground in that frame; box codes count heights from it.
    """

    levels: tuple[Tensor, ...]
    context: Tensor
    class_logits: Tensor
    box_codes: Tensor
    point_counts: Tensor
    grid: BevGrid
    ground: GroundSurface


class Detector(ABC):
    """A network with its configuration and identity.

    Attributes:
        Config: dataclass that the keys of config.yaml (without `detector` and `sharing`) are read into.
        needs: sensors whose measurements a frame should have, "lidar" and "camera"; what a detector does
            without one of them is its own business.
        name: the model's name.
        config: an instance of `Config`.
        network: what `build` returns, ready for inference.
        fingerprint: 8 bytes; models that differ in it never exchange features.
        weights_sha256: hash of the weights file, in hexadecimal; "" without one.
        device: where the network runs.
        dtype: type that most of the arithmetic is done in.
        site: what is assumed when the ground is estimated, for scene graphs too.
    """

    Config: ClassVar[type]
    needs: ClassVar[tuple[str, ...]] = ("lidar",)

    def __init__(
        self,
        name: str,
        config: Any,
        network: nn.Module,
        *,
        fingerprint: bytes = bytes(8),
        weights_sha256: str = "",
        device: str = "cpu",
    ) -> None:
        """Take a network, which is used for inference from now on; arguments are the attributes.

        Raises:
            CosenseError: the device cannot be used.
        """
        self.name = name
        self.config = config
        self.network = network
        self.fingerprint = fingerprint
        self.weights_sha256 = weights_sha256
        self.device = usable_device(device)
        self.dtype = torch.float32
        self.site = ANY_SITE

    @classmethod
    @abstractmethod
    def build(cls, config: Any, seed: int) -> nn.Module:
        """Return the untrained network of a configuration, with weights drawn from `seed`.

        A detector that nothing is learned in returns an empty `nn.Module()`.
        """

    @abstractmethod
    def encode(self, frame: AgentFrame) -> Encoded:
        """Return what the network makes of a frame.

        Args:
            frame: as a rule one that is levelled, see `cosense.sensing.levelling`.

        Raises:
            CosenseError: the frame lacks a sensor that the detector needs, or holds what it cannot use.
        """

    @abstractmethod
    def decode(self, encoded: Encoded) -> Detections:
        """Return the boxes of an encoding, in the frame that was encoded, best first, with source EGO."""

    def detect(self, frame: AgentFrame) -> Detections:
        """Return the objects around an agent, in the frame that is given; see `encode` and `decode`."""
        level = levelled(frame, self.site)
        found = self.decode(self.encode(level))
        return found if level is frame else found.transformed(level.T_sensor_level)


class BevDetector(Detector):
    """A detector whose encoding is bird's-eye maps, which agents can share.

    Attributes:
        grid: cells of the finest maps, stride 1, in the levelled frame of the agent.
        level_channels: C_l of each map in `BevFeatures.levels`.
        context_channels: C of `BevFeatures.context`.
    """

    grid: BevGrid
    level_channels: tuple[int, ...]
    context_channels: int

    @abstractmethod
    def encode(self, frame: AgentFrame) -> BevFeatures:
        """Return the maps of a frame, which is levelled first; see `Detector.encode`."""

    @abstractmethod
    def decide(self, levels: Sequence[Tensor], point_counts: Tensor, ground: GroundSurface) -> BevFeatures:
        """Return the maps that follow from levels, the frame's own or fused ones; see `BevFeatures`."""


def once(known: MutableMapping[Encoded, Result], encoded: Encoded, compute: Callable[[], Result]) -> Result:
    """Return what is known of an encoding, computed the first time; `known` is a `WeakKeyDictionary`."""
    if encoded not in known:
        known[encoded] = compute()
    return known[encoded]
