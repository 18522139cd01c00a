"""What a data set is to everything that reads one: frames of several agents, and a description of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cosense.errors import CosenseError, counted
from cosense.geometry.transforms import Matrix, invert
from cosense.sensing.frame import AgentFrame, AgentKind
from cosense.sensing.labelled_area import EVERYWHERE, LabelledArea
from cosense.sensing.objects import Objects

# Label set of data without ground truth, such as most recorded bags.
NO_LABELS = "none"


@dataclass(frozen=True)
class Provenance:
    """What made some frames, and what has become of them since.

    As text it names what made them first, so that a title that begins with it cannot be mistaken for a result
    on recorded data: "simulated by cosense (layout of dair-v2x-c, converted to ros2-bag)".

    Attributes:
        simulator: program that simulated them, e.g. "cosense" or "CARLA"; empty where they were recorded, and
            where nothing says what made them.
        layouts: formats that they have been in, the oldest first.
        changes: what was done to them on purpose, e.g. "pose errors of unit".
    """

    simulator: str = ""
    layouts: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        layouts = list(self.layouts)
        details = []
        if self.simulator:
            head = f"simulated by {self.simulator}"
            details += [f"layout of {layout}" for layout in layouts[:1]]
        else:
            head = layouts[0] if layouts else "of unknown origin"
        details += [f"converted to {layout}" for layout in layouts[1:]] + [*self.changes]
        return f"{head} ({', '.join(details)})" if details else head

    def converted(self, layout: str) -> Provenance:
        """Return what frames are that were written in another format."""
        return self if self.layouts[-1:] == (layout,) else replace(self, layouts=(*self.layouts, layout))

    def changed(self, *changes: str) -> Provenance:
        """Return what frames are to which something was done."""
        return replace(self, changes=tuple(dict.fromkeys((*self.changes, *changes))))


def kind_of(provenances: Iterable[Provenance]) -> str:
    """Return in words what made some frames; where they differ, each once, the simulated ones first."""
    return " and ".join(dict.fromkeys(map(str, sorted(provenances, key=lambda each: not each.simulator))))


@dataclass(frozen=True)
class CooperativeFrame:
    """The measurements of all agents at (nearly) one moment, with the ground truth of the ego.

    Attributes:
        frame_id: name that the data set gives the frame, unique within it.
        sequence: name of the sequence; its frames follow each other in time.
        ego_id: key of the ego in `agents`.
        agents: measurements of each agent by agent id, the ego first.
        ground_truth: all objects that the agents together could know of, in the ego frame.
        is_labelled: False where nobody has labelled the frame, so that empty ground truth means nothing.
        provenance: what made the frame.
        absent: T_world_agent (4,4) of vehicles that take part and have no cloud of this moment, by agent id.
        labelled: of what the labels say something, in the ego frame.
    """

    frame_id: str
    sequence: str
    ego_id: str
    agents: dict[str, AgentFrame]
    ground_truth: Objects
    is_labelled: bool = True
    provenance: Provenance = Provenance()
    absent: Mapping[str, Matrix] = field(default_factory=dict)
    labelled: LabelledArea = EVERYWHERE

    @property
    def ego(self) -> AgentFrame:
        return self.agents[self.ego_id]

    @property
    def others(self) -> list[AgentFrame]:
        return [agent for agent_id, agent in self.agents.items() if agent_id != self.ego_id]

    @property
    def participants(self) -> dict[str, tuple[float, float]]:
        """Where the vehicles that take part are: (x, y) of their sensors in the ego frame, by agent id.

        The ego is among them, roadside units are not: they have no body on the road. The data say so, not the
        messages: neither pose errors nor what somebody claims moves a participant.
        """
        poses = {name: agent.T_world_agent for name, agent in self.agents.items() if agent.kind == "vehicle"}
        T_ego_world = invert(self.ego.T_world_agent)
        places = {name: (T_ego_world @ T)[:2, 3] for name, T in {**poses, **self.absent}.items()}
        return {name: (float(x), float(y)) for name, (x, y) in places.items()}

    def T_ego_agent(self, agent_id: str) -> Matrix:
        """Return (4,4) from an agent's frame to the ego's, computed from the measured poses."""
        return invert(self.ego.T_world_agent) @ self.agents[agent_id].T_world_agent


@dataclass(frozen=True)
class MissingFiles:
    """Files that an index names and a folder lacks.

    Attributes:
        folder: path of the folder, relative to the root of the data set.
        names: names of the missing files.
        of: number of files that the index names in this folder.
        empty: number of the missing files that are there without any content.
    """

    folder: str
    names: tuple[str, ...]
    of: int
    empty: int = 0

    def __str__(self) -> str:
        first = ", ".join(self.names[:3]) + (", ..." if len(self.names) > 3 else "")
        empty = f" or empty ({self.empty})" if self.empty else ""
        return f"{self.folder}: {len(self.names)} of {counted(self.of, 'file')} missing{empty}: {first}"


@dataclass(frozen=True)
class DatasetInfo:
    """What `cosense info` prints.

    Attributes:
        kind: what made it and its format, see `Dataset`.
        path: root of the data set.
        label_set: name of the labels that serve as ground truth: "original", "complemented", "simulated", ...
        frames_per_split: number of usable frames in each split.
        agents: kind of each agent by its id; roles instead of ids where these change between sequences.
        sensors: one line for each sensor.
        problems: one line for each thing that is missing or broken, naming the file, or the first of many.
        notes: facts worth knowing that are no problem, e.g. frames that were never released.
        missing: all files that the lines in `problems` abbreviate.
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


class Dataset(ABC):
    """One data set on disk. Opening it reads only indices; a frame is read when it is asked for.

    A subclass takes `(path, *, split, labels, cameras)` and the options that its module names in `OPTIONS`;
    see `cosense.data.recognise`.

    Attributes:
        kind: what made it and its format as text, see `Provenance`: "dair-v2x-c" is recorded, or its origin
            is unknown; else "simulated by cosense (layout of dair-v2x-c)".
        path: root of the data set.
        split: name of the split that was opened, "all" for every frame.
        label_set: name of the labels that serve as ground truth.
        async_frames: number of frames by which the others measured earlier than the ego, on purpose.
        has_same_lidars: whether an agent has the same LiDAR in all frames, not only in those of a sequence.
        without_labels: why `label_set` may be `NO_LABELS`, and what to do about it, for an error.
    """

    kind: str
    path: Path
    split: str
    label_set: str
    async_frames: int = 0
    has_same_lidars: bool = False
    without_labels: str = "no labels are read from this format; take a data set that has them"

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def __getitem__(self, index: int) -> CooperativeFrame:
        """Read one frame.

        Raises:
            CosenseError: a file is missing or broken; the error names it.
        """

    @abstractmethod
    def info(self, *, verify: bool = False) -> DatasetInfo:
        """Describe the data set; with `verify`, also read every file of the opened split."""

    @property
    def agents(self) -> dict[str, AgentKind]:
        """The kind of each agent, the ego first: here those of the first frame that can be read.

        Raises:
            CosenseError: no frame can be read.
        """
        broken: CosenseError | None = None
        for index in range(len(self)):
            try:
                frame = self[index]
            except CosenseError as error:
                broken = broken or error
                continue
            return {agent.agent_id: agent.kind for agent in (frame.ego, *frame.others)}
        raise broken or CosenseError(f"{self.path}: no frames to play")

    def description(self) -> dict[str, Any]:
        """Return the settings that determine frames and labels, ready for JSON."""
        return {
            "kind": self.kind,
            "path": str(self.path),
            "split": self.split,
            "label_set": self.label_set,
            "async_frames": self.async_frames,
            "frames": len(self),
        }
