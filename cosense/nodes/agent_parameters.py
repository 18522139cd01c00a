"""The parameters of an agent: who it is, what it runs, what it sends and how much."""

from __future__ import annotations

from dataclasses import dataclass

from rclpy.node import Node

from cosense.cooperation.kinds import (
    LIVE_FUSIONS,
    LIVE_REGISTRATIONS,
    MAX_BUDGET_BYTES,
    LiveFusion,
    LiveRegistration,
)
from cosense.geometry.timed_pose import DEFAULT_POSE_GAP_MS
from cosense.nodes.agent_cameras import Mountings
from cosense.nodes.ros import process
from cosense.nodes.trust_parameters import Trust
from cosense.sensing.frame import AgentKind


@dataclass(frozen=True)
class AgentParameters:
    """What stays as it is from the start; `budget_bytes` and `score_threshold` may change at run time."""

    agent_id: str
    kind: AgentKind
    model: str
    device: str
    fusion: LiveFusion
    registration: LiveRegistration
    queue_depth: int
    pose_gap_ms: float
    cameras: Mountings
    image_wait_ms: float
    image_gap_ms: float
    lidar_gap_ms: float
    trust: Trust


def declare_agent(node: Node) -> AgentParameters:
    """Declare the parameters.

    Raises:
        CosenseError: one has no value or none that is allowed.
    """
    process.declare(
        node,
        "budget_bytes",
        0,
        "limit of what is sent in a frame, message and scene graph together, 0 for none",
        low=0,
        high=MAX_BUDGET_BYTES,
        is_settable=True,
    )
    process.declare(
        node,
        "score_threshold",
        0.0,
        "boxes that are less certain are not sent; 0: as the model has it",
        low=0,
        high=1,
        is_settable=True,
    )
    return AgentParameters(
        agent_id=process.needed(node, "agent_id", "name under which this agent sends"),
        kind=process.choose(node, "kind", ("vehicle", "infrastructure"), "what carries the sensor"),
        model=process.declare(node, "model", "cosense-lite", "name or folder of the detector"),
        device=process.declare(node, "device", "cpu", "where the detector runs, e.g. cpu or cuda"),
        fusion=process.choose(
            node, "fusion", LIVE_FUSIONS, "what it sends if its model can; late: boxes alone"
        ),
        registration=process.choose(
            node,
            "registration",
            LIVE_REGISTRATIONS,
            "how poses are corrected; scene_graph: it also sends its scene graph",
        ),
        queue_depth=process.declare(
            node,
            "queue_depth",
            1,
            "clouds that may wait for the network; 1: the latest wins",
            low=1,
            high=1000,
        ),
        pose_gap_ms=process.declare(
            node,
            "pose_gap_ms",
            DEFAULT_POSE_GAP_MS,
            "largest time between two poses for a cloud between them to have one",
            low=0,
            high=60_000,
        ),
        cameras=Mountings(
            process.declare_json(
                node, "cameras", "JSON object: by camera, T_camera_agent as 16 numbers, row by row"
            ),
            f"parameter 'cameras' of node '{node.get_name()}'",
        ),
        image_wait_ms=process.declare(
            node, "image_wait_ms", 150.0, "how long a cloud waits for its images", low=0, high=60_000
        ),
        image_gap_ms=process.declare(
            node,
            "image_gap_ms",
            150.0,
            "largest time between the stamps of a cloud and its image",
            low=0,
            high=500,
        ),
        lidar_gap_ms=process.declare(
            node,
            "lidar_gap_ms",
            250.0,
            "images this much later than the last cloud make frames alone",
            low=0,
            high=60_000,
        ),
        trust=Trust(node),
    )
