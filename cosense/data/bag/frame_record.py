"""The topic /cosense/frame: one line of JSON for each frame (std_msgs/String), with what no other topic says.

A line says what made the frame, which clouds make it up, which agent is the ego, of what kind each agent
is, where its cameras are, and how the frame is called in the data set that it came from. It is a topic rather
than metadata of the file, because topics survive what people do with bags (recording while playing, other
storages, filters), and each line is complete by itself, because bags are cut. Bags from elsewhere do not have
it and need none.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import cosense
from cosense.config import from_mapping
from cosense.data.dataset import NO_LABELS, CooperativeFrame, Provenance
from cosense.data.provenance import SIMULATED, SIMULATOR
from cosense.errors import CosenseError, counted, parse_json
from cosense.geometry.transforms import Matrix
from cosense.sensing.frame import AgentKind
from cosense.sensing.labelled_area import EVERYWHERE, LabelledArea


@dataclass(frozen=True)
class CameraRecord:
    """A camera in one frame.

    Attributes:
        stamp_ns: time at which the image was taken.
        transform: the 16 numbers of T_camera_agent, row by row.
    """

    stamp_ns: int
    transform: list[float]

    def __post_init__(self) -> None:
        if len(self.transform) != 16:
            raise ValueError(f"transform has {counted(len(self.transform), 'number')}, expected 16")

    @property
    def T_camera_agent(self) -> Matrix:
        return np.array(self.transform).reshape(4, 4)


@dataclass(frozen=True)
class AgentRecord:
    """An agent in one frame.

    Attributes:
        kind: vehicle or infrastructure.
        stamp_ns: time stamp of its cloud.
        cameras: its cameras by name.
    """

    kind: AgentKind
    stamp_ns: int
    cameras: dict[str, CameraRecord] = field(default_factory=dict)


@dataclass(frozen=True)
class FrameRecord:
    """The content of one line.

    Attributes:
        frame_id, sequence, ego_id: the same as in `CooperativeFrame`.
        label_set: label set of the data set that the frame came from; "none" for a frame without labels.
        agents: the agents by id, the ego first.
        generator: version of cosense that wrote the line.
        provenance: what made the frame, and what was done to it before it was written; None in lines that
            are older than this key.
        labelled: of what the labels say something, as `LabelledArea.to_lists` gives it; None for everything.
    """

    frame_id: str
    sequence: str
    ego_id: str
    label_set: str
    agents: dict[str, AgentRecord]
    generator: str = f"cosense {cosense.__version__}"
    provenance: Provenance | None = None
    labelled: dict[str, Any] | None = None

    @property
    def origin(self) -> Provenance:
        """What made the frame; of lines that do not say it, only our own label set tells."""
        if self.provenance is not None:
            return self.provenance
        return Provenance(SIMULATOR if self.label_set == SIMULATED else "")

    @property
    def area(self) -> LabelledArea:
        """Of what the labels say something, in the frame of the ego."""
        return EVERYWHERE if self.labelled is None else LabelledArea.from_lists(self.labelled)

    def __post_init__(self) -> None:
        if self.ego_id not in self.agents:
            raise ValueError(f"ego '{self.ego_id}' is none of the agents {list(self.agents)}")
        try:
            self.area.to_lists()
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"labelled is {self.labelled}, expected 'sectors' and 'ignored'") from None


def record_of(frame: CooperativeFrame, label_set: str) -> FrameRecord:
    """Return the line of a frame.

    Args:
        frame: a frame of any data set.
        label_set: label set of that data set.
    """
    agents = {
        agent_id: AgentRecord(
            agent.kind,
            agent.stamp_ns,
            {
                camera.name: CameraRecord(camera.stamp_ns, camera.T_camera_agent.reshape(-1).tolist())
                for camera in agent.cameras
            },
        )
        for agent_id, agent in frame.agents.items()
    }
    area = frame.labelled.to_lists()
    return FrameRecord(
        frame.frame_id,
        frame.sequence,
        frame.ego_id,
        label_set if frame.is_labelled else NO_LABELS,
        agents,
        provenance=frame.provenance,
        labelled=None if area == EVERYWHERE.to_lists() else area,
    )


def record_to_text(record: FrameRecord) -> str:
    """Return one line of JSON."""
    return json.dumps(dataclasses.asdict(record))


def record_from_text(text: str, where: str) -> FrameRecord:
    """Read one line of JSON.

    Args:
        text: a line that `record_to_text` wrote.
        where: file and topic, for the error.

    Raises:
        CosenseError: the text is no such line.
    """
    try:
        mapping = parse_json(text)
    except ValueError as error:
        raise CosenseError(f"{where}: not JSON: {error}") from None
    return from_mapping(FrameRecord, mapping, where)
