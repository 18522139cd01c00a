"""One file of a recording, MCAP or SQLite, read from its first message to its last.

Indices, summaries and statistics are not needed to find messages: a recorder that was killed has not written
them, and other programs leave them out. They are only compared with what was read. Nothing is written beside
the file: what SQLite would have to repair is repaired in a copy.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel as McapChannel
from mcap.records import Chunk, Message, Schema, Statistics
from mcap.stream_reader import breakup_chunk

from cosense.data.bag import COMPRESSED
from cosense.errors import CosenseError, counted

CDR = "cdr"
_MCAP_MAGIC = b"\x89MCAP0\r\n"
_SQLITE_MAGIC = b"SQLite format 3\0"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# So much of what follows behind the end of a file is looked at.
_LOOK_BYTES = 1 << 16
# A chunk may hold so many bytes, or so many times its compressed ones.
_PLAUSIBLE_BYTES, _MOST_COMPRESSED = 64 << 20, 100
# Opcode and length of a record of MCAP.
_RECORD = struct.Struct("<BQ")
# Channel, sequence number, times of recording and publication.
_LEAST_MESSAGE_BYTES = 22
# Of a large message only this is read at first; it holds the stamp and the frame.
_HEAD_BYTES = 256
# Beside a database that was not closed, there is what has not been moved into it yet.
_UNFINISHED = ("-wal", "-journal")


@dataclass(frozen=True)
class Channel:
    """What the messages of one channel are.

    Attributes:
        topic: topic of the messages.
        type_name: their type as the file calls it, empty if it does not say.
        encoding: how they are serialised, "cdr" in ROS 2.
        definition_format: "ros2msg", "ros2idl" or another; empty without a definition.
        definition: the definition of the type.
    """

    topic: str
    type_name: str
    encoding: str
    definition_format: str = ""
    definition: str = ""


class Stored(NamedTuple):
    """A message as it is stored.

    Attributes:
        channel: what it is.
        log_ns: time of recording.
        place: where `StorageFile.read` finds it again.
        data: the serialised message, or at least its first bytes.
    """

    channel: Channel
    log_ns: int
    place: tuple[int, int]
    data: bytes


class StorageFile(ABC):
    """One file of a recording.

    Args:
        path: the file.
        shown: the file of the user, which is another one if `path` is a copy.

    Attributes:
        path, shown: the arguments.
        counts: number of messages of each channel, of any type, once `messages` has ended.
        losses: one line for each loss that `messages` has come across.
    """

    def __init__(self, path: Path, shown: Path) -> None:
        self.path = path
        self.shown = shown
        self.counts: Counter[Channel] = Counter()
        self.losses: list[str] = []

    @abstractmethod
    def messages(self, is_kept: Callable[[Channel], bool]) -> Iterator[Stored]:
        """Yield all messages, in any order; those of the channels that are kept with all their data."""

    @abstractmethod
    def read(self, place: tuple[int, int]) -> bytes:
        """Return all data of one message."""


class McapFile(StorageFile):
    """A file of MCAP, with or without chunks, indices, summary and end."""

    def __init__(self, path: Path, shown: Path) -> None:
        super().__init__(path, shown)
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._opened: tuple[int, list[Message]] = (-1, [])

    def messages(self, is_kept: Callable[[Channel], bool]) -> Iterator[Stored]:
        found: Counter[int] = Counter()
        unknown = 0
        stated: Statistics | None = None
        is_finished = False
        with self.path.open("rb") as stream:
            at, size = len(_MCAP_MAGIC), self.path.stat().st_size
            while not is_finished:
                stream.seek(at)
                opcode, length = _record(stream, size)
                if not opcode:
                    break
                messages: list[Message] = []
                if opcode == Opcode.CHUNK:
                    messages = self._enter(stream, at)
                elif opcode == Opcode.MESSAGE:
                    messages = [Message.read(ReadDataStream(stream), length)]
                elif opcode == Opcode.SCHEMA:
                    self._learn(Schema.read(ReadDataStream(stream)))
                elif opcode == Opcode.CHANNEL:
                    self._learn(McapChannel.read(ReadDataStream(stream)))
                elif opcode == Opcode.STATISTICS:
                    stated = Statistics.read(ReadDataStream(stream))
                for number, message in enumerate(messages):
                    found[message.channel_id] += 1
                    channel = self._channels.get(message.channel_id)
                    if channel is None:
                        unknown += 1
                        continue
                    self.counts[channel] += 1
                    yield Stored(channel, message.log_time, (at, number), message.data)
                is_finished = opcode == Opcode.FOOTER
                at += _RECORD.size + length
        self._check_end(at, size, is_finished)
        if unknown:
            self.losses.append(f"{counted(unknown, 'message')} of channels that the file does not describe")
        if stated is not None:
            self._check_counts(found, stated)

    def read(self, place: tuple[int, int]) -> bytes:
        at, number = place
        with self.path.open("rb") as stream:
            stream.seek(at)
            opcode, length = _record(stream, self.path.stat().st_size)
            if opcode == Opcode.MESSAGE:
                return Message.read(ReadDataStream(stream), length).data
            if self._opened[0] != at:
                self._opened = (at, self._enter(stream, at))
        return self._opened[1][number].data

    def _enter(self, stream: BinaryIO, at: int) -> list[Message]:
        """Return the messages of the chunk at a position; learn the channels in it."""
        try:
            chunk = Chunk.read(ReadDataStream(stream))
            _check_size(chunk)
            records = breakup_chunk(chunk, validate_crc=True)
        except Exception as error:  # whatever the decompressors raise
            raise self._damaged(f"the chunk at byte {at} is damaged ({str(error) or repr(error)})") from None
        for record in records:
            if isinstance(record, (Schema, McapChannel)):
                self._learn(record)
        return [record for record in records if isinstance(record, Message)]

    def _learn(self, record: Schema | McapChannel) -> None:
        if isinstance(record, Schema):
            self._schemas[record.id] = record
            return
        schema = self._schemas.get(record.schema_id)
        if schema is None:
            self._channels[record.id] = Channel(record.topic, "", record.message_encoding)
            return
        definition = schema.data.decode(errors="replace")
        self._channels[record.id] = Channel(
            record.topic, schema.name, record.message_encoding, schema.encoding, definition
        )

    def _check_end(self, at: int, size: int, is_finished: bool) -> None:
        with self.path.open("rb") as stream:
            if is_finished:
                stream.seek(at + len(_MCAP_MAGIC))
                if stream.read(_LOOK_BYTES).strip(b"\0"):
                    self.losses.append(
                        f"what follows behind its end at byte {stream.seek(at)} of {size} is not read; "
                        "another recording is a file of its own"
                    )
                return
            stream.seek(max(0, size - len(_MCAP_MAGIC)))
            if stream.read() == _MCAP_MAGIC:
                raise self._damaged(f"the record at byte {at} is damaged")
        self.losses.append(
            f"the recording was cut off at byte {at} of {size}; {counted(self.counts.total(), 'message')} "
            "before that can be read, the rest is lost"
        )

    def _check_counts(self, found: Counter[int], stated: Statistics) -> None:
        """Compare what was read with the statistics in the file."""
        lacking = {
            channel_id: count - found[channel_id]
            for channel_id, count in stated.channel_message_counts.items()
            if count > found[channel_id]
        }
        if not lacking and stated.message_count > found.total():
            lacking = {-1: stated.message_count - found.total()}
        if lacking:
            topics = {c.topic for channel_id, c in self._channels.items() if channel_id in lacking}
            raise self._damaged(
                f"a part of it is lost, its statistics count {counted(sum(lacking.values()), 'more message')}"
                f"{' on ' if topics else ''}{', '.join(sorted(topics))}"
            )

    def _damaged(self, reason: str) -> CosenseError:
        return CosenseError(
            f"{self.shown}: {reason}; copy the file again, or keep what is whole with `mcap recover "
            f"{self.shown.name} -o recovered.mcap`"
        )


def _check_size(chunk: Chunk) -> None:
    """Raise ValueError where a chunk claims to be larger than what it holds can be."""
    claimed = chunk.uncompressed_size
    if chunk.data[:4] == _ZSTD_MAGIC:
        claimed = max(claimed, zstandard.frame_content_size(chunk.data))
    if claimed > max(_PLAUSIBLE_BYTES, _MOST_COMPRESSED * len(chunk.data)):
        raise ValueError(f"it has {counted(len(chunk.data), 'byte')} and claims to hold {claimed}")


class SqliteFile(StorageFile):
    """A database of rosbag2 that needs no repair."""

    def messages(self, is_kept: Callable[[Channel], bool]) -> Iterator[Stored]:
        with self._open() as database:
            channels = _channels_of(database)
            whole = ",".join(str(number) for number, channel in channels.items() if is_kept(channel))
            unknown = 0
            query = "SELECT topic_id, count(*) FROM messages GROUP BY topic_id"
            for number, count in database.execute(query):
                if number in channels:
                    self.counts[channels[number]] += count
                else:
                    unknown += count
            if unknown:
                self.losses.append(f"{counted(unknown, 'message')} of topics that the file does not describe")
            query = (
                f"SELECT id, topic_id, timestamp, CASE WHEN topic_id IN ({whole}) THEN data ELSE "
                f"substr(data, 1, {_HEAD_BYTES}) END FROM messages ORDER BY timestamp, id"
            )
            for row, number, log_ns, data in database.execute(query):
                if number not in channels:
                    continue
                if data[:4] == _ZSTD_MAGIC:
                    data = self.read((row, 0))
                yield Stored(channels[number], log_ns, (row, 0), data)

    def read(self, place: tuple[int, int]) -> bytes:
        with self._open() as database:
            ((data,),) = database.execute("SELECT data FROM messages WHERE id = ?", place[:1])
        return bytes(data)

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        address = f"{self.path.resolve().as_uri()}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
            yield database


def open_storage(shown: Path, new_folder: Callable[[], Path]) -> StorageFile:
    """Open a file by what it contains, whatever its name.

    Args:
        shown: the file; compressed if its name ends with `COMPRESSED`.
        new_folder: makes a folder for a copy, which is needed as long as the file is read.

    Raises:
        CosenseError: it is neither MCAP nor SQLite, or there is no room for a copy.
    """
    path = _decompressed(shown, new_folder()) if shown.suffix == COMPRESSED else shown
    with path.open("rb") as stream:
        magic = stream.read(len(_SQLITE_MAGIC))
    if magic.startswith(_MCAP_MAGIC):
        return McapFile(path, shown)
    if magic == _SQLITE_MAGIC:
        return SqliteFile(_repaired(path, new_folder()) if is_unfinished(path) else path, shown)
    if not magic:
        raise CosenseError(f"{shown}: is empty, the recorder was killed before it had written anything")
    raise CosenseError(f"{shown}: neither MCAP nor SQLite, it starts with {magic!r}")


def is_unfinished(path: Path) -> bool:
    """Return whether a database was left open, so that a part of it lies beside it."""
    return any(beside.stat().st_size for beside in _beside(path, _UNFINISHED))


def has_lost_its_end(path: Path) -> bool:
    """Return whether a database was left open, and what lay beside it was not copied."""
    return bool(_beside(path, ["-shm"])) and not _beside(path, ["-wal"])


def decompressed_message(data: bytes) -> bytes:
    """Return a message from what was stored: rosbag2 may compress each message by itself.

    Raises:
        ValueError: the compressed message is broken.
    """
    if data[:4] != _ZSTD_MAGIC:
        return data
    stream = zstandard.ZstdDecompressor().decompressobj()
    try:
        message = stream.decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from None
    if not stream.eof:
        raise ValueError("the compressed message is cut off")
    return message


def _channels_of(database: sqlite3.Connection) -> dict[int, Channel]:
    """Return the channels of a database of rosbag2, of any version, by the number of the topic."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
    lacking = {"topics", "messages"} - tables
    if lacking:
        raise CosenseError(f"no database of rosbag2, it has no table '{min(lacking)}'")
    definitions: dict[str, tuple[str, str]] = {}
    if "message_definitions" in tables:
        query = "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions"
        definitions = {name: (kind, text) for name, kind, text in database.execute(query)}
    topics = database.execute("SELECT id, name, type, serialization_format FROM topics")
    return {
        number: Channel(topic, type_name, encoding, *definitions.get(type_name, ("", "")))
        for number, topic, type_name, encoding in topics
    }


def _beside(path: Path, endings: Iterable[str]) -> list[Path]:
    """Return the files with these endings beside a database, or beside the one that a link leads to."""
    places = dict.fromkeys((path, path.resolve()))
    found = (place.with_name(place.name + ending) for place in places for ending in endings)
    return [file for file in found if file.is_file()]


def _repaired(path: Path, scratch: Path) -> Path:
    """Return a copy of a database together with what lies beside it."""
    beside = [(ending, file) for ending in _UNFINISHED for file in _beside(path, [ending])]
    files = {"": path} | dict(beside)
    _check_room(scratch, sum(file.stat().st_size for file in files.values()), path)
    for ending, file in files.items():
        shutil.copyfile(file, scratch / f"{path.name}{ending}")
    with contextlib.closing(sqlite3.connect(scratch / path.name)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        database.execute("PRAGMA journal_mode=DELETE").fetchall()
    return scratch / path.name


def _decompressed(path: Path, scratch: Path) -> Path:
    """Return a decompressed copy of a file."""
    target = scratch / path.stem
    _check_room(scratch, path.stat().st_size, path)
    stream = zstandard.ZstdDecompressor().decompressobj()
    with path.open("rb") as packed, target.open("wb") as plain:
        while not stream.eof:
            piece = packed.read(1 << 20)
            if not piece:
                raise CosenseError(f"{path}: the compressed file is cut off; copy it again")
            plain.write(stream.decompress(piece))
    return target


def _check_room(scratch: Path, needed_bytes: int, path: Path) -> None:
    free_bytes = shutil.disk_usage(scratch).free
    if free_bytes < needed_bytes:
        raise CosenseError(
            f"a copy of {path.name} is needed to read it, and {scratch.parent} has room for "
            f"{free_bytes / 1e9:.1f} of {needed_bytes / 1e9:.1f} GB: set TMPDIR to another folder"
        )


def _record(stream: BinaryIO, size: int) -> tuple[int, int]:
    """Return opcode and length of the record at the position; opcode 0 if it is not there as a whole."""
    head = stream.read(_RECORD.size)
    if len(head) < _RECORD.size:
        return 0, 0
    opcode, length = _RECORD.unpack(head)
    is_whole = stream.tell() + length <= size
    is_whole &= opcode != Opcode.MESSAGE or length >= _LEAST_MESSAGE_BYTES
    return (opcode, length) if is_whole else (0, 0)
