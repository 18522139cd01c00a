"""The scene graph of one agent at one moment, and its payload SCENE_GRAPH: 18 bytes a node.

SG-Reg (arXiv 2504.14440) calls a node an instance with a label, a centroid and an oriented box. Outdoors two
layers take the place of rooms: static objects (poles, trunks, walls, their corners, kerbs), gathered over
many frames, and dynamic ones (vehicles, riders, people), with a velocity. Positions are those of boxes and
axes, not of visible points: two agents see different sides of an object. Frames are levelled by the ground
(`cosense.sensing.levelling`), so that two graphs differ by x, y, z, yaw.

Little-endian, no padding. A graph of N nodes:

    offset  size  field
    0       1     1: a graph, the only content there is
    1       1     0
    2       2     N, u16, at most 1024
    4       18 N  nodes

A node:

    offset  size  field
    0       2     id, u16, unique within the graph
    2       1     class, u8, a number of `NodeClass`
    3       6     x, y, z in the sender's frame, 3 x i16, centimetres (within 327.67 m)
    9       3     l, w, h, 3 x u8, logarithmic: 0.05 m * 1000^(k / 255) (0.05 to 50 m, steps of 2.7 %)
    12      2     yaw, i16, in units of pi / 32768; -32768 = there is none
    14      2     velocity over ground along the sender's x and y, 2 x i8, 0.25 m/s (within 31.75 m/s);
                  -128 = not known
    16      1     sigma of the position, u8, logarithmic: 0.01 m * 1000^(k / 255) (0.01 to 10 m)
    17      1     score, u8, in units of 1 / 255

Who, when and where is in the envelope. Edges are not sent: both sides have the same rule
(`scene_graph/describe`). SG-Reg also exchanges the points of nodes that agree; we do not: with 2 to 6 kB more
poses were a centimetre better in simulation and no better on a recorded drive.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.geometry.transforms import Matrix
from cosense.messages.envelope import (
    FINGERPRINT_BYTES,
    PACKET_BYTES,
    Codec,
    Message,
    PayloadKind,
    decode,
    encode,
    envelope_bytes,
    register,
)
from cosense.messages.fields import (
    Logarithmic,
    MessageError,
    read_classes,
    read_headings_i16,
    read_velocities,
    to_centimetres,
    write_fractions,
    write_headings_i16,
    write_velocities,
)

# A receiver's matching grows with the square of this: the limit is what keeps a flood of nodes harmless.
MAX_NODES = 1024
MAX_POSITION_M = 327.67

_HEADER = struct.Struct("<BBH")
_GRAPH = 1
HEADER_BYTES = _HEADER.size
_NODE = np.dtype(
    [
        ("id", "<u2"),
        ("label", "u1"),
        ("position_cm", "<i2", 3),
        ("size", "u1", 3),
        ("yaw", "<i2"),
        ("velocity", "i1", 2),
        ("sigma", "u1"),
        ("score", "u1"),
    ]
)
NODE_BYTES = _NODE.itemsize
_LARGEST_ID = 65535
_SIZES_M, _SIGMAS_M = Logarithmic(0.05, ratio=1000.0), Logarithmic(0.01, ratio=1000.0)
_SCORE_STEPS = 255


class NodeClass(IntEnum):
    """What a node is; the numbers are written into messages and never change."""

    UNKNOWN = 0
    VEHICLE = 1
    PERSON = 2
    RIDER = 3
    POLE = 4
    TRUNK = 5
    WALL = 6
    KERB = 7
    CORNER = 8


# The classes of static objects; all others are dynamic.
MAP_CLASSES = (NodeClass.POLE, NodeClass.TRUNK, NodeClass.WALL, NodeClass.KERB, NodeClass.CORNER)


@dataclass(frozen=True)
class SceneGraph:
    """The graph of one agent: N nodes.

    Attributes:
        agent_id: the agent that measured.
        stamp_ns: measurement time, at which dynamic objects were where their nodes are.
        T_world_agent: (4,4) pose of the levelled frame of the agent as it believes it.
        pose_covariance: (3,3) covariance of (x, y, yaw) in the world.
        ids: (N,) int64, unique; an object keeps its id from frame to frame.
        classes: (N,) int64, values of `NodeClass`.
        positions: (N,3) float64 in the agent frame, metres: the centre of a box, the axis of a pole, trunk or
            corner at the ground, the middle of a piece of wall or kerb at the ground.
        sizes: (N,3) float64 length, width, height in metres.
        yaws: (N,) float64 heading in the agent frame, radians; the direction of a piece of wall or kerb,
            known up to pi; NaN where there is none (poles, trunks, corners).
        velocities: (N,2) float64 in the agent frame, m/s; zero of static objects, NaN where not known.
        sigmas_m: (N,) float64 standard deviation of the position per axis.
        scores: (N,) float64 in [0, 1], how sure the agent is that the object exists.
        descriptors: (N,D) float32 of unit length, None where nobody has described the nodes.
    """

    agent_id: str
    stamp_ns: int
    T_world_agent: Matrix
    pose_covariance: NDArray[np.float64]
    ids: NDArray[np.int64]
    classes: NDArray[np.int64]
    positions: NDArray[np.float64]
    sizes: NDArray[np.float64]
    yaws: NDArray[np.float64]
    velocities: NDArray[np.float64]
    sigmas_m: NDArray[np.float64]
    scores: NDArray[np.float64]
    descriptors: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ids)


# How often another agent has a node with a score of 1 that is near its sender: measured between the agents of
# 40 simulated places, as is the reach. A detector's best boxes are seen again far more often than poles, and
# of walls it is the corners that two agents see alike.
_SEEN_AGAIN = np.array([0.3, 0.8, 0.5, 0.5, 0.375, 0.5, 0.3, 0.3, 0.5])
_NEAR_M, _REACH_M, _FAR_SHARE = 40.0, 80.0, 0.3


def coarse_nodes(sender: str, message_bytes: int = PACKET_BYTES) -> int:
    """Return how many nodes an unsigned message of `sender` holds: those of one packet, unless more is given.

    With a name of eight letters these are 71.
    """
    return min(max((message_bytes - envelope_bytes(sender) - HEADER_BYTES) // NODE_BYTES, 0), MAX_NODES)


def encode_scene_graph(graph: SceneGraph, max_nodes: int = MAX_NODES) -> bytes:
    """Write a graph.

    Nodes that are not finite or farther than 327 m are left out, and those that are worth least to others
    (`worth_of`) where there are more than `max_nodes` or 1024; the order stays. Sizes, sigmas, scores and
    velocities are clipped.

    Raises:
        MessageError: ids are not unique or not 0 to 65535.
    """
    _check_ids(graph.ids)
    chosen = _writable(graph, min(max_nodes, MAX_NODES))
    records = np.zeros(len(chosen), dtype=_NODE)
    records["id"] = graph.ids[chosen]
    records["label"] = graph.classes[chosen]
    records["position_cm"] = to_centimetres(graph.positions[chosen])
    records["size"] = _SIZES_M.write(graph.sizes[chosen])
    records["yaw"] = write_headings_i16(graph.yaws[chosen], may_lack=True)
    records["velocity"] = write_velocities(_whole(graph.velocities[chosen]))
    records["sigma"] = _SIGMAS_M.write(graph.sigmas_m[chosen])
    records["score"] = write_fractions(graph.scores[chosen], _SCORE_STEPS)
    return _HEADER.pack(_GRAPH, 0, len(chosen)) + records.tobytes()


def decode_scene_graph(message: Message) -> SceneGraph:
    """Read a graph.

    Raises:
        MessageError: another kind of payload, wrong length, too many nodes, an id that comes twice, or an
            unknown class.
    """
    if message.kind != PayloadKind.SCENE_GRAPH:
        raise MessageError(f"kind is {message.kind.name}, expected SCENE_GRAPH")
    records = _read(message.payload)
    classes = read_classes(records["label"], NodeClass, "a node")
    ids, counts = np.unique(records["id"], return_counts=True)
    if (counts > 1).any():
        raise MessageError(f"node id {ids[counts.argmax()]} comes {counted(counts.max(), 'time')}")
    return SceneGraph(
        agent_id=message.sender,
        stamp_ns=message.stamp_ns,
        T_world_agent=message.T_world_agent,
        pose_covariance=message.pose_covariance,
        ids=records["id"].astype(np.int64),
        classes=classes,
        positions=records["position_cm"] / 100.0,
        sizes=_SIZES_M.read(records["size"]),
        yaws=read_headings_i16(records["yaw"], may_lack=True),
        velocities=_whole(read_velocities(records["velocity"])),
        sigmas_m=_SIGMAS_M.read(records["sigma"]),
        scores=records["score"] / _SCORE_STEPS,
    )


def share_graph(
    graph: SceneGraph,
    sequence: int,
    fingerprint: bytes = bytes(FINGERPRINT_BYTES),
    max_nodes: int | None = None,
) -> bytes:
    """Return a graph as an encoded SCENE_GRAPH message.

    Args:
        graph: the graph, of which the best nodes are sent, see `encode_scene_graph`.
        sequence: number of the message among the sender's.
        fingerprint: names the model that found the dynamic objects.
        max_nodes: number of nodes that are sent at most; None for those that fit one packet.

    Raises:
        MessageError: the graph cannot be written.
    """
    if max_nodes is None:
        max_nodes = coarse_nodes(graph.agent_id)
    return encode(
        Message(
            kind=PayloadKind.SCENE_GRAPH,
            sender=graph.agent_id,
            sequence=sequence % (1 << 32),
            stamp_ns=graph.stamp_ns,
            T_world_agent=graph.T_world_agent,
            pose_covariance=graph.pose_covariance,
            fingerprint=fingerprint,
            payload=encode_scene_graph(graph, max_nodes),
        )
    )


def worth_of(graph: SceneGraph) -> NDArray[np.float64]:
    """Return (N,) what nodes are worth to a receiver: how likely it has a node of the same object.

    Only what both have can agree. Nodes of unknown classes count as `NodeClass.UNKNOWN`.
    """
    known = (graph.classes >= 0) & (graph.classes < len(_SEEN_AGAIN))
    range_m = np.hypot(graph.positions[:, 0], graph.positions[:, 1])
    near = np.clip(1 - (range_m - _NEAR_M) / _REACH_M, _FAR_SHARE, 1)
    return np.asarray(_SEEN_AGAIN[np.where(known, graph.classes, NodeClass.UNKNOWN)] * near * graph.scores)


def transmitted(graph: SceneGraph, max_nodes: int | None = None) -> tuple[SceneGraph, int]:
    """Return a graph as its receiver reads it, and the bytes of the message that carried it.

    Raises:
        MessageError: the graph cannot be written.
    """
    data = share_graph(graph, 0, max_nodes=max_nodes)
    return decode_scene_graph(decode(data)), len(data)


def _read(payload: bytes) -> NDArray:
    """Return the records of a payload."""
    if len(payload) < HEADER_BYTES:
        raise MessageError(
            f"a scene graph has {counted(len(payload), 'byte')}, expected at least {HEADER_BYTES}"
        )
    content, flags, count = _HEADER.unpack_from(payload)
    if content != _GRAPH:
        raise MessageError(f"content of a scene graph is {content}, expected {_GRAPH}")
    if flags:
        raise MessageError(f"flags of a scene graph are {flags:#04x}, none is defined")
    if count > MAX_NODES:
        raise MessageError(f"{count} nodes announced, the limit is {MAX_NODES}")
    needed = HEADER_BYTES + count * NODE_BYTES
    if len(payload) != needed:
        raise MessageError(
            f"payload has {counted(len(payload), 'byte')}, expected {needed} for {counted(count, 'node')}"
        )
    return np.frombuffer(payload, dtype=_NODE, offset=HEADER_BYTES)


def _check_ids(ids: NDArray[np.int64]) -> None:
    if len(np.unique(ids)) != len(ids):
        raise MessageError(
            f"{counted(len(ids), 'node')} have {len(np.unique(ids))} different ids, expected unique ones"
        )
    if len(ids) and not 0 <= ids.min() <= ids.max() <= _LARGEST_ID:
        raise MessageError(f"ids are {ids.min()} to {ids.max()}, expected 0 to {_LARGEST_ID}")


def _writable(graph: SceneGraph, max_nodes: int) -> NDArray[np.int64]:
    """Return the rows that fit the format, the best of them, in their order."""
    numbers = np.column_stack([graph.positions, graph.sizes, graph.sigmas_m, graph.scores])
    fits = np.isfinite(numbers).all(axis=1) & (np.abs(graph.positions) <= MAX_POSITION_M).all(axis=1)
    rows = np.flatnonzero(fits)
    best = np.argsort(-worth_of(graph)[rows], kind="stable")[:max_nodes]
    return np.sort(rows[best])


def _whole(velocities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return velocities (N,2) of which half are not known as not known at all."""
    return np.where(np.isnan(velocities).any(axis=1, keepdims=True), np.nan, velocities)


register(
    PayloadKind.SCENE_GRAPH,
    Codec(encode_scene_graph, decode_scene_graph, max_bytes=HEADER_BYTES + MAX_NODES * NODE_BYTES),
)
