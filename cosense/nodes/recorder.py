"""Writes everything that is published into one MCAP file, which rosbag2 and Foxglove open.

Messages are kept as the bytes that came over DDS. Topics are found while the run goes on. Raw images are left
out (their JPEG form is recorded) and so is what only ROS itself reads. Where nobody publishes /tf it is made
from the poses of the agents, so that viewers can show all agents in one frame.

After each second everything is on disk: a process that is killed loses at most that second, and the file then
lacks only its index.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_typestore

from cosense import topics
from cosense.errors import CosenseError, counted
from cosense.nodes.ros import process
from cosense.nodes.ros.lifecycle import ManagedNode

_NOT_RECORDED = ("/rosout", "/parameter_events")
_RAW_IMAGE = "sensor_msgs/msg/Image"
_POSE = "geometry_msgs/msg/PoseWithCovarianceStamped"
_TF = "tf2_msgs/msg/TFMessage"
_QUEUE_DEPTH = 64
_FLUSH_S = 1.0
_LOOK_FOR_TOPICS_S = 0.2


class RecorderNode(ManagedNode):
    """See the module."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self._path = Path(process.needed(self, "path", "file to write, ends in .mcap"))
        self._types = get_typestore(Stores.ROS2_JAZZY)
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
        self._listening: set[str] = set()
        self._count = 0

    def listen(self) -> None:
        """Record whatever is published."""
        self._listening.clear()
        self.every(_LOOK_FOR_TOPICS_S, self._look_for_topics)
        self.every(_FLUSH_S, self._writer.flush)
        self.get_logger().info(f"records to {self._file.name}")

    def close(self) -> None:
        """Write the index and close the file."""
        if self._writer is None:
            return
        self._writer.finish()
        self._writer = None
        self._file.close()
        self.get_logger().info(
            f"recorded {counted(self._count, 'message')} of {counted(len(self._channels), 'topic')}"
        )

    def _look_for_topics(self) -> None:
        """Subscribe to what is new."""
        for topic, types in self.get_topic_names_and_types():
            if topic not in self._listening and topic not in _NOT_RECORDED and self.count_publishers(topic):
                self._listening.add(topic)
                self._record(topic, types[0])

    def _record(self, topic: str, type_name: str) -> None:
        if type_name == _RAW_IMAGE:
            return
        try:
            message_type = _message_type(type_name)
            channel = self._add_channel(topic, type_name)
        except (ImportError, AttributeError, KeyError):
            self.get_logger().warning(f"{topic} is not recorded: type {type_name} is not installed")
            return
        if type_name == _POSE and topic.endswith("/pose") and not self.count_publishers(topics.TF):
            transforms = self._add_channel(topics.TF, _TF)
            keep = self._writing_transforms(channel, transforms, child=f"{topic[1:-5]}/lidar")
        else:
            keep = self._writing(channel)
        self.subscribe(message_type, topic, keep, _QUEUE_DEPTH, raw=True)

    def _writing(self, channel: int) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            now_ns = time.time_ns()
            self._writer.add_message(channel, log_time=now_ns, publish_time=now_ns, data=bytes(data))
            self._count += 1

        return write

    def _writing_transforms(self, channel: int, transforms: int, child: str) -> Callable[[bytes], None]:
        """Return what keeps a pose and also writes it as the transform from the map to frame `child`."""
        write, write_transform = self._writing(channel), self._writing(transforms)

        def keep(data: bytes) -> None:
            write(data)
            write_transform(self._to_transform(bytes(data), child))

        return keep

    def _to_transform(self, data: bytes, child: str) -> bytes:
        """Return a serialised pose as a serialised tf2_msgs/TFMessage."""
        types = self._types.types
        pose = self._types.deserialize_cdr(data, _POSE)
        position = pose.pose.pose.position
        transform = types["geometry_msgs/msg/Transform"](
            translation=types["geometry_msgs/msg/Vector3"](x=position.x, y=position.y, z=position.z),
            rotation=pose.pose.pose.orientation,
        )
        stamped = types["geometry_msgs/msg/TransformStamped"](
            header=pose.header, child_frame_id=child, transform=transform
        )
        return bytes(self._types.serialize_cdr(types[_TF](transforms=[stamped]), _TF))

    def _add_channel(self, topic: str, type_name: str) -> int:
        """Announce a topic in the file, where it has not been yet, and return its number there.

        Raises:
            KeyError: the definition of the type is not known.
        """
        if topic in self._channels:
            return self._channels[topic]
        if type_name not in self._schemas:
            definition = self._types.generate_msgdef(type_name, ros_version=2)[0]
            self._schemas[type_name] = self._writer.register_schema(type_name, "ros2msg", definition.encode())
        self._channels[topic] = self._writer.register_channel(topic, "cdr", self._schemas[type_name])
        return self._channels[topic]


def _message_type(type_name: str) -> Any:
    """Return the class of "package/msg/Name"."""
    package, _, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def main() -> None:
    """Run the node."""
    process.run(RecorderNode, "recorder")


if __name__ == "__main__":
    main()
