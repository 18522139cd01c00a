"""The presets of quality of service, in one place."""

from __future__ import annotations

from rclpy.qos import QoSDurabilityPolicy, QoSHistoryPolicy, QoSProfile, QoSReliabilityPolicy


def _preset(reliability: QoSReliabilityPolicy, depth: int) -> QoSProfile:
    return QoSProfile(
        history=QoSHistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=reliability,
        durability=QoSDurabilityPolicy.VOLATILE,
    )


# What drivers of sensors use: the newest measurement counts, a lost one is not sent again.
SENSOR = _preset(QoSReliabilityPolicy.BEST_EFFORT, 5)
# In replay nothing may be lost: the depth covers the frames that are on their way when a reader stalls.
REPLAY = _preset(QoSReliabilityPolicy.RELIABLE, 16)
# Messages between agents: small, and each one may matter.
V2X = _preset(QoSReliabilityPolicy.RELIABLE, 64)
# What the stack reports: boxes, markers, diagnostics.
RESULT = _preset(QoSReliabilityPolicy.RELIABLE, 16)
