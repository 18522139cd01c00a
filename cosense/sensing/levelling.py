"""Levelled frames: what makes up for a sensor that is not mounted level, and for a road that climbs.

Whatever an agent perceives and sends, its maps, boxes, graph and messages, is in its *levelled frame*: the
origin of the sensor, z normal to the plane of the ground, x above that of the sensor. Agents on one road then
differ by x, y, z and yaw alone, boxes stand upright, and what is seen from above is in its place: seen from a
mast of six metres that leans by five degrees, it would be half a metre off.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError, counted
from cosense.geometry.transforms import Matrix, invert, transform_from_slopes
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.ground import ANY_SITE, GroundPlane, GroundSettings, GroundSurface

# Cosine of the largest angle by which a sensor leans: 15 degrees. A pose that says more is none of a sensor.
_LEVEL = 0.966


@dataclass(frozen=True)
class LevelCloud:
    """A cloud in its levelled frame.

    Attributes:
        points: (N,>=3) float32 x, y, z in metres; further columns as they were.
        ground: ground in the levelled frame.
        slopes: rise of the ground per metre along x and y of the sensor.
    """

    points: NDArray[np.float32]
    ground: GroundSurface
    slopes: tuple[float, float]

    @property
    def T_sensor_level(self) -> Matrix:
        """(4,4) maps the levelled frame into that in which the cloud was measured."""
        return transform_from_slopes(*self.slopes)


@dataclass(frozen=True)
class LevelFrame(AgentFrame):
    """The frame of an agent with everything in its levelled frame: pose, points, cameras, objects.

    Attributes:
        ground: ground in the levelled frame.
        slopes: rise of the ground per metre along x and y of the sensor.
    """

    ground: GroundSurface = field(kw_only=True)
    slopes: tuple[float, float] = field(kw_only=True)

    @property
    def T_sensor_level(self) -> Matrix:
        """(4,4) maps the levelled frame into that of the sensor."""
        return transform_from_slopes(*self.slopes)

    def at_pose_of(self, frame: AgentFrame) -> LevelFrame:
        """Return the same measurements from the pose of another `frame` of the same sensor."""
        T_sensor_level = self.T_sensor_level
        return replace(
            self,
            T_world_agent=frame.T_world_agent @ T_sensor_level,
            pose_covariance=frame.pose_covariance,
            T_odom_agent=None if frame.T_odom_agent is None else frame.T_odom_agent @ T_sensor_level,
        )


def level_cloud(points: NDArray[np.float32], site: GroundSettings = ANY_SITE) -> LevelCloud:
    """Level a cloud by the ground in it.

    Args:
        points: (N,>=3) x, y, z in metres with the sensor at the origin and z roughly up.
        site: assumptions about the site.

    Raises:
        CosenseError: the cloud has another shape, or coordinates that are not finite.
    """
    if points.ndim != 2 or points.shape[1] < 3:
        raise CosenseError(f"a cloud has the shape {points.shape}, expected (N, 4)")
    # The sum is finite where all are, and takes no memory of the size of the cloud.
    if not np.isfinite(points.sum(dtype=np.float64)):
        bad = int(np.count_nonzero(~np.isfinite(points).all(axis=1)))
        raise CosenseError(f"not finite: {bad} of {counted(len(points), 'point')}; drop them first")
    plane = GroundPlane.of(points, site)
    slopes = (plane.slope_x, plane.slope_y)
    level = np.array(points, dtype=np.float32)
    # Rows times a rotation are the columns times its inverse.
    level[:, :3] = points[:, :3] @ transform_from_slopes(*slopes)[:3, :3].astype(np.float32)
    return LevelCloud(level, GroundSurface.of(level, plane.level_height_m, site), slopes)


def levelled(frame: AgentFrame, site: GroundSettings = ANY_SITE) -> LevelFrame:
    """Return a frame in its levelled frame; one that is levelled already stays as it is.

    Without points it is levelled by its pose, as if the ground was level.

    Raises:
        CosenseError: as `level_cloud` does.
    """
    if isinstance(frame, LevelFrame):
        return frame
    cloud = level_cloud(frame.points, site) if len(frame.points) else _without_points(frame)
    T_sensor_level = cloud.T_sensor_level
    given = {item.name: getattr(frame, item.name) for item in fields(AgentFrame)}
    cameras = tuple(_levelled(camera, T_sensor_level) for camera in frame.cameras)
    objects = frame.objects
    if objects is not None:
        objects = objects.transformed(invert(T_sensor_level))
    level = LevelFrame(
        **(given | {"points": cloud.points, "cameras": cameras, "objects": objects}),
        ground=cloud.ground,
        slopes=cloud.slopes,
    )
    return level.at_pose_of(frame)


def _without_points(frame: AgentFrame) -> LevelCloud:
    """Return the cloud of a frame without points as if the ground was level: the pose says how it leans."""
    up = frame.T_world_agent[2, :3]
    slopes = (0.0, 0.0)
    if up[2] > _LEVEL:
        slopes = (float(-up[0] / up[2]), float(-up[1] / up[2]))
    return LevelCloud(frame.points, GroundSurface.level(0.0), slopes)


def _levelled(camera: Camera, T_sensor_level: Matrix) -> Camera:
    """Return the camera of an agent in its levelled frame."""
    then = camera.T_then_agent
    return replace(
        camera,
        T_camera_agent=camera.T_camera_agent @ T_sensor_level,
        T_then_agent=None if then is None else invert(T_sensor_level) @ then @ T_sensor_level,
    )
