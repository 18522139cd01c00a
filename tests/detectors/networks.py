"""Small networks, model folders and clouds that several tests use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import yaml

from cosense.config import to_mapping
from cosense.detectors.base import BevDetector
from cosense.detectors.bev_network import StageConfig
from cosense.detectors.pillars import PillarDetector, PillarsConfig
from cosense.geometry.transforms import Matrix
from cosense.methods.base import Method
from cosense.methods.cosdh.levels import CosdhConfig
from cosense.methods.cosdh.method import Cosdh
from cosense.methods.lcv2i.method import Lcv2i
from cosense.methods.lcv2i.regions import Lcv2iConfig
from cosense.methods.patches.encoder import PatchesConfig
from cosense.methods.patches.method import Patches
from cosense.model_folders import CONFIG, WEIGHTS, network_tensors, write_tensors
from cosense.sensing.frame import AgentFrame

TINY = PillarsConfig(
    range_m=(-12.8, -6.4, -12.0, 12.8, 6.4, 5.0),
    height_m=(-1.5, 5.0),
    cell_m=0.4,
    pillar_channels=8,
    stages=(StageConfig(1, 8), StageConfig(1, 16), StageConfig(0, 16)),
    neck_channels=8,
    shrink_channels=(8,),
    precision="float32",
)

Sharing = PatchesConfig | CosdhConfig | Lcv2iConfig
_METHODS: dict[type[Sharing], tuple[str, type[Method]]] = {
    PatchesConfig: ("patches", Patches),
    CosdhConfig: ("cosdh", Cosdh),
    Lcv2iConfig: ("lcv2i", Lcv2i),
}


def method_of(sharing: Sharing) -> tuple[str, type[Method]]:
    """Return name and class of the method that a configuration belongs to."""
    return _METHODS[type(sharing)]


def tiny_detector(config: PillarsConfig = TINY, seed: int = 0, name: str = "tiny", **identity) -> BevDetector:
    """Return an untrained detector."""
    return PillarDetector(name, config, PillarDetector.build(config, seed), **identity)


def mapping_of(config: PillarsConfig = TINY, sharing: Sharing | None = None) -> dict:
    """Return the content of config.yaml."""
    mapping = {"detector": "pillars", **to_mapping(config)}
    if sharing is not None:
        mapping["sharing"] = {"method": method_of(sharing)[0], **to_mapping(sharing)}
    return mapping


def write_model(
    folder: Path, config: PillarsConfig = TINY, seed: int = 0, sharing: Sharing | None = None, **changes
) -> Path:
    """Write an untrained model as `load_model` reads it; `changes` are of config.yaml. Return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(yaml.safe_dump(mapping_of(config, sharing) | changes))
    tensors = network_tensors(PillarDetector.build(config, seed))
    if sharing is not None:
        built = method_of(sharing)[1].build(sharing, tiny_detector(config, seed), seed)
        tensors |= network_tensors(built)
    write_tensors(tensors, folder / WEIGHTS)
    return folder


def frame_of(points: np.ndarray, T_world_agent: Matrix | None = None) -> AgentFrame:
    """Return a frame of a vehicle that has nothing but a cloud."""
    return AgentFrame("ego", "vehicle", 0, np.eye(4) if T_world_agent is None else T_world_agent, points)


def cloud(seed: int = 0, points: int = 4000, height_m: float = 1.9) -> np.ndarray:
    """Random points on and above a flat ground, (N,4) float32."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-14, 14, points), rng.uniform(-7, 7, points)
    z = np.where(rng.random(points) < 0.8, 0.0, rng.uniform(0, 3, points)) - height_m
    return np.column_stack([x, y, z, rng.random(points)]).astype(np.float32)
