"""The error of one sender's pose over time: registrations in, one correction with its covariance out.

SG-Reg (arXiv 2504.14440) has no filter. This one is a Kalman filter in SE(2) with an innovation gate, and
nothing is used before two registrations in a row agree. We differ from filters that smooth their input: a
registration that does not fit is not averaged into the estimate, and after three in a row that fit each other
and not the estimate, the estimate is given up.

The state is the error of the pose that the sender sends, in the world, about the sender itself: x, y, yaw. It
changes slowly (GNSS drifts), while the pose between two agents changes with every metre that either drives.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import wrap_angle
from cosense.scene_graph.register.result import Posed, RegistrationResult, planar

Array = NDArray[np.float64]

# Chi-square bound of three degrees of freedom, 99 %.
_GATE = 11.345
# Standard deviations by which x, y and yaw of an error change in one second: GNSS in a street.
_DRIFT = np.array([0.1, 0.1, np.deg2rad(0.2)])
# After so long without an accepted registration there is no correction.
_MAX_AGE_S = 5.0
# Registrations in a row that agree with each other and not with the estimate, after which it is given up.
_GIVE_UP_AFTER = 3


class Stamped(Posed, Protocol):
    """What carries the pose that its agent believed in at a moment."""

    @property
    def stamp_ns(self) -> int:
        """Measurement time."""


class Verdict(str, Enum):
    """What the filter has made of a registration."""

    TENTATIVE = "tentative"
    ACCEPTED = "accepted"
    GATED = "gated"
    STALE = "stale"


@dataclass(frozen=True)
class PoseError:
    """The error of a sent pose.

    Attributes:
        stamp_ns: time of the error.
        error: (3,) x, y in the world and yaw, to be added to the sent pose: metres and radians.
        covariance: (3,3) covariance of the error.
    """

    stamp_ns: int
    error: Array
    covariance: Array


class PoseFilter:
    """The filter of one sender."""

    def __init__(self) -> None:
        self._estimate: PoseError | None = None
        self._confirmed = False
        self._rival: PoseError | None = None
        self._rivals = 0

    def update(self, measured: PoseError) -> Verdict:
        """Take in one registration, see `pose_error`, and say what became of it."""
        before = self._at(measured.stamp_ns)
        if before is not None and measured.stamp_ns < before.stamp_ns:
            return Verdict.STALE
        if before is None:
            self._start(measured)
        elif self._fits(before, measured):
            self._estimate, self._confirmed = _combine(before, measured), True
            self._rival, self._rivals = None, 0
            return Verdict.ACCEPTED
        elif not self._confirmed:
            self._start(measured)
        else:
            return self._against(measured)
        return Verdict.TENTATIVE

    def correction(self, stamp_ns: int) -> PoseError | None:
        """Return the error at `stamp_ns`, less certain with age; None if unconfirmed or too old."""
        return self._at(stamp_ns) if self._confirmed else None

    def _start(self, measured: PoseError) -> None:
        self._estimate, self._confirmed, self._rival, self._rivals = measured, False, None, 0

    def _against(self, measured: PoseError) -> Verdict:
        """Keep the estimate until enough registrations agree that it is wrong."""
        rival = None if self._rival is None else self._later(self._rival, measured.stamp_ns)
        if rival is not None and self._fits(rival, measured):
            self._rival, self._rivals = _combine(rival, measured), self._rivals + 1
        else:
            self._rival, self._rivals = measured, 1
        if self._rivals < _GIVE_UP_AFTER:
            return Verdict.GATED
        self._estimate, self._rival, self._rivals = self._rival, None, 0
        return Verdict.ACCEPTED

    def _at(self, stamp_ns: int) -> PoseError | None:
        """Return the estimate predicted to a time, None where there is none that is recent enough."""
        if self._estimate is None or stamp_ns - self._estimate.stamp_ns > _MAX_AGE_S * 1e9:
            return None
        return self._later(self._estimate, stamp_ns)

    def _later(self, estimate: PoseError, stamp_ns: int) -> PoseError:
        seconds = max(stamp_ns - estimate.stamp_ns, 0) / 1e9
        later = max(stamp_ns, estimate.stamp_ns)
        return PoseError(later, estimate.error, estimate.covariance + np.diag(_DRIFT**2 * seconds))

    def _fits(self, estimate: PoseError, measured: PoseError) -> bool:
        innovation = _difference(measured.error, estimate.error)
        spread = estimate.covariance + measured.covariance
        return float(innovation @ np.linalg.solve(spread, innovation)) <= _GATE


def pose_error(result: RegistrationResult, a: Stamped, b: Stamped) -> PoseError:
    """Return the error of b's sent pose in a's world by a registration of both.

    Args:
        result: successful registration of a and b.
        a: graph or cloud of the ego.
        b: graph or cloud of the sender.
    """
    assert result.T_a_b is not None
    assert result.covariance is not None
    error = _difference(planar(a.T_world_agent @ result.T_a_b), planar(b.T_world_agent))
    turn = np.eye(3)
    turn[:2, :2] = a.T_world_agent[:2, :2]
    return PoseError(max(a.stamp_ns, b.stamp_ns), error, turn @ result.covariance @ turn.T)


def _difference(of: Array, minus: Array) -> Array:
    difference = of - minus
    difference[2] = wrap_angle(difference[2])
    return difference


def _combine(before: PoseError, measured: PoseError) -> PoseError:
    """Return the Kalman update of an estimate with a measurement of the whole state."""
    gain = np.linalg.solve(before.covariance + measured.covariance, before.covariance).T
    error = before.error + gain @ _difference(measured.error, before.error)
    error[2] = wrap_angle(error[2])
    keep = np.eye(3) - gain
    covariance = keep @ before.covariance @ keep.T + gain @ measured.covariance @ gain.T
    return PoseError(measured.stamp_ns, error, covariance)
