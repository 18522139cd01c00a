"""Poses that are wrong on purpose: how much of the gain of cooperation survives them.

A localisation that is this noisy says so: the covariance of every disturbed pose grows by that of the noise.
It is part of each message, and what the receiver's gate goes by. Noise that is not announced leaves it as it
is: agents that are wrong and do not know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cosense.geometry.transforms import displaced
from cosense.sensing.frame import AgentFrame


@dataclass(frozen=True)
class PoseNoise:
    """Standard deviations of the error of every agent's pose, independent from frame to frame.

    Attributes:
        position_m: of x and of y in the world.
        heading_deg: of the heading.
        is_announced: whether the covariance of each pose knows of it.
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
    """Return the agents with disturbed poses, which know how uncertain they are where that is announced.

    The draw depends on the seed and the frame alone; twice the noise are errors twice as large. What is wrong
    is where an agent is in the world: how it moves from frame to frame it knows from wheels and gyroscopes.
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
