"""What agents told each other in a run that was recorded, beside the frames that it belongs to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cosense import topics
from cosense.data.bag.message_types import BYTES, own_types
from cosense.data.bag.storage import McapFile
from cosense.data.dataset import CooperativeFrame
from cosense.messages.envelope import PayloadKind, decode
from cosense.messages.fields import MessageError

# Messages as they were sent, by kind, of one sender and one time of measurement.
_Sent = dict[PayloadKind, list[bytes]]


def messages_of_frames(
    recording: Path, frames: Sequence[CooperativeFrame], clock_skews_ns: Mapping[str, int]
) -> list[list[bytes]]:
    """Return the messages of each frame, requests last.

    A message belongs to the frame in which its sender has measured what it says. Every scenario of OPV2V
    counts from its start: where a stamp occurs again, messages are taken in the order of sending.

    Args:
        recording: run.mcap.
        frames: those wanted, in the order in which they were played.
        clock_skews_ns: how far the clock of an agent was ahead, for those whose clock was wrong.

    Raises:
        CosenseError: the recording is damaged.
    """
    sent = _read(recording, {name for frame in frames for name in frame.agents})
    found = []
    for frame in frames:
        of_frame: dict[PayloadKind, list[bytes]] = defaultdict(list)
        for name, agent in frame.agents.items():
            kinds = sent.get((name, agent.stamp_ns + clock_skews_ns.get(name, 0)), {})
            for kind, messages in kinds.items():
                of_frame[kind] += [messages.pop(0)] if messages else []
        requests = of_frame.pop(PayloadKind.DEMAND, [])
        found.append([data for messages in of_frame.values() for data in messages] + requests)
    return found


def _read(recording: Path, agents: set[str]) -> dict[tuple[str, int], _Sent]:
    """Return what was sent over the radio, by sender and time of measurement."""
    radio = {*topics.V2X, *(topics.tx_topic(agent, topic) for agent in agents for topic in topics.V2X)}
    types: Any = own_types()
    found: dict[tuple[str, int], _Sent] = defaultdict(lambda: defaultdict(list))
    stored = McapFile(recording, recording).messages(lambda channel: channel.topic in radio)
    for each in sorted((one for one in stored if one.channel.topic in radio), key=lambda one: one.log_ns):
        data = types.deserialize_cdr(each.data, BYTES).data.tobytes()
        try:
            message = decode(data)
        except MessageError:
            # From somebody who speaks something else, or wants to break it.
            continue
        found[message.sender, message.stamp_ns][message.kind].append(data)
    return found
