"""What a radio does to messages between two agents: rate, queue, delay, jitter, range and loss.

A link goes from one sender to one receiver, and a broadcast takes as many links as there are receivers. Four
numbers are drawn for each message from a stream of the link's own: what one link does depends on no other,
and what is lost at 10 % is so at 50 % too, whatever else is set. Messages never overtake each other: a sender
transmits one after the other, and a radio's MAC hands them up in that order, so jitter only holds them up.

No clock and no ROS 2 in here: the caller says what time it is.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import numpy as np

from cosense.config import from_mapping, to_mapping
from cosense.errors import CosenseError, nearest

Lost = Literal["queue is full", "out of range", "position is not known", "burst", "loss"]
_ENDS = ("from", "to")


@dataclass(frozen=True)
class Burst:
    """Losses in bursts after Gilbert and Elliott: a link is good or bad and changes from message to message.

    It begins good. On average it is bad for 1 / p_bad_good messages in a row, and for the fraction
    p_good_bad / (p_good_bad + p_bad_good) of all.

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


@dataclass(frozen=True)
class LinkSettings:
    """What one link is like.

    Attributes:
        delay_ms: from the end of the transmission to the receiver.
        jitter_ms: up to so much is added to the delay, uniformly distributed.
        loss: fraction of the messages that get lost one by one.
        burst: what else gets lost, in bursts; None for nothing.
        rate_bytes_per_s: of the transmission, None for no limit. A message that gets lost takes its time too.
        max_queue_ms: a message that would wait longer for its transmission is dropped.
        range_m: from here on nothing is heard, None for no limit.
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
        """Return the settings by the clock on the wall when a recording is played `rate` times as fast."""
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
    """The section `link` of a scenario: what all links are like, and which ones are different.

    Attributes:
        seed: of everything that is drawn.
        links: each with `from` and `to`, of which one may be left out for everybody, and with what is
            different from the settings above; where two speak of the same link the later one wins.
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
                        f"link: links[{index}]: {end}: {name!r} is no agent, {nearest(str(name), agents)}"
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
        at_ns: when it is there, None if it gets lost.
        lost: why.
    """

    at_ns: int | None
    lost: Lost | None = None


class Link:
    """The way from one agent to another.

    Attributes:
        settings: may be set at any time and hold from the next message on.
    """

    def __init__(self, sender: str, receiver: str, settings: LinkSettings, seed: int = 0) -> None:
        self.settings = settings
        names = [zlib.crc32(name.encode()) for name in (sender, receiver)]
        self._random = np.random.default_rng([seed, *names])
        self._is_bad = False
        # When the last transmission ends, and when the last message that is not lost is there.
        self._free_ns = self._last_ns = 0

    def offer(self, n_bytes: int, now_ns: int, distance_m: float | None = None) -> Delivery:
        """Take one message.

        Args:
            n_bytes: its length.
            now_ns: of a clock that never goes back.
            distance_m: between the two agents, None where it is not known.
        """
        settings = self.settings
        # Always as many numbers, so that those of a message depend on nothing but its number.
        for_loss, for_change, for_burst, for_jitter = self._random.random(4)
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
            self._is_bad = False
            return False
        if for_change < (burst.p_bad_good if self._is_bad else burst.p_good_bad):
            self._is_bad = not self._is_bad
        return bool(for_burst < (burst.loss_bad if self._is_bad else burst.loss_good))


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}, expected 0 to 1")
