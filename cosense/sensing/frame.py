"""The measurements of one agent at one moment: cloud, pose, images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix
from cosense.sensing.objects import Objects

AgentKind = Literal["vehicle", "infrastructure"]


@dataclass(frozen=True)
class Camera:
    """One image with its calibration.

    Attributes:
        name: name of the camera, unique within the agent.
        image: (H,W,3) uint8 RGB.
        K: (3,3) pinhole matrix in pixels.
        T_camera_agent: (4,4) maps the agent frame to the optical frame (z forward, x right, y down).
        stamp_ns: time of exposure.
        T_then_agent: (4,4) maps the agent frame at the stamp of the cloud into that at the time of exposure;
            None where the motion of the agent is not known.
    """

    name: str
    image: NDArray[np.uint8]
    K: NDArray[np.float64]
    T_camera_agent: Matrix
    stamp_ns: int
    T_then_agent: Matrix | None = None

    @property
    def T_image_agent(self) -> Matrix:
        """(4,4) maps the agent frame at the stamp of the cloud to the optical frame when it exposes."""
        return self.T_camera_agent if self.T_then_agent is None else self.T_camera_agent @ self.T_then_agent


@dataclass(frozen=True)
class AgentFrame:
    """The measurements of one agent at one moment.

    Attributes:
        agent_id: name of the agent, unique within a scenario.
        kind: vehicle or infrastructure.
        stamp_ns: measurement time of the point cloud.
        T_world_agent: (4,4) pose of the agent frame (x forward, y left, z up; the LiDAR's own origin).
        points: (N,4) float32: x, y, z in metres in the agent frame, intensity in [0, 1].
        pose_covariance: (3,3) covariance of (x, y, yaw) in the world, m^2, m rad and rad^2; zero if unknown.
        cameras: the images nearest in time, possibly none.
        objects: this agent's own labels in the agent frame, None if it has none.
        rings: (N,) number of the beam of each point as the LiDAR counts them, None where nothing says it.
        T_odom_agent: (4,4) pose in a frame that drifts but never jumps (REP-105: odom), None if T_world_agent
            does not jump.
    """

    agent_id: str
    kind: AgentKind
    stamp_ns: int
    T_world_agent: Matrix
    points: NDArray[np.float32]
    pose_covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((3, 3)))
    cameras: tuple[Camera, ...] = ()
    objects: Objects | None = None
    rings: NDArray[np.int16] | None = None
    T_odom_agent: Matrix | None = None

    @property
    def T_steady_agent(self) -> Matrix:
        """Pose (4,4) that relates this agent's frames to each other: odometry, else T_world_agent."""
        return self.T_world_agent if self.T_odom_agent is None else self.T_odom_agent
