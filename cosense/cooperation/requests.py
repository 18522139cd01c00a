"""Requests: where the ego asks to know more, written by the ego and read by each sender.

One request for everybody as long as there is at most one sender. Several senders each get one of their own:
what the ego cannot see, without the cells in which another sender, who is nearer, has just reported a box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cosense.detectors.head import middle_cells
from cosense.messages.demand import DemandMap, decode_demand, encode_demand
from cosense.messages.envelope import (
    MAX_PAYLOAD_BYTES,
    Message,
    MessageError,
    PayloadKind,
    decode,
    encode,
    envelope_bytes,
)
from cosense.messages.signatures import SIGNATURE_BYTES
from cosense.methods.base import Admitted, RequestMap
from cosense.sensing.frame import AgentFrame
from cosense.sensing.grid import BevGrid
from cosense.trust.identity.keys import Signer
from cosense.trust.identity.membership import Membership

# What the ego could not see longer ago says little about what it cannot see now.
_MAX_AGE_NS = 1_000_000_000
# Sensors at 10 Hz are not synchronised: the ego may have measured up to a period after the sender.
_MAX_AHEAD_NS = 100_000_000


def write_requests(
    ego: Message, wanted: RequestMap, admitted: Sequence[Admitted], signer: Signer | None = None
) -> dict[str, bytes]:
    """Return the encoded DEMAND messages for the next frame, by addressee ("" for everybody).

    Args:
        ego: the ego's own message, whose pose and stamp fix the map to the world.
        wanted: where the ego cannot see by itself.
        admitted: what the senders have contributed to this frame.
        signer: the ego's key; None to sign nothing.
    """
    maps = {"": wanted.wanted}
    if len(admitted) > 1:
        reported = _reported_by_nearer(admitted, wanted.grid)
        maps = {
            sender.sender: wanted.wanted & ~cells for sender, cells in zip(admitted, reported, strict=True)
        }
    room_bytes = MAX_PAYLOAD_BYTES
    if wanted.max_bytes is not None:
        room_bytes = wanted.max_bytes - envelope_bytes(ego.sender) - (SIGNATURE_BYTES if signer else 0)
    requests = {}
    for addressee, cells in maps.items():
        demand = DemandMap(addressee, ego.stamp_ns, ego.T_world_agent, wanted.grid, cells)
        payload = encode_demand(demand, room_bytes)
        data = encode(replace(ego, kind=PayloadKind.DEMAND, payload=payload, signature=b""))
        requests[addressee] = signer.sign(data) if signer else data
    return requests


def read_request(
    data: bytes, agent_id: str, membership: Membership | None = None, clock_ns: int = 0
) -> DemandMap | None:
    """Return what a DEMAND message asks for, None if it is addressed to another agent.

    Args:
        data: as it came.
        agent_id: name of the agent that reads it.
        membership: knows the keys of others; None to believe names.
        clock_ns: present time of the stamps, 0 where it is not known.

    Raises:
        MessageError: it cannot be read, is of another kind, or nobody knows who it is from.
    """
    message = decode(data)
    if message.kind != PayloadKind.DEMAND:
        raise MessageError(f"carries {message.kind.name}, expected DEMAND")
    demand = decode_demand(message.payload, message.T_world_agent, message.stamp_ns)
    # Before its signature: the requests of one frame, one for each addressee, have one number.
    if demand.addressee not in ("", agent_id):
        return None
    if membership is not None:
        doubt, may_be_read = membership.judge(data, message, clock_ns)
        if not may_be_read:
            raise MessageError(f"under the name '{message.sender}': {doubt}")
    return demand


def wanted_places(
    request: DemandMap | None, frame: AgentFrame, xy_m: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return (K,): which places (K,2) on the ground of a sender's frame the ego wants to know more about.

    All of them are wanted as long as there is no request that is fresh.
    """
    if request is None or not -_MAX_AHEAD_NS <= frame.stamp_ns - request.stamp_ns <= _MAX_AGE_NS:
        return np.ones(len(xy_m), dtype=np.bool_)
    return request.at(frame.T_world_agent, xy_m)


def _reported_by_nearer(admitted: Sequence[Admitted], grid: BevGrid) -> Iterator[NDArray[np.bool_]]:
    """Yield (H,W) for each sender: the cells with a box of another one that is nearer to it."""
    boxes = np.concatenate([sender.boxes.boxes for sender in admitted])
    owners = np.repeat(np.arange(len(admitted)), [len(sender.boxes.boxes) for sender in admitted])
    places_m = np.stack([sender.T_ego_sender[:2, 3] for sender in admitted])
    own_distances_m = np.linalg.norm(boxes[:, :2] - places_m[owners], axis=1)
    cells, inside = middle_cells(boxes, grid)
    for index, place_m in enumerate(places_m):
        is_nearer = own_distances_m < np.linalg.norm(boxes[:, :2] - place_m, axis=1)
        reported = np.zeros(grid.shape, dtype=np.bool_)
        reported[tuple(cells[inside & is_nearer & (owners != index)].T)] = True
        yield reported
