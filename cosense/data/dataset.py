"""The protocol between data sets and everything that reads them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cosense.geometry.transforms import Matrix, invert
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import Objects

# The label set of what has no ground truth, as a bag that somebody has recorded.
NO_LABELS = "none"


@dataclass(frozen=True)
class CooperativeFrame:
    """What all agents measured at (nearly) one moment, with the ground truth of the ego.

    Attributes:
        frame_id: as the data set names it; unique within the data set.
        sequence: frames of one sequence follow each other in time.
        ego_id: key of the ego in `agents`.
        agents: by agent id; the ego first.
        ground_truth: what all agents together could know, in the ego frame.
        is_labelled: False where nobody has said what is there, so that no ground truth means nothing.
    """

    frame_id: str
    sequence: str
    ego_id: str
    agents: dict[str, AgentFrame]
    ground_truth: Objects
    is_labelled: bool = True

    @property
    def ego(self) -> AgentFrame:
        return self.agents[self.ego_id]

    @property
    def others(self) -> list[AgentFrame]:
        return [agent for agent_id, agent in self.agents.items() if agent_id != self.ego_id]

    def T_ego_agent(self, agent_id: str) -> Matrix:
        """Return (4,4) from an agent's frame into the ego's, by the poses that were measured."""
        return invert(self.ego.T_world_agent) @ self.agents[agent_id].T_world_agent


@dataclass(frozen=True)
class MissingFiles:
    """Files of one folder, relative to the root, that are named by an index and are not there."""

    folder: str
    names: tuple[str, ...]
    of: int

    def __str__(self) -> str:
        first = ", ".join(self.names[:3]) + (", ..." if len(self.names) > 3 else "")
        return f"{self.folder}: {len(self.names)} of {self.of} files missing: {first}"


@dataclass(frozen=True)
class DatasetInfo:
    """What `cosense info` prints.

    Attributes:
        kind: format, e.g. "dair-v2x-c".
        label_set: which labels are the ground truth, e.g. "original", "complemented", "simulated".
        frames_per_split: number of usable frames by split.
        agents: agent ids with their kind; for data sets whose ids change, the roles.
        sensors: one line a sensor.
        problems: what is missing or broken, one line each, naming the file; of many files the first.
        notes: what a reader should know and is no mistake, e.g. frames that were never released.
        missing: all files that the lines on missing files in `problems` abbreviate.
    """

    kind: str
    path: Path
    label_set: str
    frames_per_split: dict[str, int]
    agents: dict[str, str]
    sensors: list[str]
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: list[MissingFiles] = field(default_factory=list)


class Dataset(Protocol):
    """One file of this room per format. Opening reads only indices; a frame is read when it is asked for.

    Attributes:
        kind, path, label_set: as in `DatasetInfo`.
        split: name of the split that was opened, "all" for every frame.
        async_frames: how many frames earlier than the ego the others measured, on purpose.
    """

    kind: str
    path: Path
    split: str
    label_set: str
    async_frames: int

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> CooperativeFrame:
        """Read one frame; raises CosenseError that names the file where one is missing or broken."""
        ...

    def info(self, *, verify: bool = False) -> DatasetInfo:
        """Describe the data set; `verify` also checks that every file of its split is there."""
        ...
