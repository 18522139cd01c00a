"""Images of cameras as samples keep them, on disk and in memory: compressed, 60 kB for one of 512 x 288."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix
from cosense.sensing.frame import Camera

# Less than the noise of a camera is lost.
_QUALITY = (
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
)
_ARRAYS = ("jpeg", "K", "T_camera_agent")


@dataclass(frozen=True)
class StoredCamera:
    """A `Camera` with its image as a JPEG file.

    Attributes:
        name, K, stamp_ns: the same as of the `Camera`.
        T_camera_agent: (4,4) likewise, past how the agent has moved until the image where that is known.
        jpeg: (B,) uint8, the file.
    """

    name: str
    jpeg: NDArray[np.uint8]
    K: NDArray[np.float64]
    T_camera_agent: Matrix
    stamp_ns: int

    @classmethod
    def of(cls, camera: Camera) -> StoredCamera:
        """Compress an image."""
        _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(camera.image, cv2.COLOR_RGB2BGR), _QUALITY)
        return cls(camera.name, np.asarray(jpeg), camera.K, camera.T_image_agent, camera.stamp_ns)

    @property
    def camera(self) -> Camera:
        """The camera with its image, decompressed anew each time."""
        bgr = np.asarray(cv2.imdecode(self.jpeg, cv2.IMREAD_COLOR), np.uint8)
        image = np.ascontiguousarray(bgr[:, :, ::-1])
        return Camera(self.name, image, self.K, self.T_camera_agent, self.stamp_ns)


def to_arrays(cameras: Sequence[StoredCamera], prefix: str) -> dict[str, NDArray]:
    """Return the arrays by name, all beginning with a prefix, of which `from_arrays` makes cameras again."""
    if not cameras:
        return {}
    arrays = {f"{prefix}.cameras": np.array([[camera.name, str(camera.stamp_ns)] for camera in cameras])}
    for index, camera in enumerate(cameras):
        arrays |= {f"{prefix}.{index}.{key}": getattr(camera, key) for key in _ARRAYS}
    return arrays


def from_arrays(arrays: dict[str, NDArray], prefix: str) -> tuple[StoredCamera, ...]:
    """Return the cameras that are stored with a prefix, none where there are none."""
    found = []
    for index, (name, stamp_ns) in enumerate(arrays.get(f"{prefix}.cameras", ())):
        jpeg, K, T_camera_agent = (arrays[f"{prefix}.{index}.{key}"] for key in _ARRAYS)
        found.append(StoredCamera(str(name), jpeg, K, T_camera_agent, int(stamp_ns)))
    return tuple(found)
