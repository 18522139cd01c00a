"""The loss of a node encoder: the negative log-likelihood of the true matches.

SG-Reg (arXiv 2504.14440, `spec/sgreg.md` §3.1 and §6, stage 1): log P = log softmax over rows + over columns
of the similarity + log sigmoid(z_a) + log sigmoid(z_b), with z how likely a node has a partner at all;
L = -mean log P of the matches - lambda mean log sigmoid(-z) of nodes without a partner (the dustbin). We
differ:

- A match is two nodes of one group that are each other's nearest within 1 m under the true pose, and all
  matches weigh the same: there are no clouds of instances whose overlap could weigh them.
- The softmax runs over pairs of one group only and at the temperature of the registration, as where the
  descriptors are used (`scene_graph.register.candidates`). z is not used there, as in published inference.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from cosense.scene_graph.describe.node_encoder import SIZE, EncoderNetwork, NodeTensors
from cosense.training.graph_examples import GraphExample

_IMPOSSIBLE = -1e9


class EncoderLoss(nn.Module):
    """The network with what only training needs.

    Attributes:
        network: to be trained.
    """

    def __init__(self, network: EncoderNetwork, temperature: float, unmatched: float) -> None:
        super().__init__()
        self.network = network
        self._partner = nn.Linear(SIZE, 1)
        self._temperature, self._unmatched = temperature, unmatched

    def forward(self, examples: Sequence[GraphExample]) -> dict[str, Tensor]:
        """Return "loss", and "matched" and "unmatched" of which it is made, as means over pairs."""
        nodes = NodeTensors.join([side for example in examples for side in (example.a, example.b)])
        described = self.network(nodes)
        partner = self._partner(described)[:, 0]
        sizes = [len(side) for example in examples for side in (example.a, example.b)]
        parts, logits = described.split(sizes), partner.split(sizes)
        matched, unmatched = [], []
        for index, example in enumerate(examples):
            first, second = 2 * index, 2 * index + 1
            likelihood = log_assignment(
                parts[first], parts[second], torch.from_numpy(example.possible), self._temperature
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
        return {"loss": means["matched"] + self._unmatched * means["unmatched"], **means}


def log_assignment(a: Tensor, b: Tensor, possible: Tensor, temperature: float) -> Tensor:
    """Return log P (Na,Nb) of the double softmax, as `register.candidates.match_scores` has it."""
    similarity = (a @ b.T / temperature).masked_fill(~possible, _IMPOSSIBLE)
    return torch.log_softmax(similarity, dim=1) + torch.log_softmax(similarity, dim=0)
