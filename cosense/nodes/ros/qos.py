"""The presets of quality of service, in one place.

Publishers are reliable and also keep their last messages for readers that match late (transient local): two
sides of DDS learn of each other one after the other, and what is sent in between would be lost in spite of
reliability. A reader asks no publisher for more than that one offers, else it would receive nothing; what is
too old when it arrives is sorted out by its stamp, as always. `lifecycle.Listener` is such a reader.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

import yaml
from rclpy.duration import Duration
from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy


def _preset(depth: int, *, is_reliable: bool, keeps_last: bool) -> QoSProfile:
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=QoSReliabilityPolicy.RELIABLE if is_reliable else QoSReliabilityPolicy.BEST_EFFORT,
        durability=QoSDurabilityPolicy.TRANSIENT_LOCAL if keeps_last else QoSDurabilityPolicy.VOLATILE,
    )


# Clouds, poses and images that are played: the depth covers the frames on their way when a reader stalls.
REPLAY = _preset(16, is_reliable=True, keeps_last=True)
# Messages between agents: small, and each one may matter.
V2X = _preset(64, is_reliable=True, keeps_last=True)
# What the stack reports: boxes, markers, diagnostics.
RESULT = _preset(16, is_reliable=True, keeps_last=True)


def compatible_with_all(offers: Iterable[QoSProfile], depth: int, *, from_now_on: bool = False) -> QoSProfile:
    """Return what a reader has to ask for to receive from every one of these publishers.

    Args:
        offers: quality of service that each publisher offers.
        depth: length of the reader's queue.
        from_now_on: leave out what was sent before.
    """
    offers = list(offers)
    return _preset(
        depth,
        is_reliable=all(offer.reliability == QoSReliabilityPolicy.RELIABLE for offer in offers),
        keeps_last=not from_now_on
        and all(offer.durability == QoSDurabilityPolicy.TRANSIENT_LOCAL for offer in offers),
    )


def as_rosbag2_writes(offers: Iterable[QoSProfile]) -> str:
    """Return what publishers of a topic offer as YAML, for `ros2 bag play` to offer the same.

    rosbag2 of Humble knows the policies by number only; later ones write and read names.
    """
    is_by_name = os.environ.get("ROS_DISTRO") != "humble"

    def policy(value: IntEnum) -> str | int:
        return value.name.lower() if is_by_name else int(value)

    profiles: list[dict[str, Any]] = [
        {
            "history": policy(offer.history),
            "depth": offer.depth,
            "reliability": policy(offer.reliability),
            "durability": policy(offer.durability),
            "deadline": _time(offer.deadline),
            "lifespan": _time(offer.lifespan),
            "liveliness": policy(offer.liveliness),
            "liveliness_lease_duration": _time(offer.liveliness_lease_duration),
            "avoid_ros_namespace_conventions": offer.avoid_ros_namespace_conventions,
        }
        for offer in offers
    ]
    return yaml.safe_dump(profiles, sort_keys=False)


def _time(duration: Duration) -> dict[str, int]:
    seconds, nanoseconds = divmod(duration.nanoseconds, 1_000_000_000)
    return {"sec": seconds, "nsec": nanoseconds}
