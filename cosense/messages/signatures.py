"""What a signature covers, and where it stands in a message; `cosense.trust.identity` says who may sign what.

Ed25519 (RFC 8032) over the bytes on the wire: 64 bytes over everything before G, with the flag already set.
A message of a kind that may be cut anywhere is signed so that it can be cut on its way without its key. With
its parts p_0 .. p_n (`Codec.segments`) and

    t_(n+1) = 16 zero bytes,    t_i = the first 16 bytes of SHA-256(p_i, t_(i+1))

the signature is over the header, its P written as 0, and t_0. Who cuts the parts from p_k on writes t_k
behind the signature, which thus has 80 bytes, and whoever has p_0 .. p_(k-1) finds t_0 again. (Such chains of
hashes are those of signed streams: Gennaro and Rohatgi, "How to Sign Digital Streams", CRYPTO 1997.)
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence

from cosense.errors import counted
from cosense.messages.envelope import KINDS, Message, MessageError, decode, encode, header_of

_ED25519_BYTES, _LINK_BYTES = 64, 16
# What a signature adds to a message with its length, and what it adds to one that was cut.
SIGNATURE_BYTES = 1 + _ED25519_BYTES
CUT_SIGNATURE_BYTES = SIGNATURE_BYTES + _LINK_BYTES
_ALL_PARTS = bytes(_LINK_BYTES)


def signed(data: bytes, sign: Callable[[bytes], bytes]) -> bytes:
    """Return an encoded message with its signature.

    Args:
        data: the message without one.
        sign: returns the Ed25519 signature of bytes.
    """
    message = decode(data)
    room = bytes(_ED25519_BYTES)
    # With room for the signature everything before it is as it will be.
    signature = sign(_covered(encode(dataclasses.replace(message, signature=room)), message, _ALL_PARTS))
    return encode(dataclasses.replace(message, signature=signature))


def signed_part(data: bytes, message: Message) -> tuple[bytes, bytes]:
    """Return the Ed25519 signature of a message and the bytes that it is to be of.

    Args:
        data: the message as it came.
        message: what `decode` has read of it.

    Raises:
        MessageError: it is not signed, or its signature is no Ed25519 signature of its kind.
    """
    if not message.signature:
        raise MessageError("it is not signed")
    signature, tail = _with_tail(message.signature)
    if tail != _ALL_PARTS and KINDS[message.kind].segments is None:
        raise MessageError(
            f"its signature is that of a message that was cut, and {message.kind.name} never is"
        )
    return signature, _covered(data, message, tail)


def cut_signature(signature: bytes, parts: Sequence[bytes]) -> bytes:
    """Return the signature of a message from whose end these parts are cut off.

    Raises:
        MessageError: it is none that can be cut.
    """
    signature, tail = _with_tail(signature)
    return signature + _link(parts, tail)


def _with_tail(signature: bytes) -> tuple[bytes, bytes]:
    """Return the Ed25519 signature and the link of what is cut off.

    Raises:
        MessageError: there are other bytes.
    """
    if len(signature) not in (_ED25519_BYTES, _ED25519_BYTES + _LINK_BYTES):
        raise MessageError(f"its signature has {counted(len(signature), 'byte')}, expected 64, or 80 if cut")
    return signature[:_ED25519_BYTES], signature[_ED25519_BYTES:] or _ALL_PARTS


def _covered(data: bytes, message: Message, tail: bytes) -> bytes:
    """Return what the signature of an encoded message is over, with room for it or as it came."""
    header = header_of(data)
    find_segments = KINDS[message.kind].segments
    if find_segments is None:
        return header + message.payload
    return header[:-4] + bytes(4) + _link(find_segments(message.payload), tail)


def _link(parts: Sequence[bytes], tail: bytes) -> bytes:
    """Return the link of the chain that the first of these parts has, t_i in the module."""
    link = tail
    for part in reversed(parts):
        link = hashlib.sha256(part + link).digest()[:_LINK_BYTES]
    return link
