"""Poses of several agents fit all that is known, one wrong registration does not bend them, the ego stays."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.geometry.transforms import invert, transform_from_planar
from cosense.scene_graph.pose_graph import Edge, Vertex, optimise
from cosense.scene_graph.registration import planar

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


def believed(rng):
    """Return vertices with poses metres off, the ego's exact."""
    vertices = {}
    for name, T in TRUE.items():
        off = [0, 0, 0] if name == "ego" else rng.normal(0, np.sqrt(np.diag(LOOSE)))
        pose = planar(T) + off
        vertices[name] = Vertex(transform_from_planar(*pose, T[2, 3]), LOOSE)
    return vertices


def edges_of(rng, pairs=PAIRS, noise=1.0):
    edges = []
    for a, b in pairs:
        relative = planar(invert(TRUE[a]) @ TRUE[b]) + noise * rng.normal(0, np.sqrt(np.diag(TIGHT)))
        edges.append(Edge(a, b, transform_from_planar(*relative), TIGHT))
    return edges


def worst_m(result):
    return max(np.hypot(*(result.T_world_agent[name] - T)[:2, 3]) for name, T in TRUE.items())


def test_exact_registrations_win_over_loose_beliefs():
    rng = np.random.default_rng(0)
    result = optimise(believed(rng), edges_of(rng, noise=0), "ego")
    assert worst_m(result) < 0.02
    np.testing.assert_array_equal(result.T_world_agent["ego"], TRUE["ego"])
    assert (result.covariance["ego"] == 0).all()
    assert result.T_world_agent["b"][2, 3] == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_one_wrong_registration_does_not_bend_the_rest(seed):
    rng = np.random.default_rng(seed)
    edges = edges_of(rng)
    edges[1] = Edge("b", "c", transform_from_planar(15, -20, 1.0), TIGHT)
    result = optimise(believed(rng), edges, "ego")
    assert worst_m(result) < 0.5
    assert result.weights[1] < 0.01
    assert np.delete(result.weights, 1).min() > 0.3


def test_an_agent_without_registration_keeps_what_it_believes():
    rng = np.random.default_rng(1)
    vertices = believed(rng)
    result = optimise(vertices, edges_of(rng, [("ego", "b")]), "ego")
    np.testing.assert_allclose(result.T_world_agent["c"], vertices["c"].T_world_agent, atol=1e-6)
    np.testing.assert_allclose(result.covariance["c"], LOOSE, rtol=1e-3)


def test_the_covariance_is_that_of_the_errors():
    squares = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        result = optimise(believed(rng), edges_of(rng), "ego")
        error = planar(result.T_world_agent["d"]) - planar(TRUE["d"])
        squares.append(error @ np.linalg.solve(result.covariance["d"], error))
    assert 1.8 < np.mean(squares) < 4.5


def test_a_vertex_that_is_not_there_is_named():
    vertices = believed(np.random.default_rng(0))
    with pytest.raises(CosenseError, match="no vertex 'bb'; did you mean 'b'"):
        optimise(vertices, [Edge("ego", "bb", np.eye(4), TIGHT)], "ego")
    assert optimise({"ego": vertices["ego"]}, [], "ego").covariance["ego"].shape == (3, 3)
