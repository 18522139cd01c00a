"""The parameters of the fusion: how long it waits and for whom, what it accepts and how it merges.

All of them may be set at run time, and hold from the next frame on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter

from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.merge import MergeSettings
from cosense.cooperation.peers import SynchroniserSettings
from cosense.errors import CosenseError
from cosense.nodes.ros import process

# What each means, and the smallest and the largest number that make sense.
_DESCRIPTIONS: dict[type, dict[str, tuple[str, float, float]]] = {
    AdmissionSettings: {
        "max_senders": ("messages of more agents are not used", 1, 1000),
        "max_ahead_ms": ("messages further ahead of the ego are not used", 0, 10_000),
        "max_age_ms": ("late fusion: older messages are not used", 0, 10_000),
        "features_max_age_ms": ("older features are not used", 0, 10_000),
        "features_max_error_m": (
            "features are not used when the poses are less certain than this, 30 m away",
            0,
            10_000,
        ),
        "boxes_max_age_ms": ("older boxes are not used either", 0, 10_000),
        "boxes_max_error_m": (
            "boxes are not used when the poses are less certain than this, 30 m away",
            0,
            10_000,
        ),
    },
    MergeSettings: {
        "iou": ("overlap beyond which two boxes are one object", 0.01, 1),
        "roof_below_sensor_m": (
            "a box around the ego is its own body when its top is at most this far below the sensor",
            0,
            10,
        ),
    },
    SynchroniserSettings: {
        "timeout_ms": ("how long a frame waits for others", 0, 60_000),
        "sync_tolerance_ms": ("a message this near to the ego's stamp is of the same moment", 0, 10_000),
        "misses_until_silent": ("after so many frames without it an agent is not waited for", 1, 1000),
        "max_open": ("frames that may wait at a time", 1, 1000),
    },
}


@dataclass(frozen=True)
class FusionParameters:
    """What the fusion goes by.

    Attributes:
        admission: limits of what messages may do.
        merge: how boxes are merged.
        synchroniser: how long it waits and for whom.
    """

    admission: AdmissionSettings
    merge: MergeSettings
    synchroniser: SynchroniserSettings


def declare_fusion(node: Node) -> FusionParameters:
    """Declare all of them and return what they are set to.

    Raises:
        CosenseError: they do not fit together.
    """
    process.declare(
        node,
        "no_sensor_after_ms",
        1000.0,
        "the mode is NO_SENSOR when the ego has not measured for so long",
        low=1,
        high=60_000,
        is_settable=True,
    )
    for kind, prefix in _kinds():
        default = kind()
        for name, (description, low, high) in _DESCRIPTIONS[kind].items():
            process.declare(
                node, prefix + name, getattr(default, name), description, low=low, high=high, is_settable=True
            )
    return read_fusion(node, ())


def read_fusion(node: Node, changes: Iterable[Parameter]) -> FusionParameters:
    """Return what the parameters are with these changes.

    Raises:
        CosenseError: a value that is not allowed.
    """
    changed = {parameter.name: parameter.value for parameter in changes}

    def value(name: str) -> Any:
        return changed[name] if name in changed else node.get_parameter(name).value

    try:
        return FusionParameters(
            *(
                kind(**{field.name: value(prefix + field.name) for field in fields(kind)})
                for kind, prefix in _kinds()
            )
        )
    except ValueError as error:
        raise CosenseError(f"node '{node.get_name()}': {error}") from None


def _kinds() -> tuple[tuple[type, str], ...]:
    return (AdmissionSettings, "admission."), (MergeSettings, "merge."), (SynchroniserSettings, "")
