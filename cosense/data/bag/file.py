"""A recording of ROS 2 as a file: MCAP, SQLite, or a folder of rosbag2 with either inside.

One pass over the file, when it is opened, finds out what was measured when. Small messages are kept; large
ones are read again, each by itself, when they are asked for.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader

from cosense.data.bag import message_types
from cosense.data.bag.timeline import Moment, with_turns
from cosense.errors import CosenseError, nearest

# Messages of these types are kept in memory when the bag is opened: they are small.
_KEPT = (*message_types.POSES, message_types.TRANSFORMS, message_types.CAMERA_INFO, message_types.STRING)
# The header follows the four bytes that declare the encoding; in an array it also follows the length.
_STAMP_AT = 4
_STAMP_IN_ARRAY_AT = 8


@dataclass(frozen=True)
class Entry:
    """Where one message of the bag is found.

    Attributes:
        topic: topic of the message.
        moment: time of measurement according to its header, or of recording if it has none.
        ordinal: position among the messages of the topic that were recorded in the same nanosecond.
        data: the serialised message, None if it is not kept.
    """

    topic: str
    moment: Moment
    ordinal: int
    data: bytes | None

    @property
    def stamp_ns(self) -> int:
        return self.moment.stamp_ns


class BagFile:
    """An open bag.

    Args:
        path: .mcap or .db3 file, or a folder with metadata.yaml.

    Attributes:
        types: message type of each topic that has messages.

    Raises:
        CosenseError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._readers: dict[int, Reader] = {}
        with self._speaking():
            connections = self._reader.connections
            self._store = message_types.types_of(connections)
        self.types: dict[str, str] = {}
        for topic, name in ((c.topic, c.msgtype) for c in connections if c.msgcount):
            first = self.types.setdefault(topic, name)
            if first != name and {first, name} & set(message_types.KNOWN):
                raise CosenseError(
                    f"{path}: topic '{topic}' has two types, {first} and {name}; record the two under "
                    "different names"
                )

    def topics(self, *types: str) -> list[str]:
        """Return the topics that have one of these types, sorted."""
        return sorted(topic for topic, name in self.types.items() if name in types)

    def check_topic(self, topic: str, types: Collection[str], argument: str) -> str:
        """Return `topic` if it can be used.

        Args:
            topic: the name that the user gave.
            types: message types that are allowed.
            argument: the option with which it was given, for the error.

        Raises:
            CosenseError: it is not in the bag, or has another type; the error names the candidates.
        """
        candidates = self.topics(*types)
        if topic not in self.types:
            raise CosenseError(f"{self.path}: {argument}: no topic '{topic}', {nearest(topic, self.types)}")
        if topic not in candidates:
            raise CosenseError(
                f"{self.path}: {argument}: topic '{topic}' is {self.types[topic]}, expected "
                f"{' or '.join(types)}; topics of that type: {', '.join(candidates) or 'none'}"
            )
        return topic

    def first(self, topic: str) -> Any:
        """Return the first message of a topic."""
        with self._speaking(topic):
            data = next(self._reader.messages(self._connections([topic])))[2]
        return self.deserialize(topic, data)

    def scan(self, topics: Collection[str]) -> dict[str, list[Entry]]:
        """Return all messages of these topics in the order in which they were recorded."""
        entries: dict[str, list[Entry]] = {topic: [] for topic in topics}
        for entry in self._scan(topics):
            entries[entry.topic].append(entry)
        for topic, found in entries.items():
            moments = with_turns([entry.moment for entry in found])
            entries[topic] = [replace(e, moment=m) for e, m in zip(found, moments, strict=True)]
        return entries

    def _scan(self, topics: Collection[str]) -> Iterator[Entry]:
        connections = self._connections(topics)
        counts: dict[str, tuple[int, int]] = {}
        with self._speaking():
            for connection, log_ns, data in self._reader.messages(connections) if connections else ():
                topic, type_name = connection.topic, connection.msgtype
                last_ns, ordinal = counts.get(topic, (-1, 0))
                ordinal = ordinal + 1 if last_ns == log_ns else 0
                counts[topic] = (log_ns, ordinal)
                kept = bytes(data) if type_name in _KEPT else None
                moment = Moment(_stamp_ns(type_name, data, log_ns), log_ns)
                yield Entry(topic, moment, ordinal, kept)

    def read(self, entry: Entry) -> Any:
        """Return the message of an entry.

        Raises:
            CosenseError: it cannot be read, or does not match its type.
        """
        if entry.data is not None:
            return self.deserialize(entry.topic, entry.data)
        connections = self._connections([entry.topic])
        with self._speaking(entry.topic):
            log_ns = entry.moment.log_ns
            found = self._reader.messages(connections, start=log_ns, stop=log_ns + 1)
            data = [message for _, _, message in found][entry.ordinal]
        return self.deserialize(entry.topic, data)

    def deserialize(self, topic: str, data: bytes) -> Any:
        """Return a message from its bytes.

        Raises:
            CosenseError: the bytes do not match the type of the topic.
        """
        with self._speaking(topic):
            return self._store.deserialize_cdr(data, self.types[topic])

    def _connections(self, topics: Collection[str]) -> list[Connection]:
        return [connection for connection in self._reader.connections if connection.topic in topics]

    @property
    def _reader(self) -> Reader:
        """The reader of this process: two processes must not share the position in one open file."""
        process = os.getpid()
        if process not in self._readers:
            reader = Reader(self.path)
            reader.open()
            self._readers = {process: reader}
        return self._readers[process]

    @contextlib.contextmanager
    def _speaking(self, topic: str | None = None) -> Iterator[None]:
        """Turn whatever goes wrong while reading into one CosenseError.

        rosbags passes on the errors of its decompressors, of SQLite and of its parsers unchanged.
        """
        try:
            yield
        except (CosenseError, GeneratorExit, MemoryError):
            raise
        except Exception as error:
            where = f"{self.path}: {topic}" if topic else str(self.path)
            reason = str(error).rstrip(".") or repr(error)
            raise CosenseError(
                f"{where}: not readable as a bag of ROS 2: {reason}{_cure(self.path)}"
            ) from None


def _cure(path: Path) -> str:
    if path.suffix == ".mcap":
        return f". If its recording was cut off: `mcap recover {path.name} -o recovered.mcap`"
    if path.suffix == ".db3":
        return f". If its recording was cut off: `ros2 bag reindex {path.parent} sqlite3`"
    return ""


def _stamp_ns(type_name: str, data: bytes, log_ns: int) -> int:
    """Return the stamp of a serialised message without decoding the rest."""
    if type_name in (message_types.STRING, message_types.TRANSFORMS):
        return log_ns
    order = "<" if data[1] & 1 else ">"
    start = _STAMP_AT
    if type_name == message_types.MARKERS:
        if struct.unpack_from(order + "I", data, _STAMP_AT)[0] == 0:
            return log_ns
        start = _STAMP_IN_ARRAY_AT
    seconds, nanoseconds = struct.unpack_from(order + "iI", data, start)
    return int(seconds) * 1_000_000_000 + int(nanoseconds)
