"""Agents with keys, and what they send."""

from __future__ import annotations

import numpy as np

from cosense.messages.envelope import Message, PayloadKind, encode
from cosense.trust.identity.keys import Signer
from cosense.trust.identity.roster import Member, Roster


class Signers:
    """Keys of some agents, and the roster that says so."""

    def __init__(self, *names: str) -> None:
        self.by_name = {name: Signer.generate() for name in names}

    def roster(self, **changes) -> Roster:
        rows = (Member(name, str(signer.public_key), **changes) for name, signer in self.by_name.items())
        return Roster(tuple(rows))

    def message(
        self,
        name: str,
        sequence: int = 0,
        stamp_ns: int = 0,
        *,
        key_of: str | None = None,
        kind: PayloadKind = PayloadKind.OBJECTS,
        payload: bytes = bytes(6),
    ) -> bytes:
        data = encode(Message(kind, name, sequence, stamp_ns, np.eye(4), np.zeros((3, 3)), bytes(8), payload))
        return self.by_name[key_of or name].sign(data)
