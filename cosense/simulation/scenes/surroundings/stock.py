"""Things of a scene that are drawn once and stand in many places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.simulation.chance import draw
from cosense.simulation.scenes.mesh import Mesh

Builder = Callable[[np.random.Generator], Mesh]

# Below this height a thing needs ground for itself; what is higher may be above a road.
LOW_M = 3.9

# Spread of the logarithm of the reflectance of things of one material: paints, plastics and ages differ.
_SPREAD = 0.4


@dataclass(frozen=True)
class Item:
    """A thing, and half the extents in x and y of what it has below `LOW_M`; its foot is centred."""

    mesh: Mesh
    half_m: tuple[float, float]

    @classmethod
    def of(cls, mesh: Mesh) -> Item:
        low: NDArray[np.float32] = mesh.vertices[mesh.vertices[:, 2] < LOW_M, :2]
        start, end = low.min(axis=0), low.max(axis=0)
        x, y = (float(v) for v in (start + end) / 2)
        half_x, half_y = (float(v) for v in (end - start) / 2)
        return cls(mesh.at(-x, -y), (half_x, half_y))


class Stock:
    """Draws things from builders, at most `variety` of each; then those it has are used again."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self._made: dict[Builder, list[Item]] = {}

    def take(self, builder: Builder, variety: int = 5) -> Item:
        """Return a thing of a kind."""
        made = self._made.setdefault(builder, [])
        if len(made) < variety:
            made.append(Item.of(_as_bright_as(builder(self.rng), float(self.rng.lognormal(0.0, _SPREAD)))))
            return made[-1]
        return made[int(self.rng.integers(len(made)))]

    def pick(self, weights: dict[Builder, float], variety: int = 5) -> Item:
        """Return a thing of one of several kinds."""
        return self.take(draw(weights, self.rng), variety)


def _as_bright_as(mesh: Mesh, factor: float) -> Mesh:
    """Return a thing with its diffuse reflectances, those below 1, multiplied by a factor."""
    diffuse = mesh.reflectance < 1.0
    return replace(
        mesh, reflectance=np.where(diffuse, np.minimum(mesh.reflectance * factor, 0.95), mesh.reflectance)
    )
