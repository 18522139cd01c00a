"""What many settings of a sweep see in the same clouds, computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from cosense.config import to_mapping
from cosense.cooperation.perceived import Perceived, Perceiver
from cosense.data.dataset import CooperativeFrame
from cosense.detectors.base import Detector
from cosense.methods.model import Model
from cosense.model_folders import network_tensors


class SharedPerception:
    """The eyes of all agents in all settings: models built on the same network share its passes."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._detectors: dict[str, Detector] = {}
        self._key_of: dict[str, str] = {}
        for name, model in models.items():
            key = self._key_of[name] = network_hash(model.detector)
            self._detectors.setdefault(key, model.detector)
        self.begin()

    def begin(self) -> None:
        """Go on to another sequence: agents who remember nothing."""
        self._perceivers: dict[tuple[str, str], Perceiver] = {}

    def perceive(self, frame: CooperativeFrame) -> dict[str, dict[str, Perceived]]:
        """Go on to a frame: return what each agent sees, by model and agent."""
        seen = {
            key: {
                agent_id: self._perceivers.setdefault((key, agent_id), Perceiver(detector)).perceive(agent)
                for agent_id, agent in frame.agents.items()
            }
            for key, detector in self._detectors.items()
        }
        return {name: seen[key] for name, key in self._key_of.items()}


def network_hash(detector: Detector) -> str:
    """Return what two detectors share only if they see the same in a cloud."""
    identity = [type(detector).__qualname__, to_mapping(detector.config), str(detector.device)]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    for name, tensor in sorted(network_tensors(detector.network).items()):
        digest.update(name.encode())
        digest.update(tensor.float().numpy().tobytes())
    return digest.hexdigest()
