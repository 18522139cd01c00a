"""Checks that a message of another agent passes before the ego uses it: one file of this folder each.

A check is a function `check(message, context)` of a module of this folder. It returns why the message is not
to be used, or None. Which checks run is said by name (`checks` in `trust:` of a scenario, `trust.checks` of
the fusion); admission (`cosense.cooperation.admission`) runs them in that order after its own limits of kind,
sender and number, and the reason goes into the report of the message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cosense.trust
from cosense import plugins
from cosense.errors import CosenseError
from cosense.messages.envelope import Message
from cosense.trust.identity.membership import IdentityPolicy


@dataclass(frozen=True)
class TrustContext:
    """What the ego knows when it judges a message.

    Attributes:
        ego: the ego's own message of the frame, with its pose, stamp and model.
        age_ms: how long before the ego's cloud the message was measured; negative if after it.
    """

    ego: Message
    age_ms: float


# Judged by the bytes of a message as it comes, and not by what it says; see its folder.
_IDENTITY = "identity"
Check = Callable[[Message, TrustContext], str | None]


@dataclass(frozen=True)
class TrustSettings:
    """Whom the agents of a run believe.

    Attributes:
        identity: what becomes of a message that is not signed with the key of its name; "off" asks for no
            keys.
        roster: file that says whose keys are whose; None for keys that are made for the run.
        keys: folder of private keys, AGENT.key for each agent, with which they sign; None likewise.
        checks: names of the checks that messages have to pass.
    """

    identity: IdentityPolicy = "off"
    roster: Path | None = None
    keys: Path | None = None
    checks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.roster is None) != (self.keys is None):
            raise ValueError("roster and keys go together: name both, or neither for keys of the run alone")


def find_checks(names: Sequence[str]) -> list[Check]:
    """Return the checks of these names, in this order.

    Raises:
        CosenseError: there is no check of a name, and the nearest is named; or its module cannot be used.
    """
    if _IDENTITY in names:
        raise CosenseError(
            f"'{_IDENTITY}' is no check of what a message says but of who sends it: "
            f"set trust: {{{_IDENTITY}: enforce}} in a scenario"
        )
    return [plugins.function(plugins.load(cosense.trust, name), "check") for name in names]


def objection(check: Check, message: Message, context: TrustContext) -> str | None:
    """Return why a message does not pass a check, None if it does.

    A check that fails refuses the message, so that no message can end the ego by what it does to a check.
    """
    name = check.__module__.rpartition(".")[2]
    try:
        reason = check(message, context)
    except Exception as error:
        return f"check '{name}' failed: {type(error).__name__}: {error}"
    if reason is None or isinstance(reason, str):
        return reason or None
    return f"check '{name}' returned {reason!r}, expected a reason or None"
