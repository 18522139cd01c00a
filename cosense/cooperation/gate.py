"""How much a message may do: its features, only its boxes, or nothing; and how sure its boxes are by now.

Three things reduce what a message is worth: age, an uncertain pose, and another model. Published feature
fusion falls below the ego alone at 0.2 m of pose error or 100 ms of delay (CoSDH, CVPR 2025, its experiments
on noise and delay); so features are used only within the limits that training has seen. Boxes are then still
worth something, each as much as it is likely to lie where it says (`cosense.sensing.places`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosense.cooperation.kinds import FEATURE_KINDS, USED_KINDS, FusionKind
from cosense.messages.envelope import Message, PayloadKind
from cosense.sensing.places import place_errors_m

Use = Literal["features", "boxes", "nothing"]

# Half the range of the grid: where a heading error moves things by as much as they usually are moved.
_LEVER_M = 30.0


@dataclass(frozen=True)
class AdmissionSettings:
    """Limits of what messages may do; a message beyond them is refused, or does less, with the reason.

    Attributes:
        max_senders: messages of more senders than this are not used.
        max_ahead_ms: a message measured longer than this after the ego's cloud is not used.
        max_age_ms: boxes and points that nothing can move on to the ego's time (late and early fusion) are
            not used when they are older. Unsynchronised 10 Hz sensors differ by up to 100 ms when the newest
            message is always used; 150 leaves room for jitter, and a car at 15 m/s has moved by 2 m, less
            than its own length.
        features_max_age_ms: older features are not used.
        features_max_error_m: features are not used either when the poses leave their place this uncertain, as
            a standard deviation 30 m from the sender.
        boxes_max_age_ms: older boxes with velocities are not used.
        boxes_max_error_m: boxes and points are not used when the poses leave their place this uncertain.
    """

    max_senders: int = 16
    max_ahead_ms: float = 100.0
    max_age_ms: float = 150.0
    features_max_age_ms: float = 150.0
    features_max_error_m: float = 0.2
    boxes_max_age_ms: float = 1000.0
    boxes_max_error_m: float = 3.0

    def __post_init__(self) -> None:
        if not self.max_senders >= 1:
            raise ValueError(f"max_senders is {self.max_senders}, expected at least 1")
        for name, value in vars(self).items():
            if not value >= 0:
                raise ValueError(f"{name} is {value}, expected at least 0")

    def window(self, fusion: FusionKind) -> Window:
        """Return which messages a kind of fusion may use at all."""
        max_age_ms = self.boxes_max_age_ms if fusion in FEATURE_KINDS else self.max_age_ms
        return Window(max_age_ms, self.max_ahead_ms, self.max_senders, USED_KINDS[fusion])


@dataclass(frozen=True)
class Window:
    """Which messages are worth keeping until the ego has measured.

    Attributes:
        max_age_ms: older messages are not used.
        max_ahead_ms: messages further ahead of the ego are not used.
        max_senders: messages of more senders are not used.
        kinds: kinds of message that are fused.
    """

    max_age_ms: float
    max_ahead_ms: float
    max_senders: int
    kinds: tuple[PayloadKind, ...]


def refusal(
    message: Message,
    age_ms: float,
    ego_covariance: NDArray[np.float64],
    max_age_ms: float,
    settings: AdmissionSettings,
) -> str:
    """Return why a message may do nothing at all, "" where it may do something.

    Args:
        message: what another agent has sent, with the pose that is believed of it.
        age_ms: how long before the ego's cloud it was measured.
        ego_covariance: (3,3) covariance of the ego's own pose.
        max_age_ms: age beyond which it is refused.
        settings: the other limits.
    """
    if -age_ms > settings.max_ahead_ms:
        return f"{-age_ms:.0f} ms ahead, the limit is {settings.max_ahead_ms:.0f}"
    if age_ms > max_age_ms:
        return f"{age_ms:.0f} ms old, the limit is {max_age_ms:.0f}"
    error_m = _error_m(message, ego_covariance)
    if error_m > settings.boxes_max_error_m:
        return f"poses are uncertain by {error_m:.2f} m, the limit is {settings.boxes_max_error_m:g}"
    return ""


def features_refusal(
    message: Message, age_ms: float, ego_covariance: NDArray[np.float64], settings: AdmissionSettings
) -> str:
    """Return why the features of a message that may do something are too old or too uncertain, "" if not."""
    if age_ms > settings.features_max_age_ms:
        return f"features are {age_ms:.0f} ms old, the limit is {settings.features_max_age_ms:.0f}"
    error_m = _error_m(message, ego_covariance)
    if error_m > settings.features_max_error_m:
        return (
            f"poses are uncertain by {error_m:.2f} m, the limit for features is "
            f"{settings.features_max_error_m:g}"
        )
    return ""


def judge(
    message: Message,
    age_ms: float,
    ego_covariance: NDArray[np.float64],
    fingerprint: bytes,
    settings: AdmissionSettings,
) -> tuple[Use, str]:
    """Return what a message may be used for where features are fused, and why not for more.

    Args:
        message: what another agent has sent, with the pose that is believed of it.
        age_ms: how long before the ego's cloud it was measured.
        ego_covariance: (3,3) covariance of the ego's own pose.
        fingerprint: the ego's model.
        settings: limits.
    """
    reason = refusal(message, age_ms, ego_covariance, settings.boxes_max_age_ms, settings)
    if reason:
        return "nothing", reason
    if message.fingerprint != fingerprint:
        return "boxes", f"features are of model {message.fingerprint.hex()}, this is {fingerprint.hex()}"
    reason = features_refusal(message, age_ms, ego_covariance, settings)
    return ("boxes", reason) if reason else ("features", "")


def _error_m(message: Message, ego_covariance: NDArray[np.float64]) -> float:
    return float(place_errors_m(message.pose_covariance, ego_covariance, np.array([_LEVER_M]), 0.0)[0])
