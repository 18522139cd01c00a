"""Judges who a message is from, as it comes: by the roster, its key, its number and its stamp.

Under *enforce* what does not pass is not read any further: it takes no seat and no place of an honest
message, and its report is that of an unknown sender. Under *warn* it is used and the reason is reported; but
once a name has shown its key, nobody else speaks under it. Where it is *off* names are believed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from cosense.errors import CosenseError, nearest
from cosense.messages.envelope import Message, MessageError
from cosense.messages.signatures import signed_part
from cosense.trust.identity.replay import ReplayWindow, clock_objection
from cosense.trust.identity.roster import Member, Roster

IdentityPolicy = Literal["off", "warn", "enforce"]
IDENTITY_POLICIES: tuple[IdentityPolicy, ...] = get_args(IdentityPolicy)


def identity_policy(name: str) -> IdentityPolicy:
    """Return the policy of a name.

    Raises:
        CosenseError: there is none.
    """
    for known in IDENTITY_POLICIES:
        if name == known:
            return known
    raise CosenseError(f"no identity '{name}', {nearest(name, IDENTITY_POLICIES)}")


class Membership:
    """What one receiver knows of the keys of others; give it every message once.

    Attributes:
        enforced: whether what does not pass is refused.
        roster: who may speak; may be replaced at any time.
        refused: number of messages that did not pass.
        last_reason: why the last of them did not, "" for none yet.
    """

    def __init__(self, roster: Roster, *, enforced: bool = True, window_ms: float = 0.0) -> None:
        """Start.

        Args:
            roster: who may speak.
            enforced: see above.
            window_ms: how far a stamp may be from the clock; 0 for as far as it likes.
        """
        self.roster = roster
        self.enforced = enforced
        self.refused = 0
        self.last_reason = ""
        self._window_ns = int(window_ms * 1e6)
        # By key and number of the kind: a kind that nobody knows is no message.
        self._windows: dict[tuple[str, int], ReplayWindow] = {}
        self._verifiers: dict[str, Callable[[bytes, bytes], bool]] = {}
        self._shown: set[str] = set()

    def judge(self, data: bytes, message: Message, clock_ns: int = 0) -> tuple[str, bool]:
        """Judge a message.

        Args:
            data: as it came.
            message: what it says.
            clock_ns: present time of the stamps, 0 where it is not known.

        Returns:
            why it does not pass, "" if it does, and whether it may be read all the same.
        """
        reason, is_foreign = self._objection(data, message, clock_ns)
        if reason:
            self.refused += 1
            self.last_reason = f"under the name '{message.sender}': {reason}"
        may_be_read = not reason or not (self.enforced or (is_foreign and message.sender in self._shown))
        return reason, may_be_read

    def _objection(self, data: bytes, message: Message, clock_ns: int) -> tuple[str, bool]:
        """Return why a message does not pass, and whether because it is not by the key of its name."""
        try:
            member = self.roster.member(message.sender, message.stamp_ns)
        except CosenseError as error:
            return str(error), False
        window = self._windows.setdefault((member.key, message.kind.number), ReplayWindow())
        # What costs nothing first: whoever floods others is to make them work as little as possible.
        reason = clock_objection(message.stamp_ns, clock_ns, self._window_ns) or window.objection(
            message.sequence, message.stamp_ns
        )
        if reason and self.enforced:
            return reason, False
        if foreign := self._signature_objection(data, message, member):
            return foreign, True
        self._shown.add(message.sender)
        if not reason and not member.may_send(message.kind):
            reason = f"its role is '{member.role}', which sends no {message.kind.name}"
        if not reason:
            window.add(message.sequence, message.stamp_ns)
        return reason, False

    def _signature_objection(self, data: bytes, message: Message, member: Member) -> str:
        try:
            signature, covered = signed_part(data, message)
        except MessageError as error:
            return str(error)
        if member.key not in self._verifiers:
            self._verifiers[member.key] = member.public_key.verifier()
        if self._verifiers[member.key](signature, covered):
            return ""
        return f"its signature is not by {member.public_key.short}, the key of the name in the roster"
