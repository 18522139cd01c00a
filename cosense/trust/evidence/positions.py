"""Boxes that are like the ego's own, but farther off than the poses and the age of the message explain.

A constant shift, a wrong pose that claims to be sure and an old message told as a new one look alike: which
of them it is, and whether somebody means it, nobody can tell. Positions of honest agents are wrong by a
metre, too, and do not say so; therefore a sender is doubted for it and never refused.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.trust.evidence.base import Before, Seen

REFUSES = False
# Variance of what a sender is off by that is wrong, in what was to be expected of an honest one.
_WRONG = 8.0


def evidence(seen: Seen, before: Before) -> NDArray[np.float64]:
    # A Gaussian of variance 1 against one of the other variance, for each axis; no box says more than two.
    by_axis = (seen.strain * (1 - 1 / _WRONG) - np.log(_WRONG)) / 2
    return seen.count(seen.own_scores * seen.agrees * np.minimum(by_axis, 2.0).sum(axis=1))
