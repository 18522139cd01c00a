"""One frame from the clouds of all agents to the boxes of the ego, as offline evaluation runs it.

The same bytes and the same functions as in the live nodes, without topics and time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from cosense.errors import CosenseError, nearest
from cosense.fusion.early import fuse_early
from cosense.fusion.late import fuse_late
from cosense.fusion.receiver import FusionResult, FusionSettings
from cosense.sensing.frame import AgentFrame
from cosense.sharing.message import PayloadKind
from cosense.sharing.sender import share

if TYPE_CHECKING:
    from cosense.perception.detector import Detector

FusionKind = Literal["none", "late", "early"]
FUSION_KINDS: tuple[FusionKind, ...] = ("none", "late", "early")


def cooperate(
    agents: Sequence[AgentFrame],
    detector: Detector,
    fusion: FusionKind,
    sequence: int,
    budget_bytes: int | None = None,
    settings: FusionSettings | None = None,
) -> FusionResult:
    """Let the agents of one frame work together.

    Args:
        agents: the ego first.
        detector: the one that all agents run.
        fusion: "none" (the ego alone, through the same bytes, so that rounding is no difference), "late"
            (the others' boxes) or "early" (the others' points).
        sequence: counts the frames.
        budget_bytes: limit of each message of the others, None for that of the format.
        settings: what the ego accepts; None for the defaults.

    Raises:
        CosenseError: an unknown kind of fusion, or a budget that no message fits.
    """
    if fusion not in FUSION_KINDS:
        raise CosenseError(f"unknown fusion '{fusion}', {nearest(fusion, FUSION_KINDS)}")
    settings = settings or FusionSettings()
    ego, *others = agents
    if fusion == "early":
        clouds = [
            share(agent, None, detector, PayloadKind.POINTS, sequence, budget_bytes) for agent in others
        ]
        return fuse_early(ego, clouds, detector, settings)
    ego_message = share(ego, detector.detect(ego.points), detector, PayloadKind.OBJECTS, sequence)
    if fusion == "none":
        return fuse_late(ego_message, [], settings)
    messages = [
        share(agent, detector.detect(agent.points), detector, PayloadKind.OBJECTS, sequence, budget_bytes)
        for agent in others
    ]
    return fuse_late(ego_message, messages, settings)
