"""The calibration of KITTI object, and the image of its left colour camera, from which its labels are.

calib/ID.txt             P2, R0_rect, Tr_velo_to_cam (Geiger et al., CVPR 2012)
image_2/ID.png or .jpg   rectified
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosense.data.files import read_image
from cosense.errors import CosenseError, read_file
from cosense.geometry.transforms import is_rigid, transform_from
from cosense.sensing.frame import Camera

IMAGES, CALIBRATIONS = "image_2", "calib"
SUFFIXES = (".png", ".jpg")


def kitti_camera(image: Path, calibration: Path, stamp_ns: int) -> Camera:
    """Read an image with its calibration; it is taken when the LiDAR looks ahead, at the stamp of the cloud.

    Raises:
        CosenseError: a file is missing or broken.
    """
    matrices = read_kitti_calibration(calibration)
    P = matrices["P2"]
    K = P[:, :3]
    # The matrix projects from the grey camera beside it.
    T_camera_grey = transform_from(np.eye(3), np.linalg.solve(K, P[:, 3]))
    T_camera_velo = T_camera_grey @ matrices["R0_rect"] @ matrices["Tr_velo_to_cam"]
    return Camera(IMAGES, read_image(image), K, T_camera_velo, stamp_ns)


def read_kitti_calibration(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return P2 (3,4), and R0_rect and Tr_velo_to_cam (4,4)."""
    matrices: dict[str, NDArray[np.float64]] = {}
    for line in read_file(path).decode("utf-8", errors="replace").splitlines():
        name, _, text = line.partition(":")
        try:
            matrices[name.strip()] = np.array([float(word) for word in text.split()])
        except ValueError:
            raise CosenseError(f"{path}: {name} is no matrix; fetch the file again") from None
    sizes = {"P2": (3, 4), "R0_rect": (3, 3), "Tr_velo_to_cam": (3, 4)}
    for name, (rows, columns) in sizes.items():
        numbers = matrices.get(name, np.zeros(0))
        if numbers.size != rows * columns or not np.isfinite(numbers).all():
            raise CosenseError(f"{path}: has no '{name}' of {rows * columns} numbers; fetch the file again")
        matrices[name] = numbers.reshape(rows, columns)
    for name in ("R0_rect", "Tr_velo_to_cam"):
        rows, columns = sizes[name]
        T = np.eye(4)
        T[:rows, :columns] = matrices[name]
        if not is_rigid(T):
            raise CosenseError(f"{path}: '{name}' is no rotation; fetch the file again")
        matrices[name] = T
    return matrices
