"""First passes through the networks of a node: the first frame is the slowest, and nobody waits for it."""

from __future__ import annotations

import numpy as np

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego
from cosense.cooperation.kinds import FusionKind
from cosense.cooperation.perceived import Perceived, Perceiver
from cosense.cooperation.sender import Sender
from cosense.methods.model import Model
from cosense.sensing.frame import AgentFrame


def warm_up_sender(model: Model, fusion: FusionKind) -> None:
    """Let an agent that does not exist write one message."""
    Sender("sender", model, fusion).message(_perceived("sender", model), 0, None)


def warm_up_ego(model: Model, fusion: FusionKind) -> None:
    """Let an ego that does not exist fuse one message of somebody who does not exist either."""
    data = Sender("sender", model, fusion).message(_perceived("sender", model), 0, None)
    ego = Ego(model, fusion)
    ego.fuse(ego.view(_perceived("ego", model), 0), [] if data is None else [receive(data)])


def _perceived(agent_id: str, model: Model) -> Perceived:
    points = np.random.default_rng(0).uniform(-1, 1, (1000, 4)).astype(np.float32)
    return Perceiver(model.detector).perceive(AgentFrame(agent_id, "vehicle", 0, np.eye(4), points))
