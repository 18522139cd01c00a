"""The cameras of an agent: compressed images and their calibration in, what a detector takes out.

    ~/input/<camera>/image        CompressedImage, with the stamp of its exposure
    ~/input/<camera>/camera_info  CameraInfo; a distorted image is rectified by it

Where a camera is mounted is a parameter. Without a cloud for a while, the images alone make frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from cosense.data.bag.cameras import image_of, intrinsic_of
from cosense.errors import CosenseError
from cosense.geometry.timed_pose import TimedPose
from cosense.geometry.transforms import Matrix, invert, transform_from
from cosense.sensing.frame import Camera

# A way that took longer says little about what follows.
_LONGEST_WAY_NS = 1_000_000_000
# Two images of one moment make one frame.
_ONE_MOMENT_NS = 50_000_000


@dataclass(frozen=True)
class Pictured:
    """An image as it came, and the calibration that held then; None as long as there is none."""

    image: Any
    info: Any | None


class Mountings:
    """Where the cameras of an agent are.

    Attributes:
        T_camera_agent: (4,4) by name, maps the agent frame to the optical frame.
    """

    def __init__(self, given: Mapping[str, Any], where: str) -> None:
        """Take 16 numbers by camera, the rows of `T_camera_agent`.

        Args:
            given: as the parameter has it.
            where: name of the parameter, for errors.

        Raises:
            CosenseError: they are none, or no rigid transform.
        """
        self.T_camera_agent: dict[str, Matrix] = {}
        for name, numbers in given.items():
            try:
                T = np.asarray(numbers, dtype=np.float64).reshape(4, 4)
            except (TypeError, ValueError):
                T = np.zeros((4, 4))
            is_rigid = np.allclose(T[:3, :3] @ T[:3, :3].T, np.eye(3), atol=1e-3)
            if not is_rigid or not np.allclose(T[3], (0, 0, 0, 1)) or np.linalg.det(T[:3, :3]) < 0:
                raise CosenseError(
                    f"{where}: camera '{name}': {numbers!r} is no rigid transform; give the 16 numbers of "
                    "T_camera_agent row by row, which maps the LiDAR's frame to the optical one (z forward, "
                    "x right, y down)"
                )
            self.T_camera_agent[name] = T

    def cameras(
        self, images: Mapping[str, tuple[int, Pictured]], stamp_ns: int, way: Way
    ) -> tuple[tuple[Camera, ...], dict[str, str]]:
        """Return the cameras of a moment, and why others are left out, by name.

        Args:
            images: stamp and image by camera.
            stamp_ns: of the cloud.
            way: how the agent moves.
        """
        cameras, reasons = [], {}
        for name, (taken_ns, pictured) in images.items():
            where = f"camera '{name}'"
            if pictured.info is None:
                reasons[name] = f"{where} has no calibration: nothing has come on its camera_info"
                continue
            try:
                image = image_of(pictured.image, pictured.info)
                K = intrinsic_of(pictured.info, image)
            except CosenseError as error:
                reasons[name] = f"{where}: {error}"
                continue
            T_then_agent = way.T_then_now(taken_ns - stamp_ns)
            cameras.append(Camera(name, image, K, self.T_camera_agent[name], taken_ns, T_then_agent))
        return tuple(cameras), reasons


class Way:
    """How an agent moves, from the poses of its frames: on as before, at constant speed and turn."""

    def __init__(self) -> None:
        self._before: TimedPose | None = None
        self._now: TimedPose | None = None

    def add(self, pose: TimedPose) -> None:
        """Take the pose of the next frame."""
        self._before, self._now = self._now, pose

    def T_then_now(self, later_ns: int) -> Matrix | None:
        """Return (4,4), which maps the frame of now into that of so much later; None if it is not known."""
        if later_ns == 0:
            return np.eye(4)
        before, now = self._before, self._now
        if before is None or now is None or not 0 < now.stamp_ns - before.stamp_ns <= _LONGEST_WAY_NS:
            return None
        share = later_ns / (now.stamp_ns - before.stamp_ns)
        T_before_now = invert(before.T_world_frame) @ now.T_world_frame
        turn = Rotation.from_rotvec(share * Rotation.from_matrix(T_before_now[:3, :3]).as_rotvec())
        return invert(transform_from(turn.as_matrix(), share * T_before_now[:3, 3]))


class BlindMoments:
    """Tells when images have to do without a cloud: when the LiDAR has measured nothing for a while."""

    def __init__(self, longest_gap_ns: int) -> None:
        """Take the time without a cloud after which images alone make frames."""
        self._longest_gap_ns = longest_gap_ns
        self._last_ns: int | None = None
        self._last_cloud_ns: int | None = None
        self._since_ns: int | None = None

    def add_cloud(self, stamp_ns: int) -> None:
        """Take the stamp of a cloud."""
        self._last_cloud_ns = self._last_ns = stamp_ns

    def is_one(self, stamp_ns: int) -> bool:
        """Return whether an image of this stamp makes a frame of its own."""
        if self._since_ns is None or stamp_ns < self._since_ns:
            self._since_ns = stamp_ns
        last_cloud_ns = self._since_ns if self._last_cloud_ns is None else self._last_cloud_ns
        if stamp_ns - last_cloud_ns <= self._longest_gap_ns:
            return False
        if self._last_ns is not None and 0 <= stamp_ns - self._last_ns < _ONE_MOMENT_NS:
            return False
        self._last_ns = stamp_ns
        return True
