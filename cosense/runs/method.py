"""By which method the agents of a live run cooperate, and what that makes each of them send.

    hybrid        features and boxes; the ego tells the others what it wants to know
    intermediate  features alone
    late          boxes alone

A sender whose model shares no features sends its boxes, whatever the method. Beside that scene graphs may set
the poses of others right; the other registrations of `evaluate` are there to compare. No ROS 2 in here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from cosense.messages.envelope import PayloadKind

if TYPE_CHECKING:
    from cosense.methods.model import Model

Method = Literal["hybrid", "intermediate", "late"]
METHODS: tuple[Method, ...] = get_args(Method)
Registration = Literal["none", "scene_graph"]
REGISTRATIONS: tuple[Registration, ...] = get_args(Registration)
# The largest limit of a message that can be set; larger ones need none.
MAX_BUDGET_BYTES = 1 << 20


def method_for(model: str) -> Method:
    """Return the method that a model is made for: hybrid where it shares features, else late.

    Raises:
        CosenseError: there is no such model, or its configuration is broken.
    """
    from cosense.methods.model import read_model_config
    from cosense.model_folders import find_model

    return "late" if read_model_config(find_model(model)).method_name is None else "hybrid"


def sends_features(method: str, model: Model) -> bool:
    """Return whether an agent that is not the ego sends features."""
    return method != "late" and model.method is not None


def check_message_budget(agent_id: str, budget_bytes: int | None, has_features: bool) -> None:
    """Raise CosenseError if not even an empty message of an agent fits its budget."""
    from cosense.cooperation.feature_sender import check_feature_budget
    from cosense.cooperation.share import check_budget

    if has_features:
        check_feature_budget(agent_id, budget_bytes)
    else:
        check_budget(agent_id, PayloadKind.OBJECTS, budget_bytes)
