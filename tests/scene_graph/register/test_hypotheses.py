"""What agrees is counted against what would by chance."""

from __future__ import annotations

import numpy as np

from cosense.scene_graph.register.candidates import find_candidates
from cosense.scene_graph.register.hypotheses import PoseSupport
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.usable_nodes import usable_nodes
from tests.scene_graph.scenes import errors, pair


def support_of(a, b):
    one, other = (usable_nodes(graph, 0) for graph in (a, b))
    return PoseSupport(find_candidates(one, other, None), one, other)


def test_all_that_is_common_supports_the_true_pose():
    a, b, T = pair(np.random.default_rng(0), 9, 5, sigma_m=0.05)
    support = support_of(a, b)
    hypothesis = support.refit(T)
    assert len(hypothesis.matches) == 9
    assert errors(hypothesis.T_a_b, T)[0] < 0.1
    assert support.same(hypothesis, support.refit(T))


def test_more_agreement_is_less_chance_and_more_poses_tried_are_more():
    alarms = []
    for common in (4, 6, 10):
        a, b, T = pair(np.random.default_rng(1), common, 10, sigma_m=0.1)
        support = support_of(a, b)
        hypothesis = support.refit(T)
        alarms.append(support.false_alarms(hypothesis, 100))
        assert support.false_alarms(hypothesis, 1000) > alarms[-1]
    assert alarms[0] > 10 * alarms[1] > 100 * alarms[2]


def test_a_few_matches_are_more_by_chance_in_a_street_than_in_a_field():
    alarms = {}
    for street in (False, True):
        found = []
        for seed in range(10):
            a, b, T = pair(np.random.default_rng(seed), 6, 14, sigma_m=0.1, street=street)
            support = support_of(a, b)
            found.append(np.log10(support.false_alarms(support.refit(T), 100)))
        alarms[street] = np.median(found)
    assert alarms[True] > alarms[False] + 0.5


def test_the_false_alarms_are_those_of_the_result():
    a, b, _ = pair(np.random.default_rng(2), 10, 5, sigma_m=0.1)
    assert register_graphs(a, b).false_alarms < 1e-6


def test_a_pose_that_is_shifted_along_is_found_again():
    a, b, T = pair(np.random.default_rng(3), 12, 3, sigma_m=0.1)
    support = support_of(a, b)
    off = T.copy()
    off[:2, 3] += 9, -4
    best = max(support.shifted(support.refit(off)), key=lambda one: one.score)
    assert errors(best.T_a_b, T)[0] < 0.3
