"""A data set as it would be if its vehicles had LiDARs with fewer beams; see `cosense.sensing.beams.fewer`.

The beams of a LiDAR are learned from up to twenty clouds: from all over the data set where an agent has the
same LiDAR throughout, else from the clouds of its sequence among twenty neighbouring frames. So what becomes
of a frame does not depend on which frames were read before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cosense.data.dataset import CooperativeFrame, Dataset, DatasetInfo
from cosense.errors import CosenseError
from cosense.sensing.beams.fewer import FewerBeams
from cosense.sensing.beams.table import BeamTable
from cosense.sensing.frame import AgentFrame, AgentKind

_CLOUDS = 20


class LiveFewerBeams:
    """Takes beams from frames as they are made; the LiDARs are known by the first frame of a sequence."""

    def __init__(self, beams: FewerBeams) -> None:
        self._beams = beams
        self._tables: dict[tuple[str, str], BeamTable] = {}

    def __call__(self, frame: CooperativeFrame) -> CooperativeFrame:
        """Return a frame with fewer points."""
        agents = {}
        for name, agent in frame.agents.items():
            key = (frame.sequence, name)
            if self._beams.applies_to(agent):
                if key not in self._tables:
                    self._tables[key] = self._beams.table_of("/".join(key), [agent])
                agent = self._beams.reduced(agent, self._tables[key])
            agents[name] = agent
        return _changed(frame, agents, self._beams)


def _changed(frame: CooperativeFrame, agents: dict[str, AgentFrame], beams: FewerBeams) -> CooperativeFrame:
    return replace(frame, agents=agents, provenance=frame.provenance.changed(_words(beams)))


def _words(beams: FewerBeams) -> str:
    return f"LiDARs reduced to {beams} beams"


class FewerBeamsDataset(Dataset):
    """The frames of another data set with fewer points.

    Args:
        whole: the data set.
        beams: which beams are kept.
    """

    def __init__(self, whole: Dataset, beams: FewerBeams) -> None:
        self._whole, self._beams = whole, beams
        self._tables: dict[tuple[int, str, str], BeamTable] = {}
        self.path, self.split, self.label_set = whole.path, whole.split, whole.label_set
        self.async_frames, self.without_labels = whole.async_frames, whole.without_labels
        self.kind = f"{whole.kind}, {_words(beams)}"

    def __len__(self) -> int:
        return len(self._whole)

    def __getitem__(self, index: int) -> CooperativeFrame:
        frame = self._whole[index]
        agents = {name: self._reduced(agent, frame, index) for name, agent in frame.agents.items()}
        return _changed(frame, agents, self._beams)

    @property
    def agents(self) -> dict[str, AgentKind]:
        """See `Dataset.agents`."""
        return self._whole.agents

    def description(self) -> dict[str, Any]:
        """See `Dataset.description`; says too which beams are kept."""
        return {**self._whole.description(), "kind": self.kind, "beams": str(self._beams)}

    def info(self, *, verify: bool = False) -> DatasetInfo:
        """See `Dataset.info`."""
        return replace(self._whole.info(verify=verify), kind=self.kind)

    def _reduced(self, agent: AgentFrame, frame: CooperativeFrame, index: int) -> AgentFrame:
        if not self._beams.applies_to(agent):
            return agent
        if self._whole.has_same_lidars:
            key = (0, "", agent.agent_id)
            indices = np.unique(np.linspace(0, len(self) - 1, min(_CLOUDS, len(self))).round().astype(int))
        else:
            key = (index // _CLOUDS, frame.sequence, agent.agent_id)
            start = index // _CLOUDS * _CLOUDS
            indices = np.arange(start, min(start + _CLOUDS, len(self)))
        if key not in self._tables:
            self._learn(key, indices.tolist(), agent)
        return self._beams.reduced(agent, self._tables[key])

    def _learn(self, key: tuple[int, str, str], indices: list[int], agent: AgentFrame) -> None:
        """Learn the beams of one agent's LiDAR, and of those of all others in the same frames."""
        seen: dict[str, list[AgentFrame]] = {}
        for index in indices:
            try:
                frame = self._whole[index]
            except CosenseError:
                continue
            if key[1] in ("", frame.sequence):
                for name, other in frame.agents.items():
                    if self._beams.applies_to(other):
                        seen.setdefault(name, []).append(other)
        seen.setdefault(agent.agent_id, [agent])
        for name, frames in seen.items():
            lidar = f"{key[1]}/{name}" if key[1] else name
            self._tables[(key[0], key[1], name)] = self._beams.table_of(lidar, frames)
