"""Assigns the topics of a bag to agents: by their types and names, or as the user says.

- Each PointCloud2 with x, y and z is the LiDAR of an agent, unless it also has boxes (our own /detections) or
  is given in a world frame (a map, clouds that odometry has placed). The agent is named after the first word
  of the topic: /unit/points belongs to "unit"; a topic of a single word, such as /velodyne_points, to "ego".
- The pose of an agent is the topic of poses or odometry that starts with the same word, else the transforms
  from map, world or odom to the frame of its cloud, else the odometry whose child frame the cloud's is joined
  to, else transforms that move from another root, else the only topic of poses if there is only one agent.
  Static transforms from another root than map, world or odom, or one in which somebody else moves, say where
  a sensor is mounted: no pose.
- A pose that names no child frame is that of base_link or base_footprint where the LiDAR is fixed to one,
  else that of the LiDAR.
- The world is the frame of the poses, else map, world or odom if it is an ancestor of the cloud's frame, else
  the root of the tree. Every robot has an odom of its own: two agents with topics in odom share no world.
- The ego is the agent "vehicle" or "ego", else the first vehicle by name. An agent is a roadside unit if its
  name contains one of the words in `_INFRASTRUCTURE`, otherwise a vehicle.
- Ground truth is a Detection3DArray, else a MarkerArray, with a topic name that says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from cosense.data.bag import FROM_TF, BagOptions, message_types
from cosense.data.bag.file import BagFile
from cosense.data.bag.poses import TF_STATIC, TransformTree
from cosense.errors import CosenseError, nearest
from cosense.sensing.frame import AgentKind
from cosense.topics import TF

# Whether the transforms of a topic hold for all time.
TRANSFORMS = {TF: False, TF_STATIC: True}
_WORLDS = ("map", "world", "odom")
# Frames of a vehicle whose pose a localisation gives.
_BODIES = ("base_link", "base_footprint")
# Poses that nobody has: where somebody is to go, or is said to start.
_WISHED = re.compile(r"(^|[/_])(goal|initial_?pose|target|way_?points?|check_?points?)($|[/_])")
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
        pose_frame: frame that the poses describe.
        pose_world: frame in which the poses are given.
        world: frame in which all agents are placed.
        note: what was assumed, "" for nothing.
    """

    kind: AgentKind
    points: str
    lidar_frame: str
    pose: str | None
    pose_frame: str
    pose_world: str
    world: str
    note: str = ""


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
    clouds = _clouds(bag, options, tree, named)
    for argument, names in (("pose", options.pose), ("ego", [options.ego] if options.ego else [])):
        for name in names:
            if name not in clouds:
                raise CosenseError(f"{bag.path}: --{argument}: no agent '{name}', {nearest(name, clouds)}")
    agents = {}
    told = _told(bag, tree)
    lidar_frames = {agent_id: bag.first(topic).header.frame_id for agent_id, topic in clouds.items()}
    worlds = _worlds(bag, options, tree, lidar_frames.values())
    for agent_id, topic in clouds.items():
        lidar_frame = lidar_frames[agent_id]
        kind = kinds[topic][1] if topic in kinds else _kind(agent_id)
        pose, named_frame = _pose_topic(bag, options, tree, agent_id, lidar_frame, clouds, worlds)
        if pose is None:
            world = _world(bag, options, tree, agent_id, lidar_frame)
            agents[agent_id] = AgentTopics(kind, topic, lidar_frame, None, lidar_frame, world, world)
            continue
        message = bag.first(pose)
        if lidar_frame and named_frame is None and lidar_frame == message.header.frame_id:
            raise CosenseError(
                f"{bag.path}: '{topic}' is in frame '{lidar_frame}', in which '{pose}' gives poses: its "
                f"points are placed already; choose the cloud of the sensor with --points {agent_id}=TOPIC, "
                f"or say --pose {agent_id}={pose}@{lidar_frame} if these are the poses of that frame"
            )
        pose_frame, note = named_frame, ""
        if pose_frame is None:
            pose_frame = getattr(message, "child_frame_id", "") or (lidar_frame if topic in kinds else None)
        if pose_frame is None:
            pose_frame, note = _described(tree, agent_id, pose, lidar_frame)
        if not tree.is_connected(pose_frame, lidar_frame):
            raise CosenseError(
                f"{bag.path}: '{pose}' is the pose of frame '{pose_frame}', and no transform leads from "
                f"there to '{lidar_frame}' of '{topic}': record /tf_static too, choose another topic with "
                f"--pose {agent_id}=TOPIC, or say --pose {agent_id}={pose}@{lidar_frame} if it is its pose"
                f"{told}"
            )
        world = message.header.frame_id
        agents[agent_id] = AgentTopics(kind, topic, lidar_frame, pose, pose_frame, world, world, note)
    return _in_one_world(bag, options, tree, agents)


def _in_one_world(
    bag: BagFile, options: BagOptions, tree: TransformTree, agents: dict[str, AgentTopics]
) -> dict[str, AgentTopics]:
    """Return the agents with one `world` for all: their own if it is one, else one that transforms join.

    Raises:
        CosenseError: there is none.
    """
    given = [agent.pose_world for agent in agents.values()]
    candidates = [options.world] if options.world is not None else [given[0], *_WORLDS]
    joined = (
        world
        for world in candidates
        if all(world == other or tree.is_connected(world, other) for other in given)
    )
    world = next(joined, None)
    found = ", ".join(f"'{name}' in '{agent.pose_world}'" for name, agent in agents.items())
    if world is None:
        wanted = "in one frame" if options.world is None else f"joined to --world '{options.world}'"
        raise CosenseError(
            f"{bag.path}: the poses of the agents are not {wanted}: {found}; choose other poses with "
            "--pose AGENT=TOPIC, or --pose AGENT=tf with --world FRAME"
        )
    own = [agent for agent in agents.values() if agent.pose is not None and agent.pose_world == world]
    if len(own) > 1 and options.world is None and world.rpartition("/")[2] == "odom":
        raise CosenseError(
            f"{bag.path}: the poses of the agents are odometry: {found}, and every robot has an odom of its "
            "own, which begins where it started (REP 105); choose poses in one map with --pose AGENT=TOPIC, "
            f"or say --world {world} if this one is the same for all"
        )
    if len(own) > 1 and not world:
        note = f"poses without a frame are taken to be of one world: {found}"
        first = next(iter(agents))
        agents = agents | {first: replace(agents[first], note=agents[first].note or note)}
    return {name: replace(agent, world=world) for name, agent in agents.items()}


def _worlds(
    bag: BagFile, options: BagOptions, tree: TransformTree, lidar_frames: Collection[str]
) -> set[str]:
    """Return the frames in which agents are placed, besides those that are so by their names."""
    moving = [frame for frame in lidar_frames if tree.fixed_chain(frame) != tree.chain(frame)]
    odometry = [bag.first(topic) for topic in bag.topics(message_types.ODOMETRY)]
    given = [
        (message.header.frame_id.lstrip("/"), message.child_frame_id.lstrip("/")) for message in odometry
    ]
    own = {child for _, child in given}
    found = {frame for frame, child in given if child} | {tree.root_of(frame) for frame in moving}
    worlds = {*_WORLDS, *filter(None, found), options.world or "map"}
    return {frame for frame in worlds if frame not in own and frame.rpartition("/")[2] not in _BODIES}


def _told(bag: BagFile, tree: TransformTree) -> str:
    """Return what may be wrong with the transforms, for errors that miss one."""
    lines = [line for doubts in tree.doubts.values() for line in doubts]
    others = [topic for topic in bag.topics(message_types.TRANSFORMS) if topic not in TRANSFORMS]
    if others:
        remapped = " ".join(f"{topic}:=/{topic.rpartition('/')[2]}" for topic in others)
        lines.append(
            f"only {TF} and {TF_STATIC} are read, not {', '.join(others)}: record it again from `ros2 bag "
            f"play {bag.path} --remap {remapped}`"
        )
    return "".join(f". {line[0].upper()}{line[1:]}" for line in lines)


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


def _clouds(
    bag: BagFile, options: BagOptions, tree: TransformTree, named: Mapping[str, str]
) -> dict[str, str]:
    """Return the topic of the LiDAR of each agent."""
    if options.points:
        for agent_id, topic in options.points.items():
            bag.check_topic(topic, (message_types.CLOUD,), f"--points {agent_id}={topic}")
        return options.points
    found: dict[str, list[str]] = {}
    placed = {}
    worlds = _worlds(bag, options, tree, [])
    for topic in bag.topics(message_types.CLOUD):
        cloud = bag.first(topic)
        fields = {item.name.lower() for item in cloud.fields}
        if not {"x", "y", "z"} <= fields or fields >= _BOX_FIELDS:
            continue
        if cloud.header.frame_id.lstrip("/") in worlds:
            placed[topic] = cloud.header.frame_id
        else:
            found.setdefault(named.get(topic, _agent_of(topic)), []).append(topic)
    if not found:
        raise CosenseError(
            f"{bag.path}: no topic of {message_types.CLOUD} with x, y and z of a sensor; topics: "
            f"{', '.join(sorted(bag.types)) or 'none'}"
            + "".join(
                f". The points of {topic} are placed in '{name}' already: record those of the sensor itself"
                for topic, name in placed.items()
            )
        )
    for agent_id, topics in found.items():
        if len(topics) > 1:
            raise CosenseError(
                f"{bag.path}: several topics could be the LiDAR of '{agent_id}': {', '.join(topics)}; choose "
                f"one with --points {agent_id}=TOPIC, and likewise for every other agent"
            )
    return {agent_id: topics[0] for agent_id, topics in found.items()}


def _pose_topic(
    bag: BagFile,
    options: BagOptions,
    tree: TransformTree,
    agent_id: str,
    lidar_frame: str,
    clouds: Mapping[str, str],
    worlds: Collection[str],
) -> tuple[str | None, str | None]:
    """Return the topic of an agent's pose, None for transforms, and whose pose it is if the user says so."""
    chosen = options.pose.get(agent_id)
    if chosen == FROM_TF:
        return None, None
    if chosen is not None:
        topic, at, frame = chosen.partition("@")
        topic = bag.check_topic(topic, message_types.POSES, f"--pose {agent_id}={chosen}")
        return topic, frame if at else None
    everywhere = [topic for topic in bag.topics(*message_types.POSES) if not _WISHED.search(topic)]
    word = _agent_of(clouds[agent_id])
    candidates = [topic for topic in everywhere if _agent_of(topic) == word]
    chain = tree.chain(lidar_frame)
    is_fixed = len(tree.fixed_chain(lidar_frame)) == len(chain)
    if not candidates:
        if any(tree.is_connected(world, lidar_frame) for world in worlds) or _is_world(chain[-1]):
            return None, None
        candidates = [
            topic
            for topic in everywhere
            if (child := getattr(bag.first(topic), "child_frame_id", ""))
            and tree.is_connected(child, lidar_frame)
        ]
    if not candidates and not is_fixed:
        return None, None
    if not candidates and len(clouds) == len(everywhere) == 1:
        candidates = everywhere
    if len(candidates) == 1:
        return candidates[0], None
    reason = "several topics could be" if candidates else "there is no topic and no transform for"
    mounting = f" Static transforms to '{chain[-1]}' only say where it is mounted." if len(chain) > 1 else ""
    raise CosenseError(
        f"{bag.path}: {reason} the pose of '{agent_id}' (cloud in frame '{lidar_frame}'); topics of poses: "
        f"{', '.join(candidates or everywhere) or 'none'}; frames: {', '.join(tree.frames) or 'none'}."
        f"{'' if candidates or not is_fixed else mounting} Choose with --pose {agent_id}=TOPIC or "
        f"--pose {agent_id}=tf{_told(bag, tree)}"
    )


def _described(tree: TransformTree, agent_id: str, pose: str, lidar_frame: str) -> tuple[str, str]:
    """Return the frame whose pose a topic gives that names none, and a note on what was assumed."""
    fixed = tree.fixed_chain(lidar_frame)
    frame = next((name for name in fixed if name.rpartition("/")[2] in _BODIES), lidar_frame)
    if len(fixed) == 1:
        return frame, ""
    other = lidar_frame if frame != lidar_frame else fixed[-1]
    return frame, (
        f"'{pose}' names no child frame: taken as the pose of '{frame}'; if it is that of '{other}', say "
        f"--pose {agent_id}={pose}@{other}"
    )


def _is_world(frame: str) -> bool:
    return frame.rpartition("/")[2] in _WORLDS


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
