"""What many settings of a sweep compute of the same clouds, computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

from cosense.config import to_mapping
from cosense.data.dataset import CooperativeFrame
from cosense.detectors.base import Detector, Encoded
from cosense.messages.scene_graph import SceneGraph
from cosense.methods.model import Model
from cosense.model_folders import network_tensors
from cosense.scene_graph.extract.builder import SceneGraphBuilders
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame


class SharedMaps:
    """The encodings of all agents in one frame, and their scene graphs."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._detectors = {name: model.detector for name, model in models.items()}
        self._key_of = {name: network_hash(detector) for name, detector in self._detectors.items()}
        # Of the frame at hand, by model and agent.
        self._graphs: dict[tuple[str, str], SceneGraph] = {}
        self.begin()

    def begin(self) -> None:
        """Go on to another sequence."""
        self._builders = {name: SceneGraphBuilders() for name in self._key_of}

    def encode(self, frame: CooperativeFrame) -> dict[str, dict[str, Encoded]]:
        """Go on to a frame: return the maps of its clouds by model and agent.

        Each network runs once a cloud, however many models are built on it.
        """
        maps: dict[str, dict[str, Encoded]] = {}
        for name, detector in self._detectors.items():
            key = self._key_of[name]
            if key not in maps:
                maps[key] = {agent_id: detector.encode(agent) for agent_id, agent in frame.agents.items()}
        self._graphs = {}
        return {name: maps[key] for name, key in self._key_of.items()}

    def build_graph(self, model: str, frame: AgentFrame, detections: Detections) -> SceneGraph:
        """Return the scene graph of an agent in the frame at hand, made once.

        But for the pose that goes with it, it does not depend on where the agent believes to be.

        Args:
            model: name of the detector that found the boxes.
            frame: of the agent.
            detections: the boxes.
        """
        key = model, frame.agent_id
        if key not in self._graphs:
            self._graphs[key] = self._builders[model].update(frame, detections)
        return replace(
            self._graphs[key], T_world_agent=frame.T_world_agent, pose_covariance=frame.pose_covariance
        )


def network_hash(detector: Detector) -> str:
    """Return what two detectors share only if they make the same maps of a cloud."""
    config = to_mapping(detector.config)
    digest = hashlib.sha256(json.dumps([config, str(detector.device)], sort_keys=True).encode())
    for name, tensor in sorted(network_tensors(detector.network).items()):
        digest.update(name.encode())
        digest.update(tensor.float().numpy().tobytes())
    return digest.hexdigest()
