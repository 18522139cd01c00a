"""The two processes of the DDS check: `ask` sends messages, `answer` says when each has arrived.

Both clocks are the machine's own, so the delay is that of one way. Neither lives longer than its PATIENCE_S.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.node import Node
from std_msgs.msg import UInt8MultiArray, UInt64MultiArray

from cosense.nodes.ros import qos
from cosense.nodes.ros.conversions import bytes_to_message, message_to_bytes
from cosense.runs.shared_memory import remove_unfinished_ports

_QUESTION, _ANSWER = "/cosense_doctor/question", "/cosense_doctor/answer"
_SIZES_BYTES = (2_000, 1_000_000)
_REPEATS = 5
_NUMBER_BYTES = 8


class Asking(Node):
    """Sends one message after the other and waits for its answer."""

    def __init__(self) -> None:
        self._begin_s = time.monotonic()
        super().__init__("doctor_ask")
        self._answers: dict[int, int] = {}
        self._publisher = self.create_publisher(UInt8MultiArray, _QUESTION, qos.V2X)
        self.create_subscription(UInt64MultiArray, _ANSWER, self._on_answer, qos.V2X)

    def _on_answer(self, message: UInt64MultiArray) -> None:
        number, arrived_ns = message.data
        self._answers[number] = arrived_ns

    def ask(self, end_s: float) -> dict[str, Any]:
        """Return what became of all messages, until `end_s` of the monotonic clock."""
        has_found = self._spin_until(self._is_complete, end_s)
        discovery_s = time.monotonic() - self._begin_s
        if not has_found:
            return {"discovery_s": None, "sent": []}
        sent = [self._send(index * _REPEATS, size, end_s) for index, size in enumerate(_SIZES_BYTES)]
        return {"discovery_s": discovery_s, "sent": sent}

    def _is_complete(self) -> bool:
        return bool(self._publisher.get_subscription_count() and self.count_publishers(_ANSWER))

    def _send(self, first: int, size_bytes: int, end_s: float) -> dict[str, Any]:
        delays_ms = []
        for number in range(first, first + _REPEATS):
            text = number.to_bytes(_NUMBER_BYTES, "little")
            message = bytes_to_message(text + bytes(size_bytes - _NUMBER_BYTES))
            sent_ns = time.monotonic_ns()
            self._publisher.publish(message)
            if self._spin_until(lambda number=number: number in self._answers, end_s):
                delays_ms.append((self._answers[number] - sent_ns) / 1e6)
        return {"size_bytes": size_bytes, "sent": _REPEATS, "delays_ms": delays_ms}

    def _spin_until(self, is_done: Callable[[], bool], end_s: float) -> bool:
        while not is_done():
            if time.monotonic() > end_s:
                return False
            rclpy.spin_once(self, timeout_sec=0.01)
        return True


class Answering(Node):
    """Says when each message has arrived."""

    def __init__(self) -> None:
        super().__init__("doctor_answer")
        self._publisher = self.create_publisher(UInt64MultiArray, _ANSWER, qos.V2X)
        self.create_subscription(UInt8MultiArray, _QUESTION, self._on_question, qos.V2X)

    def _on_question(self, message: UInt8MultiArray) -> None:
        arrived_ns = time.monotonic_ns()
        number = int.from_bytes(message_to_bytes(message)[:_NUMBER_BYTES], "little")
        self._publisher.publish(UInt64MultiArray(data=[number, arrived_ns]))


def main() -> None:
    """Run one of the two: `dds_probe PATIENCE_S ask|answer`."""
    end_s = time.monotonic() + float(sys.argv[1])
    remove_unfinished_ports()
    rclpy.init()
    try:
        if sys.argv[2] == "ask":
            print(json.dumps(Asking().ask(end_s)), flush=True)
        else:
            node = Answering()
            while rclpy.ok() and time.monotonic() < end_s:
                rclpy.spin_once(node, timeout_sec=0.1)
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
