"""A tiny untrained network that shares features, and scenes in which it finds something."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from cosense.data.dataset import CooperativeFrame
from cosense.geometry.transforms import transform_from_planar
from cosense.methods.model import Model
from cosense.methods.patches.encoder import PatchesConfig
from cosense.methods.patches.method import Patches
from cosense.sensing.detections import Detections, Source
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import Objects
from tests.detectors.networks import TINY, cloud, tiny_detector, write_model

# About half of the cells have fewer points than are wanted.
PATCHES = PatchesConfig(
    channels=4, hidden_channels=8, fused_channels=8, floor_after_patches=16, wanted_below_points=38
)
CONFIG = dataclasses.replace(TINY, score_threshold=0.01, max_detections=24)
PERIOD_NS = 100_000_000
PLACES_M = {"ego": (0.0, 0.0, 0.0), "near": (4.0, 3.0, 2.0), "far": (9.0, -2.0, -1.0)}


def tiny_model(name: str = "tiny", seed: int = 1, sharing_seed: int = 2) -> Model:
    identity = {"fingerprint": bytes([seed, sharing_seed] * 4), "weights_sha256": "cd" * 32}
    detector = tiny_detector(CONFIG, seed, name, **identity)
    return Model(name, detector, Patches(PATCHES, detector, Patches.build(PATCHES, detector, sharing_seed)))


def write_tiny_model(folder: Path) -> Path:
    """Write an untrained model as `load_model` reads it."""
    return write_model(folder, CONFIG, seed=1, sharing=PATCHES)


def drive(
    count: int, *, sequence: str = "one", seed: int = 0, agents: tuple[str, ...] = ("ego", "near")
) -> list[CooperativeFrame]:
    """Return frames of one sequence; there is to be found every second thing that an agent reports."""
    detector = tiny_model().detector
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
            detector.detect(agent).transformed(frame.T_ego_agent(name), Source.LATE)
            for name, agent in here.items()
        ]
        found = Detections.concatenate(reports)[::2]
        ids = np.array([str(number) for number in range(len(found))], dtype=np.str_)
        truth = Objects(found.boxes, found.labels, ids)
        frames.append(dataclasses.replace(frame, ground_truth=truth))
    return frames
