"""A tiny untrained network that shares features, and scenes in which it finds something."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import yaml
from safetensors.torch import save_file

from cosense.config import to_mapping
from cosense.data.dataset import CooperativeFrame
from cosense.detectors.config import PatchesConfig
from cosense.detectors.models import FUSION, SHARING, WEIGHTS, network_tensors
from cosense.detectors.network import build_network
from cosense.geometry.transforms import transform_from_planar
from cosense.methods.models import CooperativeDetector, build_sharing
from cosense.sensing.detections import Detections, Source
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import Objects
from tests.detectors.networks import TINY, cloud

# About half of the cells have fewer points than are wanted.
PATCHES = PatchesConfig(
    channels=4, hidden_channels=8, fused_channels=8, floor_after_patches=16, wanted_below_points=38
)
CONFIG = dataclasses.replace(TINY, score_threshold=0.01, max_detections=24, patches=PATCHES)
PERIOD_NS = 100_000_000
PLACES_M = {"ego": (0.0, 0.0, 0.0), "near": (4.0, 3.0, 2.0), "far": (9.0, -2.0, -1.0)}


def tiny_detector(name: str = "tiny", seed: int = 1, sharing_seed: int = 2) -> CooperativeDetector:
    sharing, fusion = build_sharing(CONFIG, sharing_seed)
    return CooperativeDetector(
        name,
        CONFIG,
        build_network(CONFIG, seed),
        fingerprint=bytes([seed, sharing_seed] * 4),
        weights_sha256="cd" * 32,
        sharing=sharing,
        fusion=fusion,
    )


def write_tiny_model(folder: Path) -> Path:
    """Write an untrained model as `load_model` reads it."""
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(to_mapping(CONFIG)))
    sharing, fusion = build_sharing(CONFIG, seed=2)
    assert fusion is not None
    tensors = network_tensors(build_network(CONFIG, seed=1))
    for prefix, network in ((SHARING, sharing), (FUSION, fusion)):
        tensors |= {prefix + name: tensor for name, tensor in network_tensors(network).items()}
    save_file(tensors, folder / WEIGHTS)
    return folder


def drive(
    count: int, *, sequence: str = "one", seed: int = 0, agents: tuple[str, ...] = ("ego", "near")
) -> list[CooperativeFrame]:
    """Return frames of one sequence; there is to be found every second thing that an agent reports."""
    detector = tiny_detector()
    frames = []
    for index in range(count):
        here = {}
        for number, name in enumerate(agents):
            x, y, yaw = PLACES_M[name]
            here[name] = AgentFrame(
                name,
                "vehicle",
                index * PERIOD_NS,
                transform_from_planar(100 + x + 0.3 * index, 50 + y, yaw, z=1.9),
                cloud(seed + 100 * index + number, points=1500),
            )
        frame = CooperativeFrame(f"{sequence}/{index}", sequence, agents[0], here, Objects.empty())
        reports = [
            detector.detect(agent.points).transformed(frame.T_ego_agent(name), Source.LATE)
            for name, agent in here.items()
        ]
        found = Detections.concatenate(reports)[::2]
        ids = np.array([str(number) for number in range(len(found))], dtype=np.str_)
        truth = Objects(found.boxes, found.labels, ids)
        frames.append(dataclasses.replace(frame, ground_truth=truth))
    return frames
