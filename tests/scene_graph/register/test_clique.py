"""The clique is the largest one, also where the search is given little work to do."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosense.scene_graph.register.clique import Work, k_core, largest_clique

PLENTY = 10**9


def is_clique(members, edges):
    there = {tuple(edge) for edge in edges.tolist()}
    return all(pair in there for pair in combinations(sorted(members), 2))


def random_edges(rng, vertices, density):
    k, m = np.triu_indices(vertices, 1)
    keep = rng.random(len(k)) < density
    return np.stack([k[keep], m[keep]], axis=1)


@given(st.integers(2, 9), st.floats(0, 1), st.integers(0, 10**6))
def test_it_is_the_largest_of_all(vertices, density, seed):
    edges = random_edges(np.random.default_rng(seed), vertices, density)
    clique = largest_clique(vertices, edges, 0, Work(PLENTY))
    sizes = [
        n
        for n in range(2, vertices + 1)
        if any(is_clique(c, edges) for c in combinations(range(vertices), n))
    ]
    assert len(clique) == max(sizes, default=0)
    assert is_clique(clique, edges)


def test_a_planted_clique_is_found():
    rng = np.random.default_rng(1)
    planted = rng.choice(300, 14, replace=False)
    more = np.array(list(combinations(sorted(planted), 2)))
    edges = np.unique(np.vstack([random_edges(rng, 300, 0.15), more]), axis=0)
    work = Work(PLENTY)
    assert largest_clique(300, edges, 2, work) == sorted(planted)
    assert not work.cut


@pytest.mark.parametrize("larger_than", [3, 4, 10])
def test_cliques_of_no_interest_are_not_returned(larger_than):
    edges = np.array(list(combinations(range(4), 2)))
    assert largest_clique(6, edges, larger_than, Work(PLENTY)) == ([0, 1, 2, 3] if larger_than == 3 else [])


def test_a_cut_search_says_so_and_gives_what_it_has():
    edges = random_edges(np.random.default_rng(0), 120, 0.85)
    work = Work(500)
    clique = largest_clique(120, edges, 2, work)
    assert work.cut
    assert len(clique) > 10
    assert is_clique(clique, edges)
    # Its work is spent, so the next search does not begin.
    assert largest_clique(4, np.array(list(combinations(range(4), 2))), 2, work) == []


def test_the_same_graph_gives_the_same_clique():
    edges = random_edges(np.random.default_rng(3), 80, 0.5)
    assert largest_clique(80, edges, 2, Work(PLENTY)) == largest_clique(80, edges[::-1], 2, Work(PLENTY))


def test_the_core_keeps_what_has_enough_neighbours():
    square = [[0, 1], [1, 2], [2, 3], [0, 3], [0, 2], [1, 3]]
    tail = [[3, 4], [4, 5]]
    core = k_core(6, np.array(square + tail), 3, Work(PLENTY))
    assert sorted(map(tuple, core)) == sorted(map(tuple, square))
