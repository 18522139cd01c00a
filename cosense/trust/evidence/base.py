"""Evidence over time: whether a sender is honest, by what it claims and what the ego and others see of that.

Each file of this folder looks at one thing: `evidence(seen, before)` returns for every sender by how much a
frame makes it likelier that it lies, as a logarithm, negative where it speaks for it. The frames add up,
older ones less (a sequential probability ratio test, Wald 1945, that forgets slowly), to a verdict:

    refused    it lies, nothing of it is used
    doubted    something is wrong with it, none of its features are used
    trusted    it has been right often
    unknown    neither

One frame is no proof, however much is in it; a verdict that has lost its reason goes again.

What the ego has no view of speaks neither for nor against anybody: who sees what others cannot is not
punished for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

import cosense.trust.evidence
from cosense import plugins
from cosense.geometry.boxes import Boxes

Verdict = Literal["refused", "doubted", "trusted", "unknown"]

# What one frame may add and take; so nobody is refused for a single one, and nobody saves up more than four
# frames of trust.
_MOST, _LEAST, _HIGHEST, _LOWEST = 3.0, -3.0, 8.0, -4.0
# Of what was known before so much counts a frame later.
_FORGETTING = 0.9
# A sender is refused from the first on and until it falls below the second; doubted likewise.
_REFUSED, _NO_LONGER_REFUSED = 5.0, 2.5
_DOUBTED, _NO_LONGER_DOUBTED = 3.2, 1.5
_TRUSTED = -2.0
# So many of the contents of a sender are remembered.
_KEPT_CONTENTS = 16
# Less than this is nothing, and the sender is forgotten.
_FORGOTTEN = 0.05


@dataclass(frozen=True)
class Seen:
    """What S senders claim in one frame, M boxes in all, and what the ego sees there, all in the ego frame.

    Attributes:
        senders: names.
        places: (S,2) where they are.
        contents: what each has sent, byte by byte, and when it was measured in seconds.
        own_content: likewise of the ego's own boxes.
        boxes: (M,7).
        number: (M,) number of the sender of each box, S for what counts neither for nor against its sender.
        refuted: (M,) which are in space that the ego's rays have crossed.
        own_scores: (M,) score of the ego's box of the same object, 0 where it has none.
        agrees: (M,) which are turned and sized like that box.
        strain: (M,2) squares of what they are off from it, along and across, in what was to be expected.
        sure: (K,7) boxes of which the ego is sure.
        displaced: (M,) which are beside a box of the ego, as those of a sender with a wrong pose are.
    """

    senders: Sequence[str]
    places: NDArray[np.float64]
    contents: Sequence[tuple[bytes, float]]
    own_content: bytes
    boxes: Boxes
    number: NDArray[np.int64]
    refuted: NDArray[np.bool_]
    own_scores: NDArray[np.float64]
    agrees: NDArray[np.bool_]
    strain: NDArray[np.float64]
    sure: Boxes
    displaced: NDArray[np.bool_]

    def count(self, weights: NDArray) -> NDArray[np.float64]:
        """Return (S,): sums of weights (M,) by sender."""
        return np.bincount(self.number, weights, len(self.senders) + 1)[:-1].astype(np.float64)


@dataclass
class Before:
    """What is known of senders from earlier frames.

    Attributes:
        log_odds: by how much it is likelier that each lies, by name.
        contents: what each has sent lately, the newest last, by name.
        own_contents: likewise of the ego.
    """

    log_odds: dict[str, float] = field(default_factory=dict)
    contents: dict[str, deque[tuple[bytes, float]]] = field(default_factory=dict)
    own_contents: deque[bytes] = field(default_factory=lambda: deque(maxlen=_KEPT_CONTENTS))


Evidence = Callable[[Seen, Before], NDArray[np.float64]]


class Finding(NamedTuple):
    """What is held of a sender by now.

    Attributes:
        verdict: see above.
        log_odds: by how much it is likelier that it lies, as a logarithm.
        shares: what each kind of evidence has added to that lately, by name.
        before: the verdict a frame ago.
    """

    verdict: Verdict = "unknown"
    log_odds: float = 0.0
    shares: Mapping[str, float] = {}
    before: Verdict = "unknown"

    @property
    def reason(self) -> str:
        """Why a sender is doubted or refused, "" where it is not."""
        if self.verdict not in ("doubted", "refused"):
            return ""
        against = {name: share for name, share in self.shares.items() if share >= 0.5}
        figures = ", ".join(
            f"{name.replace('_', ' ')} {share:+.1f}"
            for name, share in sorted(against.items(), key=lambda item: -item[1])
        )
        return f"{self.verdict}: log-likelihood of a lie {self.log_odds:+.1f} ({figures})"


class SequentialTest:
    """Adds up evidence frame by frame; one object a sequence.

    Attributes:
        names: of the kinds of evidence, which are those of the files.
    """

    def __init__(self) -> None:
        """Start, with the evidence of every file of this folder."""
        self.names = plugins.names(cosense.trust.evidence)
        modules = [plugins.load(cosense.trust.evidence, name) for name in self.names]
        self._kinds: list[Evidence] = [plugins.function(module, "evidence") for module in modules]
        # Whether what is found makes a sender a liar, or only one whose word is not believed.
        self._refuses = np.array([getattr(module, "REFUSES", True) for module in modules])
        self._shares: dict[str, NDArray[np.float64]] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._before = Before()

    def update(self, seen: Seen) -> list[Finding]:
        """Take a frame for granted; return what is held of its senders by now."""
        count = len(seen.senders)
        found = np.column_stack([np.zeros((count, 0)), *(kind(seen, self._before) for kind in self._kinds)])
        # One frame counts only so much, whatever speaks for and against a sender in it.
        found = self._limited(found, _LEAST, _MOST)
        known = {name: _FORGETTING * shares for name, shares in self._shares.items()}
        for name, shares in zip(seen.senders, found, strict=True):
            known[name] = known.get(name, np.zeros(len(self.names))) + shares
        self._shares = {
            name: self._limited(shares[None], _LOWEST, _HIGHEST)[0]
            for name, shares in known.items()
            if name in seen.senders or np.abs(shares).max(initial=0.0) >= _FORGOTTEN
        }
        earlier = self._verdicts
        self._verdicts = {name: self._verdict(name, shares) for name, shares in self._shares.items()}
        self._remember(seen)
        return [self._finding(name)._replace(before=earlier.get(name, "unknown")) for name in seen.senders]

    def _remember(self, seen: Seen) -> None:
        before = self._before
        before.log_odds = {name: self._log_odds(shares) for name, shares in self._shares.items()}
        before.own_contents.append(seen.own_content)
        contents = {name: kept for name, kept in before.contents.items() if name in self._shares}
        for name, content in zip(seen.senders, seen.contents, strict=True):
            contents.setdefault(name, deque(maxlen=_KEPT_CONTENTS)).append(content)
        before.contents = contents

    def _limited(self, shares: NDArray[np.float64], least: float, most: float) -> NDArray[np.float64]:
        """Return shares (S,kinds) that add up to no more, those that refuse and those that do not."""
        limited = shares.copy()
        for which in (self._refuses, ~self._refuses):
            total = shares[:, which].sum(axis=1, keepdims=True)
            limited[:, which] *= np.clip(total, least, most) / np.where(total == 0, 1.0, total)
        return limited

    def _verdict(self, name: str, shares: NDArray[np.float64]) -> Verdict:
        """Return the verdict on a sender, which is kept for a while."""
        before = self._verdicts.get(name, "unknown")
        lies = shares[self._refuses].sum()
        if lies >= (_NO_LONGER_REFUSED if before == "refused" else _REFUSED):
            return "refused"
        doubt = self._log_odds(shares)
        if doubt >= (_NO_LONGER_DOUBTED if before in ("doubted", "refused") else _DOUBTED):
            return "doubted"
        return "trusted" if doubt <= _TRUSTED else "unknown"

    def _log_odds(self, shares: NDArray[np.float64]) -> float:
        """Return the graver of what makes a sender a liar and of what makes its word doubtful."""
        return float(max(shares[self._refuses].sum(), shares[~self._refuses].sum()))

    def _finding(self, name: str) -> Finding:
        shares = self._shares[name]
        by_name = dict(zip(self.names, shares.tolist(), strict=True))
        return Finding(self._verdicts[name], self._log_odds(shares), by_name)
