"""The roster: which key speaks under which name, from when to when, in which role, and which are revoked.

    agents:
      - agent: car_1
        key: ed25519:...            as `cosense keys new` prints it
        role: agent                 or fusion, which may request and tells nothing
        valid_from: 2026-11-30      UTC; a time of day may follow. Without it: always
        valid_to: 2027-11-30        likewise; not valid any more from then on
    revoked:
      - {key: ed25519:..., since: 2026-12-24T18:00:00Z, reason: stolen}

At any time a name has one key at most and a key one name, so that seats and votes by name are those by key.
An agent that changes its name or key (a pseudonym) has a row for each, one after the other.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Literal

import yaml

from cosense.config import load_config
from cosense.errors import CosenseError, nearest, shown
from cosense.messages.envelope import PayloadKind
from cosense.messages.fields import write_name
from cosense.trust.identity.keys import PublicKey

Role = Literal["agent", "fusion"]
# What others than agents may send.
_KINDS: Mapping[Role, tuple[PayloadKind, ...]] = {"fusion": (PayloadKind.DEMAND,)}
_ALWAYS_NS = (-(1 << 63), 1 << 63)
_HEADER = "# Who may speak under which name, see docs/security.md; `cosense keys` writes it.\n"


@dataclass(frozen=True)
class Member:
    """One row: a key, the name under which it speaks, and when.

    Attributes:
        agent: name in the messages.
        key: public key, see `PublicKey`.
        role: what it may send.
        valid_from: first moment at which it is valid; None for always.
        valid_to: first moment at which it is not valid any more; None for never.
    """

    agent: str
    key: str
    role: Role = "agent"
    valid_from: dt.datetime | dt.date | None = None
    valid_to: dt.datetime | dt.date | None = None

    def __post_init__(self) -> None:
        PublicKey.parse(self.key)
        try:
            write_name(self.agent, "agent")
        except CosenseError as error:
            raise ValueError(str(error)) from None
        start_ns, end_ns = self.valid_ns
        if start_ns >= end_ns:
            raise ValueError(f"agent '{self.agent}': valid_to {self.valid_to} is not after {self.valid_from}")

    @property
    def public_key(self) -> PublicKey:
        """The key."""
        return PublicKey.parse(self.key)

    @cached_property
    def valid_ns(self) -> tuple[int, int]:
        """First moment at which it is valid, and first one after it at which it is not."""
        return (
            _ALWAYS_NS[0] if self.valid_from is None else _ns(self.valid_from),
            _ALWAYS_NS[1] if self.valid_to is None else _ns(self.valid_to),
        )

    def may_send(self, kind: PayloadKind) -> bool:
        """Say whether its role sends this kind of message."""
        return kind in _KINDS.get(self.role, (kind,))


@dataclass(frozen=True)
class Revocation:
    """A key that does not count any more, whatever its row says.

    Attributes:
        key: public key.
        since: from when on.
        reason: why, in the words of whoever revoked it.
    """

    key: str
    since: dt.datetime | dt.date
    reason: str = ""

    def __post_init__(self) -> None:
        PublicKey.parse(self.key)


@dataclass(frozen=True)
class Roster:
    """All that may speak.

    Attributes:
        agents: rows, in any order.
        revoked: keys that were valid and are not any more.
    """

    agents: tuple[Member, ...] = ()
    revoked: tuple[Revocation, ...] = ()

    def __post_init__(self) -> None:
        for what, other in (("agent", "key"), ("key", "agent")):
            for same in self._rows_by(what).values():
                for earlier, later in pairwise(same):
                    if later.valid_ns[0] < earlier.valid_ns[1]:
                        raise ValueError(
                            f"{what} '{getattr(later, what)}' has two rows that are valid at once, {other} "
                            f"{getattr(earlier, other)} and {getattr(later, other)}: end one before the other"
                        )

    @classmethod
    def read(cls, path: Path) -> Roster:
        """Read a roster.

        Raises:
            CosenseError: it is missing or wrong.
        """
        return load_config(cls, path)

    def write(self, path: Path) -> None:
        """Write the roster, in place of another one in one step."""
        content = {"agents": [_row(row) for row in self.agents]}
        if self.revoked:
            content["revoked"] = [_row(row) for row in self.revoked]
        beside = path.with_name(f".{path.name}.new")
        beside.write_text(_HEADER + yaml.safe_dump(content, sort_keys=False))
        beside.replace(path)

    @cached_property
    def _rows(self) -> Mapping[str, Sequence[Member]]:
        """The rows of each agent, in the order of time."""
        return self._rows_by("agent")

    @cached_property
    def _revoked(self) -> Mapping[str, Sequence[Revocation]]:
        """The revocations of each key."""
        found: dict[str, list[Revocation]] = defaultdict(list)
        for revocation in self.revoked:
            found[revocation.key].append(revocation)
        return dict(found)

    def _rows_by(self, what: str) -> dict[str, list[Member]]:
        rows: dict[str, list[Member]] = {}
        for row in sorted(self.agents, key=lambda row: row.valid_ns):
            rows.setdefault(getattr(row, what), []).append(row)
        return rows

    def member(self, agent_id: str, stamp_ns: int) -> Member:
        """Return the row by which an agent speaks at a moment.

        Raises:
            CosenseError: there is none, or its key is revoked; says why in words for a report.
        """
        rows = self._rows.get(agent_id)
        if rows is None:
            raise CosenseError("the name is not in the roster")
        # The row that is valid, else the last one that was, else the first that will be.
        begun = [row for row in rows if row.valid_ns[0] <= stamp_ns]
        row = begun[-1] if begun else rows[0]
        if objection := self.objection(row, stamp_ns):
            raise CosenseError(objection)
        return row

    def objection(self, row: Member, stamp_ns: int) -> str:
        """Return why a row is not valid at a moment, "" if it is."""
        start_ns, end_ns = row.valid_ns
        if stamp_ns < start_ns:
            return f"its row in the roster is not valid before {row.valid_from}"
        if stamp_ns >= end_ns:
            return f"its row in the roster has expired, it was valid to {row.valid_to}"
        for revocation in self._revoked.get(row.key, ()):
            if _ns(revocation.since) <= stamp_ns:
                why = f" ({revocation.reason})" if revocation.reason else ""
                return f"its key is revoked since {revocation.since}{why}"
        return ""

    def without(self, key: str, since: dt.datetime, reason: str = "") -> Roster:
        """Return the roster in which a key does not count from a moment on.

        Raises:
            CosenseError: no row has the key.
        """
        keys = [row.key for row in self.agents]
        if key not in keys:
            raise CosenseError(f"no row has the key {shown(key)}, {nearest(key, keys)}")
        return replace(self, revoked=(*self.revoked, Revocation(key, since, reason)))


def joined(rosters: Sequence[Roster]) -> Roster:
    """Return one roster with the rows of all, each once.

    Raises:
        CosenseError: they contradict each other.
    """
    try:
        return Roster(
            tuple(dict.fromkeys(row for roster in rosters for row in roster.agents)),
            tuple(dict.fromkeys(row for roster in rosters for row in roster.revoked)),
        )
    except ValueError as error:
        raise CosenseError(f"the rosters together: {error}") from None


def _row(row: Member | Revocation) -> dict[str, object]:
    """Return a row as YAML has it, without what is left open."""
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return {name: value for name, value in values.items() if value not in (None, "")}


def _ns(moment: dt.datetime | dt.date) -> int:
    """Return a moment in nanoseconds since 1970; without a time zone it is in UTC."""
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.timezone.utc)
    since = moment - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000
