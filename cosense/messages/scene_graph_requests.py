"""What two agents say to each other about their graphs: REQUEST, REPLY and RESULT.

Payloads of the kind SCENE_GRAPH, see `scene_graph.py`; little-endian, no padding. Each is for one agent,
whose name has A bytes (1 to 32, printable UTF-8). A graph is named by the sequence number of the message that
carried it.

    offset  size  field
    0       1     part: 2 REQUEST, 3 REPLY, 4 RESULT
    1       1     A
    2       A     addressee

REQUEST, "send me the points of these nodes of yours":

    2+A     4     request, u32, counts the sender's requests
    6+A     4     graph, u32, of the addressee
    10+A    2     points per node at most, u16 (1 to 256)
    12+A    2     deadline, u16, milliseconds after the stamp of the envelope
    14+A    2 K   node ids, K x u16, 1 to 256 different ones, until the end

REPLY; one without nodes says that the graph is not kept any more:

    2+A     4     request, u32, as asked
    6+A     4     graph, u32, of the sender
    10+A    rest  nodes until the end: id (u16, each once), n (u16, 0 to 256), n points of 3 x i16,
                  millimetres from the node's position (within 32.767 m), axes of the sender's frame

RESULT, "this is how your graph fits mine":

    2+A     4     graph, u32, of the sender
    6+A     4     graph, u32, of the addressee
    10+A    1     status, u8, an index of `STATUSES`
    11+A    2     inliers, u16
    13+A    52    only with status 0: T_sender_addressee as translation, 3 x f32, metres, and quaternion
                  x y z w, 4 x f32; covariance of (x, y, yaw): xx, xy, x yaw, yy, y yaw, yaw yaw, 6 x f32
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.geometry.transforms import Matrix
from cosense.messages.envelope import Codec, Message, PayloadKind, register
from cosense.messages.fields import MessageError, pack, pose_numbers, pose_of, read_name, write_name
from cosense.messages.scene_graph import (
    Part,
    SceneGraph,
    decode_scene_graph,
    encode_scene_graph,
    part_of,
)

MAX_REQUESTED_NODES = 256
MAX_POINTS_PER_NODE = 256
# Two frames of features, and far below what a message may have.
MAX_REPLY_BYTES = 1 << 16
# How a registration may end; the order is that of the numbers on the wire and never changes.
STATUSES = (
    "registered",
    "no_candidates",
    "too_few",
    "ambiguous",
    "collinear",
    "high_covariance",
    "gated",
    "stale",
    "timeout",
)

_REQUEST = struct.Struct("<IIHH")
_REPLY = struct.Struct("<II")
_REPLIED_NODE = struct.Struct("<HH")
_RESULT = struct.Struct("<IIBH")
_POSE = struct.Struct("<3f4f6f")
_POINT_BYTES = 6
_POINT_UNIT_M = 0.001
_FARTHEST_UNITS = 32767


@dataclass(frozen=True)
class Request:
    """A request for points.

    Attributes:
        addressee: agent that is asked.
        request_id: number of the request among the sender's.
        graph_id: names the addressee's graph that the nodes belong to.
        max_points: points per node at most, 1 to 256.
        deadline_ms: an answer later than this after the stamp of the message is not used; 0 to 65535.
        node_ids: 1 to 256 different ids.
    """

    addressee: str
    request_id: int
    graph_id: int
    max_points: int
    deadline_ms: int
    node_ids: tuple[int, ...]


@dataclass(frozen=True)
class Reply:
    """Points of nodes.

    Attributes:
        addressee: agent that has asked.
        request_id: number of its request.
        graph_id: names the sender's graph.
        points: (n,3) float64 by node id, metres from the node's position along the axes of the sender's
            frame; no node at all where the graph is not kept any more.
    """

    addressee: str
    request_id: int
    graph_id: int
    points: dict[int, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """How the graphs of two agents fit.

    Attributes:
        addressee: agent whose graph was registered.
        graph_id: names the sender's graph.
        peer_graph_id: names the addressee's graph.
        status: one of `STATUSES`.
        inliers: number of nodes that agree.
        T_sender_addressee: (4,4) maps points of the addressee's frame into the sender's, each at the stamp of
            its graph; None unless registered.
        covariance: (3,3) covariance of its x, y, yaw; None unless registered.
    """

    addressee: str
    graph_id: int
    peer_graph_id: int
    status: str
    inliers: int
    T_sender_addressee: Matrix | None = None
    covariance: NDArray[np.float64] | None = None


def encode_request(request: Request) -> bytes:
    """Write a request.

    Raises:
        MessageError: a field is outside the limits above.
    """
    _check_request(request)
    ids = np.array(request.node_ids, dtype="<u2").tobytes()
    numbers = (request.request_id, request.graph_id, request.max_points, request.deadline_ms)
    return _packed(Part.REQUEST, request.addressee, _REQUEST, *numbers) + ids


def decode_request(payload: bytes) -> Request:
    """Read a request.

    Raises:
        MessageError: the bytes are none.
    """
    addressee, (request_id, graph_id, max_points, deadline_ms), rest = _unpacked(
        payload, Part.REQUEST, _REQUEST
    )
    if len(rest) % 2:
        raise MessageError(
            f"node ids of a request have {counted(len(rest), 'byte')}, expected an even number"
        )
    ids = tuple(int(node) for node in np.frombuffer(rest, dtype="<u2"))
    request = Request(addressee, request_id, graph_id, max_points, deadline_ms, ids)
    _check_request(request)
    return request


def encode_reply(reply: Reply) -> bytes:
    """Write a reply: at most 256 points of a node and 64 KiB in all; points farther than 32 m are left out.

    Raises:
        MessageError: a number or the addressee cannot be written.
    """
    parts = [_packed(Part.REPLY, reply.addressee, _REPLY, reply.request_id, reply.graph_id)]
    room = MAX_REPLY_BYTES - len(parts[0])
    for node_id, points in reply.points.items():
        units = np.round(points[:MAX_POINTS_PER_NODE] / _POINT_UNIT_M)
        units = units[(np.abs(units) <= _FARTHEST_UNITS).all(axis=1)]
        room -= _REPLIED_NODE.size + len(units) * _POINT_BYTES
        if room < 0:
            break
        parts += [pack(_REPLIED_NODE, f"node {node_id}", node_id, len(units)), units.astype("<i2").tobytes()]
    return b"".join(parts)


def decode_reply(payload: bytes) -> Reply:
    """Read a reply.

    Raises:
        MessageError: the bytes are none.
    """
    if len(payload) > MAX_REPLY_BYTES:
        raise MessageError(f"a reply has {counted(len(payload), 'byte')}, the limit is {MAX_REPLY_BYTES}")
    addressee, (request_id, graph_id), rest = _unpacked(payload, Part.REPLY, _REPLY)
    points: dict[int, NDArray[np.float64]] = {}
    at = 0
    while at < len(rest):
        if at + _REPLIED_NODE.size > len(rest):
            raise MessageError(
                f"a reply ends with {counted(len(rest) - at, 'byte')}, expected a node of at least 4"
            )
        node_id, count = _REPLIED_NODE.unpack_from(rest, at)
        at += _REPLIED_NODE.size
        if count > MAX_POINTS_PER_NODE or at + count * _POINT_BYTES > len(rest):
            raise MessageError(
                f"node {node_id} is said to have {counted(count, 'point')}; "
                f"the reply has {counted(len(rest) - at, 'byte')} left, "
                f"the limit is {MAX_POINTS_PER_NODE} points"
            )
        if node_id in points:
            raise MessageError(f"node {node_id} comes twice in a reply")
        units = np.frombuffer(rest, dtype="<i2", count=3 * count, offset=at)
        points[node_id] = units.reshape(-1, 3) * _POINT_UNIT_M
        at += count * _POINT_BYTES
    return Reply(addressee, request_id, graph_id, points)


def encode_result(result: Result) -> bytes:
    """Write a result.

    Raises:
        MessageError: an unknown status, or a number or pose that cannot be written.
    """
    if result.status not in STATUSES:
        raise MessageError(f"status of a result is '{result.status}', expected one of {STATUSES}")
    code = STATUSES.index(result.status)
    numbers = (result.graph_id, result.peer_graph_id, code, min(result.inliers, 65535))
    head = _packed(Part.RESULT, result.addressee, _RESULT, *numbers)
    if code:
        return head
    if result.T_sender_addressee is None or result.covariance is None:
        raise MessageError("a result says 'registered' and has no pose and covariance")
    pose = pose_numbers(result.T_sender_addressee, result.covariance)
    return head + pack(_POSE, f"pose {pose}", *pose)


def decode_result(payload: bytes) -> Result:
    """Read a result.

    Raises:
        MessageError: the bytes are none.
    """
    addressee, (graph_id, peer_graph_id, code, inliers), rest = _unpacked(payload, Part.RESULT, _RESULT)
    if code >= len(STATUSES):
        raise MessageError(f"status of a result is {code}, expected 0 to {len(STATUSES) - 1}")
    if len(rest) != (0 if code else _POSE.size):
        raise MessageError(f"a result '{STATUSES[code]}' has {counted(len(rest), 'byte')} of pose")
    if code:
        return Result(addressee, graph_id, peer_graph_id, STATUSES[code], inliers)
    T, covariance = pose_of(_POSE.unpack(rest))
    return Result(addressee, graph_id, peer_graph_id, STATUSES[code], inliers, T, covariance)


def addressee_of(payload: bytes) -> str:
    """Return for whom a REQUEST, REPLY or RESULT is.

    Raises:
        MessageError: it is none of these, or has no readable addressee.
    """
    if part_of(payload) is Part.GRAPH:
        raise MessageError("a GRAPH has no addressee")
    return read_name(payload, 1, "addressee")[0]


def _check_request(request: Request) -> None:
    if not 1 <= request.max_points <= MAX_POINTS_PER_NODE:
        raise MessageError(
            f"{counted(request.max_points, 'point')} per node, expected 1 to {MAX_POINTS_PER_NODE}"
        )
    ids = request.node_ids
    if not 1 <= len(ids) <= MAX_REQUESTED_NODES or len(set(ids)) != len(ids):
        raise MessageError(
            f"a request asks for {counted(len(ids), 'node')}, {len(set(ids))} different ones, "
            f"expected 1 to {MAX_REQUESTED_NODES} different ones"
        )
    if not 0 <= min(ids) <= max(ids) <= 65535:
        raise MessageError(f"a request asks for nodes {min(ids)} to {max(ids)}, expected 0 to 65535")


def _packed(part: Part, addressee: str, layout: struct.Struct, *numbers: int) -> bytes:
    head = bytes([part]) + write_name(addressee, "addressee")
    return head + pack(layout, str(numbers), *numbers)


def _unpacked(payload: bytes, part: Part, layout: struct.Struct) -> tuple[str, tuple[int, ...], bytes]:
    """Return addressee, numbers and what comes after them."""
    if part_of(payload) is not part:
        raise MessageError(f"part of the scene graph is {Part(payload[0]).name}, expected {part.name}")
    addressee, start = read_name(payload, 1, "addressee", bytes_behind=layout.size)
    return addressee, layout.unpack_from(payload, start), payload[start + layout.size :]


def _encode(content: SceneGraph | Request | Reply | Result) -> bytes:
    match content:
        case Request():
            return encode_request(content)
        case Reply():
            return encode_reply(content)
        case Result():
            return encode_result(content)
    return encode_scene_graph(content)


def _decode(message: Message) -> SceneGraph | Request | Reply | Result:
    match part_of(message.payload):
        case Part.REQUEST:
            return decode_request(message.payload)
        case Part.REPLY:
            return decode_reply(message.payload)
        case Part.RESULT:
            return decode_result(message.payload)
    return decode_scene_graph(message)


register(
    PayloadKind.SCENE_GRAPH,
    Codec(_encode, _decode, max_bytes=MAX_REPLY_BYTES),
)
