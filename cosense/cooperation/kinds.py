"""What the agents of a live run may fuse and how poses may be corrected, as scenarios and parameters say it.

    hybrid        features and boxes; the ego says which features it wants
    intermediate  features alone
    late          boxes alone

A sender whose model shares no features sends its boxes, whatever is fused. `cosense evaluate` knows more
kinds of fusion and of registration, to compare these with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from cosense.messages.envelope import PayloadKind

if TYPE_CHECKING:
    from cosense.methods.model import Model

LiveFusion = Literal["hybrid", "intermediate", "late"]
LIVE_FUSIONS: tuple[LiveFusion, ...] = get_args(LiveFusion)
LiveRegistration = Literal["none", "scene_graph"]
LIVE_REGISTRATIONS: tuple[LiveRegistration, ...] = get_args(LiveRegistration)
# The largest limit of a message that can be set; larger ones need none.
MAX_BUDGET_BYTES = 1 << 20


def fusion_for(model: str) -> LiveFusion:
    """Return the fusion that a model is made for: hybrid where it shares features, else late.

    Raises:
        CosenseError: there is no such model, or its configuration is broken.
    """
    from cosense.methods.model import read_model_config
    from cosense.model_folders import find_model

    return "late" if read_model_config(find_model(model)).method_name is None else "hybrid"


def sends_features(fusion: str, model: Model) -> bool:
    """Return whether an agent that is not the ego sends features."""
    return fusion != "late" and model.method is not None


def check_message_budget(agent_id: str, budget_bytes: int | None, has_features: bool) -> None:
    """Raise CosenseError if not even an empty message of an agent fits its budget."""
    from cosense.cooperation.feature_sender import check_feature_budget
    from cosense.cooperation.share import check_budget

    if has_features:
        check_feature_budget(agent_id, budget_bytes)
    else:
        check_budget(agent_id, PayloadKind.OBJECTS, budget_bytes)
