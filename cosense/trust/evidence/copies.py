"""Senders in different places that say the same to the centimetre: one has copied the other.

Two detectors in two places never agree that well. The copy is from the one of which less is known or less
good; where both are new there is no telling, and nobody is blamed. In any case they count as one where one
sender is to confirm another (`are_copies`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.trust.evidence.base import Before, Seen

# Fewer boxes may agree by chance, and so near they do not.
_FEWEST, _SAME_M = 3, 0.03
# From so much of what a sender says that is the same.
_SHARE = 0.6
# Who is so much likelier to be honest has not copied.
_BETTER = 1.0
_AGAINST = 3.0


def evidence(seen: Seen, before: Before) -> NDArray[np.float64]:
    log_odds = np.array([before.log_odds.get(name, 0.0) for name in seen.senders])
    is_better = log_odds[None, :] <= log_odds[:, None] - _BETTER
    return np.where((are_copies(seen) & is_better).any(axis=1), _AGAINST, 0.0)


def are_copies(seen: Seen) -> NDArray[np.bool_]:
    """Return (S,S): which senders say what another one says, and little else."""
    senders = len(seen.senders)
    counted = np.flatnonzero(seen.number < senders)
    totals = np.bincount(seen.number[counted], minlength=senders)
    same = np.zeros((senders, senders))
    if np.count_nonzero(totals >= _FEWEST) < 2:
        return same > 0
    # Sorted along x only neighbours can be the same.
    order = counted[np.argsort(seen.boxes[counted, 0], kind="stable")]
    values, number = seen.boxes[order][:, [0, 1, 3, 4]], seen.number[order]
    for step in range(1, senders + 1):
        is_same = (np.abs(values[:-step] - values[step:]) < _SAME_M).all(axis=1)
        is_same &= number[:-step] != number[step:]
        for one, other in ((number[:-step], number[step:]), (number[step:], number[:-step])):
            np.add.at(same, (one[is_same], other[is_same]), 1)
    return np.asarray((same >= _FEWEST) & (same >= _SHARE * totals[:, None]))
