"""Boxes turned or sized otherwise than the ego's of the same object, each as far as the ego is sure.

One in each frame does not count: two may see one object differently for as long as they see it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.trust.evidence.base import Before, Seen

# So many boxes of an honest sender and of a liar are unlike the ego's.
_HONEST, _LIAR = 0.03, 0.5
_AGAINST, _FOR = np.log(_LIAR / _HONEST), np.log((1 - _LIAR) / (1 - _HONEST))


def evidence(seen: Seen, before: Before) -> NDArray[np.float64]:
    unlike, alike = (seen.count(seen.own_scores * which) for which in (~seen.agrees, seen.agrees))
    return np.asarray(_AGAINST * np.maximum(unlike - 1, 0) + _FOR * alike)
