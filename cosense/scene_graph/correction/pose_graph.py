"""Several agents at once: the planar poses that fit all registrations between them.

SG-Reg (arXiv 2504.14440) keeps a pose graph over keyframes with pairwise consistent loops; CoAlign (arXiv
2211.07214) puts agents and objects into one. Here the objects have already been used in the registrations, so
the vertices are agents. We differ:

- A robust kernel (Cauchy) on whole edges, wide at first and then narrowed: one wrong registration between two
  of five agents must not bend the rest.
- The sent poses are the start of the search and no part of the result, as they are no part of one
  registration: a sender that is more certain than it should be does not bend the others, and the result is
  weighed with the sent poses afterwards.
- The ego is fixed: everything is wanted in its frame, and it does not move because others are wrong.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError, nearest
from cosense.geometry.transforms import Matrix, transform_from_planar, wrap_angle, yaw_of
from cosense.scene_graph.register.result import planar

Array = NDArray[np.float64]
# Mahalanobis distance beyond which an edge loses its weight: 99 % of the good ones are below.
KERNEL = 3.37
# Factor by which the kernel is wider in the beginning, and by which it is narrowed in each step.
_WIDE, _NARROWER = 100.0, 0.5
_MAX_STEPS = 30


@dataclass(frozen=True)
class Edge:
    """One registration.

    Attributes:
        a, b: names of the agents.
        T_a_b: (4,4) maps b's frame into a's.
        covariance: (3,3) covariance of x, y in a's frame and of the yaw.
    """

    a: str
    b: str
    T_a_b: Matrix
    covariance: Array


@dataclass(frozen=True)
class Optimised:
    """The most likely poses of all agents that are connected with the ego by registrations.

    Attributes:
        T_ego_agent: pose (4,4) by name.
        covariance: covariance (3,3) by name, of x, y in the ego's frame and of the yaw.
        weights: (E,) weight of each edge, 0 to 1.
    """

    T_ego_agent: dict[str, Matrix]
    covariance: dict[str, Array]
    weights: Array


def optimise(T_ego_agent: Mapping[str, Matrix], edges: Sequence[Edge], ego: str) -> Optimised:
    """Return the poses under which the edges are most likely.

    Args:
        T_ego_agent: poses (4,4) by name of all agents but the ego, at which the search starts; height, roll
            and pitch stay.
        edges: registrations between the agents and with the ego.
        ego: name of the ego.

    Raises:
        CosenseError: an edge names an agent that is not there.
    """
    for name in (name for edge in edges for name in (edge.a, edge.b)):
        if name != ego and name not in T_ego_agent:
            raise CosenseError(f"pose graph: no agent '{name}'; {nearest(name, [ego, *T_ego_agent])}")
    names = _reached(edges, ego)
    used = [k for k, edge in enumerate(edges) if edge.a in names]
    weights = np.ones(len(edges))
    if not used:
        return Optimised({}, {}, weights)
    places = {name: index for index, name in enumerate(names)}
    a, b = (
        np.array([places[name] for name in ends])
        for ends in zip(*((edges[k].a, edges[k].b) for k in used), strict=True)
    )
    measured = np.array([planar(edges[k].T_a_b) for k in used])
    information = np.linalg.inv(np.array([edges[k].covariance for k in used]))
    poses = np.array([np.zeros(3), *(planar(T_ego_agent[name]) for name in names[1:])])
    kernel = _WIDE * KERNEL
    for _ in range(_MAX_STEPS):
        errors, of_a, of_b = _errors(poses, a, b, measured)
        say = _weights(errors, information, kernel)
        hessian, gradient = _normal_equations(
            errors, of_a, of_b, information * say[:, None, None], a, b, len(names)
        )
        step = np.linalg.solve(hessian, -gradient).reshape(-1, 3)
        poses[1:] += step
        if kernel == KERNEL and np.abs(step).max() < 1e-9:
            break
        kernel = max(KERNEL, _NARROWER * kernel)
    weights[used] = say
    covariances: Array = np.asarray(np.linalg.inv(hessian), np.float64)
    return Optimised(
        {name: _moved(T_ego_agent[name], pose) for name, pose in zip(names[1:], poses[1:], strict=True)},
        {name: covariances[3 * k : 3 * k + 3, 3 * k : 3 * k + 3] for k, name in enumerate(names[1:])},
        weights,
    )


def _reached(edges: Sequence[Edge], ego: str) -> list[str]:
    """Return the names of the ego and of all agents connected with it, in the order of the connection."""
    names = [ego]
    for name in names:
        for edge in edges:
            for end, other in ((edge.a, edge.b), (edge.b, edge.a)):
                if end == name and other not in names:
                    names.append(other)
    return names


def _errors(
    poses: Array, a: NDArray[np.int64], b: NDArray[np.int64], measured: Array
) -> tuple[Array, Array, Array]:
    """Return the residual of each edge (E,3), and its derivatives (E,3,3) by both poses."""
    cos, sin = np.cos(poses[a, 2]), np.sin(poses[a, 2])
    x, y = (poses[b] - poses[a])[:, :2].T
    seen = np.stack([cos * x + sin * y, cos * y - sin * x, poses[b, 2] - poses[a, 2]], axis=1)
    errors = seen - measured
    errors[:, 2] = wrap_angle(errors[:, 2])
    of_b = np.zeros((len(a), 3, 3))
    of_b[:, 0, 0], of_b[:, 0, 1], of_b[:, 1, 0], of_b[:, 1, 1], of_b[:, 2, 2] = cos, sin, -sin, cos, 1
    of_a = -of_b
    of_a[:, 0, 2], of_a[:, 1, 2] = seen[:, 1], -seen[:, 0]
    return errors, of_a, of_b


def _weights(errors: Array, information: Array, kernel: float) -> Array:
    """Return the weights (E,) of the Cauchy kernel."""
    return np.asarray(1 / (1 + np.einsum("ei,eij,ej->e", errors, information, errors) / kernel**2))


def _normal_equations(
    errors: Array,
    of_a: Array,
    of_b: Array,
    information: Array,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    count: int,
) -> tuple[Array, Array]:
    """Return the Hessian and the gradient by all poses but the first, the ego's."""
    hessian, gradient = np.zeros((count, count, 3, 3)), np.zeros((count, 3))
    for end, by_end in ((a, of_a), (b, of_b)):
        weighed = np.swapaxes(by_end, 1, 2) @ information
        np.add.at(gradient, end, np.einsum("eij,ej->ei", weighed, errors))
        for other, by_other in ((a, of_a), (b, of_b)):
            np.add.at(hessian, (end, other), weighed @ by_other)
    free = 3 * (count - 1)
    return hessian[1:, 1:].transpose(0, 2, 1, 3).reshape(free, free), gradient[1:].ravel()


def _moved(T: Matrix, pose: Array) -> Matrix:
    """Return `T` with x, y and yaw of `pose`; height, roll and pitch stay."""
    turned = transform_from_planar(0, 0, float(pose[2]) - yaw_of(T)) @ T
    turned[:3, 3] = pose[0], pose[1], T[2, 3]
    return turned
