"""Small cooperating detectors, and what they say to each other, for tests of senders and receivers."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from cosense.cooperation.feature_sender import FeatureSender
from cosense.detectors.base import BevFeatures
from cosense.detectors.pillars import PillarDetector, PillarsConfig
from cosense.geometry.transforms import Matrix
from cosense.messages.envelope import Message, PayloadKind, encode
from cosense.messages.objects import encode_objects
from cosense.methods.calibration import IDENTITY, Calibration
from cosense.methods.cosdh.settings import CosdhConfig
from cosense.methods.model import Model
from cosense.methods.patches.settings import PatchesConfig
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from tests.detectors.networks import TINY, Sharing, cloud, method_of

MS = 1_000_000
NO_POINTS = np.zeros((0, 4), np.float32)


@dataclass(frozen=True)
class Profile:
    """The configuration of a model."""

    detector: PillarsConfig
    sharing: Sharing


PATCHES = Profile(
    replace(TINY, score_threshold=0.2, max_detections=20),
    PatchesConfig(
        channels=8, hidden_channels=8, fused_channels=8, floor_after_patches=16, wanted_below_points=50
    ),
)
COSDH = replace(PATCHES, sharing=CosdhConfig(codec_ratio=4, late_score_threshold=0.1))


def cooperative(
    config: Profile = PATCHES,
    fingerprint: bytes = b"12345678",
    seed: int = 0,
    calibration: Calibration = IDENTITY,
) -> Model:
    """Return an untrained model in which, unlike in a fresh one, every input makes a difference."""
    network = PillarDetector.build(config.detector, seed)
    _liven(network)
    network.head.classes.weight.data *= 3
    network.head.classes.bias.data.fill_(-2.0)
    detector = PillarDetector("tiny", config.detector, network, fingerprint=fingerprint)
    _, method_type = method_of(config.sharing)
    sharing = method_type.build(config.sharing, detector, seed)
    _liven(sharing)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(config.sharing, PatchesConfig):
            for head in (sharing.fusion.classes, sharing.fusion.boxes):
                nn.init.normal_(head.weight, std=0.3)
    return Model("tiny", detector, method_type(config.sharing, detector, sharing, calibration))


def _liven(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            # The gain that keeps a signal as large as it came through convolutions and ReLUs.
            module.weight.data *= 6**0.5


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
    model: Model,
    agent: AgentFrame,
    features: BevFeatures | None = None,
    found: Detections | None = None,
    budget_bytes: int | None = None,
) -> bytes:
    """Return what an agent sends that has heard no demand; its boxes are those of its features by default."""
    features = features or model.detector.encode(agent)
    sender = FeatureSender(agent.agent_id, model.method, budget_bytes=budget_bytes)
    return sender.send(agent, features, model.detector.decode(features) if found is None else found, 0)


def with_nan_pose(data: bytes) -> bytes:
    """Return the bytes of a message whose x is not a number, with a checksum that fits."""
    x = 20 + data[7]
    changed = data[:x] + struct.pack("<d", np.nan) + data[x + 8 : -4]
    return changed + struct.pack("<I", zlib.crc32(changed))
