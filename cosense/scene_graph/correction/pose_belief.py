"""What is believed of the error of one sender's pose: its claim, or the error that the field measures.

A pose that nobody has checked is not a good pose, whatever its covariance says: between the agents of
DAIR-V2X, whose poses are sent as if they were exact, lie 0.7 to 0.9 m (`cosense.sensing.measured_errors`). So
there are two hypotheses, and evidence decides between them frame by frame:

- The sender is honest: the error is as large as its covariance says.
- It is not: the error is one of the field. Then its distribution is kept on the grid of `shift_evidence.py`,
  because it may have several peaks until enough has been seen. Between two moments it wanders, or it jumps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from cosense.scene_graph.correction.pose_filter import PoseError
from cosense.scene_graph.correction.shift_evidence import (
    AXIS_M,
    CELL_M,
    SHAPE,
    TURN_RAD,
    TURNS_RAD,
    ShiftEvidence,
)

Array = NDArray[np.float64]

# Standard deviations of x, y, yaw of an error in the field; of a heading nobody has measured it.
FIELD = np.array([0.65, 0.65, np.deg2rad(0.5)])
# What an honest pose is off by in any case: the clocks and mountings of two agents.
_LEAST = np.array([0.05, 0.05, np.deg2rad(0.1)])
# In a step of 0.1 s an error of the field wanders by so much, and with so much probability it is a new one.
_STEP_NS, _WANDERS_M, _IS_NEW = 100_000_000, 0.13, 0.08
# The odds that a sender is honest, as logarithms: before anything is known (a third of the pairs of DAIR-V2X
# has no error), at most, and by how much one frame may change them.
_UNKNOWN, _MOST, _RISES, _FALLS = -0.7, 4.5, 1.0, 4.0
# From this probability on the claim counts alone.
_HONEST = 0.97
# Share of registrations that are wrong.
_WRONG = 0.03
_GRID_VARIANCE = np.array([CELL_M, CELL_M, TURN_RAD]) ** 2 / 12
# What one thing says is no better than this, and of several as much less: each is seen from two sides, and
# one that is taken for another one stays so from frame to frame.
_ONE_THING_M = 0.5
# Without evidence for so long a sender is unknown again.
_FORGOTTEN_NS = 5_000_000_000

_TURNS, _XS, _YS = np.meshgrid(TURNS_RAD, AXIS_M, AXIS_M, indexing="ij")
_PLACES = np.stack([_XS, _YS, _TURNS], axis=-1)


def _gaussian(mean: Array, covariance: Array) -> Array:
    """Return the logarithm of a normal density (turns, x, y)."""
    off = _PLACES - mean
    square = np.einsum("...i,ij,...j->...", off, np.linalg.inv(covariance), off)
    return np.asarray(-0.5 * (square + np.linalg.slogdet(2 * np.pi * covariance)[1]))


def _normalised(log_weights: Array) -> Array:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


_FIELD = _normalised(_gaussian(np.zeros(3), np.diag(FIELD**2)))
_VOLUME = CELL_M**2 * TURN_RAD
_NONE = 1e-300


class PoseBelief:
    """The belief about one sender; stamps go up."""

    def __init__(self) -> None:
        self._odds = _UNKNOWN
        self._lasting = _FIELD
        self._stamp_ns: int | None = None
        self._now: tuple[int, Array] | None = None
        self._support = 0.0

    @property
    def honesty(self) -> float:
        """Probability that the errors of the sender are as large as it says."""
        return float(expit(self._odds))

    def learn(self, stamp_ns: int, claim: Array, evidence: ShiftEvidence) -> None:
        """Take in the evidence of one moment.

        Args:
            stamp_ns: the moment; one that is not later than the last one says nothing.
            claim: (3,3) covariance of the relative pose as sent.
            evidence: what the moment says.
        """
        if self._stamp_ns is not None and stamp_ns <= self._stamp_ns:
            return
        likelihood = np.exp(evidence.log_likelihood - evidence.log_likelihood.max())
        lasting = self._at(stamp_ns)
        weights = _blurred(lasting, claim) * likelihood
        as_claimed = _normalised(_gaussian(np.zeros(3), claim + np.diag(_LEAST**2)))
        honest, dishonest = (np.log(w.sum() + _NONE) for w in (as_claimed * likelihood, weights))
        self._odds = float(np.clip(self._odds + np.clip(honest - dishonest, -_FALLS, _RISES), -_MOST, _MOST))
        # The error of one moment tells that of the next one as far as it lasts.
        posterior = lasting * _blurred(likelihood, claim)
        self._lasting = posterior / posterior.sum()
        weights /= weights.sum()
        self._support = max(float((weights * evidence.support).sum()), self._support * self._same(stamp_ns))
        self._now = stamp_ns, weights
        self._stamp_ns = stamp_ns

    def learn_pose(self, measured: PoseError, claim: Array, matches: int) -> None:
        """Take in the error by a registration with so many matches, likewise."""
        density = _gaussian(measured.error, measured.covariance + np.diag(_LEAST**2))
        chance = -np.log(_VOLUME * _FIELD.size)
        either = np.logaddexp(np.log1p(-_WRONG) + density, np.log(_WRONG) + chance) - chance
        self.learn(measured.stamp_ns, claim, ShiftEvidence(either, np.full(SHAPE, float(matches))))

    def error(self, stamp_ns: int, claim: Array) -> PoseError:
        """Return what is to be added to a pose that was sent at a moment, with its covariance.

        Args:
            stamp_ns: the moment.
            claim: (3,3) covariance of the relative pose as sent.
        """
        honest = self._honesty_at(stamp_ns)
        if honest > _HONEST:
            return PoseError(stamp_ns, np.zeros(3), claim)
        if self._now is not None and self._now[0] == stamp_ns:
            mean, covariance = _moments(self._now[1])
        else:
            mean, covariance = _moments(self._at(stamp_ns))
            covariance = covariance + claim
        least = (_ONE_THING_M / max(self._support, 1.0)) ** 2
        covariance[[0, 1], [0, 1]] = np.maximum(np.diag(covariance)[:2], least)
        both = (1 - honest) * mean
        spread = honest * (claim + np.outer(both, both))
        spread += (1 - honest) * (covariance + np.outer(mean - both, mean - both))
        return PoseError(stamp_ns, both, spread)

    def doubt(self, stamp_ns: int) -> Array:
        """Return the covariance (3,3) to be added to what the sender claims, where its claim is in doubt."""
        honest = self._honesty_at(stamp_ns)
        return np.zeros((3, 3)) if honest > _HONEST else np.diag((1 - honest) * FIELD**2)

    def _honesty_at(self, stamp_ns: int) -> float:
        if self._stamp_ns is None or stamp_ns - self._stamp_ns > _FORGOTTEN_NS:
            return float(expit(_UNKNOWN))
        return self.honesty

    def _at(self, stamp_ns: int) -> Array:
        """Return the distribution of the lasting error at a moment."""
        if self._stamp_ns is None:
            return _FIELD
        steps = max(stamp_ns - self._stamp_ns, 0) / _STEP_NS
        wandered = _spread(self._lasting, _WANDERS_M * np.sqrt(steps), 0.0)
        same = self._same(stamp_ns)
        return same * wandered + (1 - same) * _FIELD

    def _same(self, stamp_ns: int) -> float:
        """Return the probability that the error has not jumped since the last evidence."""
        since_ns = 0 if self._stamp_ns is None else max(stamp_ns - self._stamp_ns, 0)
        return float((1 - _IS_NEW) ** (since_ns / _STEP_NS))


def _blurred(grid: Array, claim: Array) -> Array:
    """Return a distribution with the errors that are drawn anew at each moment, as a sender claims them."""
    position, turn = float(np.sqrt(np.trace(claim[:2, :2]) / 2)), float(np.sqrt(max(claim[2, 2], 0.0)))
    return _spread(grid, position, turn)


def _spread(grid: Array, position_m: float, turn_rad: float) -> Array:
    sigmas = (turn_rad / TURN_RAD, position_m / CELL_M, position_m / CELL_M)
    if max(sigmas) < 1e-3:
        return grid
    return np.asarray(gaussian_filter(grid, np.minimum(sigmas, SHAPE), mode="nearest", truncate=3.0))


def _moments(grid: Array) -> tuple[Array, Array]:
    """Return mean (3,) and covariance (3,3) of x, y, yaw."""
    places, weights = _PLACES.reshape(-1, 3), grid.ravel()
    mean = weights @ places
    off = places - mean
    return mean, (off * weights[:, None]).T @ off + np.diag(_GRID_VARIANCE)
