"""What a scenario means in processes: which there are, with which parameters and topics.

`cosense run` starts these processes itself, `launch/scenario.launch.py` hands the same list to `ros2 launch`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosense.config import to_mapping
from cosense.nodes import topics
from cosense.nodes.collector import CollectorSettings
from cosense.nodes.method import Method
from cosense.nodes.scenario import AgentSpec, Scenario

# In mode "drain" no frame may be closed while a slow detector still works on it, and the next one comes when
# the senders know what the ego wants.
_DRAIN_COLLECT = CollectorSettings(timeout_ms=5000.0)
_DRAIN_DEMAND_DELIVERY_MS = 1000.0
# Folder, in that of the results, in which each node writes how long its frames took.
TRACES = "trace"


@dataclass(frozen=True)
class ProcessSpec:
    """One node, or the two of the ego, each its own process.

    Attributes:
        name: of the process and its log, unique.
        executable: module of `cosense.nodes`, and what `ros2 run cosense` calls it.
        namespace: of the node.
        parameters: of the node.
        remappings: from private to public topic names; with two nodes, the name of the node stands before.
        environment: variables beside those of the caller.
        respawn: whether it is started again when it dies.
    """

    name: str
    executable: str
    namespace: str
    parameters: Mapping[str, Any]
    remappings: Mapping[str, str]
    environment: Mapping[str, str]
    respawn: bool = False


def processes(scenario: Scenario, out: Path) -> list[ProcessSpec]:
    """Return the processes of a scenario in the order in which they start.

    Args:
        scenario: with agents, ego and method, see `resolved`.
        out: folder for detections.jsonl, frames.jsonl, link.jsonl, run.mcap and trace/.
    """
    threads = {name: str(scenario.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    specs = [_recorder(out, threads)] if scenario.record else []
    if scenario.link is not None:
        specs.append(_channel(scenario, out, threads))
    if _method(scenario) == "late":
        specs.append(_fusion(scenario, out, threads))
        specs += [_agent(scenario, agent, out, threads) for agent in scenario.agents]
    else:
        specs.append(_ego_process(scenario, out, threads))
        specs += [
            _agent(scenario, agent, out, threads) for agent in scenario.agents if agent.id != scenario.ego
        ]
    specs.append(_player(scenario, out, {}))
    return [_in_sim_time(spec) for spec in specs]


def _in_sim_time(spec: ProcessSpec) -> ProcessSpec:
    """Return a process whose nodes know the time of what is played, from /clock."""
    if spec.executable == "player":
        return spec
    return dataclasses.replace(spec, parameters={**spec.parameters, "use_sim_time": True})


def _recorder(out: Path, environment: Mapping[str, str]) -> ProcessSpec:
    parameters = {"path": str(out / "run.mcap")}
    return ProcessSpec("recorder", "recorder", "/", parameters, {}, environment)


def _channel(scenario: Scenario, out: Path, environment: Mapping[str, str]) -> ProcessSpec:
    assert scenario.link is not None
    parameters = {
        "agents": ",".join(agent.id for agent in scenario.agents),
        "link": json.dumps(to_mapping(scenario.link)),
        "player_rate": scenario.player.rate,
        "journal": str(out / "link.jsonl"),
    }
    return ProcessSpec("channel", "channel", "/", parameters, {}, environment, scenario.respawn)


def _fusion(scenario: Scenario, out: Path, environment: Mapping[str, str]) -> ProcessSpec:
    ego = _ego(scenario)
    is_drain = scenario.player.mode == "drain"
    collect = scenario.collect or (_DRAIN_COLLECT if is_drain else CollectorSettings())
    if not is_drain:
        collect = dataclasses.replace(collect, timeout_ms=collect.timeout_ms / scenario.player.rate)
    parameters = {
        "ego_id": ego,
        "method": _method(scenario),
        "demand_delivery_ms": _DRAIN_DEMAND_DELIVERY_MS if is_drain else 0.0,
        "peers": ",".join(agent.id for agent in scenario.agents if agent.id != ego),
        "journal": str(out / "detections.jsonl"),
        **dataclasses.asdict(scenario.fusion),
        **{f"gate.{key}": value for key, value in dataclasses.asdict(scenario.gate).items()},
        **dataclasses.asdict(collect),
        "trace": str(out / TRACES),
    }
    remappings = {
        "~/input/ego_objects": topics.objects_topic(ego),
        "~/input/objects": _heard_on(scenario, ego, topics.V2X_OBJECTS),
        "~/input/features": _heard_on(scenario, ego, topics.V2X_FEATURES),
        "~/output/demand": _sent_on(scenario, ego, topics.V2X_DEMAND),
        "~/output/detections": topics.DETECTIONS,
        "~/output/boxes": topics.BOXES,
        "~/output/mode": topics.MODE,
        "~/output/markers": topics.MARKERS,
    }
    return ProcessSpec(
        "fusion",
        "fusion",
        f"/{topics.namespace_of(ego)}",
        parameters,
        remappings,
        environment,
        scenario.respawn,
    )


def _agent(scenario: Scenario, agent: AgentSpec, out: Path, environment: Mapping[str, str]) -> ProcessSpec:
    is_ego = agent.id == _ego(scenario)
    name = topics.namespace_of(agent.id)
    to_others = _sent_on(scenario, agent.id, topics.V2X_OBJECTS)
    parameters = {
        "agent_id": agent.id,
        "kind": agent.kind,
        "model": agent.model or scenario.model,
        "method": _method(scenario),
        "device": scenario.device,
        "budget_bytes": 0 if is_ego else agent.budget_bytes or scenario.budget_bytes or 0,
        "queue_depth": 16 if scenario.player.mode == "drain" else 1,
        "trace": str(out / TRACES),
    }
    remappings = {
        "~/input/points": topics.points_topic(agent.id),
        "~/input/pose": topics.pose_topic(agent.id),
        "~/input/demand": _heard_on(scenario, agent.id, topics.V2X_DEMAND),
        "~/output/features": _sent_on(scenario, agent.id, topics.V2X_FEATURES),
        "~/output/objects": topics.objects_topic(agent.id) if is_ego else to_others,
        "~/output/markers": topics.markers_topic(agent.id),
    }
    return ProcessSpec(
        f"agent-{name}", "agent", f"/{name}", parameters, remappings, environment, scenario.respawn
    )


def _ego_process(scenario: Scenario, out: Path, environment: Mapping[str, str]) -> ProcessSpec:
    """Return the ego's agent and its fusion in one process."""
    (own,) = (agent for agent in scenario.agents if agent.id == scenario.ego)
    agent, fusion = _agent(scenario, own, out, environment), _fusion(scenario, out, environment)
    remappings = {
        f"{node.executable}:{private}": public
        for node in (agent, fusion)
        for private, public in node.remappings.items()
    }
    parameters = {**agent.parameters, **fusion.parameters}
    return ProcessSpec("ego", "ego", agent.namespace, parameters, remappings, environment, scenario.respawn)


def _player(scenario: Scenario, out: Path, environment: Mapping[str, str]) -> ProcessSpec:
    source = scenario.source
    parameters: dict[str, Any] = {
        "data": "" if source.data is None else str(source.data.resolve()),
        "split": source.split or "",
        "labels": source.labels or "",
        "cameras": source.cameras,
        "frames": scenario.frames or 0,
        "agents": ",".join(agent.id for agent in scenario.agents),
        "ego": _ego(scenario),
        "journal": str(out / "frames.jsonl"),
        "recorded": scenario.record,
        "clock_skews_ms": json.dumps({a.id: a.clock_skew_ms for a in scenario.agents if a.clock_skew_ms}),
        **dataclasses.asdict(scenario.player),
    }
    if source.simulate is not None:
        simulate = dataclasses.asdict(source.simulate)
        parameters |= {f"simulate.{key}": value for key, value in simulate.items()}
    return ProcessSpec("player", "player", "/", parameters, {}, environment)


def _sent_on(scenario: Scenario, agent_id: str, topic: str) -> str:
    return topic if scenario.link is None else topics.tx_topic(agent_id, topic)


def _heard_on(scenario: Scenario, agent_id: str, topic: str) -> str:
    return topic if scenario.link is None else topics.rx_topic(agent_id, topic)


def _ego(scenario: Scenario) -> str:
    assert scenario.ego is not None, "the scenario is not resolved"
    return scenario.ego


def _method(scenario: Scenario) -> Method:
    assert scenario.method is not None, "the scenario is not resolved"
    return scenario.method
