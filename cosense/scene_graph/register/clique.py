"""The exact maximum clique, in bounded work.

SG-Reg (arXiv 2504.14440, `spec/sgreg.md` §4A) prunes its node matches to the largest set in which every pair
is consistent, with the PMC library on many threads. The search here is Tomita's: branch and bound over bit
sets, where a greedy colouring bounds what a branch can still hold; vertices that too few others know are
taken out first (k-core).
We differ: the work is limited by a count of coloured vertices instead of by time, so that the same graphs
give the same answer on every machine, and a search that was cut says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# What a look at this many edges costs is, by measurement, what colouring one vertex does.
EDGES_OF_ONE = 60


class Work:
    """How much searching is left, in coloured vertices; several searches share one."""

    def __init__(self, limit: int) -> None:
        self.left = limit

    @property
    def cut(self) -> bool:
        return self.left < 0


def k_core(vertices: int, edges: NDArray[np.int64], k: int, work: Work) -> NDArray[np.int64]:
    """Return the edges (E,2) that lie in the k-core: each of its vertices has `k` neighbours or more.

    A clique larger than `k` lies inside it.
    """
    while len(edges):
        work.left -= len(edges) // EDGES_OF_ONE
        enough = np.bincount(edges.ravel(), minlength=vertices) >= k
        keep = enough[edges[:, 0]] & enough[edges[:, 1]]
        if keep.all():
            break
        edges = edges[keep]
    return edges


def largest_clique(vertices: int, edges: NDArray[np.int64], larger_than: int, work: Work) -> list[int]:
    """Return the vertices of a maximum clique in ascending order, none where all have `larger_than` or less.

    Where the work runs out, `work.cut` is set and the best clique so far is returned, at least a greedy one.
    A search that begins with no work left finds nothing.

    Args:
        vertices: number of vertices.
        edges: (E,2) int64, each pair once.
        larger_than: smaller cliques and those of this size are of no interest.
        work: shared by several searches.
    """
    if work.cut:
        return []
    edges = k_core(vertices, edges, larger_than, work)
    if not len(edges):
        return []
    degree = np.bincount(edges.ravel(), minlength=vertices)
    # The best known first: the lowest bits are coloured first and branched upon last.
    order = np.lexsort([np.arange(vertices), -degree])[: int((degree > 0).sum())]
    work.left -= len(order)
    rank = np.empty(vertices, np.int64)
    rank[order] = np.arange(len(order))
    known = np.zeros((len(order), len(order)), bool)
    known[rank[edges[:, 0]], rank[edges[:, 1]]] = True
    known |= known.T
    packed = np.packbits(known, axis=1, bitorder="little")
    neighbours = [int.from_bytes(row.tobytes(), "little") for row in packed]
    found = _search(neighbours, larger_than, work)
    return sorted(int(order[vertex]) for vertex in found)


def _greedy(neighbours: Sequence[int]) -> list[int]:
    """Return a maximal clique that begins with the vertex with most neighbours."""
    members, left = [], (1 << len(neighbours)) - 1
    while left:
        lowest = left & -left
        vertex = lowest.bit_length() - 1
        members.append(vertex)
        left &= neighbours[vertex]
    return members


def _search(neighbours: Sequence[int], larger_than: int, work: Work) -> list[int]:
    greedy = _greedy(neighbours)
    best = greedy if len(greedy) > larger_than else []
    limit = max(larger_than, len(greedy))

    def expand(members: list[int], left: int) -> None:
        nonlocal best, limit
        # Colour: no two vertices of one colour know each other, so a clique has one of each colour at most.
        coloured: list[tuple[int, int]] = []
        uncoloured, colour = left, 0
        while uncoloured:
            colour += 1
            free = uncoloured
            while free:
                lowest = free & -free
                vertex = lowest.bit_length() - 1
                uncoloured ^= lowest
                free &= ~(neighbours[vertex] | lowest)
                if len(members) + colour > limit:
                    coloured.append((vertex, colour))
        work.left -= left.bit_count() if hasattr(left, "bit_count") else bin(left).count("1")
        for vertex, colour in reversed(coloured):
            if len(members) + colour <= limit or work.cut:
                return
            deeper = left & neighbours[vertex]
            members.append(vertex)
            if deeper:
                expand(members, deeper)
            elif len(members) > limit:
                best, limit = list(members), len(members)
            members.pop()
            left &= ~(1 << vertex)

    expand([], (1 << len(neighbours)) - 1)
    return best
