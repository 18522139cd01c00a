"""A data set and a detector that are small enough to run everything on them in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosense.data.dataset import CooperativeFrame
from cosense.detectors.bev_network import StageConfig
from cosense.detectors.pillars import PillarsConfig
from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.methods.patches.encoder import PatchesConfig
from cosense.sensing.frame import AgentFrame, AgentKind, Camera
from cosense.sensing.objects import Objects
from cosense.simulation.opv2v_writer import write_opv2v
from cosense.simulation.stage import SimulatedFrame
from tests.detectors import networks

_MODEL = PillarsConfig(
    range_m=(-51.2, -25.6, -12.0, 51.2, 25.6, 5.0),
    height_m=(-1.5, 5.0),
    cell_m=0.8,
    pillar_channels=8,
    stages=(StageConfig(0, 8),),
    neck_channels=8,
    shrink_channels=(8,),
    max_detections=16,
    # An untrained network is sure of nothing.
    score_threshold=0.001,
)


def write_model(folder: Path) -> Path:
    """Write an untrained model that nevertheless reports boxes, and return its folder."""
    return networks.write_model(folder, _MODEL)


def write_sharing_model(folder: Path, seed: int = 0) -> Path:
    """Write an untrained model that also shares features, and return its folder."""
    config = replace(_MODEL, stages=_MODEL.stages * 3)
    patches = PatchesConfig(channels=8, hidden_channels=8, fused_channels=8, wanted_below_points=12)
    return networks.write_model(folder, config, seed, patches)


def write_scene(folder: Path, frames: int, sequences: int = 1) -> Path:
    """Write an OPV2V tree of one vehicle "1" and one roadside unit "-1" around a parked car.

    The frames are spread over the sequences; the stamps of each start from zero.
    """
    write_opv2v(_frames(frames, frames // sequences), folder)
    return folder


def _frames(count: int, frames_per_sequence: int) -> Iterator[SimulatedFrame]:
    rng = np.random.default_rng(5)
    car = np.array([12.0, 3.0, 0.75, 4.5, 1.8, 1.5, 0.2])
    on_car = car[:3] + rng.uniform(-0.5, 0.5, (200, 3)) * car[3:6]
    ground = np.column_stack([rng.uniform(-40, 40, (1500, 2)), np.zeros(1500)])
    world = np.concatenate([on_car, ground])
    for number in range(count):
        poses = {
            "vehicle": transform_from_planar(0.5 * number, 0.0, 0.1, 1.9),
            "infrastructure": transform_from_planar(20.0, -8.0, 2.5, 6.0),
        }
        agents = {name: _agent(name, T, number, world, rng) for name, T in poses.items()}
        truth = Objects(car[None], np.zeros(1, np.int64), np.array(["car"]))
        in_ego = truth.transformed(invert(poses["vehicle"]))
        sequence = f"scene_{number // frames_per_sequence}"
        frame = CooperativeFrame(f"{sequence}/{number:06d}", sequence, "vehicle", agents, in_ego)
        yield SimulatedFrame(frame, (0.0, 0.0))


def _agent(
    kind: AgentKind, T_world_agent: np.ndarray, number: int, world: np.ndarray, rng: np.random.Generator
) -> AgentFrame:
    xyz = transform_points(invert(T_world_agent), world + rng.normal(0, 0.02, world.shape))
    points = np.column_stack([xyz, rng.random(len(xyz))]).astype(np.float32)
    stamp_ns = number * 100_000_000
    image = np.full((24, 32, 3), 40 * number % 256, np.uint8)
    K = np.array([[20.0, 0, 16], [0, 20, 12], [0, 0, 1]])
    T_camera_agent = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    camera = Camera("front", image, K, T_camera_agent, stamp_ns)
    truth = Objects.empty()
    return AgentFrame(kind, kind, stamp_ns, T_world_agent, points, cameras=(camera,), objects=truth)
