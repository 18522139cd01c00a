"""Training of the node encoder of scene graphs: minutes on one core.

The loss is the negative log-likelihood of the true matches of two graphs, as in the first stage of SG-Reg's
training (arXiv 2504.14440): log P = log softmax over rows + over columns of the similarity + log sigmoid(z_a)
+ log sigmoid(z_b), with z how likely a node has a partner at all; L = -mean log P of the matches - lambda
mean log sigmoid(-z) of nodes without a partner (the dustbin). Deviations:

- A match is two nodes of one group that are each other's nearest within 1 m under the true pose, and all
  matches weigh the same: there are no clouds of instances whose overlap could weigh them.
- The softmax runs over pairs of one group only and at the temperature of the registration, as where the
  descriptors are used (`scene_graph.register.candidates`). z is not used there, as in published inference.

A step changes the graphs as those of two agents really differ. Yaw and place are not drawn: nothing that the
encoder (`scene_graph.describe.node_encoder`) sees depends on them. Both graphs are mirrored together, which
makes another place; one alone would no longer match.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cosense.config import load_config, to_mapping
from cosense.messages.scene_graph import SceneGraph
from cosense.model_folders import WEIGHTS, find_model, write_weights
from cosense.scene_graph.describe.node_encoder import (
    CONFIG,
    SIZE,
    EncoderConfig,
    EncoderNetwork,
    NodeEncoder,
    NodeTensors,
    tensors_of,
)
from cosense.scene_graph.nodes import GROUP_OF, Nodes
from cosense.scene_graph.register.candidates import MAX_CANDIDATES, TEMPERATURE
from cosense.scene_graph.register.descriptors import describer
from cosense.training.cached import Show, silent
from cosense.training.graph_pairs import GraphPair, candidate_figures, load_graph_pairs, same_things
from cosense.training.run_config import RunConfig, SceneConfig
from cosense.training.tasks.base import Task

# Numbers of candidates of which validation says how many are true.
_FEW = 150
_SIZE_NOISE, _HEADING_NOISE_RAD = 0.1, np.deg2rad(5)
# Added nodes lie this near to others, along each axis.
_NEAR_M = 10.0
_IMPOSSIBLE = -1e9


@dataclass(frozen=True, kw_only=True)
class EncoderRunConfig(RunConfig):
    """A training run of a node encoder of scene graphs, see `scene_graph.describe.node_encoder`.

    Attributes:
        encoder: folder whose encoder.yaml says which network.
        detector: model that finds the boxes in the graphs.
        data: scenes that are learned from; a pair for each two agents of each.
        validation: scenes that are never learned from.
        drop: largest share of nodes that a graph loses in a step.
        extra: largest share of nodes that are added to it.
        noise_m: largest standard deviation, per axis, by which its nodes are moved.
        unmatched: weight of the loss of nodes without a partner.
    """

    train: Literal["encoder"] = "encoder"
    encoder: Path
    detector: str
    data: tuple[SceneConfig, ...]
    validation: tuple[SceneConfig, ...]
    batch_size: int = 8
    drop: float = 0.1
    extra: float = 0.1
    noise_m: float = 0.05
    unmatched: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_probabilities("drop", "extra")
        if not self.noise_m >= 0:
            raise ValueError(f"noise_m is {self.noise_m}, expected at least 0")


class NodeEncoderTask(Task):
    """An encoder network, with what only training needs: how likely a node has a partner."""

    Config = EncoderRunConfig
    figures_mean = (
        "Recall: share of the true matches of two graphs (one group, within 1 m under the true pose) among "
        'so many candidates, no prior, mean over validation pairs; "triplets" is without learning.'
    )
    config: EncoderRunConfig
    samples: list[GraphPair]
    unseen: list[GraphPair]

    def __init__(self, config: EncoderRunConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.model = load_config(EncoderConfig, find_model(config.encoder, CONFIG) / CONFIG)
        torch.manual_seed(config.seed)
        self.network = EncoderNetwork(self.model)
        self._partner = nn.Linear(SIZE, 1)

    def load(self, show: Show = silent) -> None:
        config, device = self.config, str(self.device)
        self.samples = load_graph_pairs(config.data, config.cache, config.detector, device, show)
        self.unseen = load_graph_pairs(config.validation, config.cache, config.detector, device, show)

    def batch(self, samples: list[GraphPair], rng: np.random.Generator) -> list[GraphExample]:
        return [drawn_example(pair, self.config, rng) for pair in samples]

    def losses(self, batch: Sequence[GraphExample]) -> dict[str, Tensor]:
        """Return "loss", and "matched" and "unmatched" of which it is made, as means over pairs."""
        nodes = NodeTensors.join([side for example in batch for side in (example.a, example.b)])
        described = self.network(nodes)
        partner = self._partner(described)[:, 0]
        sizes = [len(side) for example in batch for side in (example.a, example.b)]
        parts, logits = described.split(sizes), partner.split(sizes)
        matched, unmatched = [], []
        for index, example in enumerate(batch):
            first, second = 2 * index, 2 * index + 1
            likelihood = log_assignment(
                parts[first], parts[second], torch.from_numpy(example.possible), TEMPERATURE
            )
            of_a, of_b = torch.from_numpy(example.matches).T
            if len(of_a):
                hit = functional.logsigmoid(logits[first][of_a]) + functional.logsigmoid(logits[second][of_b])
                matched.append(-(likelihood[of_a, of_b] + hit).mean())
            for side, rows in ((first, of_a), (second, of_b)):
                alone = torch.ones(sizes[side], dtype=torch.bool)
                alone[rows] = False
                if alone.any():
                    unmatched.append(-functional.logsigmoid(-logits[side][alone]).mean())
        means = {
            name: torch.stack(values).mean() if values else described.sum() * 0
            for name, values in (("matched", matched), ("unmatched", unmatched))
        }
        return {"loss": means["matched"] + self.config.unmatched * means["unmatched"], **means}

    def validate(self) -> dict[str, float]:
        """Return the share of true matches among the candidates, with the encoder and without learning."""
        learned = NodeEncoder(copy.deepcopy(self.network))
        kinds = {"learned": learned.described, "triplets": describer("triplets")}
        return {
            f"recall of {count} candidates, {name}": candidate_figures(self.unseen, describe, count).recall
            for count in (_FEW, MAX_CANDIDATES)
            for name, describe in kinds.items()
        }

    def summary(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.network.parameters())
        return (
            f"Node encoder of scene graphs, {parameters} parameters, on graphs with boxes of "
            f"{self.config.detector}."
        )

    def export(self, out: Path, command: str) -> None:
        write_weights(self.network, out / WEIGHTS)
        (out / CONFIG).write_text(yaml.safe_dump(to_mapping(self.model), sort_keys=False))


def log_assignment(a: Tensor, b: Tensor, possible: Tensor, temperature: float) -> Tensor:
    """Return log P (Na,Nb) of the double softmax, as `register.candidates.match_scores` has it."""
    similarity = (a @ b.T / temperature).masked_fill(~possible, _IMPOSSIBLE)
    return torch.log_softmax(similarity, dim=1) + torch.log_softmax(similarity, dim=0)


@dataclass(frozen=True)
class GraphExample:
    """One pair as the network takes it.

    Attributes:
        a, b: nodes of both graphs.
        possible: (Na,Nb) pairs that may be one thing by their group.
        matches: (K,2) rows of a and b that are one thing.
    """

    a: NodeTensors
    b: NodeTensors
    possible: NDArray[np.bool_]
    matches: NDArray[np.int64]


def drawn_example(pair: GraphPair, config: EncoderRunConfig, rng: np.random.Generator) -> GraphExample:
    """Return a pair changed by chance: nodes missing, added and moved; mirrored or not."""
    matches = same_things(pair.a, pair.b, pair.T_a_b)
    mirrored = bool(rng.random() < 0.5)
    a, kept_a = _changed(_nodes(pair.a), mirrored, config, rng)
    b, kept_b = _changed(_nodes(pair.b), mirrored, config, rng)
    rows = np.stack([kept_a[matches[:, 0]], kept_b[matches[:, 1]]], axis=1)
    return _example(a, b, rows[(rows >= 0).all(axis=1)])


def _changed(
    nodes: Nodes, mirrored: bool, config: EncoderRunConfig, rng: np.random.Generator
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
