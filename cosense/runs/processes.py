"""What a scenario means in processes: which there are, with which parameters and topics.

`cosense run` starts these processes itself, `launch/scenario.launch.py` hands the same list to `ros2 launch`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosense import topics
from cosense.config import to_mapping
from cosense.cooperation.kinds import LiveFusion
from cosense.cooperation.peers import SynchroniserSettings
from cosense.errors import CosenseError, nearest
from cosense.methods.model import GivenModel, as_text, find_model_config
from cosense.runs.frame_source import cameras_of
from cosense.runs.scenario import AgentSpec, Scenario
from cosense.trust.identity.keys import key_file

# In mode "drain" no frame may be closed while a slow detector still works on it.
_DRAIN_SYNCHRONISER = SynchroniserSettings(timeout_ms=5000.0)
# What the fusion takes at most.
_LONGEST_DELIVERY_MS = 10_000.0
_LONGEST_TIMEOUT_MS = 60_000.0
_LONGEST_SILENCE_MS = 60_000.0
# Folder, in that of the results, in which each node writes how long its frames took.
TRACES = "trace"
# The bag of a run that records.
RECORDING = "run.mcap"


@dataclass(frozen=True)
class ProcessSpec:
    """One node, or the two of the ego, each its own process.

    Attributes:
        name: unique name of the process and its log.
        executable: module of `cosense.nodes`, and what `ros2 run cosense` calls it.
        namespace: ROS namespace of the node.
        parameters: values by name.
        remappings: public topic names by private ones; with two nodes these begin with the name of the node.
        environment: variables beside those of the caller.
        respawn: start it again when it dies.
        is_vital: whether there is nothing to wait for without it.
    """

    name: str
    executable: str
    namespace: str
    parameters: Mapping[str, Any]
    remappings: Mapping[str, str]
    environment: Mapping[str, str]
    respawn: bool = False
    is_vital: bool = False


def processes(scenario: Scenario, out: Path, only: Sequence[str] = ()) -> list[ProcessSpec]:
    """Return the processes of a scenario in the order in which they start.

    Args:
        scenario: a scenario with agents, ego and fusion, see `resolved`.
        out: folder for detections.jsonl, frames.jsonl, link.jsonl, run.mcap and trace/.
        only: agents of this machine, where several machines share a scenario; empty for all.

    Raises:
        CosenseError: `only` names somebody who does not take part, or the players would not keep step.
    """
    ids = [agent.id for agent in scenario.agents]
    for agent_id in only:
        if agent_id not in ids:
            raise CosenseError(f"no agent '{agent_id}' in the scenario, {nearest(agent_id, ids)}")
    if only and scenario.player.mode == "rate":
        raise CosenseError(
            "agents on several machines keep step only in the player's mode 'drain', not in mode 'rate'"
        )
    here = [agent for agent in scenario.agents if not only or agent.id in only]
    has_ego = _ego(scenario) in [agent.id for agent in here]
    threads = {name: str(scenario.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    mounted = _mounted(scenario)
    specs = [_recorder(out, threads)] if scenario.record else []
    if scenario.radio is not None and has_ego:
        specs.append(_channel(scenario, out, threads))
    if has_ego:
        specs.append(_ego_process(scenario, out, threads, mounted))
    specs += [_agent(scenario, agent, out, threads, mounted) for agent in here if agent.id != scenario.ego]
    specs.append(_player(scenario, here, out, {}, mounted))
    # In mode "drain" the time of the recording stands still again and again; it is no clock to go by.
    return specs if scenario.player.mode == "drain" else [_in_sim_time(spec) for spec in specs]


def _mounted(scenario: Scenario) -> Mapping[str, Mapping[str, Sequence[float]]]:
    """Return where the cameras are of each agent whose detector looks at images, by agent and camera."""
    if not scenario.source.cameras:
        return {}
    looking = [agent.id for agent in scenario.agents if _looks_at_images(agent.model or scenario.model)]
    found = cameras_of(scenario.source) if looking else {}
    return {name: found[name] for name in looking if found.get(name)}


def _looks_at_images(model: GivenModel) -> bool:
    return "camera" in find_model_config(model)[1].detector_type.needs


def _in_sim_time(spec: ProcessSpec) -> ProcessSpec:
    """Return a process whose nodes know the time of what is played, from /clock."""
    if spec.executable == "player":
        return spec
    return dataclasses.replace(spec, parameters={**spec.parameters, "use_sim_time": True})


def agent_remappings(
    agent_id: str,
    *,
    is_ego: bool,
    with_link: bool = False,
    points: str | None = None,
    pose: str | None = None,
    cameras: Iterable[str] = (),
) -> dict[str, str]:
    """Return the public names of an agent's topics.

    Args:
        agent_id: under which it sends.
        is_ego: whether its messages go to its own fusion instead of the radio.
        with_link: whether there is a channel between the agents.
        points: topic of its clouds, None for the usual one.
        pose: topic of its poses, None for the usual one.
        cameras: names of the cameras that its detector looks at.
    """
    sent = functools.partial(topics.tx_topic, agent_id) if with_link else str
    received = functools.partial(topics.rx_topic, agent_id) if with_link else str
    return {
        "~/input/points": points or topics.points_topic(agent_id),
        "~/input/pose": pose or topics.pose_topic(agent_id),
        "~/input/requests": received(topics.V2X_REQUESTS),
        "~/output/messages": topics.own_messages_topic(agent_id) if is_ego else sent(topics.V2X_MESSAGES),
        "~/output/markers": topics.markers_topic(agent_id),
        **{
            f"~/input/{camera}/image": f"{topics.image_topic(agent_id, camera)}/compressed"
            for camera in cameras
        },
        **{f"~/input/{camera}/camera_info": topics.camera_info_topic(agent_id, camera) for camera in cameras},
    }


def fusion_remappings(ego_id: str, *, with_link: bool = False) -> dict[str, str]:
    """Return the public names of the topics of an ego's fusion; see `agent_remappings`."""
    sent = functools.partial(topics.tx_topic, ego_id) if with_link else str
    received = functools.partial(topics.rx_topic, ego_id) if with_link else str
    return {
        "~/input/own": topics.own_messages_topic(ego_id),
        "~/input/messages": received(topics.V2X_MESSAGES),
        "~/output/requests": sent(topics.V2X_REQUESTS),
        "~/output/detections": topics.DETECTIONS,
        "~/output/boxes": topics.BOXES,
        "~/output/mode": topics.MODE,
        "~/output/mode/reason": topics.MODE_REASON,
        "~/output/markers": topics.MARKERS,
        "~/output/scene_graph": topics.SCENE_GRAPH_MARKERS,
    }


def ego_remappings(agent: Mapping[str, str], fusion: Mapping[str, str]) -> dict[str, str]:
    """Return the remappings of agent and fusion in one process, each with the name of its node."""
    nodes = {"agent": agent, "fusion": fusion}
    return {f"{node}:{private}": public for node, table in nodes.items() for private, public in table.items()}


def _recorder(out: Path, environment: Mapping[str, str]) -> ProcessSpec:
    # Also in mode "drain": what is recorded has the time of the recording that is played.
    parameters = {"path": str(out / RECORDING), "use_sim_time": True}
    return ProcessSpec("recorder", "recorder", "/", parameters, {}, environment)


def _channel(scenario: Scenario, out: Path, environment: Mapping[str, str]) -> ProcessSpec:
    assert scenario.radio is not None
    parameters = {
        "agents": ",".join(agent.id for agent in scenario.agents),
        "radio": json.dumps(to_mapping(scenario.radio)),
        "player_rate": scenario.player.rate,
        "journal": str(out / "link.jsonl"),
    }
    return ProcessSpec("channel", "channel", "/", parameters, {}, environment, scenario.respawn)


def _fusion(scenario: Scenario, out: Path, environment: Mapping[str, str]) -> ProcessSpec:
    ego = _ego(scenario)
    is_drain = scenario.player.mode == "drain"
    synchroniser = scenario.synchroniser or (_DRAIN_SYNCHRONISER if is_drain else SynchroniserSettings())
    if not is_drain:
        timeout_ms = min(synchroniser.timeout_ms / scenario.player.rate, _LONGEST_TIMEOUT_MS)
        synchroniser = dataclasses.replace(synchroniser, timeout_ms=timeout_ms)
    parameters = {
        "ego_id": ego,
        "fusion": _fusion_of(scenario),
        "registration": scenario.registration,
        # In mode "drain" the next frame comes when the senders know what the ego wants: they are waited for
        # as long as their messages are, or the result would depend on how soon two hosts find each other.
        "request_delivery_ms": min(synchroniser.timeout_ms, _LONGEST_DELIVERY_MS) if is_drain else 0.0,
        "peers": ",".join(agent.id for agent in scenario.agents if agent.id != ego),
        "journal": str(out / "detections.jsonl"),
        "trust.checks": ",".join(scenario.trust.checks),
        **_trust(scenario, ego),
        **_prefixed("admission", scenario.admission),
        **_prefixed("merge", scenario.merge),
        **dataclasses.asdict(synchroniser),
        "trace": str(out / TRACES),
    }
    if is_drain:
        # The ego measures again when the frame before is fused, and is not blind until then.
        silence_ms = min(scenario.player.timeout_s * 1e3, _LONGEST_SILENCE_MS)
        parameters["no_sensor_after_ms"] = silence_ms
    return ProcessSpec(
        "fusion",
        "fusion",
        f"/{topics.namespace_of(ego)}",
        parameters,
        fusion_remappings(ego, with_link=scenario.radio is not None),
        environment,
        scenario.respawn,
        is_vital=True,
    )


def _agent(
    scenario: Scenario,
    agent: AgentSpec,
    out: Path,
    environment: Mapping[str, str],
    mounted: Mapping[str, Mapping[str, Sequence[float]]],
) -> ProcessSpec:
    is_ego = agent.id == _ego(scenario)
    cameras = mounted.get(agent.id, {})
    name = topics.namespace_of(agent.id)
    parameters = {
        "agent_id": agent.id,
        "kind": agent.kind,
        "model": as_text(agent.model or scenario.model),
        "fusion": _fusion_of(scenario),
        "registration": scenario.registration,
        "device": scenario.device,
        "budget_bytes": 0 if is_ego else agent.budget_bytes or scenario.budget_bytes or 0,
        "queue_depth": 16 if scenario.player.mode == "drain" else 1,
        "trace": str(out / TRACES),
        **_trust(scenario, agent.id),
        **({"cameras": json.dumps(cameras)} if cameras else {}),
    }
    remappings = agent_remappings(
        agent.id, is_ego=is_ego, with_link=scenario.radio is not None, cameras=cameras
    )
    return ProcessSpec(
        f"agent-{name}", "agent", f"/{name}", parameters, remappings, environment, scenario.respawn, is_ego
    )


def _trust(scenario: Scenario, agent_id: str) -> dict[str, Any]:
    """Return the parameters by which an agent signs and knows others by their keys."""
    trust = scenario.trust
    parameters: dict[str, Any] = {"trust.identity": trust.identity}
    if trust.roster is not None and trust.keys is not None:
        parameters |= {
            "trust.roster": str(trust.roster.resolve()),
            "trust.key": str(key_file(trust.keys, agent_id).resolve()),
        }
    # There is no clock to hold stamps against.
    return parameters | ({"trust.window_ms": 0.0} if scenario.player.mode == "drain" else {})


def _ego_process(
    scenario: Scenario,
    out: Path,
    environment: Mapping[str, str],
    mounted: Mapping[str, Mapping[str, Sequence[float]]],
) -> ProcessSpec:
    """Return the ego's agent and its fusion in one process."""
    (own,) = (agent for agent in scenario.agents if agent.id == scenario.ego)
    agent = _agent(scenario, own, out, environment, mounted)
    fusion = _fusion(scenario, out, environment)
    remappings = ego_remappings(agent.remappings, fusion.remappings)
    parameters = {**agent.parameters, **fusion.parameters}
    return dataclasses.replace(
        agent, name="ego", executable="ego", parameters=parameters, remappings=remappings
    )


def _player(
    scenario: Scenario,
    played: Sequence[AgentSpec],
    out: Path,
    environment: Mapping[str, str],
    mounted: Mapping[str, Mapping[str, Sequence[float]]],
) -> ProcessSpec:
    source = scenario.source
    parameters: dict[str, Any] = {
        "data": "" if source.data is None else str(source.data.resolve()),
        "split": source.split or "",
        "labels": source.labels or "",
        "cameras": source.cameras,
        "bag": json.dumps(dataclasses.asdict(source.bag)),
        "columns": source.columns,
        "region": source.region,
        "pair_gap": source.pair_gap,
        "beams": str(source.beams),
        "frames": scenario.frames or 0,
        "agents": ",".join(agent.id for agent in played),
        "ego": _ego(scenario),
        "journal": str(out / "frames.jsonl"),
        "recorded": scenario.record,
        "clock_skews_ms": json.dumps({a.id: a.clock_skew_ms for a in played if a.clock_skew_ms}),
        "pose_errors": json.dumps({a.id: a.own_pose_error for a in played if any(a.own_pose_error)}),
        "pose_error": scenario.pose_error or "",
        "lost": json.dumps({a.id: a.lost for a in played if a.lost}),
        "watched": ",".join(a.id for a in played if a.id in mounted),
        **dataclasses.asdict(scenario.player),
    }
    if source.simulate is not None:
        simulate = dataclasses.asdict(source.simulate)
        parameters |= {f"simulate.{key}": value for key, value in simulate.items() if value is not None}
    return ProcessSpec("player", "player", "/", parameters, {}, environment, is_vital=True)


def _ego(scenario: Scenario) -> str:
    assert scenario.ego is not None, "the scenario is not resolved"
    return scenario.ego


def _fusion_of(scenario: Scenario) -> LiveFusion:
    assert scenario.fusion is not None, "the scenario is not resolved"
    return scenario.fusion


def _prefixed(section: str, settings: Any) -> dict[str, Any]:
    """Return the settings of a section as parameters of a node."""
    return {f"{section}.{key}": value for key, value in dataclasses.asdict(settings).items()}
