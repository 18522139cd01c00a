"""What a node encoder sees of a pair of graphs in one step: changed as two agents' graphs really differ.

Yaw and place are not drawn: nothing that the encoder (`scene_graph.describe.node_encoder`) sees depends on
them.
Both graphs are mirrored together, which makes another place; one alone would no longer match.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.describe.node_encoder import NodeTensors, tensors_of
from cosense.scene_graph.nodes import GROUP_OF, Nodes
from cosense.training.config import EncoderTrainingConfig
from cosense.training.graph_pairs import GraphPair, same_things

_SIZE_NOISE, _HEADING_NOISE_RAD = 0.1, np.deg2rad(5)
# Added nodes lie this near to others, along each axis.
_NEAR_M = 10.0


@dataclass(frozen=True)
class GraphExample:
    """One pair as the network takes it.

    Attributes:
        a, b: nodes of both graphs.
        possible: (Na,Nb) which may be one thing by their group.
        matches: (K,2) rows of a and b that are.
    """

    a: NodeTensors
    b: NodeTensors
    possible: NDArray[np.bool_]
    matches: NDArray[np.int64]


def plain_example(pair: GraphPair) -> GraphExample:
    """Return a pair as it is."""
    matches = same_things(pair.a, pair.b, pair.T_a_b)
    return _example(_nodes(pair.a), _nodes(pair.b), matches)


def drawn_example(pair: GraphPair, config: EncoderTrainingConfig, rng: np.random.Generator) -> GraphExample:
    """Return a pair changed by chance: nodes missing, added and moved; mirrored or not."""
    matches = same_things(pair.a, pair.b, pair.T_a_b)
    mirrored = bool(rng.random() < 0.5)
    a, kept_a = _changed(_nodes(pair.a), mirrored, config, rng)
    b, kept_b = _changed(_nodes(pair.b), mirrored, config, rng)
    rows = np.stack([kept_a[matches[:, 0]], kept_b[matches[:, 1]]], axis=1)
    return _example(a, b, rows[(rows >= 0).all(axis=1)])


def _changed(
    nodes: Nodes, mirrored: bool, config: EncoderTrainingConfig, rng: np.random.Generator
) -> tuple[Nodes, NDArray[np.int64]]:
    """Return other nodes, and where (N,) each old one is among them, -1 for nowhere."""
    stay = rng.random(len(nodes)) >= rng.uniform(0, config.drop)
    places = np.where(stay, np.cumsum(stay) - 1, -1)
    kept = nodes[stay]
    added = nodes[rng.random(len(nodes)) < rng.uniform(0, config.extra)]
    added = replace(
        added, positions=added.positions + rng.uniform(-_NEAR_M, _NEAR_M, (len(added), 3)) * [1, 1, 0]
    )
    both = Nodes.concatenate([kept, added])
    noise_m = rng.uniform(0, config.noise_m)
    positions = both.positions + rng.normal(0, 1, both.positions.shape) * noise_m
    yaws = both.yaws + rng.normal(0, _HEADING_NOISE_RAD, len(both))
    sizes = both.sizes * np.exp(rng.normal(0, _SIZE_NOISE, both.sizes.shape))
    if mirrored:
        positions, yaws = positions * [1, -1, 1], -yaws
    return replace(both, positions=positions, yaws=yaws, sizes=sizes), places


def _example(a: Nodes, b: Nodes, matches: NDArray[np.int64]) -> GraphExample:
    possible = GROUP_OF[a.classes][:, None] == GROUP_OF[b.classes][None]
    of_a, of_b = (tensors_of(nodes.positions, nodes.classes, nodes.sizes, nodes.yaws) for nodes in (a, b))
    return GraphExample(of_a, of_b, possible, matches)


def _nodes(graph: SceneGraph) -> Nodes:
    return Nodes(
        graph.classes,
        graph.positions,
        graph.sizes,
        graph.yaws,
        graph.velocities,
        graph.sigmas_m,
        graph.scores,
    )
