"""What stands around one LiDAR: poles, trunks, corners of walls and the walls between them.

Low compact things (bins, bollards, bushes) are no nodes: of 20 that a vehicle had found in common view a unit
on a mast had found one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.geometry.boxes import Boxes
from cosense.scene_graph.extract.azimuths import Azimuths
from cosense.scene_graph.extract.columns import columns, crown_places
from cosense.scene_graph.extract.corners import corners_and_walls
from cosense.scene_graph.extract.ground_levels import GroundLevels
from cosense.scene_graph.extract.upright import REACH_M, heights_above, upright
from cosense.scene_graph.extract.walls import walls
from cosense.scene_graph.found import Nodes

# Nothing comes back from farther away, whatever a file says.
_FARTHEST_M = 10_000.0


@dataclass(frozen=True)
class StaticObjects:
    """What one cloud shows of what stands.

    Attributes:
        nodes: in the frame of the cloud.
        azimuths: of all returns, to tell what else could have been seen.
        ground: below them.
    """

    nodes: Nodes
    azimuths: Azimuths
    ground: GroundLevels


def static_objects(points: NDArray[np.float32], boxes: Boxes) -> StaticObjects:
    """Find what stands within 70 m of the sensor.

    Args:
        points: (N,>=3) x, y, z in metres in a frame with z up, the sensor at the origin.
        boxes: (M,7) in which nothing stands: detected vehicles and people.

    Raises:
        CosenseError: the cloud has another shape, or coordinates that are not finite.
    """
    if points.ndim != 2 or points.shape[1] < 3:
        raise CosenseError(f"a cloud of shape {points.shape} gives no scene graph, expected (N, 3 or more)")
    xyz = np.ascontiguousarray(points[:, :3].T, dtype=np.float32)
    farthest_m = max(xyz.max(initial=0.0), -xyz.min(initial=0.0))
    if not np.isfinite(farthest_m):
        bad = int(np.count_nonzero(~np.isfinite(xyz).all(axis=0)))
        raise CosenseError(f"{bad} of {len(points)} points are not finite; drop them before a scene graph")
    if farthest_m > _FARTHEST_M:
        points = points[(np.abs(xyz) <= _FARTHEST_M).all(axis=0)]
        xyz = np.ascontiguousarray(points[:, :3].T, dtype=np.float32)
    ground = GroundLevels.of(points, REACH_M)
    above_m = heights_above(xyz, ground)
    cells = upright(xyz, above_m, boxes)
    azimuths = Azimuths.of(xyz)
    thin = columns(cells, crown_places(xyz, above_m), ground)
    return StaticObjects(
        Nodes.concatenate([thin, corners_and_walls(walls(cells), azimuths, ground)]), azimuths, ground
    )
