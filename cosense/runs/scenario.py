"""A scenario: who takes part in a run, what they see and what they do with it; see processes.py."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cosense import topics
from cosense.config import from_mapping, load_yaml
from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.kinds import LIVE_FUSIONS, MAX_BUDGET_BYTES, LiveFusion, LiveRegistration, fusion_for
from cosense.cooperation.merge import MergeSettings
from cosense.cooperation.radio import RadioSettings
from cosense.cooperation.synchroniser import SynchroniserSettings
from cosense.errors import CosenseError, nearest
from cosense.messages.fields import MAX_NAME_BYTES
from cosense.runs.frame_source import FrameSource, agents_of
from cosense.sensing.frame import AgentKind


@dataclass(frozen=True)
class AgentSpec:
    """One vehicle or roadside unit.

    Attributes:
        id: name of the agent in the data set.
        kind: vehicle or infrastructure.
        model: name or folder of its model, None for the scenario's.
        budget_bytes: limit of each of its messages, None for the scenario's.
        clock_skew_ms: error of its clock, positive where it is ahead: its stamps are wrong by this.
        position_error_m: unannounced error (x, y) of its position in the world.
        heading_error_deg: unannounced error of its heading.
    """

    id: str
    kind: AgentKind = "vehicle"
    model: str | None = None
    budget_bytes: int | None = None
    clock_skew_ms: float = 0.0
    position_error_m: tuple[float, float] = (0.0, 0.0)
    heading_error_deg: float = 0.0

    @property
    def pose_error(self) -> tuple[float, float, float]:
        """x, y in metres and the heading in degrees."""
        return (*self.position_error_m, self.heading_error_deg)

    def __post_init__(self) -> None:
        if not 1 <= len(self.id.encode()) <= MAX_NAME_BYTES or "," in self.id:
            raise ValueError(f"id '{self.id}' must have 1 to {MAX_NAME_BYTES} bytes and no comma")
        _check_budget(self.budget_bytes)


# The smallest and the largest value of each setting, also as a parameter of the node.
PLAYER_BOUNDS = {
    "rate": (0.001, 1000.0),
    "timeout_s": (0.01, 3600.0),
    "startup_timeout_s": (0.01, 3600.0),
}


@dataclass(frozen=True)
class PlayerSettings:
    """How the frames are played.

    Attributes:
        mode: "drain" publishes the next frame when the one before is fused, so that nothing is lost on a slow
            machine; "rate" keeps the time of the recording.
        rate: speed in mode "rate", in multiples of the recording's.
        timeout_s: longest wait for the answer to a frame in mode "drain".
        startup_timeout_s: longest wait for all other processes.
    """

    mode: Literal["drain", "rate"] = "drain"
    rate: float = 1.0
    timeout_s: float = 20.0
    startup_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        for name, (low, high) in PLAYER_BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {low:g} to {high:g}")


# Keys of earlier releases, with what they are called now.
_RENAMED = {"method": "fusion", "collect": "synchroniser", "gate": "admission", "link": "radio"}


@dataclass(frozen=True)
class Scenario:
    """Who takes part, what they see and what they do with it.

    Attributes:
        source: origin of the frames.
        agents: vehicles and roadside units that take part; empty (in YAML: "all") for all agents of the
            first frame that can be read.
        ego: id of the agent that fuses; None for the ego of the source.
        model: name or folder of the model of the agents that name none.
        fusion: kind of fusion; None for hybrid where the model of the ego shares features, else late.
        registration: source of corrected poses; with "scene_graph" all agents send graphs, with "none" poses
            are used as sent.
        budget_bytes: limit of each message of the agents that name none; None for no limit. The ego's own
            message is not limited.
        device: device of all networks, "cpu" or "cuda".
        threads: number of threads of each process; agents share the processor.
        frames: number of frames to play, None for all.
        player: settings of the player.
        synchroniser: limits of the fusion's waiting; None for what suits the mode of the player. In mode
            "rate" the time-out is one of the recording: at rate 0.5 it takes twice as long.
        admission: limits of what messages may do.
        merge: settings of the merging of boxes.
        trust: names of the checks of `cosense.trust` that messages have to pass.
        radio: loss, delay and rate of a radio between the agents, in times of the recording; None where they
            talk over DDS alone.
        respawn: start agents, the ego and the channel again when they die; without it the run ends with the
            ego.
        record: write run.mcap.
    """

    source: FrameSource
    agents: tuple[AgentSpec, ...] = ()
    ego: str | None = None
    model: str = "cosense-lite"
    fusion: LiveFusion | None = None
    registration: LiveRegistration = "none"
    budget_bytes: int | None = None
    device: str = "cpu"
    threads: int = 1
    frames: int | None = None
    player: PlayerSettings = field(default_factory=PlayerSettings)
    synchroniser: SynchroniserSettings | None = None
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    merge: MergeSettings = field(default_factory=MergeSettings)
    trust: tuple[str, ...] = ()
    radio: RadioSettings | None = None
    respawn: bool = False
    record: bool = False

    def __post_init__(self) -> None:
        if self.source.data is None and self.source.simulate is None:
            raise ValueError("source has neither 'data' nor 'simulate'")
        if self.source.data is None and self.frames is None:
            raise ValueError("a simulated source never ends by itself: set 'frames'")
        if self.frames is not None and self.frames < 1:
            raise ValueError(f"frames is {self.frames}, expected at least 1")
        _check_budget(self.budget_bytes)
        if self.threads < 1:
            raise ValueError(f"threads is {self.threads}, expected at least 1")
        if self.radio is not None and self.player.mode == "drain":
            raise ValueError(
                "radio: in player mode 'drain' the recording waits for every message: "
                "set player: {mode: rate}"
            )
        ids = [agent.id for agent in self.agents]
        names = [topics.namespace_of(agent_id) for agent_id in ids]
        if len(set(names)) < len(names):
            raise ValueError(f"agents {ids} are not different in ROS names: {names}")
        if self.agents and self.ego is not None and self.ego not in ids:
            raise ValueError(f"ego '{self.ego}' is none of the agents, {nearest(self.ego, ids)}")


def _check_budget(budget_bytes: int | None) -> None:
    if budget_bytes is not None and not 1 <= budget_bytes <= MAX_BUDGET_BYTES:
        raise ValueError(
            f"budget_bytes is {budget_bytes}, expected 1 to {MAX_BUDGET_BYTES}; leave it out for no limit"
        )


def _check_renamed(mapping: dict[str, Any], path: Path) -> None:
    """Raise CosenseError for a key that has another name by now."""
    for key, name in _RENAMED.items():
        if key in mapping:
            raise CosenseError(f"{path}: key '{key}' is called '{name}' now; rename it")
    if isinstance(mapping.get("fusion"), dict):
        raise CosenseError(
            f"{path}: section 'fusion' is called 'admission' now; fusion is one of {', '.join(LIVE_FUSIONS)}"
        )


def load_scenario(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        CosenseError: the file is missing, or a key or value is wrong.
    """
    mapping = load_yaml(path)
    if isinstance(mapping, dict):
        _check_renamed(mapping, path)
        if mapping.get("agents") == "all":
            mapping = {key: value for key, value in mapping.items() if key != "agents"}
    return from_mapping(Scenario, mapping, where=str(path))


def with_player(scenario: Scenario, **changes: Any) -> Scenario:
    """Return the scenario with other settings of its player; a rate without a mode means mode "rate".

    Raises:
        CosenseError: they are not allowed, or do not go with the rest.
    """
    if changes.get("rate") is not None:
        changes.setdefault("mode", "rate")
    try:
        player = dataclasses.replace(scenario.player, **changes)
    except ValueError as error:
        raise CosenseError(f"player: {error}") from None
    return with_changes(scenario, player=player)


def with_changes(scenario: Scenario, **changes: Any) -> Scenario:
    """Return the scenario with other values.

    Raises:
        CosenseError: they do not go together.
    """
    try:
        return dataclasses.replace(scenario, **changes)
    except ValueError as error:
        raise CosenseError(f"scenario: {error}") from None


def resolved(scenario: Scenario) -> Scenario:
    """Fill in agents and ego from the source and the fusion from the model, and check those that are named.

    Raises:
        CosenseError: no frame can be read, or an agent or a model does not exist.
    """
    there, source_ego = agents_of(scenario.source)
    agents = scenario.agents or tuple(AgentSpec(agent_id, kind) for agent_id, kind in there.items())
    for agent in agents:
        if agent.id not in there:
            raise CosenseError(f"no agent '{agent.id}' in the source, {nearest(agent.id, there)}")
    ego = scenario.ego or source_ego
    if ego != source_ego:
        raise CosenseError(
            f"ego '{ego}' is not the ego of the source, which is '{source_ego}'; that of a bag is chosen by "
            "'source: {bag: {ego: ...}}'"
        )
    if ego not in [agent.id for agent in agents]:
        raise CosenseError(f"the ego '{ego}' is none of the agents, add it to 'agents'")
    if scenario.radio is not None:
        scenario.radio.check_agents([agent.id for agent in agents])
    scenario = with_changes(scenario, agents=agents, ego=ego)
    return with_changes(scenario, fusion=scenario.fusion or fusion_for(_model_of_ego(scenario)))


def _model_of_ego(scenario: Scenario) -> str:
    (model,) = (agent.model for agent in scenario.agents if agent.id == scenario.ego)
    return model or scenario.model
