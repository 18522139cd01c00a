"""Key files: an agent's private key, which signs what it sends, and its public one, for the roster.

A private key is a PKCS #8 file in PEM, as OpenSSL and others write it, for its owner's eyes alone. A public
key is written "ed25519:" and 64 hexadecimal digits.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cosense.errors import CosenseError, read_file, shown
from cosense.messages.signatures import signed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PRIVATE_KEY_SUFFIX = ".key"
_PREFIX, _KEY_BYTES, _SHOWN_DIGITS = "ed25519:", 32, 8
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class PublicKey:
    """What proves that something was signed with the private key that belongs to it.

    Attributes:
        raw: its 32 bytes.
    """

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read a key as it is written in a roster.

        Raises:
            ValueError: it is no key.
        """
        digits = text.removeprefix(_PREFIX)
        try:
            raw = bytes.fromhex(digits)
        except ValueError:
            raw = b""
        # One way to write each key: it is also compared as it is written.
        if len(raw) != _KEY_BYTES or str(cls(raw)) != text:
            raise ValueError(
                f"key is {shown(text)}, expected {_PREFIX} and {2 * _KEY_BYTES} digits 0 to 9 and a to f"
            )
        return cls(raw)

    def __str__(self) -> str:
        return _PREFIX + self.raw.hex()

    @property
    def short(self) -> str:
        """Its beginning, to tell keys apart by eye."""
        return str(self)[: len(_PREFIX) + _SHOWN_DIGITS]

    def verifier(self) -> Callable[[bytes, bytes], bool]:
        """Return what says whether a signature is of these bytes and by this key."""
        invalid = _library("cryptography.exceptions").InvalidSignature
        key: Ed25519PublicKey = _ed25519().Ed25519PublicKey.from_public_bytes(self.raw)

        def is_of(signature: bytes, data: bytes) -> bool:
            try:
                key.verify(signature, data)
            except invalid:
                return False
            return True

        return is_of


class Signer:
    """A private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> Signer:
        """Return a new key."""
        return cls(_ed25519().Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, path: Path) -> Signer:
        """Return the key in a file.

        Raises:
            CosenseError: there is none, it is no private Ed25519 key, or others may read it.
        """
        data = read_file(path)
        mode = path.stat().st_mode
        if mode & _OTHERS:
            raise CosenseError(
                f"{path}: others may read this private key (mode {stat.S_IMODE(mode):04o}): "
                "chmod 600 it, and make a new one if anybody could"
            )
        serialization = _library("cryptography.hazmat.primitives.serialization")
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError) as error:
            raise CosenseError(
                f"{path}: no private key in PEM without a password ({' '.join(str(error).split())}); "
                "`cosense keys new` makes one"
            ) from None
        if not isinstance(key, _ed25519().Ed25519PrivateKey):
            raise CosenseError(
                f"{path}: is a {type(key).__name__}, expected an Ed25519 key; `cosense keys new` makes one"
            )
        return cls(key)

    def write(self, path: Path) -> None:
        """Write the key into a new file that only its owner may read.

        Raises:
            CosenseError: there is such a file, or it cannot be written.
        """
        serialization = _library("cryptography.hazmat.primitives.serialization")
        data = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        try:
            # Closed to others from the beginning, whatever the umask says.
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise CosenseError(f"{path}: is there already, and a key is never overwritten") from None
        except OSError as error:
            raise CosenseError(f"{path}: cannot be written: {error.strerror}") from None
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)

    @property
    def public_key(self) -> PublicKey:
        """The key by which others know this one."""
        serialization = _library("cryptography.hazmat.primitives.serialization")
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        return PublicKey(self._key.public_key().public_bytes(*raw))

    def sign(self, data: bytes) -> bytes:
        """Return an encoded message with the signature of this key."""
        return signed(data, self._key.sign)


def key_file(folder: Path, agent_id: str) -> Path:
    """Return where `cosense keys new` and scenarios keep the private key of an agent.

    Raises:
        CosenseError: the agent has a name that no file has.
    """
    name = f"{agent_id}{PRIVATE_KEY_SUFFIX}"
    if Path(name).name != name:
        raise CosenseError(f"agent '{agent_id}': no file has this name; name its key file yourself")
    return folder / name


def _ed25519():  # type: ignore[no-untyped-def]
    return _library("cryptography.hazmat.primitives.asymmetric.ed25519")


def _library(name: str):  # type: ignore[no-untyped-def]
    """Import what only signatures need.

    Raises:
        CosenseError: it is not installed.
    """
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise CosenseError(
            "signatures need the library cryptography: pip install cryptography, or apt install "
            "python3-cryptography"
        ) from None
