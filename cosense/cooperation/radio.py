"""What a radio does to messages between agents: rate, queue, delay, jitter, range and loss.

Live runs and offline sweeps use the same links. A link leads from one sender to one receiver, and a broadcast
takes as many links as there are receivers. Four numbers are drawn for each message, which depend on the seed,
the link and the number of the message or its frame alone: what is lost at 10 % is also lost at 50 %, whatever
else is set. Messages never overtake each other: a sender transmits one after the other, and the medium access
control of a radio hands them up in that order, so jitter only delays them.

No clock and no ROS 2 in here: the caller says what time it is.

Bursts follow E. N. Gilbert, "Capacity of a burst-noise channel" (Bell System Technical Journal, 1960) and
E. O. Elliott, "Estimates of error rates for codes on burst-noise channels" (same journal, 1963).
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from cosense.config import from_mapping, to_mapping
from cosense.errors import CosenseError, nearest

LostReason = Literal["queue is full", "out of range", "position is not known", "burst", "loss"]
# What is sent in one frame: an agent's message (features, boxes or points), its scene graph, or a request.
MessageRole = Literal["message", "request", "graph"]
_ROLE_NUMBERS: dict[MessageRole, int] = {"message": 0, "request": 1, "graph": 2}
# For the loss, the change between good and bad, the loss in a burst and the jitter of one message.
Chances = tuple[float, float, float, float]
_ENDS = ("from", "to")


@dataclass(frozen=True)
class Burst:
    """Losses in bursts after Gilbert and Elliott: a link is good or bad and changes from message to message.

    On average it is bad for 1 / p_bad_good messages in a row, and for the fraction
    p_good_bad / (p_good_bad + p_bad_good) of all; its first message finds it bad with that probability.

    Attributes:
        p_good_bad: probability that a good link is bad with the next message.
        p_bad_good: probability that a bad link is good with the next message.
        loss_good: fraction that a good link loses.
        loss_bad: fraction that a bad link loses.
    """

    p_good_bad: float
    p_bad_good: float
    loss_good: float = 0.0
    loss_bad: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_fraction(field.name, getattr(self, field.name))

    @classmethod
    def of_length(cls, messages: float, loss: float) -> Burst:
        """Return bursts that take a fraction `loss` (below 1) of all, `messages` in a row on average.

        Raises:
            ValueError: bursts that are too short to take as much.
        """
        return cls(p_good_bad=loss / (1 - loss) / messages, p_bad_good=1 / messages)


@dataclass(frozen=True)
class LinkSettings:
    """What one link is like.

    Attributes:
        delay_ms: time between the end of the transmission and the arrival.
        jitter_ms: largest addition to the delay; additions are uniformly distributed.
        loss: fraction of the messages that get lost one by one.
        burst: further losses that come in bursts; None for none.
        rate_bytes_per_s: speed of the transmission, None for no limit. A message that gets lost takes its
            time too.
        max_queue_ms: longest wait for the transmission; a message that would wait longer is dropped.
        range_m: distance from which on nothing is received, None for no limit.
    """

    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    loss: float = 0.0
    burst: Burst | None = None
    rate_bytes_per_s: float | None = None
    max_queue_ms: float = 1000.0
    range_m: float | None = None

    def __post_init__(self) -> None:
        _check_fraction("loss", self.loss)
        for name in ("delay_ms", "jitter_ms", "max_queue_ms"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}, expected at least 0")
        for name in ("rate_bytes_per_s", "range_m"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value}, expected more than 0; leave it out for no limit")

    def played_at(self, rate: float) -> LinkSettings:
        """Return the settings in wall-clock time when a recording is played `rate` times as fast."""
        limit = self.rate_bytes_per_s
        return replace(
            self,
            delay_ms=self.delay_ms / rate,
            jitter_ms=self.jitter_ms / rate,
            max_queue_ms=self.max_queue_ms / rate,
            rate_bytes_per_s=None if limit is None else limit * rate,
        )


@dataclass(frozen=True)
class RadioSettings(LinkSettings):
    """The section `radio` of a scenario: what all links are like, and which ones are different.

    Attributes:
        seed: seed for everything that is drawn.
        links: links that differ. Each has `from` and `to`, of which one may be left out for everybody, and
            the settings in which it differs; where two describe the same link the later one wins.
    """

    seed: int = 0
    links: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}, expected at least 0")
        for index, link in enumerate(self.links):
            known = [*_ENDS, *(field.name for field in fields(LinkSettings))]
            for key in link:
                if key not in known:
                    raise ValueError(f"links[{index}]: unknown key '{key}', {nearest(key, known)}")
            try:
                self._with([link], f"links[{index}]")
            except CosenseError as error:
                raise ValueError(str(error)) from None

    def check_agents(self, agents: Collection[str]) -> None:
        """Raise CosenseError where a link is between agents that do not take part."""
        for index, link in enumerate(self.links):
            for end in _ENDS:
                name = link.get(end)
                if name is not None and name not in agents:
                    raise CosenseError(
                        f"radio: links[{index}]: {end}: {name!r} is no agent, {nearest(str(name), agents)}"
                    )

    def between(self, sender: str, receiver: str) -> LinkSettings:
        """Return what the link from one agent to another is like."""
        ends = dict(zip(_ENDS, (sender, receiver), strict=True))
        links = [link for link in self.links if all(link.get(end, ends[end]) == ends[end] for end in _ENDS)]
        return self._with(links, "links")

    def _with(self, links: Collection[dict[str, Any]], where: str) -> LinkSettings:
        here = to_mapping(self)
        values = {field.name: here[field.name] for field in fields(LinkSettings)}
        for link in links:
            values |= {key: value for key, value in link.items() if key not in _ENDS}
        return from_mapping(LinkSettings, values, where)


@dataclass(frozen=True)
class Delivery:
    """What becomes of a message.

    Attributes:
        at_ns: time of arrival, None if it gets lost.
        lost_reason: why it gets lost, None if it does not.
    """

    at_ns: int | None
    lost_reason: LostReason | None = None


class Link:
    """The way from one agent to another.

    Attributes:
        settings: what the link is like; may be changed at any time and holds from the next message on.
    """

    def __init__(self, sender: str, receiver: str, settings: LinkSettings, seed: int = 0) -> None:
        self.settings = settings
        self._random = np.random.default_rng([seed, _number(sender), _number(receiver)])
        self._is_bad: bool | None = None
        # The end of the last transmission, and the arrival of the last message that is not lost.
        self._free_ns = self._last_ns = 0

    def offer(
        self, n_bytes: int, now_ns: int, distance_m: float | None = None, chances: Chances | None = None
    ) -> Delivery:
        """Take one message.

        Args:
            n_bytes: length of the message.
            now_ns: time at which it is sent, on a clock that never goes back.
            distance_m: distance between the two agents, None where it is not known.
            chances: four uniform numbers in [0, 1) that decide its fate; None for the next four of the
                link's own sequence.
        """
        settings = self.settings
        # Always as many numbers, so that those of a message depend on nothing but its number.
        for_loss, for_change, for_burst, for_jitter = self._random.random(4) if chances is None else chances
        in_burst = self._loses_in_burst(for_change, for_burst)
        begin_ns = max(now_ns, self._free_ns)
        if begin_ns - now_ns > settings.max_queue_ms * 1e6:
            return Delivery(None, "queue is full")
        limit = settings.rate_bytes_per_s
        self._free_ns = begin_ns + (0 if limit is None else round(n_bytes / limit * 1e9))
        if settings.range_m is not None:
            if distance_m is None:
                return Delivery(None, "position is not known")
            if distance_m >= settings.range_m:
                return Delivery(None, "out of range")
        if in_burst:
            return Delivery(None, "burst")
        if for_loss < settings.loss:
            return Delivery(None, "loss")
        delay_ns = round((settings.delay_ms + settings.jitter_ms * for_jitter) * 1e6)
        self._last_ns = max(self._free_ns + delay_ns, self._last_ns)
        return Delivery(self._last_ns)

    def _loses_in_burst(self, for_change: float, for_burst: float) -> bool:
        burst = self.settings.burst
        if burst is None:
            self._is_bad = None
            return False
        changes = burst.p_good_bad + burst.p_bad_good
        if self._is_bad is None:
            self._is_bad = for_change * changes < burst.p_good_bad
        elif for_change < (burst.p_bad_good if self._is_bad else burst.p_good_bad):
            self._is_bad = not self._is_bad
        return bool(for_burst < (burst.loss_bad if self._is_bad else burst.loss_good))


class Radio:
    """All links between the agents of one sequence of frames, whose fates can be compared frame by frame.

    Numbers are drawn for each frame, collaborator and role of a message, where a collaborator is whoever is
    not the ego: the same message is lost in every run, however many messages there are besides.
    """

    def __init__(self, settings: RadioSettings) -> None:
        self._settings = settings
        self._links: dict[tuple[str, str], Link] = {}

    def transmit(
        self,
        sender: str,
        receiver: str,
        role: MessageRole,
        n_bytes: int,
        now_ns: int,
        *,
        frame_index: int,
        distance_m: float | None = None,
    ) -> Delivery:
        """Send one message over the link between two agents, of which one is the ego.

        Args:
            sender: id of the agent that sends it.
            receiver: id of the agent that it is for.
            role: what it is among the messages of its frame; each role occurs once a frame and link.
            n_bytes: length of the message.
            now_ns: time at which it is sent, never before that of an earlier message.
            frame_index: number of the frame in which it is sent.
            distance_m: distance between the two agents, None where it is not known.
        """
        ends = sender, receiver
        if ends not in self._links:
            self._links[ends] = Link(*ends, self._settings.between(*ends))
        collaborator = receiver if role == "request" else sender
        chances = _chances(self._settings.seed, frame_index, collaborator, role)
        return self._links[ends].offer(n_bytes, now_ns, distance_m, chances)


@lru_cache(maxsize=1024)
def _chances(seed: int, frame_index: int, collaborator: str, role: MessageRole) -> Chances:
    random = np.random.default_rng([seed, frame_index, _number(collaborator), _ROLE_NUMBERS[role]])
    for_loss, for_change, for_burst, for_jitter = random.random(4).tolist()
    return for_loss, for_change, for_burst, for_jitter


def _number(name: str) -> int:
    return zlib.crc32(name.encode())


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}, expected 0 to 1")
