"""Poses that are wrong on purpose, to measure how much of the gain of cooperation survives them.

Noise of one's own choice, or an error by its name:

    literature        noise as most papers have it: 0.2 m, 0.2 degrees, anew in each frame, and messages that
                      take 100 ms (Xu et al., "V2X-ViT", ECCV 2022)
    dair              as measured on DAIR-V2X: the others are off by a bias of the sequence and a slow walk
                      about it, see `cosense.sensing.measured_errors`, and nobody knows; where the data have
                      all clouds at the same instant, those of the others are up to 30 ms earlier or later
    dair_corrected    the same with what is left after the correction that the data set brings

A localisation that is this noisy says so: the covariance of every disturbed pose grows by that of the noise.
The covariance is part of each message, and the receiver's gate goes by it. Noise that is not announced leaves
the covariance as it is: the agents are wrong and do not know it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError, nearest
from cosense.evaluation.runs.sequences import goes_on
from cosense.geometry.transforms import displaced
from cosense.sensing.frame import AgentFrame
from cosense.sensing.measured_errors import (
    LEFT_AFTER_CORRECTION,
    STEP_NS,
    PositionErrors,
    cloud_delay_ns,
)

PoseErrorName = Literal["literature", "dair", "dair_corrected"]
POSE_ERRORS: tuple[PoseErrorName, ...] = get_args(PoseErrorName)
# After so many steps a walk is anywhere, however many more there are.
_LONGEST_STEPS = 36_000


@dataclass(frozen=True)
class PoseNoise:
    """Errors of every agent's pose, independent from frame to frame.

    Attributes:
        position_m: standard deviation of x and of y in the world.
        heading_deg: standard deviation of the heading.
        is_announced: whether the covariance of each pose includes the noise.
        preset: name of an error with a name, which decides about all of this; None for noise of one's own.
    """

    position_m: float = 0.0
    heading_deg: float = 0.0
    is_announced: bool = True
    preset: PoseErrorName | None = None

    def __post_init__(self) -> None:
        if not (0 <= self.position_m < np.inf and 0 <= self.heading_deg < np.inf):
            raise ValueError(
                f"pose noise {self.position_m} m, {self.heading_deg} deg: expected finite numbers, at least 0"
            )

    @classmethod
    def named(cls, name: str | None) -> PoseNoise:
        """Return the error with a name, none for None.

        Raises:
            CosenseError: there is no such error.
        """
        if name is None:
            return cls()
        if name not in POSE_ERRORS:
            raise CosenseError(f"unknown pose error '{name}', {nearest(name, POSE_ERRORS)}")
        if name == "literature":
            return cls(0.2, 0.2, preset=name)
        return cls(is_announced=False, preset=name)

    @property
    def delay_ms(self) -> float:
        """Time that every message takes."""
        return 100.0 if self.preset == "literature" else 0.0


class BelievedPoses:
    """Where the agents of a run believe to be; ask for the frames of a sequence in their order.

    What is drawn depends on the seed, the sequence, the agent and the time in the sequence alone.
    """

    def __init__(self, noise: PoseNoise, seed: int) -> None:
        self._noise = noise
        self._seed = seed
        self._previous: CooperativeFrame | None = None
        self._start_ns = 0
        self._errors: dict[str, PositionErrors] = {}
        self._steps: dict[str, int] = {}

    def of(self, frame: CooperativeFrame, number: int) -> list[AgentFrame]:
        """Return the agents of a frame, the ego first, with the poses and stamps that they believe in.

        Args:
            frame: the frame.
            number: what noise that is anew in each frame is drawn by.
        """
        agents = [frame.ego, *frame.others]
        if self._noise == PoseNoise():
            return agents
        if self._noise.preset in (None, "literature"):
            return with_pose_noise(agents, self._noise, self._seed, number)
        if not goes_on(self._previous, frame):
            self._start_ns = frame.ego.stamp_ns
            self._errors, self._steps = {}, {}
        self._previous = frame
        return [frame.ego, *(self._as_measured(agent, frame) for agent in frame.others)]

    def _as_measured(self, agent: AgentFrame, frame: CooperativeFrame) -> AgentFrame:
        name = agent.agent_id
        keys = [self._seed, *(zlib.crc32(word.encode()) for word in (frame.sequence, name))]
        steps = min(round((frame.ego.stamp_ns - self._start_ns) / STEP_NS), _LONGEST_STEPS)
        if name not in self._errors:
            self._errors[name], self._steps[name] = PositionErrors(np.random.default_rng(keys)), 0
        while self._steps[name] < steps:
            self._errors[name].step()
            self._steps[name] += 1
        left = LEFT_AFTER_CORRECTION if self._noise.preset == "dair_corrected" else 1.0
        dx, dy = left * self._errors[name].error_m
        stamp_ns = agent.stamp_ns
        if stamp_ns == frame.ego.stamp_ns:
            stamp_ns += cloud_delay_ns(np.random.default_rng([*keys, steps]))
        return replace(
            agent,
            stamp_ns=max(stamp_ns, 0),
            T_world_agent=displaced(agent.T_world_agent, [dx, dy, 0.0]),
            T_odom_agent=agent.T_steady_agent,
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
