from __future__ import annotations

import os
import stat

import pytest

from cosense.errors import CosenseError
from cosense.trust.identity.keys import PublicKey, Signer, key_file

pytest.importorskip("cryptography", reason="signatures need the library cryptography")

# RFC 8032, section 7.1, test 2: public key, message and signature.
PUBLIC = "ed25519:3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)
X25519 = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VuBCIEIGAQ3rVaZCXWFdH7p4x0eJ/zVFpmDkWJmiOQ4nUJ6ndR
-----END PRIVATE KEY-----
"""


def test_a_public_key_knows_the_signature_of_the_standard():
    is_of = PublicKey.parse(PUBLIC).verifier()
    assert is_of(SIGNATURE, b"\x72")
    assert not is_of(SIGNATURE, b"\x73")
    assert not is_of(SIGNATURE[:-1] + b"\x01", b"\x72")
    assert PublicKey.parse(PUBLIC).short == "ed25519:3d4017c3"


@pytest.mark.parametrize(
    "text", ["", "3d40", "ed25519:zz", PUBLIC[:-2], PUBLIC.upper(), PUBLIC[8:], PUBLIC + "00"]
)
def test_what_is_no_public_key_is_refused(text):
    with pytest.raises(ValueError, match="expected ed25519: and 64 digits"):
        PublicKey.parse(text)


def test_a_private_key_is_kept_for_its_owner_alone(tmp_path):
    path = key_file(tmp_path, "unit")
    old = os.umask(0)
    try:
        signer = Signer.generate()
        signer.write(path)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Signer.read(path).public_key == signer.public_key
    with pytest.raises(CosenseError, match="is there already, and a key is never overwritten"):
        signer.write(path)
    path.chmod(0o640)
    with pytest.raises(
        CosenseError, match=r"unit.key: others may read this private key \(mode 0640\): chmod 600"
    ):
        Signer.read(path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no such file"),
        ("", "no private key in PEM"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no private key in PEM"),
        (X25519, "is a X25519PrivateKey, expected an Ed25519 key; `cosense keys new` makes one"),
    ],
)
def test_what_is_no_private_key_is_refused(tmp_path, content, complaint):
    path = tmp_path / "unit.key"
    if content is not None:
        path.write_text(content)
        path.chmod(0o600)
    with pytest.raises(CosenseError, match=complaint):
        Signer.read(path)


def test_a_name_that_is_a_path_has_no_file(tmp_path):
    with pytest.raises(CosenseError, match="no file has this name"):
        key_file(tmp_path, "../unit")
