"""The radio between the agents: what each of them sends reaches each other one late, or not at all.

    /v2x/tx/<agent>/messages, requests  UInt8MultiArray, what it sends
    /v2x/rx/<agent>/messages, requests  UInt8MultiArray, what it receives from the others
    /<agent>/pose                       PoseWithCovarianceStamped, where a link has a range
    /diagnostics                        DiagnosticArray, each link; also how late the channel is itself

A message is a broadcast: each other agent has a link and a fate of its own, see `cosense.cooperation.radio`.
The channel never looks into a message, so what is broken gets through as well. Messages wait in one bounded
queue for a thread that publishes each when it is due. `loss`, `delay_ms` and `rate_bytes_per_s` may be set at
run time for all links. Settings and diagnostics are in the time of the recording, also where it is played
faster or slower.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseWithCovarianceStamped
from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from std_msgs.msg import UInt8MultiArray

from cosense import topics
from cosense.config import from_mapping
from cosense.cooperation.radio import Link, LinkSettings, RadioSettings
from cosense.errors import CosenseError, parse_json
from cosense.nodes.channel_log import ChannelLog, Transit
from cosense.nodes.ros import process, qos
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.nodes.ros.worker import DueMailbox, Worker

_DEPTH = 64
_POSE_DEPTH = 4
# All that is on its way; at 2 kB a message some thirty thousand.
_MOST_WAITING_BYTES = 64 * 2**20
# Settings of all links that may change at run time: their upper limits, and the value that leaves each link
# as the scenario has it.
_SETTABLE = {"loss": 1.0, "delay_ms": 60_000.0, "rate_bytes_per_s": 1e12}
_AS_IT_WAS = -1.0


class ChannelNode(ManagedNode):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("channel")
        self._agents = process.needed(self, "agents", "who takes part, with commas between").split(",")
        radio = process.declare(self, "radio", "{}", "the section `radio` of a scenario as JSON")
        self._radio = _radio(str(radio), self._agents)
        self._player_rate = process.declare(
            self,
            "player_rate",
            1.0,
            "how many times faster than recorded all is played",
            low=0.001,
            high=1000,
        )
        for name, high in _SETTABLE.items():
            text = f"of all links; {_AS_IT_WAS:g}: as in `radio`" + (
                "; 0: no limit" if "rate" in name else ""
            )
            process.declare(self, name, _AS_IT_WAS, text, low=_AS_IT_WAS, high=high, is_settable=True)
        journal = process.declare(
            self, "journal", "", "file that gets one JSON line for each message and receiver; empty for none"
        )
        self._journal_path = Path(journal) if journal else None
        self._links: dict[tuple[str, str], Link] = {}
        self._log: ChannelLog | None = None
        self._worker: Worker[Transit] | None = None
        self.add_on_set_parameters_callback(self._on_parameters)

    def build(self) -> None:
        """Set up the links and announce what will be delivered."""
        pairs = list(itertools.permutations(self._agents, 2))
        self._links = {
            pair: Link(*pair, settings, self._radio.seed)
            for pair, settings in zip(pairs, self._settings(()), strict=True)
        }
        self._numbers = dict.fromkeys(self._agents, 0)
        self._positions: dict[str, tuple[float, float, float]] = {}
        self._heard = {
            (agent, topic): self.publisher(UInt8MultiArray, topics.rx_topic(agent, topic), qos.V2X)
            for agent in self._agents
            for topic in topics.V2X
        }
        self._diagnostics = self.publisher(DiagnosticArray, topics.DIAGNOSTICS, qos.RESULT)
        self._log = ChannelLog(pairs, self._player_rate, self._journal_path)
        self._on_their_way: DueMailbox[Transit] = DueMailbox(_MOST_WAITING_BYTES)
        self._worker = Worker(self, "radio", self._deliver, self._on_their_way)

    def listen(self) -> None:
        """Hear what everybody sends from now on, as a radio keeps nothing; where it matters, also poses."""
        for agent in self._agents:
            for topic in topics.V2X:
                sent, callback = topics.tx_topic(agent, topic), partial(self._on_message, agent, topic)
                self.subscribe(UInt8MultiArray, sent, callback, _DEPTH, from_now_on=True)
            if any(link.settings.range_m is not None for link in self._links.values()):
                here = partial(self._on_pose, agent)
                self.subscribe(PoseWithCovarianceStamped, topics.pose_topic(agent), here, _POSE_DEPTH)
        self.every(1.0, self._report)

    def close(self) -> None:
        """Give up what is still on its way and complete the journal."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
            for transit in self._on_their_way.drain():
                self._log.lose(transit, "the channel ended")
        if self._log is not None:
            self._log.close()
            self._log = None

    def _on_message(self, sender: str, topic: str, message: UInt8MultiArray) -> None:
        offered_ns = time.monotonic_ns()
        number = self._numbers[sender]
        self._numbers[sender] += 1
        for receiver in self._agents:
            if receiver == sender:
                continue
            n_bytes = len(message.data)
            delivery = self._links[sender, receiver].offer(
                n_bytes, offered_ns, self._distance_m(sender, receiver)
            )
            due_ns = offered_ns if delivery.at_ns is None else delivery.at_ns
            transit = Transit(sender, receiver, topic, number, n_bytes, offered_ns, due_ns, message)
            self._log.offer(transit)
            if delivery.lost_reason is not None:
                self._log.lose(transit, delivery.lost_reason)
            elif self._worker.put(transit) is not None:
                self._log.lose(transit, "too much on its way")

    def _deliver(self, transit: Transit) -> None:
        # The journal first: whoever sees what comes of it finds it in the file.
        self._log.deliver(transit, time.monotonic_ns())
        self._heard[transit.receiver, transit.topic].publish(transit.message)

    def _on_pose(self, agent: str, message: PoseWithCovarianceStamped) -> None:
        position = message.pose.pose.position
        self._positions[agent] = (position.x, position.y, position.z)

    def _distance_m(self, sender: str, receiver: str) -> float | None:
        here, there = self._positions.get(sender), self._positions.get(receiver)
        return None if here is None or there is None else math.dist(here, there)

    def _settings(self, changes: Iterable[Parameter]) -> list[LinkSettings]:
        """Return what each link is like by the clock on the wall, when these parameters change.

        Raises:
            CosenseError: a value that is not allowed.
        """
        now = {name: self.get_parameter(name).value for name in _SETTABLE}
        now |= {change.name: change.value for change in changes if change.name in _SETTABLE}
        for_all = {name: value for name, value in now.items() if value != _AS_IT_WAS}
        if for_all.get("rate_bytes_per_s") == 0:
            for_all["rate_bytes_per_s"] = None
        try:
            return [
                dataclasses.replace(self._radio.between(*pair), **for_all).played_at(self._player_rate)
                for pair in itertools.permutations(self._agents, 2)
            ]
        except ValueError as error:
            raise CosenseError(f"node 'channel': {error}") from None

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Change all links, or none."""
        try:
            changed = self._settings(parameters)
        except CosenseError as error:
            return SetParametersResult(successful=False, reason=str(error))
        # None are there before the node is configured.
        for link, settings in zip(self._links.values(), changed, strict=False):
            link.settings = settings
        return SetParametersResult(successful=True)

    def _report(self) -> None:
        statuses = self._log.statuses()
        self._diagnostics.publish(process.diagnostics(statuses, self.get_clock().now().nanoseconds))


def _radio(text: str, agents: list[str]) -> RadioSettings:
    """Read the settings.

    Raises:
        CosenseError: they are not JSON, or a key, a value or an agent is wrong.
    """
    where = "parameter 'radio' of node 'channel'"
    try:
        radio = from_mapping(RadioSettings, parse_json(text), where)
    except ValueError as error:
        raise CosenseError(f"{where} is not JSON: {error}") from None
    radio.check_agents(agents)
    return radio


def main() -> None:
    """Run the node."""
    process.run(ChannelNode, "channel")


if __name__ == "__main__":
    main()
