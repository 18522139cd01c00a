"""Rows of nodes on their way into a graph: what was found, before it has a name and neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Nodes:
    """Nodes without ids and edges; the attributes are those of `SceneGraph`, in the same frame and units."""

    classes: NDArray[np.int64]
    positions: NDArray[np.float64]
    sizes: NDArray[np.float64]
    yaws: NDArray[np.float64]
    velocities: NDArray[np.float64]
    sigmas_m: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: NDArray) -> Nodes:
        """Return the nodes that a mask or an index array selects."""
        return Nodes(*(getattr(self, field.name)[index] for field in fields(Nodes)))

    @classmethod
    def empty(cls) -> Nodes:
        none = np.zeros(0)
        return cls(
            np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3)), none, np.zeros((0, 2)), none, none
        )

    @classmethod
    def standing(
        cls,
        classes: NDArray[np.int64],
        positions: NDArray[np.float64],
        sizes: NDArray[np.float64],
        sigmas_m: NDArray[np.float64],
        scores: NDArray[np.float64],
        yaws: NDArray[np.float64] | None = None,
    ) -> Nodes:
        """Return nodes that do not move, without heading where none is given."""
        count = len(classes)
        return cls(
            np.asarray(classes, np.int64),
            np.asarray(positions, np.float64).reshape(-1, 3),
            np.asarray(sizes, np.float64).reshape(-1, 3),
            np.full(count, np.nan) if yaws is None else np.asarray(yaws, np.float64),
            np.zeros((count, 2)),
            np.asarray(sigmas_m, np.float64),
            np.asarray(scores, np.float64),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Nodes]) -> Nodes:
        """Join several, in the order given."""
        parts = [part for part in parts if len(part)] or [cls.empty()]
        return cls(
            *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Nodes))
        )
