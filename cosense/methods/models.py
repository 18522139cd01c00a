"""Models that fuse: a detector with what it shares and how it is merged, from one folder of `models/`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from cosense.config import load_config
from cosense.detectors.config import ModelConfig
from cosense.detectors.detector import Detector, load_detector
from cosense.detectors.layers import ConvBlock
from cosense.detectors.models import (
    FUSION,
    SHARING,
    fill,
    find_model,
    fingerprint,
    network_of,
    read_weights,
)
from cosense.errors import CosenseError
from cosense.methods.calibration import IDENTITY, Calibration, read_calibration
from cosense.methods.cosdh.codec import LevelEncoder
from cosense.methods.patches.encoder import PatchEncoder
from cosense.methods.patches.evidence import EvidenceFusion

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


class CooperativeDetector(Detector):
    """A detector that also knows what to share and how to fuse.

    Attributes:
        sharing: makes layers of a sender's features.
        fusion: the receiver's network of the product profile; None for CoSDH, which runs neck and head again.
        calibration: of the scores, by source.
    """

    sharing: PatchEncoder | LevelEncoder
    fusion: EvidenceFusion | None
    calibration: Calibration

    def __init__(
        self,
        *arguments: Any,
        sharing: PatchEncoder | LevelEncoder,
        fusion: EvidenceFusion | None,
        calibration: Calibration = IDENTITY,
        **options: Any,
    ) -> None:
        """Make a detector, see there, and get its further networks ready for inference."""
        super().__init__(*arguments, **options)
        self.sharing = prepared(sharing).to(self.device)
        self.fusion = None if fusion is None else prepared(fusion).to(self.device)
        self.calibration = calibration


def build_sharing(model: ModelConfig, seed: int) -> tuple[PatchEncoder | LevelEncoder, EvidenceFusion | None]:
    """Return untrained networks of what is shared and how it is fused, with weights drawn from `seed`.

    Raises:
        CosenseError: the model shares nothing.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if model.patches is not None:
            return PatchEncoder(model, model.patches), EvidenceFusion(model, model.patches)
        if model.cosdh is not None:
            return LevelEncoder(model, model.cosdh), None
    raise CosenseError(
        "config.yaml has neither 'patches' nor 'cosdh': this model shares boxes and points only"
    )


def load_model(name_or_folder: str | Path, device: str = "cpu") -> Detector:
    """Return a trained model, a `CooperativeDetector` where its configuration says that it shares features.

    Raises:
        CosenseError: as `cosense.detectors.detector.load_detector`.
    """
    folder = find_model(name_or_folder)
    config = load_config(ModelConfig, folder / "config.yaml")
    if config.patches is None and config.cosdh is None:
        return load_detector(folder, device)
    tensors, data = read_weights(folder)
    sharing, fusion = build_sharing(config, seed=0)
    for prefix, part in ((SHARING, sharing), (FUSION, fusion)):
        if part is not None:
            named = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
            fill(part, named, folder)
    return CooperativeDetector(
        folder.resolve().name,
        config,
        network_of(tensors, folder, config),
        fingerprint=fingerprint(config, data),
        weights_sha256=hashlib.sha256(data).hexdigest(),
        device=device,
        sharing=sharing,
        fusion=fusion,
        calibration=read_calibration(folder),
    )


def prepared(network: AnyNetwork) -> AnyNetwork:
    """Fold the batch norms, in place; there is no way back."""
    network.eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, ConvBlock):
            module.fold()
    return network
