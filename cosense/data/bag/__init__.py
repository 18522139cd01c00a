"""Bags of ROS 2 as a data set: how one is recognised, and the choices that a user may have to make.

The readers, which need rosbags, are imported only once a bag is opened: `BagOptions` is also part of every
scenario.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cosense.data.dataset import Dataset
from cosense.errors import CosenseError
from cosense.geometry.timed_pose import DEFAULT_POSE_GAP_MS

FILE_SUFFIXES = (".mcap", ".db3")
METADATA = "metadata.yaml"
COMPRESSED = ".zstd"

LAYOUT = f"{METADATA} (a bag of ROS 2, which may also be a single {' or '.join(FILE_SUFFIXES)} file)"
OPTIONS = ("bag",)

# Given in place of a pose topic: the transforms are used instead.
FROM_TF = "tf"


def recognises(path: Path) -> type[Dataset] | None:
    """Return the reader of bags for a bag, None for anything else.

    Raises:
        CosenseError: the file is a bag of ROS 1.
    """
    if path.suffix == ".bag" and path.is_file():
        raise CosenseError(
            f"{path}: a bag of ROS 1 is converted with `rosbags-convert --src {path.name} --dst NEW`"
        )
    if is_bag_file(path.name) or (path / METADATA).is_file() or _has_no_metadata(path):
        from cosense.data.bag.dataset import BagDataset

        return BagDataset
    return None


def is_bag_file(name: str) -> bool:
    """Return whether a name is that of a file which holds messages, perhaps compressed."""
    return not name.startswith(".") and name.removesuffix(COMPRESSED).endswith(FILE_SUFFIXES)


def _has_no_metadata(folder: Path) -> bool:
    """Return whether a folder is a bag whose recorder was killed: files with messages and no folders."""
    if not folder.is_dir():
        return False
    items = list(folder.iterdir())
    return any(is_bag_file(item.name) for item in items) and not any(item.is_dir() for item in items)


@dataclass(frozen=True)
class BagOptions:
    """Choices of the user where a bag is ambiguous; whatever is left out is found automatically.

    Attributes:
        points: LiDAR topic of each agent; with it, only the agents named here take part.
        pose: pose topic of each agent, TOPIC@FRAME to say whose pose it is, "tf" for the transforms.
        ego: name of the agent whose view is evaluated.
        world: frame in which all agents are placed.
        ground_truth: topic of the labels.
        tolerance_ms: largest time between the clouds of two agents, images and labels of one frame.
        pose_gap_ms: largest time between two poses for what is between them to be known. The default is for
            poses of 1 Hz, which may come a little late.
    """

    points: dict[str, str] = field(default_factory=dict)
    pose: dict[str, str] = field(default_factory=dict)
    ego: str | None = None
    world: str | None = None
    ground_truth: str | None = None
    tolerance_ms: float = 50.0
    pose_gap_ms: float = DEFAULT_POSE_GAP_MS

    def __post_init__(self) -> None:
        for name in ("tolerance_ms", "pose_gap_ms"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected at least 0")


def by_agent(text: str, option: str) -> dict[str, str]:
    """Read "AGENT=TOPIC,AGENT=TOPIC" into a topic for each agent.

    Args:
        text: the words, separated by commas.
        option: name of the option with the character that follows it, for the error: "--points ".

    Raises:
        CosenseError: a word has another form, or an agent is named twice.
    """
    pairs: dict[str, str] = {}
    for word in filter(None, text.split(",")):
        agent_id, _, topic = word.partition("=")
        if not agent_id or not topic:
            raise CosenseError(f"{option}{word}: expected AGENT=TOPIC, as {option}vehicle=/lidar_top")
        if agent_id in pairs:
            raise CosenseError(
                f"{option}{word}: '{agent_id}' already has {pairs[agent_id]}, name each agent once"
            )
        pairs[agent_id] = topic
    return pairs
