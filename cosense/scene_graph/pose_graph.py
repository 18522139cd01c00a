"""Several agents at once: poses in the plane that fit all registrations between them, and what each believes.

SG-Reg (arXiv 2504.14440) keeps a pose graph over keyframes with pairwise consistent loops; CoAlign (arXiv
2211.07214) puts agents and objects into one, by their descriptions in `spec/sgreg.md` §5 and §9.1. Here the
objects have already done their part in the registrations, so the vertices are agents. We differ:

- Each pose has a prior with its covariance; CoAlign starts from the noisy pose and then forgets how far off
  it may be, so an agent that shares few objects floats.
- A robust kernel (Cauchy) on whole edges: one wrong registration between two of five agents shall not bend
  the rest.
- The ego is fixed: everything is wanted in its frame, and it does not move because others are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from cosense.errors import CosenseError, nearest
from cosense.geometry.transforms import Matrix, invert, transform_from_planar, wrap_angle, yaw_of
from cosense.scene_graph.registration import planar

Array = NDArray[np.float64]
# Mahalanobis distance beyond which an edge loses its say: 99 % of a good one's are below.
KERNEL = 3.37


@dataclass(frozen=True)
class Edge:
    """One registration, or an odometry between two poses of one agent.

    Attributes:
        a, b: names of the vertices.
        T_a_b: (4,4) maps b's frame into a's.
        covariance: (3,3) of x, y in a's frame and of yaw.
    """

    a: str
    b: str
    T_a_b: Matrix
    covariance: Array


@dataclass(frozen=True)
class Vertex:
    """What is believed of a pose before.

    Attributes:
        T_world_agent: (4,4); height, roll and pitch stay.
        covariance: (3,3) of x, y, yaw in the world.
    """

    T_world_agent: Matrix
    covariance: Array


@dataclass(frozen=True)
class Optimised:
    """Poses that fit best.

    Attributes:
        T_world_agent: by name, the ego's unchanged.
        covariance: (3,3) by name; zero for the ego, in whose frame they are.
        weights: (E,) how much each edge counts, 0 to 1.
    """

    T_world_agent: dict[str, Matrix]
    covariance: dict[str, Array]
    weights: Array


def optimise(vertices: Mapping[str, Vertex], edges: Sequence[Edge], ego: str) -> Optimised:
    """Return the poses under which edges and priors are most likely.

    Args:
        vertices: by name of the agent, with `ego`.
        edges: between them.
        ego: whose pose stays.

    Raises:
        CosenseError: an edge or the ego names a vertex that is not there.
    """
    for name in [ego, *(name for edge in edges for name in (edge.a, edge.b))]:
        if name not in vertices:
            raise CosenseError(f"pose graph: no vertex '{name}'; {nearest(name, vertices)}")
    others = [name for name in vertices if name != ego]
    # Positions about the ego: the world's are thousands of metres, where a yaw in least squares loses digits.
    origin = np.array([*planar(vertices[ego].T_world_agent)[:2], 0.0])
    fixed = planar(vertices[ego].T_world_agent) - origin
    start = np.array([planar(vertices[name].T_world_agent) - origin for name in others])
    prior_whitening = [_whitening(vertices[name].covariance) for name in others]
    edge_whitening = [_whitening(edge.covariance) for edge in edges]
    measured = [planar(edge.T_a_b) for edge in edges]

    def edge_errors(state: Array) -> Array:
        poses = {ego: fixed, **dict(zip(others, state.reshape(-1, 3), strict=True))}
        errors = [
            whitening @ _wrapped(_relative(poses[edge.a], poses[edge.b]) - relative)
            for edge, whitening, relative in zip(edges, edge_whitening, measured, strict=True)
        ]
        return np.array(errors).reshape(-1, 3)

    def prior_errors(state: Array) -> Array:
        differences = state.reshape(-1, 3) - start
        return np.array([w @ _wrapped(d) for w, d in zip(prior_whitening, differences, strict=True)]).reshape(
            -1, 3
        )

    def residuals(state: Array) -> Array:
        return np.concatenate([_cauchy(edge_errors(state)).ravel(), prior_errors(state).ravel()])

    def weighted(state: Array, weights: Array) -> Array:
        return np.concatenate([(edge_errors(state) * weights[:, None]).ravel(), prior_errors(state).ravel()])

    if not others:
        return Optimised({ego: vertices[ego].T_world_agent}, {ego: np.zeros((3, 3))}, np.ones(len(edges)))
    solution = least_squares(
        residuals, start.ravel(), method="trf", x_scale=np.tile([1.0, 1.0, 0.05], len(others))
    )
    weights = 1 / (1 + (edge_errors(solution.x) ** 2).sum(axis=1) / KERNEL**2)
    # Of the weighted problem: the kernel's own curvature turns negative where an edge is out.
    jacobian = least_squares(lambda x: weighted(x, np.sqrt(weights)), solution.x, max_nfev=1).jac
    covariances = np.linalg.inv(jacobian.T @ jacobian)
    T, covariance = {ego: vertices[ego].T_world_agent}, {ego: np.zeros((3, 3))}
    for k, (name, pose) in enumerate(zip(others, solution.x.reshape(-1, 3), strict=True)):
        T[name] = _moved(vertices[name].T_world_agent, pose + origin)
        covariance[name] = covariances[3 * k : 3 * k + 3, 3 * k : 3 * k + 3]
    return Optimised(T, covariance, weights)


def _whitening(covariance: Array) -> Array:
    """Return W (3,3) with W' W the inverse of the covariance."""
    return np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)))


def _relative(pose_a: Array, pose_b: Array) -> Array:
    return planar(invert(transform_from_planar(*pose_a)) @ transform_from_planar(*pose_b))


def _wrapped(difference: Array) -> Array:
    return np.array([difference[0], difference[1], float(wrap_angle(difference[2]))])


def _cauchy(errors: Array) -> Array:
    """Return whitened errors (E,3) whose squares sum to the Cauchy cost of each edge."""
    square = (errors**2).sum(axis=1, keepdims=True) / KERNEL**2
    return errors * np.sqrt(np.log1p(square) / np.maximum(square, 1e-12))


def _moved(T: Matrix, pose: Array) -> Matrix:
    """Return `T` with x, y and yaw of `pose`; height, roll and pitch stay."""
    turned = transform_from_planar(0, 0, float(pose[2]) - yaw_of(T)) @ T
    turned[:3, 3] = pose[0], pose[1], T[2, 3]
    return turned
