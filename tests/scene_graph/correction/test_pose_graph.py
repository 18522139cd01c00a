"""Poses of several agents fit all registrations, one wrong one does not bend them, the ego stays."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.geometry.transforms import invert, transform_from_planar, wrap_angle
from cosense.scene_graph.correction.pose_graph import Edge, optimise
from cosense.scene_graph.register.result import planar

LOOSE = np.diag([4.0, 4.0, np.deg2rad(3) ** 2])
TIGHT = np.diag([0.01, 0.01, np.deg2rad(0.2) ** 2])
# Far from the world's origin, as maps are.
TRUE = {
    "ego": transform_from_planar(4000, 7000, 0.3),
    "b": transform_from_planar(4030, 7010, 3.1, 0.5),
    "c": transform_from_planar(4010, 6970, -1.5),
    "d": transform_from_planar(3980, 7030, 1.0),
}
PAIRS = [("ego", "b"), ("b", "c"), ("c", "ego"), ("d", "b"), ("d", "ego"), ("c", "d")]


def sent(rng):
    """Return where the search starts: metres off."""
    T_ego_agent = {}
    for name, T in TRUE.items():
        pose = planar(invert(TRUE["ego"]) @ T) + rng.normal(0, np.sqrt(np.diag(LOOSE)))
        if name != "ego":
            T_ego_agent[name] = transform_from_planar(*pose, T[2, 3])
    return T_ego_agent


def edges_of(rng, pairs=PAIRS, noise=1.0):
    edges = []
    for a, b in pairs:
        relative = planar(invert(TRUE[a]) @ TRUE[b]) + noise * rng.normal(0, np.sqrt(np.diag(TIGHT)))
        edges.append(Edge(a, b, transform_from_planar(*relative), TIGHT))
    return edges


def error_of(result, name):
    """Return (3,) x, y, yaw by which an agent is off, seen from the ego."""
    off = planar(result.T_ego_agent[name]) - planar(invert(TRUE["ego"]) @ TRUE[name])
    return np.array([off[0], off[1], float(wrap_angle(off[2]))])


def worst_m(result):
    return max(np.hypot(*error_of(result, name)[:2]) for name in result.T_ego_agent)


def test_exact_registrations_give_the_exact_poses():
    rng = np.random.default_rng(0)
    result = optimise(sent(rng), edges_of(rng, noise=0), "ego")
    assert set(result.T_ego_agent) == {"b", "c", "d"}
    assert worst_m(result) < 1e-6
    # Registrations are of the plane.
    assert result.T_ego_agent["b"][2, 3] == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_registration_does_not_bend_the_rest(seed):
    rng = np.random.default_rng(seed)
    edges = edges_of(rng)
    edges[1] = Edge("b", "c", transform_from_planar(15, -20, 1.0), TIGHT)
    result = optimise(sent(rng), edges, "ego")
    assert worst_m(result) < 0.5
    assert result.weights[1] < 0.01
    assert np.delete(result.weights, 1).min() > 0.3


def test_a_small_wrong_one_among_many_is_left_out_too():
    """By 1 m, which no gate before has noticed."""
    rng = np.random.default_rng(3)
    edges = edges_of(rng, noise=0.3)
    edges[4] = Edge("d", "ego", edges[4].T_a_b @ transform_from_planar(1.0, 0.0, 0.0), TIGHT)
    result = optimise(sent(rng), edges, "ego")
    assert worst_m(result) < 0.15
    assert result.weights[4] < 0.25


def test_who_has_nothing_in_common_with_the_ego_is_found_by_way_of_others():
    rng = np.random.default_rng(1)
    result = optimise(sent(rng), edges_of(rng, [("d", "c"), ("ego", "b"), ("c", "b")], noise=0), "ego")
    assert worst_m(result) < 1e-6
    sigmas = [np.trace(result.covariance[name][:2, :2]) for name in ("b", "c", "d")]
    assert sigmas == sorted(sigmas)
    assert sigmas[0] == pytest.approx(0.02)


def test_who_is_not_reached_has_no_pose():
    rng = np.random.default_rng(1)
    result = optimise(sent(rng), edges_of(rng, [("ego", "b"), ("c", "d")]), "ego")
    assert set(result.T_ego_agent) == set(result.covariance) == {"b"}
    assert optimise(sent(rng), edges_of(rng, [("c", "d")]), "ego").T_ego_agent == {}
    assert optimise({}, [], "ego").T_ego_agent == {}


def test_the_covariance_is_that_of_the_errors():
    squares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        result = optimise(sent(rng), edges_of(rng), "ego")
        error = error_of(result, "d")
        squares.append(error @ np.linalg.solve(result.covariance["d"], error))
    assert 2.0 < np.mean(squares) < 4.2


def test_an_agent_that_is_not_there_is_named():
    with pytest.raises(CosenseError, match="no agent 'bb'; did you mean 'b'"):
        optimise(sent(np.random.default_rng(0)), [Edge("ego", "bb", np.eye(4), TIGHT)], "ego")
