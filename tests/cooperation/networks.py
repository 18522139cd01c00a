"""Small cooperating detectors, and what they say to each other, for tests of senders and receivers."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from cosense.cooperation.perceived import Perceived, Perceiver
from cosense.cooperation.sender import Sender
from cosense.detectors.base import Encoded
from cosense.detectors.pillars import PillarDetector, PillarsConfig
from cosense.geometry.transforms import Matrix
from cosense.messages.envelope import Message, PayloadKind, encode
from cosense.messages.objects import encode_objects
from cosense.methods.calibration import IDENTITY, Calibration
from cosense.methods.cosdh.levels import CosdhConfig
from cosense.methods.fused_head import FusedHead
from cosense.methods.lcv2i.regions import Lcv2iConfig, RegionalEnhancement
from cosense.methods.model import Model
from cosense.methods.patches.encoder import PatchesConfig
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from tests.detectors.networks import TINY, Sharing, cloud, method_of

MS = 1_000_000
NO_POINTS = np.zeros((0, 4), np.float32)


@dataclass(frozen=True)
class Tiny:
    """A small model: its detector and what is shared on top."""

    detector: PillarsConfig
    sharing: Sharing

    def with_range(self, x_m: float, y_m: float) -> Tiny:
        range_m = (-x_m, -y_m, *self.detector.range_m[2:3], x_m, y_m, self.detector.range_m[5])
        return replace(self, detector=replace(self.detector, range_m=range_m))

    def with_sharing(self, **changes: Any) -> Tiny:
        return replace(self, sharing=replace(self.sharing, **changes))


PATCHES = Tiny(
    replace(TINY, score_threshold=0.2, max_detections=20),
    PatchesConfig(
        channels=8, hidden_channels=8, fused_channels=8, floor_after_patches=16, wanted_below_points=50
    ),
)
COSDH = Tiny(PATCHES.detector, CosdhConfig(codec_ratio=4, late_score_threshold=0.1))
LCV2I = Tiny(
    PATCHES.detector,
    Lcv2iConfig(channels=8, hidden_channels=8, fused_channels=8, need_below_points=100),
)
CONFIGS = {"patches": PATCHES, "cosdh": COSDH, "lcv2i": LCV2I}


def cooperative(
    config: Tiny = PATCHES,
    fingerprint: bytes = b"12345678",
    seed: int = 0,
    calibration: Calibration = IDENTITY,
) -> Model:
    """Return an untrained model in which, unlike in a fresh one, every input makes a difference."""
    network = PillarDetector.build(config.detector, seed)
    amplify(network)
    network.head.classes.weight.data *= 3
    network.head.classes.bias.data.fill_(-2.0)
    detector = PillarDetector("tiny", config.detector, network, fingerprint=fingerprint)
    _, kind = method_of(config.sharing)
    sharing = kind.build(config.sharing, detector, seed)
    amplify(sharing)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in sharing.modules():
            if isinstance(module, FusedHead):
                for head in (module.classes, module.boxes):
                    nn.init.normal_(head.weight, std=0.3)
            elif isinstance(module, RegionalEnhancement):
                nn.init.normal_(module.mix.weight, std=0.3)
    return Model("tiny", detector, kind(config.sharing, detector, sharing, calibration))


def amplify(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            # The gain that keeps a signal as large as it came through convolutions and ReLUs.
            module.weight.data *= 6**0.5


def perceived(model: Model, agent: AgentFrame) -> Perceived:
    """Return what an agent sees that has no earlier frame."""
    return Perceiver(model.detector).perceive(agent)


class Given(NamedTuple):
    """What an agent is said to see, whatever is in its cloud; in place of `Perceived`."""

    frame: AgentFrame
    encoded: Encoded
    detections: Detections


def frame(
    name: str, T_world_agent: Matrix, stamp_ns: int = 0, seed: int = 0, points: np.ndarray | None = None
) -> AgentFrame:
    """Return what an agent measures that stands in a random cloud."""
    return AgentFrame(
        name, "vehicle", stamp_ns, T_world_agent, cloud(seed, 2000) if points is None else points
    )


def detections(boxes: list | np.ndarray, scores: list | np.ndarray, labels: list | None = None) -> Detections:
    found = np.asarray(boxes, dtype=float).reshape(-1, 7)
    return Detections(
        found,
        np.asarray(scores, np.float32),
        np.zeros(len(found), np.int64) if labels is None else np.asarray(labels, np.int64),
        np.zeros(len(found), np.uint8),
    )


def message(agent: AgentFrame, kind: PayloadKind, payload: bytes, fingerprint: bytes = b"12345678") -> bytes:
    return encode(
        Message(
            kind,
            agent.agent_id,
            0,
            agent.stamp_ns,
            agent.T_world_agent,
            agent.pose_covariance,
            fingerprint,
            payload,
        )
    )


def objects_message(agent: AgentFrame, found: Detections, fingerprint: bytes = b"12345678") -> bytes:
    return message(agent, PayloadKind.OBJECTS, encode_objects(found), fingerprint)


def features_message(
    model: Model, agent: AgentFrame, found: Detections | None = None, budget_bytes: int | None = None
) -> bytes:
    """Return what an agent sends without any request; its boxes are those of its cloud by default."""
    own = perceived(model, agent)
    own = Given(agent, own.encoded, own.detections if found is None else found)
    return Sender(agent.agent_id, model, "hybrid", budget_bytes=budget_bytes).message(own, 0, None)


def with_nan_pose(data: bytes) -> bytes:
    """Return the bytes of a message whose x is not a number, with a checksum that fits."""
    x = 20 + data[7]
    changed = data[:x] + struct.pack("<d", np.nan) + data[x + 8 : -4]
    return changed + struct.pack("<I", zlib.crc32(changed))
