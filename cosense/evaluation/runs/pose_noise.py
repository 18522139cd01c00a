"""Poses that are wrong on purpose, to measure how much of the gain of cooperation survives them.

A localisation that is this noisy says so: the covariance of every disturbed pose grows by that of the noise.
The covariance is part of each message, and the receiver's gate goes by it. Noise that is not announced leaves
the covariance as it is: the agents are wrong and do not know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cosense.geometry.transforms import displaced
from cosense.sensing.frame import AgentFrame


@dataclass(frozen=True)
class PoseNoise:
    """Errors of every agent's pose, independent from frame to frame.

    Attributes:
        position_m: standard deviation of x and of y in the world.
        heading_deg: standard deviation of the heading.
        is_announced: whether the covariance of each pose includes the noise.
    """

    position_m: float = 0.0
    heading_deg: float = 0.0
    is_announced: bool = True

    def __post_init__(self) -> None:
        if not (0 <= self.position_m < np.inf and 0 <= self.heading_deg < np.inf):
            raise ValueError(
                f"pose noise {self.position_m} m, {self.heading_deg} deg: expected finite numbers, at least 0"
            )


def with_pose_noise(
    agents: Sequence[AgentFrame], noise: PoseNoise, seed: int, frame_index: int
) -> list[AgentFrame]:
    """Return the agents with disturbed poses, whose covariances include the noise where it is announced.

    The draw depends on the seed and the frame alone; twice the noise gives errors twice as large. The errors
    concern the place of an agent in the world: its motion between frames comes from wheels and gyroscopes.
    """
    random = np.random.default_rng([seed, frame_index])
    sigmas = np.array([noise.position_m, noise.position_m, np.deg2rad(noise.heading_deg)])
    covariance = np.diag(sigmas) ** 2 if noise.is_announced else np.zeros((3, 3))
    disturbed = []
    for agent in agents:
        dx, dy = random.normal(0.0, noise.position_m, 2)
        turn_rad = np.deg2rad(random.normal(0.0, noise.heading_deg))
        disturbed.append(
            replace(
                agent,
                T_world_agent=displaced(agent.T_world_agent, [dx, dy, turn_rad]),
                pose_covariance=agent.pose_covariance + covariance,
                T_odom_agent=agent.T_steady_agent,
            )
        )
    return disturbed
