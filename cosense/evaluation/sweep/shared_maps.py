"""What many settings of a sweep compute of the same clouds, computed once."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from cosense.config import to_mapping
from cosense.data.dataset import CooperativeFrame
from cosense.detectors.detector import Detector
from cosense.detectors.features import BevFeatures
from cosense.detectors.models import network_tensors
from cosense.messages.scene_graph import SceneGraph
from cosense.methods.models import CooperativeDetector
from cosense.scene_graph.extract.builder import SceneGraphBuilders
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame


class SharedMaps:
    """The maps of all clouds of one frame, and what follows from nothing else.

    Attributes:
        detectors: by name, like those given, but boxes and latents of a cloud are made once.
    """

    def __init__(self, detectors: Mapping[str, Detector]) -> None:
        self.detectors: dict[str, Detector] = {}
        self._key_of = {name: network_hash(detector) for name, detector in detectors.items()}
        self._remembered: list[_Remembered] = []
        # Of the frame at hand, by model and agent.
        self._graphs: dict[tuple[str, str], SceneGraph] = {}
        self.begin()
        for name, detector in detectors.items():
            self.detectors[name] = self._remembering(detector)

    def begin(self) -> None:
        """Go on to another sequence."""
        self._builders = {name: SceneGraphBuilders() for name in self._key_of}

    def encode(self, frame: CooperativeFrame) -> dict[str, dict[str, BevFeatures]]:
        """Go on to a frame: return the maps of its clouds by model and agent.

        Each network runs once a cloud, however many models are built on it.
        """
        maps: dict[str, dict[str, BevFeatures]] = {}
        for name, detector in self.detectors.items():
            key = self._key_of[name]
            if key not in maps:
                maps[key] = {
                    agent_id: detector.encode(agent.points) for agent_id, agent in frame.agents.items()
                }
        self._graphs = {}
        known = [features for of_agents in maps.values() for features in of_agents.values()]
        for remembered in self._remembered:
            remembered.begin(known)
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

    def _remembering(self, detector: Detector) -> Detector:
        """Return a twin of a detector that makes boxes and latents of a cloud once."""
        twin = copy.copy(detector)
        twin.decode = self._once(detector.decode)  # type: ignore[method-assign]
        if isinstance(twin, CooperativeDetector):
            twin.sharing = copy.copy(twin.sharing)
            twin.sharing.latents = self._once(twin.sharing.latents)  # type: ignore[method-assign]
        return twin

    def _once(self, function: Callable[[BevFeatures], Any]) -> _Remembered:
        self._remembered.append(_Remembered(function))
        return self._remembered[-1]


class _Remembered:
    """A function of the maps of a cloud that runs once for each cloud of the frame at hand."""

    def __init__(self, function: Callable[[BevFeatures], Any]) -> None:
        self._function = function
        self._known: list[BevFeatures] = []
        self._results: dict[int, Any] = {}

    def begin(self, known: list[BevFeatures]) -> None:
        """Go on to a frame with these maps; of all others, fused ones, nothing is kept."""
        self._known, self._results = known, {}

    def __call__(self, features: BevFeatures) -> Any:
        key = id(features)
        if not any(features is known for known in self._known):
            return self._function(features)
        if key not in self._results:
            self._results[key] = self._function(features)
        return self._results[key]


def network_hash(detector: Detector) -> str:
    """Return what two detectors share only if they make the same maps of a cloud."""
    config = to_mapping(replace(detector.config, patches=None, cosdh=None))
    digest = hashlib.sha256(json.dumps([config, str(detector.device)], sort_keys=True).encode())
    for name, tensor in sorted(network_tensors(detector.network).items()):
        digest.update(name.encode())
        digest.update(tensor.float().numpy().tobytes())
    return digest.hexdigest()
