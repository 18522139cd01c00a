"""One setting of a sweep: who works together how, and what disturbs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cosense.cooperation.kinds import FusionKind
from cosense.cooperation.radio import Burst, RadioSettings
from cosense.evaluation.attacks import AttackName
from cosense.evaluation.runs.pose_noise import PoseErrorName, PoseNoise

# What the ego does about lies: nothing; what its own eyes say frame by frame; that and what it adds up to
# over time, as it does live; or what others have published.
Defence = Literal["none", "own_eyes", "full", "robosac", "majority"]
DEFENCES: tuple[Defence, ...] = get_args(Defence)
# A message that would wait longer for its transmission is dropped: the next one says more.
MAX_QUEUE_MS = 200.0


@dataclass(frozen=True)
class Point:
    """One setting.

    Attributes:
        model: name of the detector that all agents run.
        fusion: how they work together.
        selection: rule by which cells are chosen; None for that of the model's method.
        budget_bytes: limit of what an agent sends in a frame, None for those of the formats.
        pose_noise: standard deviation of every pose, metres in x and y and as many degrees.
        delay_ms: time that every message takes.
        loss: fraction of the messages that get lost.
        agents: number of agents, the ego and the others next to it; None for all.
        registration: how poses are corrected, see `Cooperation`.
        is_announced: whether the covariances of the poses include the noise.
        rate_bytes_per_s: speed of each link, None for no limit.
        burst: messages that get lost in a row on average, None where they get lost one by one.
        range_m: distance from which on nothing is received, None for no limit.
        pose_error: error of the poses with a name, None for what `pose_noise` says.
        attack: how the others lie who do, None where nobody does.
        attackers: how many of the others lie, those nearest to the ego.
        defence: what the ego does about lies.
    """

    model: str
    fusion: FusionKind
    selection: str | None = None
    budget_bytes: int | None = None
    pose_noise: float = 0.0
    delay_ms: float = 0.0
    loss: float = 0.0
    agents: int | None = None
    registration: str = "none"
    is_announced: bool = True
    rate_bytes_per_s: int | None = None
    burst: float | None = None
    range_m: float | None = None
    pose_error: PoseErrorName | None = None
    attack: AttackName | None = None
    attackers: int = 0
    defence: Defence = "full"

    @property
    def noise(self) -> PoseNoise:
        if self.pose_error is not None:
            return PoseNoise.named(self.pose_error)
        return PoseNoise(self.pose_noise, self.pose_noise, self.is_announced)

    @property
    def total_delay_ms(self) -> float:
        """Time that every message takes, with that of the pose error."""
        return self.delay_ms + self.noise.delay_ms

    def radio(self, seed: int) -> RadioSettings:
        """Return what all links are like."""
        return RadioSettings(
            delay_ms=self.total_delay_ms,
            loss=self.loss if self.burst is None else 0.0,
            burst=None if self.burst is None else Burst.of_length(self.burst, self.loss),
            rate_bytes_per_s=self.rate_bytes_per_s,
            max_queue_ms=MAX_QUEUE_MS,
            range_m=self.range_m,
            seed=seed,
        )
