"""Small cooperating detectors, and what they say to each other, for tests of senders and receivers."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from cosense.cooperation.feature_sender import FeatureSender
from cosense.detectors.config import CosdhConfig, ModelConfig, PatchesConfig
from cosense.detectors.features import BevFeatures
from cosense.detectors.network import build_network
from cosense.geometry.transforms import Matrix
from cosense.messages.envelope import Message, PayloadKind, encode
from cosense.messages.objects import encode_objects
from cosense.methods.calibration import IDENTITY, Calibration
from cosense.methods.models import CooperativeDetector, build_sharing
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from tests.detectors.networks import TINY, cloud

MS = 1_000_000
NO_POINTS = np.zeros((0, 4), np.float32)
PATCHES = replace(
    TINY,
    score_threshold=0.2,
    max_detections=20,
    patches=PatchesConfig(
        channels=8, hidden_channels=8, fused_channels=8, floor_after_patches=16, wanted_below_points=50
    ),
)
COSDH = replace(PATCHES, patches=None, cosdh=CosdhConfig(codec_ratio=4, late_score_threshold=0.1))


def cooperative(
    config: ModelConfig = PATCHES,
    fingerprint: bytes = b"12345678",
    seed: int = 0,
    calibration: Calibration = IDENTITY,
) -> CooperativeDetector:
    """Return an untrained detector in which, unlike in a fresh one, every input makes a difference."""
    network = build_network(config, seed)
    sharing, fusion = build_sharing(config, seed)
    for part in (network, sharing, fusion):
        for module in part.modules() if part is not None else ():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                # The gain that keeps a signal as large as it came through convolutions and ReLUs.
                module.weight.data *= 6**0.5
    network.head.classes.weight.data *= 3
    network.head.classes.bias.data.fill_(-2.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for head in (fusion.classes, fusion.boxes) if fusion is not None else ():
            nn.init.normal_(head.weight, std=0.3)
    return CooperativeDetector(
        "tiny",
        config,
        network,
        fingerprint=fingerprint,
        sharing=sharing,
        fusion=fusion,
        calibration=calibration,
    )


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
    detector: CooperativeDetector,
    agent: AgentFrame,
    features: BevFeatures | None = None,
    found: Detections | None = None,
    budget_bytes: int | None = None,
) -> bytes:
    """Return what an agent sends that has heard no demand; its boxes are those of its features by default."""
    features = features or detector.encode(agent.points)
    sender = FeatureSender(agent.agent_id, detector, detector.sharing, budget_bytes=budget_bytes)
    return sender.send(agent, features, detector.decode(features) if found is None else found, 0)


def with_nan_pose(data: bytes) -> bytes:
    """Return the bytes of a message whose x is not a number, with a checksum that fits."""
    x = 20 + data[7]
    changed = data[:x] + struct.pack("<d", np.nan) + data[x + 8 : -4]
    return changed + struct.pack("<I", zlib.crc32(changed))
