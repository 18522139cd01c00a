"""What a registration may know beforehand (`Prior`) and what it says (`RegistrationResult`).

A published back-end of SG-Reg (arXiv 2504.14440, registration back-end) returns the identity where it failed,
and so refuses two agents at one place. Here a failure is a status with a reason, and then there is no pose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, invert, yaw_of

# The variance of a pose of which nothing is known: larger values say no more, and no sum with them can be
# inverted.
_LARGEST_VARIANCE = 1e6
# The least certain pose that is accepted.
_MAX_SIGMA_M, _MAX_SIGMA_RAD = 0.75, np.deg2rad(1)


class Status(str, Enum):
    """How a registration ended; all but REGISTERED are refusals."""

    REGISTERED = "registered"
    NO_CANDIDATES = "no_candidates"
    TOO_FEW = "too_few"
    AMBIGUOUS = "ambiguous"
    COLLINEAR = "collinear"
    HIGH_COVARIANCE = "high_covariance"
    GATED = "gated"
    STALE = "stale"
    TIMEOUT = "timeout"


class Posed(Protocol):
    """What carries the pose that its agent believes in: a graph, a cloud or a message."""

    @property
    def T_world_agent(self) -> Matrix:
        """(4,4) maps the agent frame into the world."""

    @property
    def pose_covariance(self) -> NDArray[np.float64]:
        """(3,3) covariance of (x, y, yaw) in the world."""


@dataclass(frozen=True)
class Prior:
    """A pose that is known before, e.g. from GNSS.

    Attributes:
        T_a_b: (4,4) maps points of agent b into the frame of agent a, z up in both.
        covariance: (3,3) covariance of x, y in a's frame and of the yaw: metres and radians.

    Raises:
        CosenseError: a shape is wrong, a value is not finite or the covariance is not one.
    """

    T_a_b: Matrix
    covariance: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name, value, shape in (("T_a_b", self.T_a_b, (4, 4)), ("covariance", self.covariance, (3, 3))):
            if np.shape(value) != shape or not np.isfinite(value).all():
                raise CosenseError(f"prior: {name} must be {shape} finite numbers, got {np.shape(value)}")
        variances = np.linalg.eigvalsh((self.covariance + self.covariance.T) / 2)
        # A zero that rounding has made negative is no fault.
        if variances.min() < -1e-9 * max(1.0, variances.max()):
            raise CosenseError(
                "prior: covariance has a negative variance; give variances of x, y, yaw on its diagonal"
            )

    @classmethod
    def between(cls, a: Posed, b: Posed) -> Prior:
        """Return the pose between two agents by the poses that both believe in, with the covariances of both.

        A matrix that is no covariance counts as the nearest that is one: others may send anything.
        """
        T_a_b = invert(a.T_world_agent) @ b.T_world_agent
        R_a_world = invert(a.T_world_agent)[:2, :2]
        # x, y of b seen from a change with the world positions of both, and turn about a with the heading of
        # a.
        of_b, of_a = np.eye(3), -np.eye(3)
        of_b[:2, :2], of_a[:2, :2] = R_a_world, -R_a_world
        of_a[:2, 2] = T_a_b[1, 3], -T_a_b[0, 3]
        covariance = of_a @ a.pose_covariance @ of_a.T + of_b @ b.pose_covariance @ of_b.T
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        if values.min() < 0 or values.max() > _LARGEST_VARIANCE:
            covariance = (vectors * np.clip(values, 0.0, _LARGEST_VARIANCE)) @ vectors.T
        return cls(T_a_b, covariance)


@dataclass(frozen=True, eq=False)
class RegistrationResult:
    """A pose, or the reason why there is none.

    Equal inputs give equal results, whatever the order of the nodes; only `time_ms` differs.

    Attributes:
        status: whether there is a pose and, if not, which test refused it.
        reason: a sentence with the figures that decided.
        T_a_b: (4,4) maps points of agent b at its stamp into a's frame at a's stamp; None unless registered.
        covariance: (3,3) covariance of x, y in a's frame and of the yaw, without the prior; None unless
            registered.
        inliers: (K,2) indices of nodes in a and in b that agree, in ascending order; of a refused pose too,
            for display.
        margin: number of matches by which the pose beats the best different one that is no chance.
        false_alarms: expected number of such agreements by chance between two scenes like these.
        time_ms: wall time.
    """

    status: Status
    reason: str
    T_a_b: Matrix | None = None
    covariance: NDArray[np.float64] | None = None
    inliers: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    margin: int = 0
    false_alarms: float = float("inf")
    time_ms: float = 0.0

    @property
    def registered(self) -> bool:
        return self.status is Status.REGISTERED


def planar(T: Matrix) -> NDArray[np.float64]:
    """Return (x, y, yaw) of a pose."""
    return np.array([T[0, 3], T[1, 3], yaw_of(T)])


def sigmas_of(covariance: NDArray[np.float64]) -> tuple[float, float]:
    """Return the largest standard deviation of the position and that of the yaw, metres and radians."""
    return float(np.sqrt(np.linalg.eigvalsh(covariance[:2, :2]).max())), float(np.sqrt(covariance[2, 2]))


def is_too_uncertain(sigma_m: float, sigma_rad: float) -> bool:
    """Say whether a pose with these standard deviations is refused."""
    return bool(sigma_m > _MAX_SIGMA_M or sigma_rad > _MAX_SIGMA_RAD)
