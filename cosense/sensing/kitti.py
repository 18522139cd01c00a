"""Point clouds in the format of KITTI: float32 x, y, z and reflectance of each point, without a header."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from cosense.errors import CosenseError, read_file
from cosense.sensing.pcd import PointCloud, point_cloud

_POINT_BYTES = 16


def read_kitti_bin(path: str | os.PathLike[str]) -> PointCloud:
    """Read a scan; points that are not finite are dropped.

    Raises:
        CosenseError: the file is missing or does not hold whole points.
    """
    content = read_file(Path(path))
    if len(content) % _POINT_BYTES:
        raise CosenseError(
            f"{path}: {len(content)} bytes are no whole number of points of {_POINT_BYTES} bytes; "
            "fetch the file again"
        )
    x, y, z, intensity = np.frombuffer(content, dtype="<f4").reshape(-1, 4).T
    return point_cloud([x, y, z], intensity, path)
