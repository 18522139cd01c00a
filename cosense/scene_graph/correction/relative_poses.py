"""The poses of senders in the frame of the ego, by what all of them have sent of their surroundings.

With one sender this is a registration of two graphs. With several, registrations between senders count too:
one that has nothing in common with the ego may have it with a third that has, and three that agree are more
certain than two. All go into one pose graph (`pose_graph.py`), which gives one result for each sender. What
the ego itself sees has the last word: others may make its registration with a sender more certain, not move
it beyond its own bounds, so that none can put another one in a wrong place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from cosense.geometry.transforms import Matrix, invert, wrap_angle
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.correction.pose_graph import Edge, optimise
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import Posed, Prior, RegistrationResult, Status, planar
from cosense.scene_graph.registrations import SCENE_GRAPH, Surroundings, baseline

# A registration looks within twice the standard deviations of the sent poses, and at least this far around
# them.
_AROUND = np.diag([0.5, 0.5, np.deg2rad(0.5)]) ** 2
# The same where that is too wide to tell two poses apart.
_CLOSE_AROUND = np.diag([0.1, 0.1, np.deg2rad(0.1)]) ** 2
# Poses less certain than this do not help a registration and cannot confirm one.
_PRIOR_SIGMA_M, _PRIOR_SIGMA_RAD = 3.0, np.deg2rad(5)
# Chi-square bound of three degrees of freedom, 99.9 %.
_BEYOND = 16.27
# Registrations between senders, some 10 ms each: all pairs of four senders, of more the nearest pairs.
MAX_PAIRS = 6


def can_confirm(a: Posed, b: Posed) -> bool:
    """Say whether the sent poses of two agents are certain enough to confirm a registration of them."""
    covariance = Prior.between(a, b).covariance
    position = np.trace(covariance[:2, :2]) / 2
    return bool(position <= _PRIOR_SIGMA_M**2 and covariance[2, 2] <= _PRIOR_SIGMA_RAD**2)


def register_pair(registration: str, a: Surroundings, b: Surroundings) -> RegistrationResult:
    """Return the pose of b in a's frame, searched around the sent poses where these are certain enough.

    GATED says that the graphs contradict the sent poses without telling the right one: more agrees elsewhere
    than there, but not well enough to be the answer.
    """
    sent = Prior.between(a, b)
    around = Prior(sent.T_a_b, 4 * sent.covariance + _AROUND)
    if registration != SCENE_GRAPH:
        return baseline(registration)(a, b, around)
    assert isinstance(a, SceneGraph)
    assert isinstance(b, SceneGraph)
    if not can_confirm(a, b):
        return register_graphs(a, b)
    near = register_graphs(a, b, around)
    if near.status is Status.AMBIGUOUS:
        # Of two poses that are a parking space apart the sent ones can tell the right one, if taken
        # literally.
        return register_graphs(a, b, Prior(sent.T_a_b, sent.covariance + _CLOSE_AROUND))
    return near


def relative_poses(
    registration: str, own: Surroundings, others: Sequence[Surroundings]
) -> dict[str, RegistrationResult]:
    """Return the pose of each of the others in the frame of the ego, by name.

    Args:
        registration: name of the registration of two agents.
        own: surroundings of the ego.
        others: surroundings of the senders, one for each.
    """
    found = {other.agent_id: register_pair(registration, own, other) for other in others}
    if len(others) < 2:
        return found
    between = {(a.agent_id, b.agent_id): register_pair(registration, a, b) for a, b in _nearest_pairs(others)}
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


def _is_beyond(T_ego_agent: Matrix, direct: RegistrationResult) -> bool:
    """Say whether a pose contradicts the ego's own registration."""
    assert direct.T_a_b is not None
    assert direct.covariance is not None
    off = planar(T_ego_agent) - planar(direct.T_a_b)
    off[2] = wrap_angle(off[2])
    return float(off @ np.linalg.solve(direct.covariance, off)) > _BEYOND


def _nearest_pairs(others: Sequence[Surroundings]) -> list[tuple[Surroundings, Surroundings]]:
    """Return the pairs of senders that are registered: where there are too many, the nearest ones."""
    pairs = list(combinations(sorted(others, key=lambda other: other.agent_id), 2))

    def apart_m(pair: tuple[Surroundings, Surroundings]) -> float:
        return float(np.linalg.norm((pair[0].T_world_agent - pair[1].T_world_agent)[:2, 3]))

    return sorted(pairs, key=apart_m)[:MAX_PAIRS]
