"""The exact maximum clique, in bounded work.

SG-Reg (arXiv 2504.14440, pruning of node matches) keeps the largest set of matches in which every pair is
consistent, with the PMC library on many threads. The search here is Tomita's: branch and bound over bit sets,
where a greedy colouring bounds the clique that a branch can still hold; vertices with too few neighbours are
removed first (k-core).

We differ: the work is limited by a count of coloured vertices instead of by time, so that the same graphs
give the same answer on every machine, and a search that was cut says so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Measured: a pass over this many edges costs as much as colouring one vertex.
_EDGES_PER_VERTEX = 60


class Work:
    """The work that is left, in coloured vertices; several searches share one budget."""

    def __init__(self, limit: int) -> None:
        self.left = limit

    @property
    def cut(self) -> bool:
        return self.left < 0


def k_core(vertices: int, edges: NDArray[np.int64], k: int, work: Work) -> NDArray[np.int64]:
    """Return the edges (E,2) of the k-core: each of its vertices has `k` neighbours or more.

    Every clique larger than `k` lies inside it.
    """
    while len(edges):
        work.left -= len(edges) // _EDGES_PER_VERTEX
        enough = np.bincount(edges.ravel(), minlength=vertices) >= k
        keep = enough[edges[:, 0]] & enough[edges[:, 1]]
        if keep.all():
            break
        edges = edges[keep]
    return edges


def largest_clique(vertices: int, edges: NDArray[np.int64], larger_than: int, work: Work) -> list[int]:
    """Return the vertices of a maximum clique in ascending order, none if none exceeds `larger_than`.

    Where the work runs out, `work.cut` is set and the best clique so far is returned, at least a greedy one.
    A search that begins with no work left finds nothing.

    Args:
        vertices: number of vertices.
        edges: (E,2) int64, each pair once.
        larger_than: size that a clique must exceed.
        work: budget of all searches together.
    """
    # A clique that is larger has an edge between each two of its vertices.
    if work.cut or len(edges) < larger_than * (larger_than + 1) // 2:
        return []
    edges = k_core(vertices, edges, larger_than, work)
    if not len(edges):
        return []
    degree = np.bincount(edges.ravel(), minlength=vertices)
    # Vertices with most neighbours first: the lowest bits are coloured first and branched upon last.
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
        # No two vertices of one colour are neighbours, so a clique has at most one of each colour.
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
