"""The parameters of the fusion: how long it waits and for whom, what it accepts and how it merges."""

from __future__ import annotations

from dataclasses import fields

from rclpy.node import Node

from cosense.fusion.gate import GateSettings
from cosense.fusion.receiver import FusionSettings
from cosense.nodes import process
from cosense.nodes.collector import CollectorSettings

_GATE_DESCRIPTIONS = {
    "features_max_age_ms": "older features are not used",
    "features_max_error_m": "features are not used when the poses are less certain than this, 30 m away",
    "boxes_max_age_ms": "older boxes are not used either",
    "boxes_max_error_m": "boxes are not used when the poses are less certain than this, 30 m away",
    "max_ahead_ms": "messages further ahead of the ego are not used",
}


def declare_settings(node: Node) -> FusionSettings:
    """Declare what the fusion accepts and how it merges."""
    default = FusionSettings()

    def milliseconds(name: str, description: str) -> float:
        return float(process.declare(node, name, getattr(default, name), description, low=0, high=10_000))

    return FusionSettings(
        max_age_ms=milliseconds("max_age_ms", "late: older messages are not used"),
        max_ahead_ms=milliseconds("max_ahead_ms", "late: messages further ahead of the ego are not used"),
        nms_iou=process.declare(
            node, "nms_iou", default.nms_iou, "overlap that is one object", low=0, high=1
        ),
        max_senders=process.declare(
            node, "max_senders", default.max_senders, "more agents are not used", low=1, high=1000
        ),
    )


def declare_gate(node: Node) -> GateSettings:
    """Declare what a message of features may do."""
    default = GateSettings()
    values = {
        field.name: process.declare(
            node,
            f"gate.{field.name}",
            getattr(default, field.name),
            _GATE_DESCRIPTIONS[field.name],
            low=0,
            high=10_000,
        )
        for field in fields(GateSettings)
    }
    return GateSettings(**values)


def declare_collector(node: Node) -> CollectorSettings:
    """Declare how long to wait and for whom."""
    default = CollectorSettings()
    return CollectorSettings(
        timeout_ms=process.declare(
            node, "timeout_ms", default.timeout_ms, "how long a frame waits for others", low=0, high=60_000
        ),
        sync_tolerance_ms=process.declare(
            node,
            "sync_tolerance_ms",
            default.sync_tolerance_ms,
            "a message this near to the ego's stamp is of the same moment",
            low=0,
            high=10_000,
        ),
        misses_until_silent=process.declare(
            node,
            "misses_until_silent",
            default.misses_until_silent,
            "after so many frames without it an agent is not waited for",
            low=1,
            high=1000,
        ),
        max_open=process.declare(
            node, "max_open", default.max_open, "frames that may wait at a time", low=1, high=1000
        ),
    )
