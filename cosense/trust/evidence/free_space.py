"""Boxes in space that the ego's rays have crossed; what honest senders have there are false alarms.

One in each frame does not count: a false alarm that stays is one, however long it does.
A box beside one of the ego's may be the same object in the wrong place: that is for `places` to judge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.trust.evidence.base import Before, Seen

# Of the boxes that the ego can judge so many of an honest sender and of a liar are in free space.
_HONEST, _LIAR = 0.03, 0.4
_AGAINST, _FOR = np.log(_LIAR / _HONEST), np.log((1 - _LIAR) / (1 - _HONEST))


def evidence(seen: Seen, before: Before) -> NDArray[np.float64]:
    refuted = seen.count(seen.refuted & ~seen.displaced)
    return np.asarray(
        _AGAINST * np.maximum(refuted - 1, 0) + _FOR * seen.count(seen.own_scores * seen.agrees)
    )
