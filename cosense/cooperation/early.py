"""Early fusion: every agent sends its points, the ego detects in all of them together.

The upper baseline in what it knows and in what it costs: no information is lost, and every point is paid for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cosense.cooperation.receiver import FusionResult, FusionSettings, receive, without_ego_body
from cosense.geometry.transforms import invert, transform_points
from cosense.messages.envelope import PayloadKind
from cosense.messages.points import decode_points
from cosense.sensing.detections import Detections, Source
from cosense.sensing.frame import AgentFrame

if TYPE_CHECKING:
    from cosense.detectors.base import Detector


def fuse_early(
    ego: AgentFrame, messages: Sequence[bytes], detector: Detector, settings: FusionSettings
) -> FusionResult:
    """Detect in the ego's points and those of the others.

    Args:
        ego: the ego's own frame; its points are used as measured.
        messages: POINTS messages of the others, as they came. What cannot be used becomes a report.
        detector: runs once, on the joint cloud in the ego frame.
        settings: what is accepted.

    Returns:
        detections in the ego frame; FUSED where other points took part, EGO where none did.
    """
    usable, reports = receive(
        messages, ego.agent_id, ego.stamp_ns, PayloadKind.POINTS, settings, decode_points
    )
    if not usable:
        return FusionResult(detector.detect(ego), reports)
    T_ego_world = invert(ego.T_world_agent)
    clouds = [ego.points]
    for message, points in usable:
        xyz = transform_points(T_ego_world @ message.T_world_agent, points[:, :3])
        clouds.append(np.column_stack([xyz, points[:, 3]]))
    found = without_ego_body(detector.detect(replace(ego, points=np.concatenate(clouds))))
    sources = np.full(len(found), Source.FUSED, dtype=np.uint8)
    return FusionResult(Detections(found.boxes, found.scores, found.labels, sources), reports)
