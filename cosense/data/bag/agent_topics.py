"""Assigns the topics of a bag to agents: by their types and names, or as the user says.

- Each PointCloud2 with x, y and z is the LiDAR of an agent, unless it also has boxes (our own /detections) or
  is given in a world frame (a map). The agent is named after the first word of the topic: /unit/points
  belongs to "unit"; a topic of a single word, such as /velodyne_points, belongs to "ego".
- The pose of an agent is the topic of poses or odometry that starts with the same word, else the transforms
  from the world to the frame of its cloud, else the only topic of poses if there is only one agent. A pose
  that names no child frame is the pose of the LiDAR.
- The world is the frame of the poses, else map, world or odom if it is an ancestor of the cloud's frame, else
  the root of the tree.
- The ego is the agent "vehicle" or "ego", else the first vehicle by name. An agent is a roadside unit if its
  name contains one of the words in `_INFRASTRUCTURE`, otherwise a vehicle.
- Ground truth is a Detection3DArray, else a MarkerArray, with a topic name that says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cosense.data.bag import FROM_TF, BagOptions, message_types
from cosense.data.bag.file import BagFile
from cosense.data.bag.poses import TF_STATIC, TransformTree
from cosense.errors import CosenseError, nearest
from cosense.sensing.frame import AgentKind
from cosense.topics import TF

# Whether the transforms of a topic hold for all time.
TRANSFORMS = {TF: False, TF_STATIC: True}
_WORLDS = ("map", "world", "odom")
_INFRASTRUCTURE = {"infra", "infrastructure", "rsu", "unit", "roadside", "pole", "minus"}
_GROUND_TRUTH = re.compile(r"ground_?truth|(^|[/_])(gt|labels?|annotations?)($|[/_])")
_BOX_FIELDS = {"l", "w", "h", "yaw"}


@dataclass(frozen=True)
class AgentTopics:
    """The topics and frames of one agent.

    Attributes:
        kind: vehicle or infrastructure.
        points: topic of its LiDAR.
        lidar_frame: frame of its clouds.
        pose: topic of its poses, None if they come from transforms.
        pose_frame: frame that the poses describe; the LiDAR's if the messages name no child frame.
        world: frame in which the poses are given.
    """

    kind: AgentKind
    points: str
    lidar_frame: str
    pose: str | None
    pose_frame: str
    world: str


def find_agents(
    bag: BagFile, options: BagOptions, tree: TransformTree, kinds: Mapping[str, tuple[str, AgentKind]]
) -> dict[str, AgentTopics]:
    """Return the agents of a bag by name.

    Args:
        bag: the file.
        options: choices of the user.
        tree: transforms of the bag.
        kinds: id and kind of the agent that owns a LiDAR topic, where the bag says it.

    Raises:
        CosenseError: there is no LiDAR or no pose, or several candidates.
    """
    named = {topic: agent_id for topic, (agent_id, _) in kinds.items()}
    clouds = _clouds(bag, options, named)
    for argument, names in (("pose", options.pose), ("ego", [options.ego] if options.ego else [])):
        for name in names:
            if name not in clouds:
                raise CosenseError(f"{bag.path}: --{argument}: no agent '{name}', {nearest(name, clouds)}")
    agents = {}
    for agent_id, topic in clouds.items():
        lidar_frame = bag.first(topic).header.frame_id
        pose = _pose_topic(bag, options, tree, agent_id, lidar_frame, clouds)
        pose_frame = lidar_frame
        if pose is None:
            world = _world(bag, options, tree, agent_id, lidar_frame)
        else:
            message = bag.first(pose)
            world = message.header.frame_id
            pose_frame = getattr(message, "child_frame_id", "") or lidar_frame
            if not tree.is_connected(pose_frame, lidar_frame):
                raise CosenseError(
                    f"{bag.path}: '{pose}' is the pose of frame '{pose_frame}', and no transform leads from "
                    f"there to '{lidar_frame}' of '{topic}': record /tf_static too, or choose another topic "
                    f"with --pose {agent_id}=TOPIC"
                )
        kind = kinds[topic][1] if topic in kinds else _kind(agent_id)
        agents[agent_id] = AgentTopics(kind, topic, lidar_frame, pose, pose_frame, world)
    worlds = {agent.world for agent in agents.values()}
    if len(worlds) > 1:
        found = ", ".join(f"'{name}' in '{agent.world}'" for name, agent in agents.items())
        raise CosenseError(
            f"{bag.path}: the poses of the agents are not in one frame: {found}; choose other poses with "
            "--pose AGENT=TOPIC, or --pose AGENT=tf with --world FRAME"
        )
    return agents


def ego_of(agents: Mapping[str, AgentTopics]) -> str:
    """Return the ego if the user names none."""
    vehicles = sorted(name for name, agent in agents.items() if agent.kind == "vehicle")
    return next((name for name in ("vehicle", "ego") if name in agents), min(vehicles or agents))


def agents_of(agents: Mapping[str, AgentTopics], topics: Collection[str]) -> dict[str, str]:
    """Return the agent that each of these topics belongs to, according to the first word of its name.

    If there is only one agent, all topics are its own.
    """
    by_word = {_agent_of(agent.points): agent_id for agent_id, agent in agents.items()}
    found = {}
    for topic in topics:
        agent_id = next(iter(agents)) if len(agents) == 1 else by_word.get(_agent_of(topic))
        if agent_id is not None:
            found[topic] = agent_id
    return found


def find_ground_truth(bag: BagFile, options: BagOptions) -> str | None:
    """Return the topic of the labels, None if there is none.

    Raises:
        CosenseError: there are several candidates, or the one that the user names is none.
    """
    types = (message_types.DETECTIONS, message_types.MARKERS)
    if options.ground_truth is not None:
        return bag.check_topic(options.ground_truth, types, "--ground-truth")
    for type_name in types:
        found = [topic for topic in bag.topics(type_name) if _GROUND_TRUTH.search(topic)]
        if len(found) > 1:
            raise CosenseError(
                f"{bag.path}: several topics could be the ground truth: {', '.join(found)}; choose one with "
                "--ground-truth TOPIC"
            )
        if found:
            return found[0]
    return None


def _clouds(bag: BagFile, options: BagOptions, named: Mapping[str, str]) -> dict[str, str]:
    """Return the topic of the LiDAR of each agent."""
    if options.points:
        for agent_id, topic in options.points.items():
            bag.check_topic(topic, (message_types.CLOUD,), f"--points {agent_id}={topic}")
        return options.points
    found: dict[str, list[str]] = {}
    for topic in bag.topics(message_types.CLOUD):
        if _is_lidar(bag, topic, options):
            found.setdefault(named.get(topic, _agent_of(topic)), []).append(topic)
    if not found:
        raise CosenseError(
            f"{bag.path}: no topic of {message_types.CLOUD} with x, y and z of a sensor; topics: "
            f"{', '.join(sorted(bag.types)) or 'none'}"
        )
    for agent_id, topics in found.items():
        if len(topics) > 1:
            raise CosenseError(
                f"{bag.path}: several topics could be the LiDAR of '{agent_id}': {', '.join(topics)}; choose "
                f"one with --points {agent_id}=TOPIC, and likewise for every other agent"
            )
    return {agent_id: topics[0] for agent_id, topics in found.items()}


def _is_lidar(bag: BagFile, topic: str, options: BagOptions) -> bool:
    cloud = bag.first(topic)
    fields = {item.name.lower() for item in cloud.fields}
    is_of_sensor = cloud.header.frame_id.lstrip("/") not in (*_WORLDS, options.world)
    return is_of_sensor and {"x", "y", "z"} <= fields and not fields >= _BOX_FIELDS


def _pose_topic(
    bag: BagFile,
    options: BagOptions,
    tree: TransformTree,
    agent_id: str,
    lidar_frame: str,
    clouds: Mapping[str, str],
) -> str | None:
    """Return the topic of an agent's pose, None if it comes from transforms."""
    chosen = options.pose.get(agent_id)
    if chosen == FROM_TF:
        return None
    if chosen is not None:
        return bag.check_topic(chosen, message_types.POSES, f"--pose {agent_id}={chosen}")
    everywhere = bag.topics(*message_types.POSES)
    word = _agent_of(clouds[agent_id])
    own = [topic for topic in everywhere if _agent_of(topic) == word]
    if len(own) == 1:
        return own[0]
    has_transforms = tree.root_of(lidar_frame) != lidar_frame.lstrip("/")
    if not own and has_transforms:
        return None
    if not own and len(clouds) == len(everywhere) == 1:
        return everywhere[0]
    reason = "several topics could be" if own else "there is no topic and no transform for"
    candidates = own or everywhere
    raise CosenseError(
        f"{bag.path}: {reason} the pose of '{agent_id}' (cloud in frame '{lidar_frame}'); topics of poses: "
        f"{', '.join(candidates) or 'none'}; frames: {', '.join(tree.frames) or 'none'}. Choose with "
        f"--pose {agent_id}=TOPIC or --pose {agent_id}=tf"
    )


def _world(bag: BagFile, options: BagOptions, tree: TransformTree, agent_id: str, lidar_frame: str) -> str:
    """Return the world frame of an agent whose pose comes from transforms."""
    root = tree.root_of(lidar_frame)
    if options.world is not None:
        if not tree.is_connected(options.world, lidar_frame):
            raise CosenseError(
                f"{bag.path}: no transform leads from --world '{options.world}' to '{lidar_frame}' of "
                f"'{agent_id}'; frames: {', '.join(tree.frames) or 'none'}"
            )
        return options.world
    if root == lidar_frame.lstrip("/"):
        raise CosenseError(
            f"{bag.path}: --pose {agent_id}=tf: no transform leads to '{lidar_frame}'; frames: "
            f"{', '.join(tree.frames) or 'none'}"
        )
    return next((world for world in _WORLDS if tree.is_connected(world, lidar_frame)), root)


def _agent_of(topic: str) -> str:
    words = topic.strip("/").split("/")
    return words[0] if len(words) > 1 else "ego"


def _kind(agent_id: str) -> AgentKind:
    words = set(re.split(r"[^a-z]+", agent_id.lower()))
    return "infrastructure" if words & _INFRASTRUCTURE else "vehicle"
