"""Where senders stand seen from the ego, by what all of them have sent of what is around them.

With one sender this is a registration of two graphs. With several, those between senders count too: one that
has nothing in common with the ego may have it with a third that has, and three who agree are surer than two.
All go into one pose graph (`scene_graph.correction.pose_graph`), out of which comes one registration a
sender. What the ego itself sees has the last word: others may make its registration with a sender surer, not
move it beyond its own bounds, so that none can put another one in a wrong place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Literal, get_args

import numpy as np

from cosense.geometry.transforms import Matrix, invert, wrap_angle
from cosense.messages.envelope import Message, MessageError, PayloadKind
from cosense.messages.points import decode_points
from cosense.messages.scene_graph import SceneGraph, decode_scene_graph
from cosense.scene_graph.baselines.boxes import register_boxes
from cosense.scene_graph.baselines.icp import VOXEL_M, Cloud, register_clouds, thinned
from cosense.scene_graph.baselines.spectral import register_spectral
from cosense.scene_graph.correction.pose_graph import Edge, optimise
from cosense.scene_graph.register.pipeline import register
from cosense.scene_graph.register.result import Posed, Prior, Registration, Status, planar
from cosense.sensing.frame import AgentFrame

RegistrationKind = Literal["none", "scene_graph", "icp", "boxes", "spectral"]
REGISTRATIONS: tuple[RegistrationKind, ...] = get_args(RegistrationKind)
# What an agent sends of what is around it, so that others can say where it stands.
Surroundings = SceneGraph | Cloud

# Where a registration looks: within twice what the poses say, and so far around them in any case.
_AROUND = np.diag([0.5, 0.5, np.deg2rad(0.5)]) ** 2
# Likewise where that is too wide to tell two poses apart.
_AT_ITS_WORD = np.diag([0.1, 0.1, np.deg2rad(0.1)]) ** 2
# Poses less certain than this are no help in a registration and cannot vouch for one.
_PRIOR_SIGMA_M, _PRIOR_SIGMA_RAD = 3.0, np.deg2rad(5)
# Chi-square of three degrees of freedom, 99.9 %.
_BEYOND = 16.27
# Registrations between senders, some 10 ms each: all of four senders, of more those that stand closest.
MAX_PAIRS = 6


def payload_kind(kind: RegistrationKind) -> PayloadKind:
    """Return what messages carry by which poses are set right."""
    return PayloadKind.POINTS if kind == "icp" else PayloadKind.SCENE_GRAPH


def read_surroundings(message: Message, kind: RegistrationKind) -> Surroundings:
    """Return what a message tells of what is around its sender.

    Raises:
        MessageError: the message is broken, or of a kind that this registration does not use.
    """
    if kind != "icp":
        return decode_scene_graph(message)
    if message.kind != PayloadKind.POINTS:
        raise MessageError(f"carries {message.kind.name}, registration 'icp' uses POINTS")
    points = decode_points(message.payload)
    return Cloud(message.sender, message.stamp_ns, message.T_world_agent, message.pose_covariance, points)


def thinned_frame(frame: AgentFrame) -> AgentFrame:
    """Return a frame with the points that ICP looks at and no others: what is worth sending for it."""
    points = thinned(frame.points, VOXEL_M)
    return replace(frame, points=np.column_stack([points, np.zeros(len(points))]).astype(np.float32))


def can_vouch(a: Posed, b: Posed) -> bool:
    """Say whether the poses that two have sent are certain enough to vouch for a registration of them."""
    covariance = Prior.between(a, b).covariance
    position = np.trace(covariance[:2, :2]) / 2
    return bool(position <= _PRIOR_SIGMA_M**2 and covariance[2, 2] <= _PRIOR_SIGMA_RAD**2)


def register_pair(kind: RegistrationKind, a: Surroundings, b: Surroundings) -> Registration:
    """Return the pose of b in a's frame, searched around what was sent where that is of help.

    GATED says that the graphs contradict what was sent without telling the pose: nothing agrees there, and
    much does elsewhere, in more than one way.
    """
    sent = Prior.between(a, b)
    around = Prior(sent.T_a_b, 4 * sent.covariance + _AROUND)
    if isinstance(a, Cloud):
        assert isinstance(b, Cloud)
        return register_clouds(a, b, around)
    assert isinstance(b, SceneGraph)
    if kind == "boxes":
        return register_boxes(a, b, around)
    if kind == "spectral":
        return register_spectral(a, b, around)
    if not can_vouch(a, b):
        return register(a, b)
    near = register(a, b, around)
    if near.status is Status.AMBIGUOUS:
        # Of two poses that are a parking space apart what was sent can tell which, if taken at its word.
        near = register(a, b, Prior(sent.T_a_b, sent.covariance + _AT_ITS_WORD))
    if near.registered:
        return near
    anywhere = register(a, b)
    # Of 543 pairs of graphs with true poses none was like this; of those with poses 1 to 2 m off 5 to 13 %.
    if anywhere.status is Status.AMBIGUOUS and near.status is not Status.AMBIGUOUS:
        reason = f"nothing agrees where it should ({near.status.value}), but {anywhere.reason}"
        return replace(anywhere, status=Status.GATED, reason=reason)
    return anywhere


def relative_poses(
    kind: RegistrationKind, own: Surroundings, others: Sequence[Surroundings]
) -> dict[str, Registration]:
    """Return the registration of each of the others with the ego, by name.

    Args:
        kind: how two are registered.
        own: of the ego.
        others: one a sender.
    """
    found = {other.agent_id: register_pair(kind, own, other) for other in others}
    if len(others) < 2:
        return found
    between = {(a.agent_id, b.agent_id): register_pair(kind, a, b) for a, b in _nearest_pairs(others)}
    registered = {(own.agent_id, name): result for name, result in found.items()} | between
    edges = [
        Edge(a, b, result.T_a_b, result.covariance)
        for (a, b), result in registered.items()
        if result.T_a_b is not None and result.covariance is not None
    ]
    T_ego_world = invert(own.T_world_agent)
    best = optimise(
        {other.agent_id: T_ego_world @ other.T_world_agent for other in others}, edges, own.agent_id
    )
    for name, T_ego_agent in best.T_ego_agent.items():
        direct = found[name]
        reason = direct.reason
        if not direct.registered:
            reason = f"by way of other senders; with the ego {direct.status.value}: {direct.reason}"
        elif _is_beyond(T_ego_agent, direct):
            continue
        found[name] = replace(
            direct,
            status=Status.REGISTERED,
            reason=reason,
            T_a_b=T_ego_agent,
            covariance=best.covariance[name],
        )
    return found


def _is_beyond(T_ego_agent: Matrix, direct: Registration) -> bool:
    """Say whether a pose is none that the ego's own registration allows."""
    assert direct.T_a_b is not None
    assert direct.covariance is not None
    off = planar(T_ego_agent) - planar(direct.T_a_b)
    off[2] = wrap_angle(off[2])
    return float(off @ np.linalg.solve(direct.covariance, off)) > _BEYOND


def _nearest_pairs(others: Sequence[Surroundings]) -> list[tuple[Surroundings, Surroundings]]:
    """Return the pairs of senders that are registered: where there are too many, those that stand closest."""
    pairs = list(combinations(sorted(others, key=lambda other: other.agent_id), 2))

    def apart_m(pair: tuple[Surroundings, Surroundings]) -> float:
        return float(np.linalg.norm((pair[0].T_world_agent - pair[1].T_world_agent)[:2, 3]))

    return sorted(pairs, key=apart_m)[:MAX_PAIRS]
