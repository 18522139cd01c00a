"""The messages of a recorded run stand beside the frame in which their senders have measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosense import topics
from cosense.data.bag.message_types import BYTES
from cosense.data.bag.writer import make
from cosense.messages.envelope import Message, PayloadKind, encode
from cosense.runs.recorded_messages import messages_of_frames
from tests.data.bag.bags import write_mcap
from tests.evaluation.scenes import two_agents

SKEW_NS = 3_000_000


def sent(sender: str, stamp_ns: int, kind: PayloadKind, sequence: int = 0) -> bytes:
    return encode(Message(kind, sender, sequence, stamp_ns, np.eye(4), np.zeros((3, 3)), bytes(8), b""))


def write(path: Path, *messages: tuple[str, bytes]) -> Path:
    """Record messages with their topics, one a nanosecond."""
    rows = [
        (topic, BYTES, make(BYTES, data=np.frombuffer(data, np.uint8)), number)
        for number, (topic, data) in enumerate(messages)
    ]
    return write_mcap(path, rows)


def test_messages_belong_to_the_frame_of_their_measurement_and_requests_come_last(tmp_path: Path) -> None:
    frames = [two_agents(seed) for seed in (1, 2)]
    stamps = [frame.ego.stamp_ns for frame in frames]
    request = sent("ego", stamps[1], PayloadKind.DEMAND)
    graph, features, late = (
        sent("unit", stamp_ns + SKEW_NS, kind)
        for stamp_ns, kind in (
            (stamps[1], PayloadKind.SCENE_GRAPH),
            (stamps[1], PayloadKind.FEATURES),
            (stamps[0], PayloadKind.FEATURES),
        )
    )
    path = write(
        tmp_path / "run.mcap",
        (topics.V2X_REQUESTS, request),
        (topics.V2X_MESSAGES, features),
        (topics.V2X_MESSAGES, b"what nobody understands"),
        (topics.V2X_MESSAGES, graph),
        # It comes after those of the next frame.
        (topics.V2X_MESSAGES, late),
        # What the ego tells its own fusion is not on the radio, what the channel delivers was sent already.
        (topics.own_messages_topic("ego"), sent("ego", stamps[1], PayloadKind.FEATURES)),
        (topics.rx_topic("ego", topics.V2X_MESSAGES), features),
    )
    found = messages_of_frames(path, frames, {"unit": SKEW_NS})
    assert found == [[late], [features, graph, request]]


def test_stamps_that_occur_again_are_told_apart_by_the_order_of_sending(tmp_path: Path) -> None:
    frame = two_agents(1)
    first, second = (sent("unit", frame.ego.stamp_ns, PayloadKind.FEATURES, number) for number in (1, 2))
    topic = topics.tx_topic("unit", topics.V2X_MESSAGES)
    path = write(tmp_path / "run.mcap", (topic, first), (topic, second))
    assert messages_of_frames(path, [frame, frame, frame], {}) == [[first], [second], []]
