"""What a bag cannot say by itself, one line of JSON a frame on the topic /cosense/frame (std_msgs/String).

Which clouds make up one frame, who of them is the ego, what kind an agent is, where its cameras are, what the
frame is called in the data set that it came from. It is a topic and not metadata of the file, because topics
survive what people do with bags (recording what is played, other storages, filters), and each line stands for
itself, because bags are cut. Bags of other people have no such topic and need none.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

import numpy as np

import cosense
from cosense.config import from_mapping
from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix
from cosense.sensing.frame import AgentKind


@dataclass(frozen=True)
class AgentRecord:
    """An agent in one frame.

    Attributes:
        kind: vehicle or infrastructure.
        stamp_ns: of its cloud.
        cameras: T_camera_agent row by row, by the name of the camera.
    """

    kind: AgentKind
    stamp_ns: int
    cameras: dict[str, list[float]] = field(default_factory=dict)

    def T_camera_agent(self, camera: str) -> Matrix:
        """Return (4,4); the camera must be there."""
        return np.array(self.cameras[camera]).reshape(4, 4)


@dataclass(frozen=True)
class FrameRecord:
    """One line.

    Attributes:
        frame_id, sequence, ego_id: as in `CooperativeFrame`.
        label_set: of the data set that the frame came from.
        agents: by id, the ego first.
        generator: which cosense has written it.
    """

    frame_id: str
    sequence: str
    ego_id: str
    label_set: str
    agents: dict[str, AgentRecord]
    generator: str = f"cosense {cosense.__version__}"

    def __post_init__(self) -> None:
        if self.ego_id not in self.agents:
            raise ValueError(f"ego '{self.ego_id}' is none of the agents {list(self.agents)}")
        if any(len(T) != 16 for agent in self.agents.values() for T in agent.cameras.values()):
            raise ValueError("a camera has not 16 numbers")


def record_of(frame: CooperativeFrame, label_set: str) -> FrameRecord:
    """Return the line of a frame."""
    agents = {
        agent_id: AgentRecord(
            agent.kind,
            agent.stamp_ns,
            {camera.name: camera.T_camera_agent.reshape(-1).tolist() for camera in agent.cameras},
        )
        for agent_id, agent in frame.agents.items()
    }
    return FrameRecord(frame.frame_id, frame.sequence, frame.ego_id, label_set, agents)


def record_to_text(record: FrameRecord) -> str:
    """Return one line of JSON."""
    return json.dumps(dataclasses.asdict(record))


def record_from_text(text: str, where: str) -> FrameRecord:
    """Read one line of JSON.

    Args:
        text: what `record_to_text` returned.
        where: file and topic, for the error.

    Raises:
        CosenseError: it is something else.
    """
    try:
        mapping = json.loads(text)
    except ValueError as error:
        raise CosenseError(f"{where}: not JSON: {error}") from None
    return from_mapping(FrameRecord, mapping, where)
