"""The wire format: one envelope for everything that agents tell each other.

Version 1, little-endian, no padding. S is the length of the sender's name, P that of the payload, G that of
the signature:

    offset  size  field
    0       4     magic, the bytes "CSNS"
    4       1     version, 1
    5       1     kind, see `PayloadKind`
    6       1     flags: bit 0 = a signature follows the payload; the other bits are 0
    7       1     S, 1 to 32
    8       S     sender, printable UTF-8
    8+S     4     sequence, u32, counts the sender's messages
    12+S    8     stamp_ns, i64, when the sender measured
    20+S    24    translation of T_world_agent, 3 x f64, metres
    44+S    16    rotation of T_world_agent, quaternion x y z w, 4 x f32
    60+S    24    covariance of the planar pose: xx, xy, x yaw, yy, y yaw, yaw yaw, 6 x f32
    84+S    8     fingerprint of the sender's model
    92+S    4     P, u32, at most 4 MiB
    96+S    P     payload, as demand.py, features.py, objects.py and points.py write it
    96+S+P  1+G   only with flag bit 0: G (u8, 1 to 255) and the signature over everything before G
    last    4     CRC-32 (the one of zip and Ethernet) over everything before it

An envelope costs 100 + S bytes. Bytes that an agent sends are `len(encode(message))`, nothing else.
`decode` allocates nothing larger than what it was given, and every fault is one `MessageError`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, quaternion_of, transform_from_quaternion

MAGIC = b"CSNS"
VERSION = 1
MAX_SENDER_BYTES = 32
# Whole levels of three scales in float16 fit: the dense baselines are messages too.
MAX_PAYLOAD_BYTES = 1 << 22
MAX_SIGNATURE_BYTES = 255
# Larger than any earth-fixed coordinate, small enough that no arithmetic on it overflows.
MAX_TRANSLATION_M = 1e8
FINGERPRINT_BYTES = 8

_FLAG_SIGNED = 1
_PREFIX = struct.Struct("<4sBBBB")
_BODY = struct.Struct("<Iq3d4f6f8sI")
_CRC = struct.Struct("<I")
_FIXED_BYTES = _PREFIX.size + _BODY.size + _CRC.size
MAX_MESSAGE_BYTES = _FIXED_BYTES + MAX_SENDER_BYTES + MAX_PAYLOAD_BYTES + 1 + MAX_SIGNATURE_BYTES
_COVARIANCE_ROWS, _COVARIANCE_COLUMNS = np.triu_indices(3)
_QUATERNION_TOLERANCE = 1e-3


class MessageError(CosenseError):
    """Bytes that are no message, or a message that cannot be written."""


class PayloadKind(IntEnum):
    """What a message carries; the numbers never change."""

    DEMAND = 1
    FEATURES = 2
    OBJECTS = 3
    SCENE_GRAPH = 4
    POINTS = 5


@dataclass(frozen=True)
class Message:
    """One message between agents.

    Attributes:
        kind: what the payload is.
        sender: agent id, 1 to 32 bytes of printable UTF-8.
        sequence: counts the sender's messages, 0 to 2^32 - 1.
        stamp_ns: measurement time.
        T_world_agent: (4,4) pose of the sender; the rotation is written with 32 bits a number.
        pose_covariance: (3,3) of (x, y, yaw) in the world, m^2, m rad, rad^2.
        fingerprint: 8 bytes, which model made the payload.
        payload: at most 4 MiB.
        signature: empty, or at most 255 bytes.
    """

    kind: PayloadKind
    sender: str
    sequence: int
    stamp_ns: int
    T_world_agent: Matrix
    pose_covariance: NDArray[np.float64]
    fingerprint: bytes
    payload: bytes = field(repr=False)
    signature: bytes = b""


def envelope_bytes(sender: str) -> int:
    """Return what an unsigned message of `sender` costs before any payload."""
    return _FIXED_BYTES + len(sender.encode())


def encode(message: Message) -> bytes:
    """Write a message.

    Raises:
        MessageError: a field is outside the limits of the format.
    """
    sender = message.sender.encode()
    _check_sender(message.sender, len(sender))
    _check_pose(message.T_world_agent[:3, 3], message.pose_covariance)
    if not np.isfinite(message.T_world_agent).all():
        raise MessageError(f"rotation of the pose is not finite: {message.T_world_agent[:3, :3].tolist()}")
    if len(message.fingerprint) != FINGERPRINT_BYTES:
        raise MessageError(f"fingerprint has {len(message.fingerprint)} bytes, expected {FINGERPRINT_BYTES}")
    if len(message.payload) > MAX_PAYLOAD_BYTES:
        raise MessageError(f"payload has {len(message.payload)} bytes, the limit is {MAX_PAYLOAD_BYTES}")
    if len(message.signature) > MAX_SIGNATURE_BYTES:
        raise MessageError(
            f"signature has {len(message.signature)} bytes, the limit is {MAX_SIGNATURE_BYTES}"
        )
    try:
        body = _BODY.pack(
            message.sequence,
            message.stamp_ns,
            *message.T_world_agent[:3, 3],
            *quaternion_of(message.T_world_agent),
            *message.pose_covariance[_COVARIANCE_ROWS, _COVARIANCE_COLUMNS],
            message.fingerprint,
            len(message.payload),
        )
    except (struct.error, OverflowError, ValueError) as error:
        raise MessageError(
            f"sequence {message.sequence}, stamp {message.stamp_ns}, rotation or covariance cannot be "
            f"written: {error}"
        ) from None
    flags = _FLAG_SIGNED if message.signature else 0
    parts = [_PREFIX.pack(MAGIC, VERSION, message.kind, flags, len(sender)), sender, body, message.payload]
    if message.signature:
        parts += [bytes([len(message.signature)]), message.signature]
    written = b"".join(parts)
    return written + _CRC.pack(zlib.crc32(written))


def decode(data: bytes) -> Message:
    """Read a message.

    Raises:
        MessageError: the bytes are no valid message; names the field, its value and what was expected.
    """
    if not _FIXED_BYTES < len(data) <= MAX_MESSAGE_BYTES:
        raise MessageError(
            f"message has {len(data)} bytes, expected {_FIXED_BYTES + 1} to {MAX_MESSAGE_BYTES}"
        )
    magic, version, kind, flags, sender_bytes = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise MessageError(f"magic is {magic!r}, expected {MAGIC!r}")
    if version != VERSION:
        raise MessageError(f"version is {version}, expected {VERSION}")
    # The checksum comes before the fields: a bit flipped on the way is then called by its name.
    (crc,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    actual_crc = zlib.crc32(memoryview(data)[: -_CRC.size])
    if crc != actual_crc:
        raise MessageError(f"CRC is {crc:08x}, the bytes give {actual_crc:08x}")
    if kind not in PayloadKind._value2member_map_:
        raise MessageError(f"kind is {kind}, expected one of {[int(known) for known in PayloadKind]}")
    if flags & ~_FLAG_SIGNED:
        raise MessageError(f"flags are {flags:#04x}, only bit 0 is defined")
    sender = _read_sender(data, sender_bytes)
    start = _PREFIX.size + sender_bytes
    sequence, stamp_ns, *numbers, fingerprint, payload_bytes = _BODY.unpack_from(data, start)
    payload, signature = _read_payload(data, start + _BODY.size, payload_bytes, bool(flags & _FLAG_SIGNED))
    translation, quaternion = np.array(numbers[:3]), np.array(numbers[3:7])
    covariance = np.zeros((3, 3))
    covariance[_COVARIANCE_ROWS, _COVARIANCE_COLUMNS] = numbers[7:]
    covariance[_COVARIANCE_COLUMNS, _COVARIANCE_ROWS] = numbers[7:]
    _check_pose(translation, covariance)
    norm = np.linalg.norm(quaternion)
    if not abs(norm - 1) <= _QUATERNION_TOLERANCE:
        raise MessageError(f"quaternion {quaternion.tolist()} has the norm {norm:.6g}, expected 1")
    return Message(
        kind=PayloadKind(kind),
        sender=sender,
        sequence=sequence,
        stamp_ns=stamp_ns,
        T_world_agent=transform_from_quaternion(translation, quaternion / norm),
        pose_covariance=covariance,
        fingerprint=fingerprint,
        payload=payload,
        signature=signature,
    )


def _read_sender(data: bytes, sender_bytes: int) -> str:
    """Read the sender's name behind the prefix."""
    if _FIXED_BYTES + sender_bytes > len(data):
        raise MessageError(f"sender is said to have {sender_bytes} bytes, the message only {len(data)}")
    try:
        sender = bytes(data[_PREFIX.size : _PREFIX.size + sender_bytes]).decode()
    except UnicodeDecodeError as error:
        raise MessageError(f"sender is not UTF-8: {error.reason} at byte {error.start}") from None
    _check_sender(sender, sender_bytes)
    return sender


def _read_payload(data: bytes, start: int, payload_bytes: int, signed: bool) -> tuple[bytes, bytes]:
    """Return payload and signature, which must fill the rest of the message exactly."""
    if payload_bytes > MAX_PAYLOAD_BYTES:
        raise MessageError(f"payload is said to have {payload_bytes} bytes, the limit is {MAX_PAYLOAD_BYTES}")
    rest = len(data) - _CRC.size - start
    if payload_bytes + signed > rest:
        raise MessageError(f"payload is said to have {payload_bytes} bytes, the message has {rest} left")
    end = start + payload_bytes
    signature_bytes = data[end] if signed else 0
    if signed and signature_bytes == 0:
        raise MessageError("signature is announced by the flags but has 0 bytes")
    if payload_bytes + signed + signature_bytes != rest:
        raise MessageError(
            f"payload and signature have {payload_bytes} + {signature_bytes} bytes, the message has {rest}"
        )
    return bytes(data[start:end]), bytes(data[end + signed : end + signed + signature_bytes])


def _check_sender(sender: str, sender_bytes: int) -> None:
    """Refuse names that are empty, too long, or would garble a log."""
    if not 1 <= sender_bytes <= MAX_SENDER_BYTES:
        raise MessageError(f"sender has {sender_bytes} bytes, expected 1 to {MAX_SENDER_BYTES}: {sender!r}")
    if not sender.isprintable():
        raise MessageError(f"sender {sender!r} has characters that cannot be printed")


def _check_pose(translation: NDArray, covariance: NDArray) -> None:
    """Refuse poses that no later arithmetic survives."""
    if not (np.isfinite(translation).all() and np.abs(translation).max() <= MAX_TRANSLATION_M):
        raise MessageError(
            f"translation {translation.tolist()} is not finite and within {MAX_TRANSLATION_M:.0e} m"
        )
    if not (np.isfinite(covariance).all() and (np.diag(covariance) >= 0).all()):
        raise MessageError(f"pose covariance {covariance.tolist()} is not finite with a diagonal >= 0")
