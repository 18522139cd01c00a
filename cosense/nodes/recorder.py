"""Writes everything that is published into one MCAP file, which rosbag2 and Foxglove open.

Messages are kept as the bytes that came over DDS. Topics are found while the run goes on, with their type as
it is installed here and the quality of service that their publishers offer, so that `ros2 bag play` offers
the same. What cannot be recorded (a type that is not installed, a second type on one topic) is named once and
left out. Raw images are left out too (their JPEG form is recorded) and so is what only ROS itself reads.
Where nobody publishes /tf that can be recorded it is made from the poses of the agents, so that viewers can
show all agents in one frame.

With `use_sim_time` the time of recording is that of /clock when a message was published, by the clock on the
wall; /clock itself is left out, as `ros2 bag play --clock` publishes it from the times of recording. Where it
goes back, as between two scenarios, the time of recording goes on. What came before it gets its first time.

After each second everything is on disk: a process that is killed loses at most that second, and the file then
lacks only its index.
"""

from __future__ import annotations

import bisect
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from mcap.writer import CompressionType, Writer
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.logging import get_logger
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosgraph_msgs.msg import Clock

from cosense import topics
from cosense.data.bag import message_types
from cosense.errors import CosenseError, counted
from cosense.nodes.ros import conversions, process, qos
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.nodes.ros.message_definitions import definition_of, message_class

_NOT_RECORDED = ("/rosout", "/parameter_events")
# Topics of actions and of the introspection of services, which rosbag2 leaves out too.
_HIDDEN = re.compile(r"(^|/)_")
_AGENT_POSE = re.compile(r"/(\w+)/pose")
_QUEUE_DEPTH = 64
_FLUSH_S = 1.0
_LOOK_FOR_TOPICS_S = 0.2
# Between two scenarios, where the stamps do not tell it.
_SEAM_NS = 1_000_000_000
# A clock that goes back by less is the same one, rounded or overtaken.
_JITTER_NS = 50_000_000
# How much of /clock is remembered; it comes once a frame, or a hundred times a second.
_TICKS = 4096


class RecorderNode(ManagedNode):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self._path = Path(process.needed(self, "path", "file to write, ends in .mcap"))
        self._follows_clock = bool(self.get_parameter("use_sim_time").value)
        self._writer: Writer | None = None
        self._recordings = 0

    def build(self) -> None:
        """Open the file; one that is there already is not touched, and one of this node gets a successor."""
        path = self._path
        if self._recordings:
            path = path.with_stem(f"{path.stem}_{self._recordings}")
        try:
            self._file = path.open("xb")
        except FileExistsError:
            raise CosenseError(f"{path}: is there already; move it, or record to another path") from None
        except OSError as error:
            raise CosenseError(f"{path}: cannot be written: {error.strerror}") from None
        self._recordings += 1
        self._writer = Writer(self._file, compression=CompressionType.LZ4)
        self._writer.start(profile="ros2", library="cosense")
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        # Which type of which topic was looked at, and the type as which a topic is recorded.
        self._looked_at: set[tuple[str, str]] = set()
        self._recorded: dict[str, str] = {}
        self._count = 0
        # When /clock was published, by the clock on the wall, and the time of recording from then on.
        self._ticked_ns: deque[int] = deque(maxlen=_TICKS)
        self._times_ns: deque[int] = deque(maxlen=_TICKS)
        self._shift_ns = 0
        self._early: dict[int, deque[bytes]] = {}
        self._n_early = 0

    def listen(self) -> None:
        """Record whatever is published."""
        self._looked_at.clear()
        if self._follows_clock:
            is_resumed = bool(self._times_ns)
            self.subscribe(
                Clock, topics.CLOCK, self._on_clock, _QUEUE_DEPTH, with_time=True, from_now_on=is_resumed
            )
        self.every(_LOOK_FOR_TOPICS_S, self._look_for_topics)
        self.every(_FLUSH_S, self._flush)
        self.get_logger().info(f"records to {self._file.name}")

    def close(self) -> None:
        """Write the index and close the file."""
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            # Nothing was played: there is no other time than that on the wall.
            self._write_early(writer, time.time_ns())
            writer.finish()
            self._file.close()
        except OSError as error:
            self._last_logger.error(f"{self._file.name}: has no index: {error.strerror}")
        self._last_logger.info(
            f"recorded {counted(self._count, 'message')} of {counted(len(self._channels), 'topic')}"
        )

    @property
    def _last_logger(self) -> RcutilsLogger:
        """The node's own logger; where ROS 2 is stopped already, one that does not complain about that."""
        return self.get_logger() if self.context.ok() else get_logger(f"{self.get_name()}.file")

    def _look_for_topics(self) -> None:
        """Subscribe to what is new."""
        for topic, types in self.get_topic_names_and_types():
            is_left_out = topic in _NOT_RECORDED or (topic == topics.CLOCK and self._follows_clock)
            if is_left_out or _HIDDEN.search(topic):
                continue
            # What a data set is made of comes first.
            for type_name in sorted(types, key=lambda name: name not in message_types.KNOWN):
                if (topic, type_name) not in self._looked_at:
                    self._look_at(topic, type_name)

    def _look_at(self, topic: str, type_name: str) -> None:
        try:
            offers = [o for o in self.get_publishers_info_by_topic(topic) if o.topic_type == type_name]
            if offers:
                self._looked_at.add((topic, type_name))
                self._record(topic, type_name, offers)
        # Names and types are those of everybody in the domain, and none of them may end the recording.
        except Exception as error:
            self._looked_at.add((topic, type_name))
            self.get_logger().warning(f"{topic} is not recorded: {error}")

    def _record(self, topic: str, type_name: str, offers: Sequence[TopicEndpointInfo]) -> None:
        if type_name == message_types.IMAGE:
            return
        recorded_as = self._recorded.get(topic, type_name)
        if recorded_as != type_name:
            raise CosenseError(
                f"not as {type_name}: in a bag it has one type, and it is {recorded_as} already"
            )
        kind = message_class(type_name)
        metadata = {"offered_qos_profiles": qos.as_rosbag2_writes(offer.qos_profile for offer in offers)}
        if type_hash := _type_hash(offers[0]):
            metadata["topic_type_hash"] = type_hash
        channel = self._add_channel(topic, type_name, definition_of(kind), metadata)
        keep = partial(self._write, channel)
        agent = _AGENT_POSE.fullmatch(topic)
        if agent and type_name == message_types.POSE_WITH_COVARIANCE:
            keep = self._writing_transforms(channel, child=f"{agent[1]}/lidar")
        # What was sent before a pause is in the file.
        is_resumed = topic in self._recorded
        self.subscribe(kind, topic, keep, _QUEUE_DEPTH, raw=True, with_time=True, from_now_on=is_resumed)
        self._recorded[topic] = type_name
        # The subscription has the definition that is installed here.
        here = {
            _type_hash(info)
            for info in self.get_subscriptions_info_by_topic(topic)
            if info.node_name == self.get_name()
        }
        others = {_type_hash(offer) for offer in offers} - here
        if "" not in here | others and others:
            self.get_logger().warning(
                f"{topic}: {type_name} is defined otherwise where it is published than here; the bag has the "
                "definition that is installed here, and its messages may read wrong"
            )

    def _on_clock(self, clock: Clock, published_ns: int) -> None:
        if self._ticked_ns and published_ns < self._ticked_ns[-1]:
            # Overtaken by another one.
            return
        now_ns = conversions.to_ns(clock.clock) + self._shift_ns
        if not self._times_ns:
            self._write_early(self._writer, now_ns)
        elif now_ns < self._times_ns[-1] - _JITTER_NS:
            if self.count_publishers(topics.CLOCK) > 1:
                self.get_logger().warning(
                    "/clock has several publishers: the times of recording mix theirs; give this run a "
                    "ROS_DOMAIN_ID of its own",
                    once=True,
                )
            seam_ns = self._times_ns[-1] + _SEAM_NS
            self._shift_ns += seam_ns - now_ns
            now_ns = seam_ns
        else:
            now_ns = max(now_ns, self._times_ns[-1])
        self._ticked_ns.append(published_ns)
        self._times_ns.append(now_ns)

    def _write(self, channel: int, data: bytes, published_ns: int) -> None:
        if not self._follows_clock:
            self._add(self._writer, channel, time.time_ns(), data)
        elif self._times_ns:
            tick = bisect.bisect_right(self._ticked_ns, published_ns) - 1
            self._add(self._writer, channel, self._times_ns[max(tick, 0)], data)
        else:
            self._n_early += 1
            self._early.setdefault(channel, deque(maxlen=_QUEUE_DEPTH)).append(data)

    def _write_early(self, writer: Writer, time_ns: int) -> None:
        """Write what came before there was a time."""
        n_kept = sum(map(len, self._early.values()))
        if n_kept < self._n_early:
            self._last_logger.warning(
                f"not recorded: {counted(self._n_early - n_kept, 'message')} from before /clock, of which it "
                f"keeps the last {_QUEUE_DEPTH} of each topic"
            )
        for channel, messages in self._early.items():
            for data in messages:
                self._add(writer, channel, time_ns, data)
        self._early.clear()
        self._n_early = 0

    def _add(self, writer: Writer, channel: int, time_ns: int, data: bytes) -> None:
        try:
            writer.add_message(channel, log_time=time_ns, publish_time=time_ns, data=data)
        except OSError as error:
            raise self._broken(error) from None
        self._count += 1

    def _flush(self) -> None:
        try:
            self._writer.flush()
        except OSError as error:
            raise self._broken(error) from None

    def _broken(self, error: OSError) -> CosenseError:
        return CosenseError(f"{self._file.name}: cannot be written any more: {error.strerror}")

    def _writing_transforms(self, channel: int, child: str) -> Callable[[bytes, int], None]:
        """Return what keeps a pose, and also writes it as the transform from the map to frame `child`."""

        def keep(data: bytes, published_ns: int) -> None:
            self._write(channel, data, published_ns)
            if topics.TF in self._recorded:
                return
            try:
                transform = _to_transform(data, child)
            # The bytes may be anybody's.
            except Exception as error:
                self.get_logger().warning(f"{child}: a pose that cannot be read: {error}", once=True)
            else:
                self._write(self._own_transforms(), transform, published_ns)

        return keep

    def _own_transforms(self) -> int:
        """Return the number of the channel of the transforms that are made here."""
        if topics.TF not in self._channels:
            types = message_types.own_types()
            definition = types.generate_msgdef(message_types.TRANSFORMS, ros_version=2)[0]
            metadata = {
                "offered_qos_profiles": qos.as_rosbag2_writes([qos.REPLAY]),
                "topic_type_hash": types.hash_rihs01(message_types.TRANSFORMS),
            }
            self._add_channel(topics.TF, message_types.TRANSFORMS, definition, metadata)
        return self._channels[topics.TF]

    def _add_channel(self, topic: str, type_name: str, definition: str, metadata: dict[str, str]) -> int:
        """Announce a topic in the file, where it has not been yet, and return its number there."""
        if type_name not in self._schemas:
            self._schemas[type_name] = self._writer.register_schema(type_name, "ros2msg", definition.encode())
        if topic not in self._channels:
            schema = self._schemas[type_name]
            self._channels[topic] = self._writer.register_channel(topic, "cdr", schema, metadata)
        return self._channels[topic]


def _type_hash(endpoint: TopicEndpointInfo) -> str:
    """Return the hash of the type, empty where it is not known, as in ROS 2 Humble."""
    text = str(getattr(endpoint, "topic_type_hash", ""))
    return text if text.startswith("RIHS") else ""


def _to_transform(data: bytes, child: str) -> bytes:
    """Return a serialised pose as a serialised tf2_msgs/TFMessage."""
    store = message_types.own_types()
    types = store.types
    pose = store.deserialize_cdr(data, message_types.POSE_WITH_COVARIANCE)
    position = pose.pose.pose.position
    transform = types["geometry_msgs/msg/Transform"](
        translation=types["geometry_msgs/msg/Vector3"](x=position.x, y=position.y, z=position.z),
        rotation=pose.pose.pose.orientation,
    )
    stamped = types["geometry_msgs/msg/TransformStamped"](
        header=pose.header, child_frame_id=child, transform=transform
    )
    message = types[message_types.TRANSFORMS](transforms=[stamped])
    return bytes(store.serialize_cdr(message, message_types.TRANSFORMS))


def main() -> None:
    """Run the node."""
    process.run(RecorderNode, "recorder")


if __name__ == "__main__":
    main()
