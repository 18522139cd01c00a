"""What a user may say about a bag; imports nothing of the readers."""

from __future__ import annotations

from dataclasses import dataclass, field

from cosense.errors import CosenseError

# What to give instead of a topic of poses.
FROM_TF = "tf"


@dataclass(frozen=True)
class BagOptions:
    """What a bag does not say by itself; all of it is found where it can be.

    Attributes:
        points: topic of the LiDAR by agent; with it, these are all agents.
        pose: topic of poses by agent, or "tf" for the transforms.
        ego: name of the agent whose view is evaluated.
        world: frame in which poses are meant, where they come from transforms.
        ground_truth: topic of the labels.
        tolerance_ms: how far apart what belongs together may have been measured.
    """

    points: dict[str, str] = field(default_factory=dict)
    pose: dict[str, str] = field(default_factory=dict)
    ego: str | None = None
    world: str | None = None
    ground_truth: str | None = None
    tolerance_ms: float = 50.0

    def __post_init__(self) -> None:
        if not self.tolerance_ms >= 0:
            raise ValueError(f"tolerance_ms is {self.tolerance_ms}, expected at least 0")


def by_agent(text: str, option: str) -> dict[str, str]:
    """Read "AGENT=TOPIC,AGENT=TOPIC".

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
