"""The DEMAND payload, the ego's request: where it wants to know more, as a coarse map of bits.

Little-endian, no padding. A is the length of the addressee's name:

    offset  size  field
    0       1     A, 0 to 32; 0 = for everybody
    1       A     addressee, printable UTF-8
    1+A     4     x_min, y_min of the map in the sender's frame, 2 x i16, decimetres
    5+A     1     edge of a cell, u8, decimetres (>= 1)
    6+A     2     rows along y, columns along x, 2 x u8 (>= 1)
    8+A     1     coding: 0 = rows as below, 1 = raw deflate of them
    9+A     rest  rows of bits, each in whole bytes, first cell in the highest bit; each row but the first is
                  written as its exclusive or with the row before

The map is fixed to the world by pose and stamp of the envelope. A map that does not fit its room is written
with cells of twice the edge, which are wanted where any of the finer ones is: to receive too much is no harm.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.geometry.transforms import Matrix, invert
from cosense.messages.envelope import Codec, PayloadKind, register
from cosense.messages.fields import MAX_NAME_BYTES, MessageError, compact, expand, read_name, write_name
from cosense.sensing.grid import BevGrid

# A whole encoded message, envelope included: every vehicle sends one per frame.
MAX_DEMAND_BYTES = 250

_HEADER = struct.Struct("<hhBBBB")
_MAX_CELLS = 255
_MAX_BYTES = 1 + MAX_NAME_BYTES + _HEADER.size + _MAX_CELLS * ((_MAX_CELLS + 7) // 8)
# So few bytes that every strategy may be tried.
_STRATEGIES = (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED)


@dataclass(frozen=True)
class DemandMap:
    """Where the ego wants to know more.

    Attributes:
        addressee: agent id that it is meant for, "" for everybody.
        stamp_ns: measurement time of the ego.
        T_world_ego: (4,4) pose of the ego at that time; it fixes the map to the world.
        grid: cells of the map in the ego frame; the z range is not written, 0 and 1 on reading.
        wanted: (H,W) bool, true where the ego wants to know more.
    """

    addressee: str
    stamp_ns: int
    T_world_ego: Matrix
    grid: BevGrid
    wanted: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.wanted.shape != self.grid.shape:
            raise ValueError(f"wanted has the shape {self.wanted.shape}, the grid {self.grid.shape}")

    def at(self, T_world_sender: Matrix, xy: NDArray) -> NDArray[np.bool_]:
        """Return (K,): which places (K,2) on the ground of the sender's frame are wanted.

        Outside of the grid nothing is.
        """
        T_ego_sender = invert(self.T_world_ego) @ T_world_sender
        places = xy @ T_ego_sender[:2, :2].T + T_ego_sender[:2, 3]
        columns, rows = np.floor((places - self.grid.range_m[:2]) / self.grid.cell_m).T
        height, width = self.grid.shape
        # As numbers with a point: a place too far away for an integer is outside as well.
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        wanted = np.zeros(len(places), dtype=np.bool_)
        wanted[inside] = self.wanted[rows[inside].astype(np.int64), columns[inside].astype(np.int64)]
        return wanted


def encode_demand(demand: DemandMap, room_bytes: int) -> bytes:
    """Write the map, as fine as `room_bytes` and the format allow.

    Raises:
        MessageError: not even the coarsest map fits, or a field is outside the limits of the format.
    """
    addressee = write_name(demand.addressee, "addressee", least_bytes=0)
    x_min, y_min, edge = (_decimetres(metres) for metres in (*demand.grid.range_m[:2], demand.grid.cell_m))
    if not (max(abs(x_min), abs(y_min)) <= 32767 and 1 <= edge <= 255):
        raise MessageError(
            f"demand map at ({x_min}, {y_min}) dm has cells of {edge} dm, "
            f"expected within 32767 dm and cells of 1 to 255 dm"
        )
    wanted = demand.wanted
    while True:
        coding, data = compact(_rows_of_bits(wanted), _STRATEGIES)
        needed = len(addressee) + _HEADER.size + len(data)
        if max(wanted.shape) <= _MAX_CELLS and needed <= room_bytes:
            header = _HEADER.pack(x_min, y_min, edge, *wanted.shape, coding)
            return addressee + header + data
        if wanted.size == 1 or 2 * edge > 255:
            raise MessageError(
                f"demand map takes {needed} bytes with {wanted.shape} cells of {edge} dm, its coarsest; "
                f"there is room for {room_bytes} bytes and (255, 255) cells"
            )
        wanted, edge = _halved(wanted), 2 * edge


def decode_demand(payload: bytes, T_world_ego: Matrix, stamp_ns: int) -> DemandMap:
    """Read a map; pose and stamp are those of the envelope.

    Raises:
        MessageError: wrong length, a field outside its limits or data that does not unpack to the map.
    """
    addressee, start = read_name(payload, 0, "addressee", least_bytes=0, bytes_behind=_HEADER.size)
    x_min, y_min, edge, rows, columns, coding = _HEADER.unpack_from(payload, start)
    if not (edge and rows and columns):
        raise MessageError(
            f"demand map has {rows} x {columns} cells of {edge} dm, expected at least 1 of each"
        )
    row_bytes = (columns + 7) // 8
    raw = expand(payload[start + _HEADER.size :], coding, rows * row_bytes, "demand map")
    if len(raw) != rows * row_bytes:
        raise MessageError(f"demand map has {counted(len(raw), 'byte')}, expected {rows * row_bytes}")
    octets = np.bitwise_xor.accumulate(np.frombuffer(raw, dtype=np.uint8).reshape(rows, row_bytes))
    wanted = np.unpackbits(octets, axis=1, count=columns).astype(np.bool_)
    x_max, y_max = (x_min + columns * edge) / 10, (y_min + rows * edge) / 10
    grid = BevGrid((x_min / 10, y_min / 10, 0.0, x_max, y_max, 1.0), edge / 10)
    return DemandMap(addressee, stamp_ns, T_world_ego, grid, wanted)


def _rows_of_bits(wanted: NDArray[np.bool_]) -> bytes:
    """Write a map row by row; as the differences of rows, what hangs together deflates best."""
    octets = np.packbits(wanted, axis=1)
    octets[1:] ^= octets[:-1].copy()
    return octets.tobytes()


def _halved(wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the map of half the resolution; a cell is wanted where any of its four is."""
    rows, columns = wanted.shape
    even = np.pad(wanted, ((0, rows % 2), (0, columns % 2)))
    return np.asarray(even.reshape((rows + 1) // 2, 2, (columns + 1) // 2, 2).any(axis=(1, 3)))


def _decimetres(metres: float) -> int:
    """Return a length in whole decimetres."""
    if not abs(metres * 10 - round(metres * 10)) < 1e-6:
        raise MessageError(f"corner or cell of the demand map is {metres} m, expected whole decimetres")
    return round(metres * 10)


register(
    PayloadKind.DEMAND,
    Codec(
        lambda demand: encode_demand(demand, _MAX_BYTES),
        lambda message: decode_demand(message.payload, message.T_world_agent, message.stamp_ns),
        max_bytes=_MAX_BYTES,
    ),
)
