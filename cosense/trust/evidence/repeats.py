"""Messages with a new stamp that say again, to the last digit, what the sender has said before.

A message that is used again because the next one got lost has the stamp that it had. Where the ego's own
boxes repeat themselves as well nothing is measured anew, and nobody is blamed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cosense.trust.evidence.base import Before, Seen

# Two boxes may be the same once more by chance of the rounding.
_FEWEST = 2
_SAME_STAMP_S = 1e-3
# No agreement with the ego makes up for it: what is repeated was right once.
_AGAINST = 15.0


def evidence(seen: Seen, before: Before) -> NDArray[np.float64]:
    if seen.own_content in before.own_contents:
        return np.zeros(len(seen.senders))
    boxes = np.bincount(seen.number, minlength=len(seen.senders) + 1)
    repeats = [
        boxes[index] >= _FEWEST and _is_repeated(content, before.contents.get(name, ()))
        for index, (name, content) in enumerate(zip(seen.senders, seen.contents, strict=True))
    ]
    return _AGAINST * np.array(repeats, dtype=np.float64)


def _is_repeated(content: tuple[bytes, float], earlier: Sequence[tuple[bytes, float]]) -> bool:
    """Return whether a sender has said it before, in a message that was not this one."""
    said, at_s = content
    return any(said == before and abs(at_s - before_s) > _SAME_STAMP_S for before, before_s in earlier)
