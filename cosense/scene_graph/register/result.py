"""What a registration of two scene graphs says, what it may be told before, and its settings.

The published back-end returns the identity where it failed (SG-Reg, arXiv 2504.14440, `spec/sgreg.md` §4D),
and so refuses two agents that stand at one place. Here a failure is a status with a reason, and then there is
no pose.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, invert, yaw_of

# Of a pose of which nothing is known; what is larger says no more, and no sum with it can be inverted.
_LARGEST_VARIANCE = 1e6


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
    """Who says where it believes to be: a graph or a message."""

    @property
    def T_world_agent(self) -> Matrix:
        """(4,4)."""

    @property
    def pose_covariance(self) -> NDArray[np.float64]:
        """(3,3) of (x, y, yaw) in the world."""


@dataclass(frozen=True)
class Prior:
    """What is believed of the pose before, e.g. from GNSS.

    Attributes:
        T_a_b: (4,4) maps points of agent b into the frame of agent a, z up in both.
        covariance: (3,3) of the translation x, y in a's frame and of the yaw: metres and radians.

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
        # What rounding makes of zero is no fault.
        if variances.min() < -1e-9 * max(1.0, variances.max()):
            raise CosenseError(
                "prior: covariance has a negative variance; give variances of x, y, yaw on its diagonal"
            )

    @classmethod
    def between(cls, a: Posed, b: Posed) -> Prior:
        """Return what the poses that both agents believe in say, with the covariances of both.

        What is no covariance counts as the nearest that is one: others may send anything.
        """
        T_a_b = invert(a.T_world_agent) @ b.T_world_agent
        R_a_world = invert(a.T_world_agent)[:2, :2]
        # x, y of b seen from a move with the world positions of both, and turn about a with a's heading.
        of_b, of_a = np.eye(3), -np.eye(3)
        of_b[:2, :2], of_a[:2, :2] = R_a_world, -R_a_world
        of_a[:2, 2] = T_a_b[1, 3], -T_a_b[0, 3]
        covariance = of_a @ a.pose_covariance @ of_a.T + of_b @ b.pose_covariance @ of_b.T
        values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
        if values.min() < 0 or values.max() > _LARGEST_VARIANCE:
            covariance = (vectors * np.clip(values, 0.0, _LARGEST_VARIANCE)) @ vectors.T
        return cls(T_a_b, covariance)


@dataclass(frozen=True, eq=False)
class Registration:
    """The result. Equal inputs give equal results, whatever the order of the nodes; only `time_ms` differs.

    Attributes:
        status: whether there is a pose and, if not, which test refused it.
        reason: one sentence with the figures that decided.
        T_a_b: (4,4) maps points of agent b at its stamp into a's frame at a's stamp; None unless registered.
        covariance: (3,3) of x, y in a's frame and of the yaw; None unless registered. The prior is not in it.
        inliers: (K,2) indices of nodes in a and in b that agree, in ascending order; of a refused pose too,
            for display.
        margin: by how many matches the pose beats the best different one that is no chance.
        false_alarms: how many agreements of this size are expected by chance between two scenes like these.
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


@dataclass(frozen=True)
class Settings:
    """How candidates are chosen, what is consistent, and what is enough.

    Attributes:
        max_nodes: of each graph; the most certain first, then the nearest. Two kilobytes hold 80.
        max_range_m: what is farther away is a mistake of the sender: a message cannot even say it.
        max_sigma_m: a node less certain than this agrees with everything and proves nothing.
        max_age_s: of what moves, against the newer of the two graphs; what stands keeps.
        velocity_sigma_mps, unknown_speed_mps: standard deviation of a known velocity; the speed of what may
            move and comes without one.
        max_candidates: pairs of nodes that are looked at. 600 are every pair of one class of 24 x 24.
        temperature: of the softmax over descriptors of unit length.
        gate: chi-square bound of three degrees of freedom, 99 %.
        bound_sigmas, min_bound_m, max_bound_m: two lengths or places agree within so many standard
            deviations, never stricter than a detector's centre repeats (0.4 m), never looser than a parked
            car is wide.
        height_bound_m: two heights agree; boxes seen from far are a metre off, storeys are three.
        min_length_m: two nodes closer than this are one place and count once.
        heading_bound_rad: headings of boxes and pieces, which are known up to pi, agree.
        heading_sigma_rad: standard deviation of the heading of a box or piece in the final estimate.
        max_work: vertices that the clique searches may colour: a bound on time that gives the same result on
            every machine, at most some 25 ms on a slow core.
        min_inliers, min_inliers_with_prior: below this there is no pose, however rare the agreement.
        max_false_alarms, max_false_alarms_with_prior: expected number of such agreements by chance. Of 1536
            pairs of strangers at simulated crossings, parked and curved roads two were accepted at 1e-2 and
            none at 1e-3, which costs one of 128 pairs of one place.
        max_false_alarms_of_rival: a different pose that is expected more often by chance says nothing against
            the best one. Of 432 pairs of the same kinds of places, two thirds of them with nodes left out, 16
            were ambiguous without this and 3 are; none of the poses gained was wrong.
        min_margin: the published two; one more or less is noise.
        max_runner_up: what share of the support a different pose may have in any case, see `Support.rivals`.
            Two agents that see 50 m each of a row of lamps find most agreement where their views lie upon
            each other, and one lamp on hardly less.
        min_spread_m: standard deviation of the inliers across their longest direction.
        max_sigma_yaw_rad, max_sigma_translation_m: of an accepted pose.
    """

    max_nodes: int = 128
    max_range_m: float = 500.0
    max_sigma_m: float = 2.0
    max_age_s: float = 1.0
    velocity_sigma_mps: float = 0.5
    unknown_speed_mps: float = 5.0
    max_candidates: int = 600
    temperature: float = 0.1
    gate: float = 11.345
    bound_sigmas: float = 3.0
    min_bound_m: float = 0.4
    max_bound_m: float = 1.2
    height_bound_m: float = 2.0
    min_length_m: float = 1.0
    heading_bound_rad: float = np.deg2rad(30)
    heading_sigma_rad: float = np.deg2rad(4)
    max_work: int = 20_000
    min_inliers: int = 5
    min_inliers_with_prior: int = 3
    max_false_alarms: float = 1e-3
    max_false_alarms_with_prior: float = 1e-2
    max_false_alarms_of_rival: float = 0.1
    min_margin: int = 2
    max_runner_up: float = 0.65
    min_spread_m: float = 1.0
    max_sigma_yaw_rad: float = np.deg2rad(1)
    max_sigma_translation_m: float = 0.75


def planar(T: Matrix) -> NDArray[np.float64]:
    """Return (x, y, yaw) of a pose."""
    return np.array([T[0, 3], T[1, 3], yaw_of(T)])
