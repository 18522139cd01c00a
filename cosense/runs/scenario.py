"""A scenario: who takes part in a run, what they see and what they do with it; see processes.py."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cosense import topics
from cosense.config import beside, from_mapping, load_yaml
from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.kinds import LIVE_FUSIONS, MAX_BUDGET_BYTES, LiveFusion, LiveRegistration, fusion_for
from cosense.cooperation.merge import MergeSettings
from cosense.cooperation.peers import SynchroniserSettings
from cosense.cooperation.radio import RadioSettings
from cosense.errors import CosenseError, nearest, refuse_device
from cosense.evaluation.runs.pose_noise import PoseErrorName, PoseNoise
from cosense.messages.fields import MAX_NAME_BYTES
from cosense.model_folders import CONFIG
from cosense.runs.frame_source import FrameSource, agents_of
from cosense.sensing.frame import AgentKind
from cosense.shipped import shipped_folders
from cosense.trust.base import TrustSettings

# What an agent may lose.
SENSORS = ("lidar", "camera", "all")


@dataclass(frozen=True)
class AgentSpec:
    """One vehicle or roadside unit.

    Attributes:
        id: name of the agent in the data set.
        kind: vehicle or infrastructure.
        model: its model, as that of the scenario; None for the same.
        budget_bytes: limit of what it sends in a frame, None for the scenario's.
        clock_skew_ms: error of its clock, positive where it is ahead: its stamps are wrong by this.
        position_error_m: unannounced error (x, y) of its position in the world.
        heading_error_deg: unannounced error of its heading.
        lost: first and last frame of the source, counted from 1, in which a sensor sends nothing: "lidar",
            "camera", or "all" for everything of the agent.
    """

    id: str
    kind: AgentKind = "vehicle"
    model: str | dict[str, Any] | None = None
    budget_bytes: int | None = None
    clock_skew_ms: float = 0.0
    position_error_m: tuple[float, float] = (0.0, 0.0)
    heading_error_deg: float = 0.0
    lost: dict[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def own_pose_error(self) -> tuple[float, float, float]:
        """x, y in metres and the heading in degrees."""
        return (*self.position_error_m, self.heading_error_deg)

    def __post_init__(self) -> None:
        if not 1 <= len(self.id.encode()) <= MAX_NAME_BYTES or "," in self.id:
            raise ValueError(f"id '{self.id}' must have 1 to {MAX_NAME_BYTES} bytes and no comma")
        _check_budget(self.budget_bytes)
        for sensor, (first, last) in self.lost.items():
            if sensor not in SENSORS:
                raise ValueError(f"lost: '{sensor}', {nearest(sensor, SENSORS)}")
            if not 1 <= first <= last:
                raise ValueError(f"lost: {sensor}: frames {first} to {last}, expected 1 or later, in order")


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


# The file in the folder of a run that says what ran.
SCENARIO = "scenario.yaml"
_SHIPPED = "launch/scenarios"
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
        model: name or folder of the model of the agents that name none, or a detector whose weights are
            elsewhere, with its keys: {mmdet3d: {config: ..., checkpoint: ..., classes: ...}}.
        fusion: kind of fusion; None for hybrid where the model of the ego shares features, else late.
        registration: source of corrected poses; with "scene_graph" all agents send graphs, with "none" poses
            are used as sent.
        budget_bytes: limit of what each of the agents that name none sends in a frame; None for no limit. The
            ego's own messages are not limited.
        device: device of all networks, "cpu" or "cuda".
        threads: number of threads of each process; agents share the processor.
        frames: number of frames to play, None for all.
        player: settings of the player.
        synchroniser: limits of the fusion's waiting; None for what suits the mode of the player. In mode
            "rate" the time-out is one of the recording: at rate 0.5 it takes twice as long.
        admission: limits of what messages may do.
        merge: settings of the merging of boxes.
        trust: whom the agents believe: keys, and checks of what messages say.
        pose_error: error of the poses between the agents with a name, as `cosense.evaluation.runs.pose_noise`
            describes it, besides those that agents have of their own; None for none.
        radio: loss, delay and rate of a radio between the agents, in times of the recording; None where they
            talk over DDS alone.
        respawn: start agents, the ego and the channel again when they die; without it the run ends with the
            ego.
        record: write run.mcap.
    """

    source: FrameSource
    agents: tuple[AgentSpec, ...] = ()
    ego: str | None = None
    model: str | dict[str, Any] = "cosense-lite"
    fusion: LiveFusion | None = None
    registration: LiveRegistration = "scene_graph"
    budget_bytes: int | None = None
    device: str = "cpu"
    threads: int = 1
    frames: int | None = None
    player: PlayerSettings = field(default_factory=PlayerSettings)
    synchroniser: SynchroniserSettings | None = None
    admission: AdmissionSettings = field(default_factory=AdmissionSettings)
    merge: MergeSettings = field(default_factory=MergeSettings)
    trust: TrustSettings = field(default_factory=TrustSettings)
    pose_error: PoseErrorName | None = None
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
        silenced = [agent.id for agent in self.agents if agent.lost.keys() - {"camera"}]
        if silenced and self.player.mode == "drain":
            raise ValueError(
                f"agents: in player mode 'drain' the recording waits for '{silenced[0]}', which loses its "
                "LiDAR or everything: set player: {mode: rate}"
            )
        delay_ms = PoseNoise.named(self.pose_error).delay_ms
        if delay_ms and self.player.mode == "drain":
            raise ValueError(
                f"pose_error: in '{self.pose_error}' messages take their time, and in player mode 'drain' "
                "the recording waits for every message: set player: {mode: rate}, or give --rate 1"
            )
        if self.radio is not None and self.radio.delay_ms < delay_ms:
            raise ValueError(
                f"radio: delay_ms is {self.radio.delay_ms:g}, and in pose_error '{self.pose_error}' messages "
                f"take {delay_ms:g} ms: set it to that or more"
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
    if isinstance(mapping.get("trust"), list):
        raise CosenseError(
            f"{path}: trust: the list of checks is called 'checks' now: trust: {{checks: ...}}"
        )
    if isinstance(mapping.get("fusion"), dict):
        raise CosenseError(
            f"{path}: section 'fusion' is called 'admission' now; fusion is one of {', '.join(LIVE_FUSIONS)}"
        )


def find_scenario(given: str | Path) -> Path:
    """Return the file of a scenario, given by its path or the name of one that ships, as v2i or v2i.yaml.

    Raises:
        CosenseError: there is no such scenario.
    """
    path = Path(given)
    if path.is_file():
        return path
    if path.exists():
        refuse_device(path)
    if (path / SCENARIO).is_file():
        raise CosenseError(f"{path}: is the folder of a run; to run it again name {path / SCENARIO}")
    shipped = {file.name: file for folder in shipped_folders(_SHIPPED) for file in folder.glob("*.yaml")}
    name = path.name if path.suffix else f"{path.name}.yaml"
    if len(path.parts) > 1 or name not in shipped:
        raise CosenseError(
            f"no scenario '{given}', neither a file nor one that ships: {nearest(name, shipped)}"
        )
    return shipped[name]


def load_scenario(path: Path) -> Scenario:
    """Read a scenario; paths in it may be relative to its file, or to the working folder.

    Raises:
        CosenseError: the file is missing, or a key or value is wrong.
    """
    mapping = load_yaml(path)
    if isinstance(mapping, dict):
        _check_renamed(mapping, path)
        if mapping.get("agents") == "all":
            mapping = {key: value for key, value in mapping.items() if key != "agents"}
    return _with_paths(from_mapping(Scenario, mapping, where=str(path)), lambda name: beside(path, name))


def with_absolute_paths(scenario: Scenario) -> Scenario:
    """Return the scenario as it reads from any folder: the data and models that are folders by full path."""
    return _with_paths(scenario, lambda name: Path(os.path.abspath(name)))


def _with_paths(scenario: Scenario, place: Callable[[Path], Path]) -> Scenario:
    """Return the scenario with each path replaced by `place` of it."""

    def model(given: str | dict[str, Any]) -> str | dict[str, Any]:
        """Leave the name of a model that ships alone."""
        if isinstance(given, dict):
            from cosense.methods.model import with_model_paths

            return with_model_paths(given, lambda name: moved if (moved := place(name)).exists() else name)
        moved = place(Path(given))
        return str(moved) if (moved / CONFIG).is_file() else given

    source, agents = scenario.source, scenario.agents
    if source.data is not None:
        source = dataclasses.replace(source, data=place(source.data))
    agents = tuple(
        dataclasses.replace(agent, model=None if agent.model is None else model(agent.model))
        for agent in agents
    )
    trust = scenario.trust
    if trust.roster is not None and trust.keys is not None:
        trust = dataclasses.replace(trust, roster=place(trust.roster), keys=place(trust.keys))
    return dataclasses.replace(
        scenario, source=source, agents=agents, model=model(scenario.model), trust=trust
    )


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
    try:
        there, source_ego = agents_of(scenario.source)
    except CosenseError as error:
        raise CosenseError(f"source: {error}") from None
    agents = scenario.agents or tuple(AgentSpec(agent_id, kind) for agent_id, kind in there.items())
    for index, agent in enumerate(agents):
        if agent.id not in there:
            raise CosenseError(
                f"agents[{index}]: id: no agent '{agent.id}' in the source, {nearest(agent.id, there)}"
            )
    ego = scenario.ego or source_ego
    if ego != source_ego:
        raise CosenseError(
            f"ego: '{ego}' is not the ego of the source, which is '{source_ego}'; that of a bag is chosen by "
            "'source: {bag: {ego: ...}}'"
        )
    if ego not in [agent.id for agent in agents]:
        raise CosenseError(f"the ego '{ego}' is none of the agents, add it to 'agents'")
    if scenario.pose_error is not None and len(agents) < 2:
        raise CosenseError(
            f"pose_error '{scenario.pose_error}' is between agents, and there is one; leave it out"
        )
    if scenario.radio is not None:
        scenario.radio.check_agents([agent.id for agent in agents])
    delay_ms = PoseNoise.named(scenario.pose_error).delay_ms
    if delay_ms and scenario.radio is None:
        scenario = with_changes(scenario, radio=RadioSettings(delay_ms=delay_ms))
    scenario = with_changes(scenario, agents=agents, ego=ego)
    return with_changes(scenario, fusion=scenario.fusion or fusion_for(_model_of_ego(scenario)))


def _model_of_ego(scenario: Scenario) -> str | dict[str, Any]:
    (model,) = (agent.model for agent in scenario.agents if agent.id == scenario.ego)
    return model or scenario.model
