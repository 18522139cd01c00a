"""Fields that payloads have in common, each written and read in one place.

All numbers are little-endian. A quantised field is an array on both sides: what it means in metres, radians
or metres per second, and the whole numbers that are written. Reading gives the middle of a step.

    name          u8 length, then printable UTF-8
    pose          translation (3), quaternion x y z w (4), covariance of (x, y, yaw) as xx xy x-yaw yy y-yaw
                  yaw-yaw (6); the floats that a layout says
    centimetres   i16, within 327.67 m
    logarithmic   u8 k: smallest * ratio^(k / 255)
    fraction      unsigned, 0 to 1 in equal steps
    heading       u8 in units of 2 pi / 256, or i16 in units of pi / 32768
    velocity      i8 in units of 0.25 m/s within 31.75 m/s; -128 = not known
    compressed    u8 coding (0 = as it is, 1 = deflate), then the bytes in it
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError, counted
from cosense.geometry.transforms import Matrix, quaternion_of, transform_from_quaternion, wrap_angle

MAX_NAME_BYTES = 32
# Larger than any earth-fixed coordinate, small enough that no arithmetic on it overflows.
MAX_TRANSLATION_M = 1e8
LARGEST_CENTIMETRES = 32767

_QUATERNION_TOLERANCE = 1e-3
_COVARIANCE_ROWS, _COVARIANCE_COLUMNS = np.triu_indices(3)
_HEADING_U8_RAD, _HEADING_I16_RAD = 2 * np.pi / 256, np.pi / 32768
_NO_HEADING = -32768
_VELOCITY_UNIT_MPS, _FASTEST, _VELOCITY_UNKNOWN = 0.25, 127, -128
_RAW, _DEFLATE = 0, 1
# Deflate without header and checksum of its own, as the envelope has one; and with both, as zlib writes it.
BARE, WITH_HEADER = -15, 15


class MessageError(CosenseError):
    """Bytes that are no message, or a message that cannot be written."""


def pack(layout: struct.Struct, what: str, *numbers: float | bytes) -> bytes:
    """Write numbers; `what` says in errors which.

    Raises:
        MessageError: one of them does not fit its field.
    """
    try:
        return layout.pack(*numbers)
    except (struct.error, OverflowError, ValueError) as error:
        raise MessageError(f"{what} cannot be written: {error}") from None


def write_name(name: str, what: str, least_bytes: int = 1) -> bytes:
    """Write a name behind its length.

    Args:
        name: 0 to 32 bytes of printable UTF-8.
        what: says in errors what is named.
        least_bytes: 0 where the name may be empty.

    Raises:
        MessageError: it is too short or too long, or has characters that would garble a log.
    """
    written = name.encode()
    _check_name(name, len(written), what, least_bytes)
    return bytes([len(written)]) + written


def read_name(
    data: bytes, start: int, what: str, least_bytes: int = 1, bytes_behind: int = 0
) -> tuple[str, int]:
    """Read what `write_name` wrote.

    Args:
        data: message or payload.
        start: offset of the length.
        what: says in errors what is named.
        least_bytes: 0 where the name may be empty.
        bytes_behind: number of bytes that have to follow.

    Returns:
        the name and the offset behind it.

    Raises:
        MessageError: there are fewer bytes, or they are no name.
    """
    size = data[start] if start < len(data) else 0
    end = start + 1 + size
    if not least_bytes <= size <= MAX_NAME_BYTES:
        raise MessageError(f"{what} has {counted(size, 'byte')}, expected {least_bytes} to {MAX_NAME_BYTES}")
    if end + bytes_behind > len(data):
        raise MessageError(
            f"{counted(len(data), 'byte')}, expected at least {end + bytes_behind}: "
            f"its {what} has {counted(size, 'byte')}"
        )
    try:
        name = bytes(data[start + 1 : end]).decode()
    except UnicodeDecodeError as error:
        raise MessageError(f"{what} is not UTF-8: {error.reason} at byte {error.start}") from None
    _check_name(name, size, what, least_bytes)
    return name, end


def _check_name(name: str, size: int, what: str, least_bytes: int) -> None:
    if not least_bytes <= size <= MAX_NAME_BYTES:
        raise MessageError(
            f"{what} has {counted(size, 'byte')}, expected {least_bytes} to {MAX_NAME_BYTES}: {name!r}"
        )
    if not name.isprintable():
        raise MessageError(f"{what} {name!r} has characters that cannot be printed")


def pose_numbers(T: Matrix, covariance: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the 13 numbers of a pose (4,4) and its covariance (3,3) of x, y, yaw.

    Raises:
        MessageError: one is not finite or out of range.
    """
    _check_pose(T[:3, 3], covariance)
    if not np.isfinite(T).all():
        raise MessageError(f"rotation of the pose is not finite: {T[:3, :3].tolist()}")
    return (*T[:3, 3], *quaternion_of(T), *covariance[_COVARIANCE_ROWS, _COVARIANCE_COLUMNS])


def pose_of(numbers: Sequence[float]) -> tuple[Matrix, NDArray[np.float64]]:
    """Return pose (4,4) and covariance (3,3) of the numbers of `pose_numbers`.

    Raises:
        MessageError: one is not finite or out of range, or the quaternion has another length than 1.
    """
    translation, quaternion = np.array(numbers[:3]), np.array(numbers[3:7])
    covariance = np.zeros((3, 3))
    covariance[_COVARIANCE_ROWS, _COVARIANCE_COLUMNS] = numbers[7:]
    covariance[_COVARIANCE_COLUMNS, _COVARIANCE_ROWS] = numbers[7:]
    _check_pose(translation, covariance)
    norm = np.linalg.norm(quaternion)
    if not abs(norm - 1) <= _QUATERNION_TOLERANCE:
        raise MessageError(f"quaternion {quaternion.tolist()} has the norm {norm:.6g}, expected 1")
    return transform_from_quaternion(translation, quaternion / norm), covariance


def _check_pose(translation: NDArray, covariance: NDArray) -> None:
    """Refuse poses that no later arithmetic survives."""
    if not (np.isfinite(translation).all() and np.abs(translation).max() <= MAX_TRANSLATION_M):
        raise MessageError(
            f"translation {translation.tolist()} is not finite and within {MAX_TRANSLATION_M:.0e} m"
        )
    if not (np.isfinite(covariance).all() and (np.diag(covariance) >= 0).all()):
        raise MessageError(f"pose covariance {covariance.tolist()} is not finite with a diagonal >= 0")


def to_centimetres(metres: NDArray) -> NDArray:
    """Return whole centimetres; whether they are within `LARGEST_CENTIMETRES` is for the caller to say."""
    return np.asarray(np.round(metres * 100))


@dataclass(frozen=True)
class Logarithmic:
    """A scale whose 256 steps are equal in proportion.

    Attributes:
        smallest: number that is written as 0.
        ratio: largest number by the smallest one.
    """

    smallest: float
    ratio: float

    def write(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the steps 0 to 255 of values, which are clipped to the scale."""
        clipped = np.clip(values, self.smallest, self.smallest * self.ratio)
        return np.asarray(np.round(255 * np.log(clipped / self.smallest) / np.log(self.ratio)))

    def read(self, steps: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return the values of steps."""
        return np.asarray(self.smallest * self.ratio ** (steps / 255.0))


def write_fractions(fractions: NDArray, steps: int) -> NDArray:
    """Return numbers 0 to `steps` of fractions, which are clipped to [0, 1]; in the precision given."""
    return np.asarray(np.round(np.clip(fractions, 0, 1) * steps))


def write_headings_u8(yaws: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return headings, radians, in units of 2 pi / 256."""
    # Half a unit below a whole turn is nearest to 0 again.
    return np.asarray(np.round(wrap_angle(yaws) / _HEADING_U8_RAD).astype(np.int64) % 256)


def read_headings_u8(turns: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return headings in [-pi, pi)."""
    return wrap_angle(turns * _HEADING_U8_RAD)


def write_headings_i16(yaws: NDArray[np.float64], may_lack: bool = False) -> NDArray[np.float64]:
    """Return headings, radians, in units of pi / 32768.

    Args:
        yaws: (K,) headings.
        may_lack: whether NaN is allowed; it is written as -32768, which then is no heading.
    """
    turns = np.round(wrap_angle(np.nan_to_num(yaws)) / _HEADING_I16_RAD)
    if may_lack:
        return np.where(np.isfinite(yaws), np.clip(turns, -32767, 32767), _NO_HEADING)
    return np.where(turns > 32767, -32768, turns)


def read_headings_i16(turns: NDArray[np.int16], may_lack: bool = False) -> NDArray[np.float64]:
    """Return headings in [-pi, pi), NaN where there is none."""
    yaws = turns * _HEADING_I16_RAD
    return np.where(turns == _NO_HEADING, np.nan, yaws) if may_lack else np.asarray(yaws)


def write_velocities(velocities_mps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return velocities, clipped, as numbers of one byte; NaN is not known."""
    units = np.clip(np.round(velocities_mps / _VELOCITY_UNIT_MPS), -_FASTEST, _FASTEST)
    return np.where(np.isnan(units), _VELOCITY_UNKNOWN, units)


def read_velocities(units: NDArray[np.int8]) -> NDArray[np.float64]:
    """Return velocities in m/s, NaN where not known."""
    return np.where(units == _VELOCITY_UNKNOWN, np.nan, units * _VELOCITY_UNIT_MPS)


def read_classes(numbers: NDArray[np.uint8], known: type[IntEnum], what: str) -> NDArray[np.int64]:
    """Return the numbers of classes.

    Raises:
        MessageError: one is not among the `known` ones.
    """
    unknown = numbers[numbers > max(known)]
    if len(unknown):
        raise MessageError(f"class of {what} is {unknown[0]}, expected 0 to {int(max(known))}")
    return numbers.astype(np.int64)


def compact(raw: bytes, strategies: Sequence[int], window_bits: int = BARE) -> tuple[int, bytes]:
    """Return the coding, 0 (as it is) or 1 (deflate), and the bytes in it, whichever are fewer.

    Args:
        raw: what to write.
        strategies: those of zlib to try.
        window_bits: `BARE` or `WITH_HEADER`.
    """
    streams = []
    for strategy in strategies:
        stream = zlib.compressobj(wbits=window_bits, strategy=strategy)
        streams.append(stream.compress(raw) + stream.flush())
    smallest = min(streams, key=len)
    return (_DEFLATE, smallest) if len(smallest) < len(raw) else (_RAW, raw)


def expand(data: bytes, coding: int, limit_bytes: int, what: str, window_bits: int = BARE) -> bytes:
    """Undo `compact`; never inflates more than one byte beyond the limit.

    Raises:
        MessageError: an unknown coding, or a stream that does not end with the data and within the limit.
    """
    if coding == _RAW:
        return bytes(data)
    if coding != _DEFLATE:
        raise MessageError(f"coding of the {what} is {coding}, expected {_RAW} or {_DEFLATE}")
    stream = zlib.decompressobj(wbits=window_bits)
    try:
        raw = stream.decompress(data, limit_bytes + 1)
    except zlib.error as error:
        raise MessageError(f"{what} does not inflate: {error}") from None
    if len(raw) > limit_bytes:
        raise MessageError(f"{what} inflates to more than {counted(limit_bytes, 'byte')}")
    if stream.unused_data or not stream.eof:
        raise MessageError(f"deflate stream of the {what} does not end with its {counted(len(data), 'byte')}")
    return raw
