"""Senders are placed by registrations with the ego and with each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.correction import relative_poses as module
from cosense.scene_graph.correction.relative_poses import register_pair, relative_poses
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import Prior, Status
from tests.scene_graph.scenes import errors, graph_of, seen, things

WORLD = things(np.random.default_rng(5), 30)
THIRDS = tuple(np.arange(30) % 3 == part for part in range(3))
PLACES = {
    "ego": transform_from_planar(0.0, 0.0, 0.0),
    "middle": transform_from_planar(12.0, 3.0, 1.0),
    "far": transform_from_planar(20.0, -6.0, -2.0),
}
HONEST = np.diag([0.4, 0.4, np.deg2rad(0.4)]) ** 2


def sees(name, *parts):
    """Return the graph of an agent that sees these parts of the world."""
    shown = np.logical_or.reduce([THIRDS[part] for part in parts])
    made = seen(np.random.default_rng(len(name)), tuple(p[shown] for p in WORLD), PLACES[name], 0.03, name)
    return replace(made, pose_covariance=HONEST)


def off(result, name):
    return errors(result.T_a_b, invert(PLACES["ego"]) @ PLACES[name])


@pytest.mark.parametrize("kind", ["scene_graph", "boxes", "spectral"])
def test_who_has_nothing_in_common_with_the_ego_is_placed_by_way_of_another(kind):
    ego, middle, far = sees("ego", 0), sees("middle", 0, 1), sees("far", 1)
    alone = relative_poses("scene_graph", ego, [far])["far"]
    assert not alone.registered
    both = relative_poses(kind, ego, [far, middle])
    assert list(both) == ["far", "middle"]
    for name, result in both.items():
        assert off(result, name)[0] < 0.15
        assert off(result, name)[1] < 0.3
    if kind == "scene_graph":
        assert both["far"].reason.startswith("by way of other senders; with the ego too_few")
        assert not len(both["far"].inliers)
        assert np.trace(both["far"].covariance) > np.trace(both["middle"].covariance)


def test_two_liars_cannot_put_a_third_in_a_wrong_place():
    """They have what the ego sees where it is, and what the other sees 2 m off, and outvote the ego's own."""
    ego, honest, liar = sees("ego", 0, 2), sees("middle", 0, 1), sees("far", 1, 2)
    world = transform_points(PLACES["far"], liar.positions)
    wrong = np.linalg.norm(world[:, None] - WORLD[1][THIRDS[1]], axis=2).min(axis=1) < 0.5
    positions = liar.positions + np.where(wrong[:, None], [2.0, 0.0, 0.0], 0.0)
    liars = [replace(liar, agent_id=name, positions=positions) for name in ("liar", "accomplice")]
    assert off(register_pair("scene_graph", ego, liars[0]), "far")[0] < 0.1
    assert register_pair("scene_graph", honest, liars[0]).registered
    placed = relative_poses("scene_graph", ego, [honest, *liars])
    assert off(placed["middle"], "middle")[0] < 0.1


def test_one_sender_is_registered_as_it_is():
    ego, middle = sees("ego", 0), sees("middle", 0, 1)
    (result,) = relative_poses("scene_graph", ego, [middle]).values()
    np.testing.assert_array_equal(result.T_a_b, register_pair("scene_graph", ego, middle).T_a_b)
    assert relative_poses("scene_graph", ego, []) == {}


def test_graphs_that_agree_in_two_ways_elsewhere_contradict_what_was_sent():
    """Two rows of poles of which either may be the one that the other agent sees."""
    xs, ys = np.arange(8) * 7.0 + np.arange(8) ** 2 * 0.3, np.where(np.arange(8) % 3 == 0, 4.0, -3.0)
    row = np.column_stack([xs, ys, np.zeros(8)])
    both = graph_of(
        [NodeClass.POLE] * 16, np.concatenate([row, row + np.array([0.0, 60.0, 0.0])]), agent_id="a"
    )
    one = graph_of([NodeClass.POLE] * 8, row, agent_id="b")
    exact = {"pose_covariance": np.diag([0.02, 0.02, 0.001]) ** 2, "sigmas_m": np.full(8, 0.05)}
    both = replace(both, **exact | {"sigmas_m": np.full(16, 0.05)})
    at_row, between, unsure = (
        replace(one, T_world_agent=transform_from_planar(0.0, y, 0.0), **exact) for y in (60.0, 30.0, 30.0)
    )
    assert register_pair("scene_graph", both, at_row).registered
    contradicted = register_pair("scene_graph", both, between)
    assert contradicted.status is Status.GATED
    assert "30.0 m from the prior, near which 0 matches agree" in contradicted.reason
    assert contradicted.T_a_b is None
    unsure = replace(unsure, pose_covariance=np.diag([100.0, 100.0, 0.1]))
    assert register_pair("scene_graph", both, unsure).status is Status.AMBIGUOUS


def test_what_was_sent_tells_two_parking_spaces_apart():
    classes = np.full(24, NodeClass.VEHICLE)
    x, y = np.tile(2.6 * np.arange(12.0) - 14.0, 2), np.repeat([-8.0, 8.0], 12)
    spaces = np.column_stack([x, y, np.zeros(24)])
    T_ego_unit, sent = (transform_from_planar(1.0 + off_m, 2.0, np.pi / 2) for off_m in (0.0, 0.3))
    here = graph_of(classes, spaces, np.full(24, np.pi / 2), "ego", pose_covariance=np.zeros((3, 3)))
    there = transform_points(invert(T_ego_unit), spaces)
    unit = graph_of(classes, there, np.zeros(24), "unit", T_world_agent=sent, pose_covariance=HONEST)
    assert register_graphs(here, unit, Prior(sent, 10 * HONEST)).status is Status.AMBIGUOUS
    assert errors(register_pair("scene_graph", here, unit).T_a_b, T_ego_unit)[0] < 0.05


def test_of_many_senders_those_that_stand_closest_are_registered_with_each_other(monkeypatch):
    asked = []

    def register_pair(kind, a, b):
        asked.append((a.agent_id, b.agent_id))
        return module_register_pair(kind, a, b)

    module_register_pair = module.register_pair
    monkeypatch.setattr(module, "register_pair", register_pair)
    graphs = [
        replace(sees("far", 1), agent_id=f"{k}", T_world_agent=transform_from_planar(k * k, 0, 0))
        for k in range(6)
    ]
    relative_poses("scene_graph", sees("ego", 0), graphs)
    assert asked[:6] == [("ego", f"{k}") for k in range(6)]
    assert asked[6:] == [("0", "1"), ("1", "2"), ("0", "2"), ("2", "3"), ("3", "4"), ("1", "3")]
