"""Which pose wins, and when another one may be right: rows of lamps, stalls of cars, and what is rare."""

from __future__ import annotations

import numpy as np

from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.register.candidates import find_candidates
from cosense.scene_graph.register.hypotheses import PoseSupport
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import Status
from cosense.scene_graph.register.usable_nodes import usable_nodes
from tests.scene_graph.scenes import errors, graph_of

LAMP, CAR, CORNER = NodeClass.POLE, NodeClass.VEHICLE, NodeClass.CORNER
T_A_B = transform_from_planar(12.0, -7.0, 0.4)


def seen_by_both(classes, positions, in_a, in_b, rng, sigma_m=0.05):
    """Return the graphs of two agents that see some of the things of a world, which is a's frame."""
    classes, positions = np.asarray(classes), np.column_stack([positions, np.zeros(len(positions))])
    yaws = np.where(classes == CAR, 0.0, np.nan)
    noise = rng.normal(0, sigma_m, (2, len(positions), 3)) * [1, 1, 0]
    at_b = transform_points(invert(T_A_B), positions + noise[1])
    return (
        graph_of(classes[in_a], (positions + noise[0])[in_a], yaws[in_a], sigma_m=0.1),
        graph_of(classes[in_b], at_b[in_b], yaws[in_b] - 0.4, "b", sigma_m=0.1),
    )


def lamps_of_a_street(count=14, apart_m=8.0):
    x = apart_m * np.arange(count)
    return np.concatenate([np.stack([x, np.full(count, y)], axis=1) for y in (-6.0, 6.0)])


def test_lamps_of_a_street_that_goes_on_beyond_both_views_are_ambiguous():
    lamps = lamps_of_a_street()
    x = lamps[:, 0]
    # Ten lamps of each side, of which seven are common: a shift by one lamp explains all of eight.
    a, b = seen_by_both([LAMP] * len(lamps), lamps, x < 80, x >= 24, np.random.default_rng(0))
    result = register_graphs(a, b)
    assert result.status is Status.AMBIGUOUS
    assert "for a different one" in result.reason


def test_what_is_rare_tells_the_ends_of_a_street_apart():
    lamps = lamps_of_a_street(10)
    rare = np.array([[7.0, 10.0], [16.5, -11.0], [27.0, 12.5], [35.0, -9.0], [63.0, 9.5]])
    things = np.concatenate([lamps, rare])
    kinds = np.array([LAMP] * len(lamps) + [CORNER] * len(rare))
    everything = np.ones(len(things), bool)
    # Turned by half a turn twenty lamps agree, with the right pose these and five corners.
    a, b = seen_by_both(kinds, things, everything, everything, np.random.default_rng(0))
    result = register_graphs(a, b)
    assert result.registered
    assert errors(result.T_a_b, T_A_B)[0] < 0.1
    assert result.margin == 5
    a, b = seen_by_both(kinds, things, kinds == LAMP, kinds == LAMP, np.random.default_rng(0))
    assert register_graphs(a, b).status is Status.AMBIGUOUS


def test_empty_stalls_tell_where_in_a_car_park_an_agent_is():
    rng = np.random.default_rng(1)
    taken = rng.random((2, 18)) < 0.65
    row, stall = np.nonzero(taken)
    cars = np.stack([2.7 * stall, 16.0 * row], axis=1) + rng.normal(0, 0.15, (len(row), 2))
    everything = np.ones(len(cars), bool)
    result = register_graphs(*seen_by_both([CAR] * len(cars), cars, everything, everything, rng))
    assert result.registered
    assert errors(result.T_a_b, T_A_B)[0] < 0.1
    # Full rows shifted by one stall are as good but for two cars of 36.
    full = np.stack(np.meshgrid(2.7 * np.arange(18), [0.0, 16.0]), axis=-1).reshape(-1, 2)
    everything = np.ones(len(full), bool)
    a, b = seen_by_both([CAR] * len(full), full, everything, everything, rng)
    assert register_graphs(a, b).status is Status.AMBIGUOUS


def test_a_few_rare_things_outweigh_a_row_of_cars_elsewhere():
    """a sees a row of cars, b one of another street; what they have in common are eight corners."""
    rng = np.random.default_rng(2)
    corners = rng.uniform([-20, -20], [20, 20], (8, 2))
    row = 3.0 * np.arange(14)[:, None] * [1, 0]
    of_a = np.array([60.0, 5.0]) + row + rng.normal(0, 0.12, (14, 2))
    of_b = np.array([-60.0, -40.0]) + row + rng.normal(0, 0.12, (14, 2))
    kinds = [CORNER] * 8 + [CAR] * 28
    things = np.concatenate([corners, of_a, of_b])
    number = np.arange(len(things))
    a, b = seen_by_both(kinds, things, number < 22, (number < 8) | (number >= 22), rng)
    one, other = (usable_nodes(graph, 0) for graph in (a, b))
    support = PoseSupport(find_candidates(one, other, None), one, other)
    T_rows = transform_from_planar(120.0, 45.0, 0.0) @ T_A_B
    assert len(support.refit(T_rows).matches) > len(support.refit(T_A_B).matches)
    result = register_graphs(a, b)
    assert result.registered
    assert errors(result.T_a_b, T_A_B)[0] < 0.1
    assert result.margin < 0
