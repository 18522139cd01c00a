"""What a check has to say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: subject of the check.
        level: "fail" where cosense cannot work like this, "warn" where it works less well than it could.
        found: state that was found.
        cure: advice, empty where there is nothing to do.
    """

    name: str
    level: Level
    found: str
    cure: str = ""
