"""The wire format: one envelope for everything that agents send each other, and the registry of its kinds.

Version 2, little-endian, no padding. S is the length of the sender's name, P that of the payload, G that of
the signature:

    offset  size  field
    0       4     magic, the bytes "CSNS"
    4       1     version, 2
    5       1     kind, the number of a `PayloadKind`
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
    96+S    P     payload, as the module of its kind writes it
    96+S+P  1+G   only with flag bit 0: G (u8, 1 to 255) and the signature, see signatures.py
    last    4     CRC-32 (the one of zip and Ethernet) over everything before it

An envelope costs 100 + S bytes. Bytes that an agent sends are `len(encode(message))`, nothing else.
`decode` allocates nothing larger than what it was given, and every fault is one `MessageError`.

A kind of message is a module of this folder, or of a folder named by COSENSE_PLUGINS, that registers it, see
`register`. Nothing else has to know of it: topics, radio, recorder and layouts carry anything in an envelope.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cosense.errors import counted
from cosense.geometry.transforms import Matrix
from cosense.messages.fields import (
    MAX_NAME_BYTES,
    MessageError,
    pack,
    pose_numbers,
    pose_of,
    read_name,
    write_name,
)

MAGIC = b"CSNS"
VERSION = 2
# Whole levels of three scales in float16 fit: the dense baselines are messages too.
MAX_PAYLOAD_BYTES = 1 << 22
MAX_SIGNATURE_BYTES = 255
# What one packet of a vehicle's radio carries: the largest SDU that GeoNetworking takes, from a field log.
PACKET_BYTES = 1398
FINGERPRINT_BYTES = 8

_FLAG_SIGNED = 1
_PREFIX = struct.Struct("<4sBBB")
_BODY = struct.Struct("<Iq3d4f6f8sI")
_CRC = struct.Struct("<I")
# Before the payload, without the letters of the sender's name.
_HEADER_BYTES = _PREFIX.size + 1 + _BODY.size
_FIXED_BYTES = _HEADER_BYTES + _CRC.size
MAX_MESSAGE_BYTES = _FIXED_BYTES + MAX_NAME_BYTES + MAX_PAYLOAD_BYTES + 1 + MAX_SIGNATURE_BYTES


@dataclass(frozen=True)
class PayloadKind:
    """What a message carries.

    Attributes:
        number: 1 to 255, what stands for it on the wire; it never changes.
        name: what logs, reports and errors call it.
    """

    number: int
    name: str

    DEMAND: ClassVar[PayloadKind]
    FEATURES: ClassVar[PayloadKind]
    OBJECTS: ClassVar[PayloadKind]
    SCENE_GRAPH: ClassVar[PayloadKind]
    POINTS: ClassVar[PayloadKind]


PayloadKind.DEMAND = PayloadKind(1, "DEMAND")
PayloadKind.FEATURES = PayloadKind(2, "FEATURES")
PayloadKind.OBJECTS = PayloadKind(3, "OBJECTS")
PayloadKind.SCENE_GRAPH = PayloadKind(4, "SCENE_GRAPH")
PayloadKind.POINTS = PayloadKind(5, "POINTS")


@dataclass(frozen=True)
class Codec:
    """How a kind of payload is written and read.

    Attributes:
        encode: returns the payload of a content; what `decode` has read becomes the same bytes again, but
            for the last bit of a rotation.
        decode: returns the content of a message of this kind, or raises MessageError.
        max_bytes: payloads longer than this are neither written nor read.
        segments: returns the parts of a payload, any number of which may be cut off at its end, each with
            what it is; what tells only how many there are is in none. None where nothing may be cut off.
    """

    encode: Callable[[Any], bytes]
    decode: Callable[[Message], Any]
    max_bytes: int
    segments: Callable[[bytes], list[bytes]] | None = None


KINDS: dict[PayloadKind, Codec] = {}
_BY_NUMBER: dict[int, PayloadKind] = {}


def register(kind: PayloadKind, codec: Codec) -> None:
    """Make a kind of message known; called once by the module that writes and reads it.

    Raises:
        ValueError: the number is none of a byte, or number or name belong to another kind.
    """
    if not 1 <= kind.number <= 255:
        raise ValueError(f"number of message kind {kind.name} is {kind.number}, expected 1 to 255")
    for known in KINDS:
        if known.number == kind.number or known.name == kind.name:
            raise ValueError(f"message kind {kind} is taken by {known}")
    KINDS[kind] = codec
    _BY_NUMBER[kind.number] = kind


@dataclass(frozen=True)
class Message:
    """One message between agents.

    Attributes:
        kind: what the payload is.
        sender: agent id, 1 to 32 bytes of printable UTF-8.
        sequence: number of the message among the sender's, 0 to 2^32 - 1.
        stamp_ns: measurement time.
        T_world_agent: (4,4) pose of the sender's levelled frame (`cosense.sensing.levelling`); rotations are
            written with 32 bits a number.
        pose_covariance: (3,3) covariance of (x, y, yaw) in the world, m^2, m rad, rad^2.
        fingerprint: 8 bytes that name the model that made the payload.
        payload: encoded content, at most 4 MiB and what its kind allows.
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


def packets_of(message_bytes: int) -> int:
    """Return how many packets of `PACKET_BYTES` a message of so many bytes takes."""
    return -(-message_bytes // PACKET_BYTES)


def header_of(data: bytes) -> bytes:
    """Return what comes before the payload of a message that `encode` wrote or `decode` has read."""
    return data[: _HEADER_BYTES + data[_PREFIX.size]]


def encode(message: Message) -> bytes:
    """Write a message.

    Raises:
        MessageError: a field is outside the limits of the format.
    """
    sender = write_name(message.sender, "sender")
    pose = pose_numbers(message.T_world_agent, message.pose_covariance)
    if len(message.fingerprint) != FINGERPRINT_BYTES:
        raise MessageError(
            f"fingerprint has {counted(len(message.fingerprint), 'byte')}, expected {FINGERPRINT_BYTES}"
        )
    limit_bytes = KINDS[message.kind].max_bytes
    if len(message.payload) > limit_bytes:
        raise MessageError(
            f"payload has {counted(len(message.payload), 'byte')}, "
            f"the limit of {message.kind.name} is {limit_bytes}"
        )
    if len(message.signature) > MAX_SIGNATURE_BYTES:
        raise MessageError(
            f"signature has {counted(len(message.signature), 'byte')}, the limit is {MAX_SIGNATURE_BYTES}"
        )
    body = pack(
        _BODY,
        f"sequence {message.sequence}, stamp {message.stamp_ns}, rotation or covariance",
        message.sequence,
        message.stamp_ns,
        *pose,
        message.fingerprint,
        len(message.payload),
    )
    flags = _FLAG_SIGNED if message.signature else 0
    parts = [_PREFIX.pack(MAGIC, VERSION, message.kind.number, flags), sender, body, message.payload]
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
            f"message has {counted(len(data), 'byte')}, expected {_FIXED_BYTES + 1} to {MAX_MESSAGE_BYTES}"
        )
    magic, version, number, flags = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise MessageError(f"magic is {magic!r}, expected {MAGIC!r}")
    if version != VERSION:
        raise MessageError(f"version is {version}, expected {VERSION}")
    # The checksum comes before the fields: a bit flipped on the way is then called by its name.
    (crc,) = _CRC.unpack_from(data, len(data) - _CRC.size)
    actual_crc = zlib.crc32(memoryview(data)[: -_CRC.size])
    if crc != actual_crc:
        raise MessageError(f"CRC is {crc:08x}, the bytes give {actual_crc:08x}")
    kind = _BY_NUMBER.get(number)
    if kind is None:
        raise MessageError(f"kind is {number}, expected one of {sorted(_BY_NUMBER)}")
    if flags & ~_FLAG_SIGNED:
        raise MessageError(f"flags are {flags:#04x}, only bit 0 is defined")
    sender, start = read_name(data, _PREFIX.size, "sender", bytes_behind=_BODY.size + _CRC.size)
    sequence, stamp_ns, *numbers, fingerprint, payload_bytes = _BODY.unpack_from(data, start)
    if payload_bytes > KINDS[kind].max_bytes:
        raise MessageError(
            f"payload is said to have {counted(payload_bytes, 'byte')}, "
            f"the limit of {kind.name} is {KINDS[kind].max_bytes}"
        )
    payload, signature = _read_payload(data, start + _BODY.size, payload_bytes, bool(flags & _FLAG_SIGNED))
    T_world_agent, covariance = pose_of(numbers)
    return Message(
        kind=kind,
        sender=sender,
        sequence=sequence,
        stamp_ns=stamp_ns,
        T_world_agent=T_world_agent,
        pose_covariance=covariance,
        fingerprint=fingerprint,
        payload=payload,
        signature=signature,
    )


def _read_payload(data: bytes, start: int, payload_bytes: int, signed: bool) -> tuple[bytes, bytes]:
    """Return payload and signature, which must fill the rest of the message exactly."""
    rest = len(data) - _CRC.size - start
    if payload_bytes + signed > rest:
        raise MessageError(
            f"payload is said to have {counted(payload_bytes, 'byte')}, the message has {rest} left"
        )
    end = start + payload_bytes
    signature_bytes = data[end] if signed else 0
    if signed and signature_bytes == 0:
        raise MessageError("signature is announced by the flags but has 0 bytes")
    if payload_bytes + signed + signature_bytes != rest:
        raise MessageError(
            f"payload and signature have {payload_bytes} + {counted(signature_bytes, 'byte')}, "
            f"the message has {rest}"
        )
    return bytes(data[start:end]), bytes(data[end + signed : end + signed + signature_bytes])
