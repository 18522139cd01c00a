"""The kinds of fusion: what agents send each other, and what the ego makes of it.

    none          nobody sends anything, the ego is alone
    late          boxes
    early         points
    intermediate  features; the ego says what it cannot see
    hybrid        features and boxes

Beside that scene graphs (or, to compare, other registrations) may correct the poses of the senders. Live runs
fuse boxes or features; the others are there to compare with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from cosense.errors import CosenseError, nearest
from cosense.messages.envelope import PayloadKind

if TYPE_CHECKING:
    from cosense.methods.model import GivenModel, Model

FusionKind = Literal["none", "late", "early", "intermediate", "hybrid"]
FUSION_KINDS: tuple[FusionKind, ...] = get_args(FusionKind)
# Kinds in which features are sent, and the ego says what it wants.
FEATURE_KINDS: tuple[FusionKind, ...] = ("intermediate", "hybrid")
# Kinds in which the poses of others can be corrected: boxes are nodes of the graphs.
CORRECTED_KINDS: tuple[FusionKind, ...] = ("late", *FEATURE_KINDS)

LiveFusion = Literal["hybrid", "intermediate", "late"]
LIVE_FUSIONS: tuple[LiveFusion, ...] = get_args(LiveFusion)
# The usual one first, as with the kinds of fusion.
LiveRegistration = Literal["scene_graph", "none"]
LIVE_REGISTRATIONS: tuple[LiveRegistration, ...] = get_args(LiveRegistration)
# The largest limit of a message that can be set; larger ones need none.
MAX_BUDGET_BYTES = 1 << 20

_SENT_KIND: dict[FusionKind, PayloadKind] = {
    "late": PayloadKind.OBJECTS,
    "early": PayloadKind.POINTS,
    "intermediate": PayloadKind.FEATURES,
    "hybrid": PayloadKind.FEATURES,
}

# Kinds of message that are fused.
USED_KINDS: dict[FusionKind, tuple[PayloadKind, ...]] = {
    "none": (),
    "late": (PayloadKind.OBJECTS,),
    "early": (PayloadKind.POINTS,),
    "intermediate": (PayloadKind.FEATURES, PayloadKind.OBJECTS),
    "hybrid": (PayloadKind.FEATURES, PayloadKind.OBJECTS),
}


def sent_kind(fusion: FusionKind, model: Model) -> PayloadKind | None:
    """Return which kind of message an agent with this model sends, None where nobody sends.

    Where features are fused, an agent whose model shares none sends its boxes.
    """
    if fusion in FEATURE_KINDS and model.method is None:
        return PayloadKind.OBJECTS
    return _SENT_KIND.get(fusion)


def default_fusion(model: Model) -> LiveFusion:
    """Return the fusion that a model is made for: hybrid where it shares features, else late."""
    return "late" if model.method is None else "hybrid"


def fusion_for(model: GivenModel) -> LiveFusion:
    """Return the same for a model as a scenario gives it, without reading its weights.

    Raises:
        CosenseError: there is no such model, or its configuration is broken.
    """
    from cosense.methods.model import find_model_config

    return "late" if find_model_config(model)[1].method_name is None else "hybrid"


def default_registration(fusion: str) -> LiveRegistration:
    """Return how poses are corrected where nobody says it: by scene graphs, where poses can be corrected."""
    return "scene_graph" if fusion in CORRECTED_KINDS else "none"


def live_registration(name: str) -> LiveRegistration:
    """Return a registration that live agents have.

    Raises:
        CosenseError: they do not have it.
    """
    for known in LIVE_REGISTRATIONS:
        if known == name:
            return known
    raise CosenseError(f"unknown registration '{name}' of live agents, {nearest(name, LIVE_REGISTRATIONS)}")


def check_fusion(fusion: str, model: Model) -> None:
    """Raise CosenseError for an unknown kind of fusion, or one that the model is not made for."""
    if fusion not in FUSION_KINDS:
        raise CosenseError(f"unknown fusion '{fusion}', {nearest(fusion, FUSION_KINDS)}")
    if fusion in FEATURE_KINDS and model.method is None:
        raise CosenseError(
            f"fusion '{fusion}' needs a model that shares features, '{model.name}' does not: "
            "its config.yaml has no 'sharing'; try --model cosense-lite"
        )


def check_registration(registration: str, fusion: str) -> None:
    """Raise CosenseError for an unknown registration, or one that this kind of fusion has no use for."""
    from cosense.scene_graph.registrations import NONE, check_registration_name

    check_registration_name(registration)
    if registration != NONE and fusion not in CORRECTED_KINDS:
        raise CosenseError(
            f"registration '{registration}', but with fusion '{fusion}' no poses are corrected; "
            f"leave it out or choose {', '.join(CORRECTED_KINDS)}"
        )
