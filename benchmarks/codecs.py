"""Ways of writing a patch, at equal bytes: `python benchmarks/codecs.py [DATA]`.

The latents of the shipped weights are integers of 4 bits; here they are coded by other families, each with as
many of the best patches as fit the same room, and fused by the same network, which was trained for the
shipped one, without boxes, which would hide all differences:

- scalar, 4, 3 and 2 bits: rounded again to fewer levels, packed, deflated;
- ternary: the largest half of a patch's channels as -1, 0, +1 times one scale a channel (top-k
  sparsification);
- codebook: product quantisation, k-means with 256 words for each quarter of the channels, indices deflated;
- hashing: signs of random projections (locality-sensitive hashing), read back by least squares, and the same
  again for the residual;
- feedback: what rounding to 2 bits has lost in a cell is added to the same cell of the next frame (error
  feedback), which only a sender that stands still can use.

Codebooks and scales are learned on other frames than those that are counted.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2, vq
from timing import write

from cosense.cooperation.admission import read_features
from cosense.cooperation.ego import Ego, OwnView
from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.merge import MergeSettings, merge
from cosense.cooperation.perceived import Perceiver
from cosense.cooperation.requests import write_requests
from cosense.cooperation.sender import Sender
from cosense.data import open_dataset
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.evaluation.metrics.summary import FrameResult, FrameScore, score, summarise_scores
from cosense.evaluation.protocol import load_protocol
from cosense.messages.chunks import ReceivedLayer
from cosense.messages.envelope import decode
from cosense.messages.objects import decode_objects
from cosense.methods.base import Admitted
from cosense.methods.model import Model, load_model
from cosense.scene_graph.correction.pose_correction import as_sent

DATA = Path("results/validation/data")
ROOMS_BYTES = (1000, 5000)
FRAMES, LEARNED_FROM = 40, 20
Latents = NDArray[np.float32]
# Positions take about this much a patch beside its values, in every family alike.
_POSITION_BYTES = 1.2


@dataclass(frozen=True)
class Codec:
    """A family: latents (K,C) to what is read back (K,C), and the bytes that they take."""

    name: str
    values: Callable[[Latents], tuple[Latents, int]]

    def code(self, cells: NDArray[np.int64], latents: Latents) -> tuple[Latents, int]:
        """Code one frame; where the cells are makes no difference."""
        return self.values(latents)


def deflated(symbols: NDArray, bits: int) -> int:
    """Return the bytes of symbols (K,...), packed by channel and deflated where that is smaller."""
    flat = np.ascontiguousarray(symbols.T).reshape(-1).astype(np.uint8)
    spread = np.unpackbits(flat[:, None], axis=1)[:, 8 - bits :]
    packed = np.packbits(spread.reshape(-1)).tobytes()
    stream = zlib.compressobj(6, zlib.DEFLATED, -15, 9, zlib.Z_HUFFMAN_ONLY)
    return min(len(packed), len(stream.compress(packed) + stream.flush()))


def scalar(bits: int) -> Codec:
    """Round to 2^bits levels over the range of 4 bits."""
    step = 16 / 2**bits

    def code(latents: Latents) -> tuple[Latents, int]:
        symbols = np.clip(np.floor((latents + 8) / step), 0, 2**bits - 1)
        return ((symbols + 0.5) * step - 8.5).astype(np.float32), deflated(symbols, bits)

    def shipped(latents: Latents) -> tuple[Latents, int]:
        return latents, deflated(latents + 8, 4)

    return Codec(f"scalar, {bits} bit{' (shipped)' if bits == 4 else ''}", shipped if bits == 4 else code)


def ternary(examples: Latents) -> Codec:
    """Keep the larger half of a patch's channels, each as a sign times the mean size of the channel."""
    size = np.abs(examples).mean(axis=0) * 1.5

    def code(latents: Latents) -> tuple[Latents, int]:
        threshold = np.median(np.abs(latents / size), axis=1, keepdims=True)
        signs = np.where(np.abs(latents / size) > threshold, np.sign(latents), 0)
        return (signs * size).astype(np.float32), deflated(signs + 1, 2)

    return Codec("ternary, top half", code)


def codebook(examples: Latents, parts: int, words: int = 256) -> Codec:
    """Cut the channels into parts, each of which is the nearest of so many words."""
    books = [
        kmeans2(part, words, minit="++", seed=0, iter=15)[0] for part in np.split(examples, parts, axis=1)
    ]

    def code(latents: Latents) -> tuple[Latents, int]:
        indices = [
            vq(part, book)[0] for part, book in zip(np.split(latents, parts, axis=1), books, strict=True)
        ]
        read = np.hstack([book[index] for book, index in zip(books, indices, strict=True)])
        return read.astype(np.float32), deflated(np.stack(indices, axis=1), 8)

    return Codec(f"codebook, {parts} x {words} words", code)


def hashing(examples: Latents, projections: int) -> Codec:
    """Signs of random projections, read back linearly, twice: the second time of what the first has left."""
    rng = np.random.default_rng(0)
    planes = [rng.standard_normal((examples.shape[1], projections)) for _ in range(2)]
    readers, left = [], examples
    for plane in planes:
        readers.append(np.linalg.lstsq(np.sign(left @ plane), left, rcond=None)[0])
        left = left - np.sign(left @ plane) @ readers[-1]

    def code(latents: Latents) -> tuple[Latents, int]:
        read = np.zeros_like(latents)
        signs = []
        for plane, reader in zip(planes, readers, strict=True):
            signs.append(np.sign((latents - read) @ plane))
            read = read + signs[-1] @ reader
        return read.astype(np.float32), deflated((np.hstack(signs) + 1) / 2, 1)

    return Codec(f"hashing, 2 x {projections} signs", code)


def fitting(
    codec: Codec | Feedback, cells: NDArray[np.int64], latents: Latents, room_bytes: int
) -> tuple[int, Latents]:
    """Return how many of the best patches fit, and what is read back of them."""
    price = codec.code(cells, latents)[1] / max(1, len(latents)) + _POSITION_BYTES
    count = min(len(latents), int(room_bytes / price))
    while count:
        read, taken = codec.code(cells[:count], latents[:count])
        if taken + _POSITION_BYTES * count <= room_bytes:
            return count, read
        count = min(count - 1, int(count * room_bytes / (taken + _POSITION_BYTES * count)))
    return 0, latents[:0]


class Feedback:
    """Rounding to few bits that adds what it has lost in a cell to the same cell of the next frame."""

    def __init__(self, bits: int) -> None:
        self._scalar = scalar(bits)
        self._lost: dict[int, NDArray[np.float32]] = {}
        self._next = self._lost
        self.name = f"scalar, {bits} bit, feedback"

    def start(self) -> None:
        """Forget, at the start of a sequence."""
        self._lost = {}

    def code(self, cells: NDArray[np.int64], latents: Latents) -> tuple[Latents, int]:
        """Code one frame."""
        nothing = np.zeros(latents.shape[1], dtype=np.float32)
        wanted = latents + np.array([self._lost.get(int(cell), nothing) for cell in cells]).reshape(
            latents.shape
        )
        read, count = self._scalar.values(wanted)
        self._next = {int(cell): rest for cell, rest in zip(cells, wanted - read, strict=True)}
        return read, count

    def keep(self) -> None:
        """Remember what the last frame coded has lost."""
        self._lost = self._next


@dataclass(frozen=True)
class Moment:
    """A frame with what both agents have made of it.

    Attributes:
        sequence: of the frame; the sender stands still within it.
        own: the ego's own view.
        received: everything that the other one could send, best patches first.
        expected: name, ground truth and its points.
    """

    sequence: str
    own: OwnView
    received: Admitted
    expected: tuple[str, Any, NDArray[np.int64]]

    @property
    def latents(self) -> Latents:
        return self.received.layers[0].values.astype(np.float32)


def moments(model: Model, data: Path, frames: range) -> list[Moment]:
    """Encode frames of a data set of two agents."""
    dataset = open_dataset(data)
    method, settings = model.method, AdmissionSettings()
    assert method is not None
    ego, found = Ego(model, "hybrid"), []
    for index in frames:
        frame = dataset[index]
        mine, theirs = (Perceiver(model.detector).perceive(a) for a in (frame.ego, frame.others[0]))
        own = ego.view(mine, 0)
        sender = Sender(theirs.frame.agent_id, model, "hybrid")
        for request in write_requests(own.message, method.request(mine.encoded), []).values():
            sender.receive_request(request)
        data_sent = sender.message(theirs, 0, sender.request)
        assert data_sent is not None
        message = decode(data_sent)
        age_ms = (own.message.stamp_ns - message.stamp_ns) / 1e6
        received, _, _ = read_features(
            message,
            age_ms,
            own.message,
            as_sent,
            MergeSettings().roof_below_sensor_m,
            method.specs,
            method.detector.grid.shape,
            settings,
        )
        expected = (frame.frame_id, frame.ground_truth, most_points_of_one_agent(frame))
        found.append(Moment(frame.sequence, own, received, expected))
    return found


def row(model: Model, codec: Codec | Feedback, room_bytes: int, counted: Sequence[Moment]) -> dict[str, Any]:
    """Return the figures of one family within one room."""
    protocol, method = load_protocol("simulated_riders"), model.method
    assert method is not None
    scores: list[FrameScore] = []
    patches, sequence = [], None
    for moment in counted:
        if isinstance(codec, Feedback) and moment.sequence != sequence:
            codec.start()
        sequence = moment.sequence
        count, read = fitting(codec, moment.received.layers[0].cells, moment.latents, room_bytes)
        if isinstance(codec, Feedback):
            codec.keep()
        patches.append(count)
        layer = ReceivedLayer(moment.received.layers[0].cells[:count], read)
        empty = moment.received.layers[1]
        no_floor = ReceivedLayer(empty.cells[:0], empty.values[:0])
        received = replace(moment.received, layers=(layer, no_floor))
        own = decode_objects(moment.own.message.payload)
        candidates = method.fuse(moment.own.encoded, own, [received], with_boxes=False)
        detections = merge(candidates, MergeSettings(), averages_boxes=method.averages_boxes)
        name, truth, points = moment.expected
        nobody = np.zeros((0, 2))
        scores.append(score(FrameResult(name, detections, truth, points, nobody, {}, 0.0), protocol))
    ap = summarise_scores(scores, protocol)["ap"]
    return {
        "job": codec.name,
        "room_bytes": room_bytes,
        "patches": float(np.mean(patches)),
        "ap50": 100 * ap["0.5"],
        "ap70": 100 * ap["0.7"],
    }


def main() -> None:
    """Compare all families."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    model = load_model("cosense-lite")
    with torch.inference_mode():
        learned = moments(model, data, range(FRAMES, FRAMES + LEARNED_FROM))
        examples = np.concatenate([moment.latents[:400] for moment in learned])
        counted = moments(model, data, range(FRAMES))
        families: list[Codec | Feedback] = [scalar(bits) for bits in (4, 3, 2)]
        families += [ternary(examples), codebook(examples, 4), codebook(examples, 2), hashing(examples, 16)]
        families.append(Feedback(2))
        rows = [row(model, codec, room, counted) for room in ROOMS_BYTES for codec in families]
    write("codecs", rows)


if __name__ == "__main__":
    main()
