"""Registrations: the ways to find the pose between two agents, and what an agent sends for each.

"scene_graph" is the product's own (`correction/relative_poses.py`). A registration to compare it with is one
module of `baselines/`, found by the name of its file, with

    PAYLOAD = PayloadKind.SCENE_GRAPH    (or POINTS)
    def register(a, b, prior) -> RegistrationResult

where `a` and `b` are both a `SceneGraph` or, with POINTS, a `Cloud`, and `prior` is the pose that both have
sent, widened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense import plugins
from cosense.errors import CosenseError, nearest
from cosense.geometry.transforms import Matrix
from cosense.messages.envelope import Message, MessageError, PayloadKind
from cosense.messages.points import decode_points
from cosense.messages.scene_graph import SceneGraph, decode_scene_graph
from cosense.scene_graph import baselines
from cosense.scene_graph.register.result import Prior, RegistrationResult
from cosense.sensing.frame import AgentFrame
from cosense.sensing.thinning import thinned

# Poses as sent, and the registration of the product.
NONE, SCENE_GRAPH = "none", "scene_graph"
# A cloud that is sent for registration has one point in each cube of this size.
SENT_VOXEL_M = 0.5


@dataclass(frozen=True)
class Cloud:
    """The cloud of one agent, with the pose that the agent believes in.

    Attributes:
        agent_id: the agent that measured.
        stamp_ns: measurement time.
        T_world_agent: (4,4) pose of the agent frame as the agent believes it.
        pose_covariance: (3,3) covariance of (x, y, yaw) in the world.
        points: (N,3) or more columns, metres in the agent frame.
    """

    agent_id: str
    stamp_ns: int
    T_world_agent: Matrix
    pose_covariance: NDArray[np.float64]
    points: NDArray

    @classmethod
    def of(cls, frame: AgentFrame) -> Cloud:
        """Return the cloud of a frame."""
        return cls(frame.agent_id, frame.stamp_ns, frame.T_world_agent, frame.pose_covariance, frame.points)


# What an agent sends of its surroundings, so that others can find its pose.
Surroundings = SceneGraph | Cloud


def registration_names() -> tuple[str, ...]:
    """Return the names of all registrations, `NONE` first."""
    return (NONE, SCENE_GRAPH, *plugins.names(baselines))


def check_registration_name(name: str) -> None:
    """Raise CosenseError if there is no registration of this name."""
    known = registration_names()
    if name not in known:
        raise CosenseError(f"unknown registration '{name}', {nearest(name, known)}")


def payload_kind(registration: str) -> PayloadKind:
    """Return the kind of payload that agents send for a registration.

    Raises:
        CosenseError: there is no such registration.
    """
    if registration == SCENE_GRAPH:
        return PayloadKind.SCENE_GRAPH
    return plugins.constant(_baseline(registration), "PAYLOAD", PayloadKind)


def baseline(registration: str) -> Callable[[Any, Any, Prior], RegistrationResult]:
    """Return the function `register` of a baseline.

    Raises:
        CosenseError: there is no such registration.
    """
    return plugins.function(_baseline(registration), "register")


def read_surroundings(message: Message, registration: str) -> Surroundings:
    """Return the surroundings of the sender of a message.

    Raises:
        MessageError: the message is broken, or carries another kind of payload than this registration uses.
    """
    kind = payload_kind(registration)
    if message.kind != kind:
        raise MessageError(f"carries {message.kind.name}, registration '{registration}' uses {kind.name}")
    if kind == PayloadKind.SCENE_GRAPH:
        return decode_scene_graph(message)
    points = decode_points(message.payload)
    return Cloud(message.sender, message.stamp_ns, message.T_world_agent, message.pose_covariance, points)


def thinned_frame(frame: AgentFrame) -> AgentFrame:
    """Return a frame with the points that are sent for registration: one for each cube of `SENT_VOXEL_M`."""
    points = thinned(frame.points, SENT_VOXEL_M)
    sent = np.column_stack([points, np.zeros(len(points))]).astype(np.float32)
    return replace(frame, points=sent, rings=None)


def _baseline(registration: str) -> ModuleType:
    check_registration_name(registration)
    return plugins.load(baselines, registration)
