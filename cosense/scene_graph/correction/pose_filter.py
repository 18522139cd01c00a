"""What one peer's pose is wrong by, over time: registrations in, one correction with its covariance out.

SG-Reg (arXiv 2504.14440) has no filter; its averaging over a window was abandoned (`spec/sgreg.md` §4). This
is step 9 of §9.5: a Kalman filter in SE(2) with an innovation gate, and nothing is used before two
registrations in a row agree. We differ from filters that smooth what comes in: a registration that does not
fit is not averaged into the estimate, and after three in a row that fit each other and not the estimate, the
estimate is given up.

The state is how far the pose that the peer sends is off, in the world, about the peer itself: x, y, yaw. That
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


class Stamped(Posed, Protocol):
    """Who says where it believed to be at a moment."""

    @property
    def stamp_ns(self) -> int:
        """Of the measurement."""


class Verdict(str, Enum):
    """What became of a registration."""

    TENTATIVE = "tentative"
    ACCEPTED = "accepted"
    GATED = "gated"
    STALE = "stale"


@dataclass(frozen=True)
class PoseError:
    """How far a sent pose is off.

    Attributes:
        stamp_ns: when.
        error: (3,) x, y in the world and yaw, to be added to what was sent: metres and radians.
        covariance: (3,3) of it.
    """

    stamp_ns: int
    error: Array
    covariance: Array


@dataclass(frozen=True)
class FilterSettings:
    """How fast errors change and what is too far.

    Attributes:
        gate: chi-square bound of three degrees of freedom, 99 %.
        drift_m, drift_rad: standard deviation by which an error changes in one second: GNSS in a street.
        max_age_s: after so long without an accepted registration there is no correction.
        give_up_after: registrations in a row that agree with each other and not with the estimate.
    """

    gate: float = 11.345
    drift_m: float = 0.1
    drift_rad: float = np.deg2rad(0.2)
    max_age_s: float = 5.0
    give_up_after: int = 3


class PoseFilter:
    """The filter of one peer."""

    def __init__(self, settings: FilterSettings | None = None) -> None:
        self.settings = settings or FilterSettings()
        self._estimate: PoseError | None = None
        self._confirmed = False
        self._rival: PoseError | None = None
        self._rivals = 0

    def update(self, measured: PoseError) -> Verdict:
        """Take one registration, as `pose_error` gives it, and say what became of it."""
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
        """Keep the estimate until others have agreed often enough that it is wrong."""
        rival = None if self._rival is None else self._later(self._rival, measured.stamp_ns)
        if rival is not None and self._fits(rival, measured):
            self._rival, self._rivals = _combine(rival, measured), self._rivals + 1
        else:
            self._rival, self._rivals = measured, 1
        if self._rivals < self.settings.give_up_after:
            return Verdict.GATED
        self._estimate, self._rival, self._rivals = self._rival, None, 0
        return Verdict.ACCEPTED

    def _at(self, stamp_ns: int) -> PoseError | None:
        """Return the estimate as it is by then, None where there is none that is young enough."""
        if self._estimate is None or stamp_ns - self._estimate.stamp_ns > self.settings.max_age_s * 1e9:
            return None
        return self._later(self._estimate, stamp_ns)

    def _later(self, estimate: PoseError, stamp_ns: int) -> PoseError:
        seconds = max(stamp_ns - estimate.stamp_ns, 0) / 1e9
        drift = np.array([self.settings.drift_m, self.settings.drift_m, self.settings.drift_rad]) ** 2
        later = max(stamp_ns, estimate.stamp_ns)
        return PoseError(later, estimate.error, estimate.covariance + np.diag(drift * seconds))

    def _fits(self, estimate: PoseError, measured: PoseError) -> bool:
        innovation = _difference(measured.error, estimate.error)
        spread = estimate.covariance + measured.covariance
        return float(innovation @ np.linalg.solve(spread, innovation)) <= self.settings.gate


def pose_error(result: RegistrationResult, a: Stamped, b: Stamped) -> PoseError:
    """Return how far b's sent pose is off in a's world by a registration of both.

    Args:
        result: registered, T_a_b of these.
        a: graph or cloud of the ego, whose world it is.
        b: of the peer.
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
