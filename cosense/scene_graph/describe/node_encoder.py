"""The learned node encoder: the class and size of a node and its surroundings as 64 numbers of unit length.

SG-Reg (arXiv 2504.14440, triplet graph network): a node begins as x0 = Linear[semantics, box]. For each of
its triplets t = [x0_n1, x0_n2, e(cos), e(d1), e(d2)], with e the sinusoidal code sin, cos(10000^(-2i/16) u);
q, k, v = Linear(t); single-head attention among the triplets of one node; the mean is the message m, and [x0,
m] describes the node. We differ:

- An embedding of the class takes the place of BERT: outdoors there are eight classes. Classes that detectors
  confuse (`nodes.GROUP_OF`) share one.
- Size, relative height and heading take the place of KPConv over the cloud of the instance: at 50 m a pole
  has twenty points, and a graph of 18 bytes a node has none. Headings count modulo pi, against the directions
  of the sides of the triplet, so that they do not change with yaw.
- Triplets are those of `triplets.py`: the tightest instead of random ones, and one without area for a node
  with a single neighbour. A node without any has a message of zeros.
- Padded triplets are masked as keys too, not only in the mean: the amount of padding must not matter.
- Inputs of the codes are scaled (10 cos, distances and heights by 0.2 m), so that the fastest waves tell
  decimetres apart instead of being all but constant.
- [x0, m] goes through two layers to 64 numbers of unit length instead of staying 128, and there is no layer
  for matching: the double softmax of `register/candidates.py` is used at the temperature of the training.

A receiver has all that is needed of a sender's nodes, so it describes both graphs itself: no byte is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cosense.config import load_config
from cosense.messages.scene_graph import NodeClass, SceneGraph
from cosense.model_folders import fill, find_model, read_weights
from cosense.scene_graph.describe.triplets import canonical_order, find_triplets
from cosense.scene_graph.nodes import GROUP_OF, WITH_HEADING

CONFIG = "encoder.yaml"
SHIPPED = "node-encoder"
SIZE = 64
FREQUENCIES = 8
# cos, d1, d2 and both relative heights get a code; each of four headings gets sin and cos of twice the angle
# and a flag that it is known.
CODED, HEADINGS = 5, 12
_SCALE_M = 0.2
_COS_SCALE = 10.0
_SMALLEST_M, _LARGEST_M = 0.05, 50.0
_FARTHEST_M = 1e4


@dataclass(frozen=True)
class EncoderConfig:
    """The network, as described by encoder.yaml.

    Attributes:
        class_channels: channels of the embedding of a class.
        size_channels: channels of the box.
        channels: channels of x0 and of the message.
        hidden_channels: channels of the layer before the output.
    """

    class_channels: int = 16
    size_channels: int = 8
    channels: int = 64
    hidden_channels: int = 128


@dataclass(frozen=True)
class NodeTensors:
    """N nodes of one or more graphs, with K triplets each.

    Attributes:
        groups: (N,) int64 classes after `GROUP_OF`.
        sizes: (N,3) logarithms of length, width and height.
        valid: (N,K) bool, False for padding.
        n1, n2: (N,K) int64 rows of the neighbours.
        coded: (N,K,5) scaled cos, d1, d2 and heights of both neighbours above the node.
        headings: (N,K,12) headings of the node against both sides, and of each neighbour against its side.
    """

    groups: Tensor
    sizes: Tensor
    valid: Tensor
    n1: Tensor
    n2: Tensor
    coded: Tensor
    headings: Tensor

    def __len__(self) -> int:
        return len(self.groups)

    @classmethod
    def join(cls, parts: Sequence[NodeTensors]) -> NodeTensors:
        """Concatenate the nodes of several graphs, with triplets padded to the largest K."""
        triplets = max(part.valid.shape[1] for part in parts)
        offsets = np.cumsum([0, *(len(part) for part in parts[:-1])])
        values: dict[str, list[Tensor]] = {field.name: [] for field in fields(cls)}
        for part, offset in zip(parts, offsets, strict=True):
            moved = replace(part, n1=part.n1 + int(offset), n2=part.n2 + int(offset))
            for name, tensors in values.items():
                tensor = getattr(moved, name)
                if name not in ("groups", "sizes"):
                    missing = triplets - tensor.shape[1]
                    tensor = functional.pad(tensor, (0, 0) * (tensor.dim() - 2) + (0, missing))
                tensors.append(tensor)
        return cls(**{name: torch.cat(tensors) for name, tensors in values.items()})


def tensors_of(
    positions: NDArray[np.float64],
    classes: NDArray[np.int64],
    sizes: NDArray[np.float64],
    yaws: NDArray[np.float64],
) -> NodeTensors:
    """Return the inputs of the network for N nodes.

    Args:
        positions: (N,3) metres, finite.
        classes: (N,) values of `NodeClass`.
        sizes: (N,3) metres; NaN counts as the smallest size.
        yaws: (N,) radians, NaN where there is none.
    """
    triplets = find_triplets(positions)
    sides = [positions[n] - positions[:, None] for n in (triplets.n1, triplets.n2)]
    bearings = [np.arctan2(side[..., 1], side[..., 0]) for side in sides]
    headed = np.where(np.isin(classes, WITH_HEADING) & (np.abs(yaws) < 1e3), yaws, np.nan)
    own = headed[:, None]
    against = [
        own - bearings[0],
        own - bearings[1],
        headed[triplets.n1] - bearings[0],
        headed[triplets.n2] - bearings[1],
    ]
    headings = [(np.sin(2 * a), np.cos(2 * a), np.isfinite(a)) for a in against]
    coded = [
        _COS_SCALE * np.cos(triplets.angle),
        triplets.d1 / _SCALE_M,
        triplets.d2 / _SCALE_M,
        *(side[..., 2] / _SCALE_M for side in sides),
    ]
    known_sizes = np.clip(np.nan_to_num(sizes, nan=_SMALLEST_M), _SMALLEST_M, _LARGEST_M)

    def of_valid(values: list[NDArray]) -> Tensor:
        stacked = np.nan_to_num(np.stack(values, axis=-1).astype(np.float32))
        return torch.from_numpy(np.where(triplets.valid[..., None], stacked, np.float32(0)))

    return NodeTensors(
        groups=torch.from_numpy(GROUP_OF[classes]),
        sizes=torch.from_numpy(np.log(known_sizes).astype(np.float32)),
        valid=torch.from_numpy(triplets.valid),
        n1=torch.from_numpy(triplets.n1),
        n2=torch.from_numpy(triplets.n2),
        coded=of_valid(coded),
        headings=of_valid([part for heading in headings for part in heading]),
    )


class EncoderNetwork(nn.Module):
    """From `NodeTensors` to descriptors (N,64) of unit length."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        channels, hidden = config.channels, config.hidden_channels
        self.classes = nn.Embedding(len(NodeClass), config.class_channels)
        self.sizes = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, config.size_channels))
        self.initial = nn.Linear(config.class_channels + config.size_channels, channels)
        self.attention = nn.Linear(2 * channels + CODED * 2 * FREQUENCIES + HEADINGS, 3 * channels)
        self.output = nn.Sequential(nn.Linear(2 * channels, hidden), nn.ReLU(), nn.Linear(hidden, SIZE))

    def forward(self, nodes: NodeTensors) -> Tensor:
        """Return the descriptors."""
        initial = self.initial(torch.cat([self.classes(nodes.groups), self.sizes(nodes.sizes)], dim=1))
        # Rows of padding point to node 0 and are masked below.
        triplets = torch.cat([initial[nodes.n1], initial[nodes.n2], code(nodes.coded), nodes.headings], dim=2)
        q, k, v = self.attention(triplets).chunk(3, dim=2)
        # Finite, so that a node without any triplet gives no NaN; its message is set to zero.
        logits = (q @ k.transpose(1, 2) / q.shape[2] ** 0.5).masked_fill(~nodes.valid[:, None, :], -1e9)
        attended = torch.softmax(logits, dim=2) @ v
        count = nodes.valid.sum(dim=1, keepdim=True).clamp(min=1)
        message = (attended * nodes.valid[..., None]).sum(dim=1) / count
        return functional.normalize(self.output(torch.cat([initial, message], dim=1)), dim=1)


def code(values: Tensor) -> Tensor:
    """Return sinusoidal codes (...,V,16) of values (...,V), flattened to (...,16 V)."""
    steps = torch.arange(FREQUENCIES, dtype=values.dtype, device=values.device)
    waves = values[..., None] * 10000.0 ** (-steps / FREQUENCIES)
    return torch.cat([torch.sin(waves), torch.cos(waves)], dim=-1).flatten(-2)


class NodeEncoder:
    """A trained encoder that describes graphs."""

    def __init__(self, network: EncoderNetwork) -> None:
        """Take over a network and use it for inference only."""
        self._network = network.eval().requires_grad_(False)

    def describe(self, graph: SceneGraph) -> NDArray[np.float32]:
        """Return (N,64) descriptors of unit length, zero for nodes that cannot be used.

        They depend neither on the pose of the agent nor on the order of the nodes.

        Args:
            graph: graph of a peer with any content: nodes that are not finite, or of no known class, take no
                part.
        """
        positions = np.asarray(graph.positions, np.float64).reshape(-1, 3)
        classes = np.asarray(graph.classes, np.int64)
        with np.errstate(all="ignore"):
            usable = (np.abs(positions) < _FARTHEST_M).all(axis=1)
        usable &= (classes >= 0) & (classes < len(NodeClass))
        rows = np.flatnonzero(usable)
        described = np.zeros((len(positions), SIZE), np.float32)
        if len(rows):
            rows = rows[canonical_order(positions[rows], classes[rows])]
            tensors = tensors_of(
                positions[rows],
                classes[rows],
                np.asarray(graph.sizes, np.float64)[rows],
                np.asarray(graph.yaws, np.float64)[rows],
            )
            with torch.no_grad():
                described[rows] = self._network(tensors).numpy()
        return described

    def described(self, graph: SceneGraph) -> SceneGraph:
        """Return the graph with descriptors, which `register_graphs` uses where both graphs have them."""
        return replace(graph, descriptors=self.describe(graph))


def load_encoder(name_or_folder: str | Path = SHIPPED) -> NodeEncoder:
    """Open an encoder of `models/`, or of a folder written by `cosense train`.

    Raises:
        CosenseError: there is no such encoder, or its files do not fit each other.
    """
    folder = find_model(name_or_folder, CONFIG)
    network = EncoderNetwork(load_config(EncoderConfig, folder / CONFIG))
    fill(network, read_weights(folder)[0], folder, CONFIG)
    return NodeEncoder(network)
