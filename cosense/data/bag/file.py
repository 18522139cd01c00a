"""A recording of ROS 2: MCAP, SQLite, or a folder of rosbag2 with either inside.

One pass over its files, when it is opened, finds out what was measured when. Small messages are kept; large
ones are read again, each by itself, when they are asked for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import struct
import tempfile
import weakref
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cosense.data.bag import METADATA, message_types
from cosense.data.bag.folder import Recording, find_recording
from cosense.data.bag.storage import (
    CDR,
    Channel,
    StorageFile,
    decompressed_message,
    has_lost_its_end,
    is_unfinished,
    open_storage,
)
from cosense.data.bag.timeline import Moment, with_turns
from cosense.errors import CosenseError, counted, nearest
from cosense.topics import FRAME

_log = logging.getLogger(__name__)

# Messages of these types, and those of /cosense/frame, are kept in memory: they are small.
_KEPT = (*message_types.POSES, message_types.TRANSFORMS, message_types.CAMERA_INFO)
# Topics of these types are each of one thing, whose frame their headers name.
_OF_ONE_THING = (
    *(message_types.CLOUD, *message_types.POSES, message_types.CAMERA_INFO),
    *(message_types.IMAGE, message_types.COMPRESSED_IMAGE),
)
# The header follows the four bytes that declare the encoding; in an array it also follows the length.
_STAMP_AT = 4
_STAMP_IN_ARRAY_AT = 8
_FRAME_AT = 12

# A message with the frames that it names, and where it is.
_Row = tuple["Entry", tuple[str, ...], StorageFile, tuple[int, int]]


@dataclass(frozen=True)
class Entry:
    """Where one message of the bag is found.

    Attributes:
        topic: topic of the message.
        moment: time of measurement according to its header, or of recording if it has none.
        ordinal: position among the messages of the topic, in the order of their recording.
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
        path: .mcap or .db3 file, or a folder of them.

    Attributes:
        types: message type of each topic that has messages which can be read.
        notes: one line for each thing that was assumed.
        losses: one line for each thing that was recorded and cannot be read.

    Raises:
        CosenseError: the files cannot be read, or are damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        recording = find_recording(path)
        self.notes = recording.notes
        self.losses: list[str] = []
        self.types: dict[str, str] = {}
        self._entries: dict[str, list[Entry]] = {}
        self._places: dict[str, list[tuple[StorageFile, tuple[int, int]]]] = {}
        counts = self._scan_files(recording.files)
        self._name_topics(counts)
        self._compare(counts, recording)
        with self._speaking(path):
            self._store = message_types.types_of(counts)
        for line in (*self.notes, *self.losses):
            _log.warning("%s: %s", path, line)

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
        return self.read(self._entries[topic][0])

    def scan(self, topics: Collection[str]) -> dict[str, list[Entry]]:
        """Return the messages of these topics, of types that are known, in the order of their recording."""
        return {topic: self._entries.get(topic, []) for topic in topics}

    def read(self, entry: Entry) -> Any:
        """Return the message of an entry.

        Raises:
            CosenseError: it cannot be read, or does not match its type.
        """
        file, place = self._places[entry.topic][entry.ordinal]
        with self._speaking(f"{file.shown}: {entry.topic}"):
            data = decompressed_message(file.read(place)) if entry.data is None else entry.data
            return self._store.deserialize_cdr(data, self.types[entry.topic])

    def _scan_files(self, files: list[Path]) -> Counter[Channel]:
        """Find all messages and return how many each channel has."""
        counts: Counter[Channel] = Counter()
        found: dict[str, list[_Row]] = {}
        for path in files:
            if len(files) > 1 and not path.stat().st_size:
                self.losses.append(f"{path.name}: is empty, the recorder was killed before it had written it")
                continue
            if is_unfinished(path):
                self.notes.append(f"{path.name} was not closed; what lies beside it is read too, from a copy")
            if has_lost_its_end(path):
                self.losses.append(
                    f"{path.name} was not closed, and there is no {path.name}-wal: copy it too, the last "
                    "messages may be in it"
                )
            with self._speaking(path):
                file = open_storage(path, self._new_folder)
                broken = 0
                for channel, log_ns, place, data in file.messages(_is_kept):
                    type_name = message_types.name_of(channel.type_name)
                    if channel.encoding != CDR or type_name not in message_types.KNOWN:
                        continue
                    try:
                        data = decompressed_message(data)
                        moment = Moment(_stamp_ns(type_name, data, log_ns), log_ns)
                        frames = _frames(type_name, data)
                    except (struct.error, IndexError, ValueError):
                        broken += 1
                        continue
                    entry = Entry(channel.topic, moment, 0, bytes(data) if _is_kept(channel) else None)
                    found.setdefault(channel.topic, []).append((entry, frames, file, place))
            if broken:
                file.losses.append(f"{counted(broken, 'message')} too short or broken")
            self.losses += [line if path == self.path else f"{path.name}: {line}" for line in file.losses]
            counts += file.counts
        for topic, rows in found.items():
            rows = self._of_one(topic, sorted(rows, key=lambda row: row[0].moment.log_ns))
            moments = with_turns([entry.moment for entry, *_ in rows])
            self._entries[topic] = [
                replace(entry, moment=moment, ordinal=ordinal)
                for ordinal, ((entry, *_), moment) in enumerate(zip(rows, moments, strict=True))
            ]
            self._places[topic] = [(file, place) for *_, file, place in rows]
        return counts

    def _of_one(self, topic: str, rows: list[_Row]) -> list[_Row]:
        """Return the messages of one sensor or localisation: whatever names other frames is elsewhere."""
        counts = Counter(frames for _, frames, *_ in rows)
        (usual, _), *others = counts.most_common()
        if others:
            left_out = len(rows) - counts[usual]
            self.notes.append(
                f"not read: {left_out} of {counted(len(rows), 'message')} on {topic}, which are of "
                f"{', '.join(_shown(frames) for frames, _ in others)} and not of {_shown(usual)}; record "
                "each under a name of its own"
            )
        return [row for row in rows if row[1] == usual]

    def _new_folder(self) -> Path:
        """Return a new folder, which is removed with the bag."""
        folder = Path(tempfile.mkdtemp(prefix="cosense-bag-"))
        weakref.finalize(self, _remove, folder, os.getpid())
        return folder

    def _name_topics(self, counts: Counter[Channel]) -> None:
        """Set the type of each topic, and say which topics cannot be read."""
        strange: dict[str, str] = {}
        for channel in counts:
            if channel.encoding != CDR or not channel.type_name:
                strange[channel.topic] = channel.encoding if channel.encoding != CDR else "no type"
                continue
            name = message_types.name_of(channel.type_name)
            if name in message_types.KNOWN and channel.topic not in self._entries:
                continue  # no message is whole
            first = self.types.setdefault(channel.topic, name)
            if first != name and {first, name} & set(message_types.KNOWN):
                raise CosenseError(
                    f"{self.path}: topic '{channel.topic}' has two types, {first} and {name}; record the two "
                    "under different names"
                )
        named = ", ".join(f"{topic} ({reason})" for topic, reason in sorted(strange.items()))
        if not self.types:
            why = f"only messages that are not of ROS 2: {named}" if strange else "not one message"
            lost = f" ({'; '.join(self.losses)})" if self.losses else ""
            raise CosenseError(f"{self.path}: holds {why}{lost}; a bag of ROS 2 has messages in {CDR}")
        if strange:
            self.notes.append(f"not read, as they are not messages of ROS 2: {named}")

    def _compare(self, counts: Counter[Channel], recording: Recording) -> None:
        """Compare what was read with what is listed beside the files."""
        if recording.counts is None:
            return
        found: Counter[str] = Counter()
        for channel, count in counts.items():
            found[channel.topic] += count
        unlisted = sorted(set(found) - set(recording.counts))
        if unlisted:
            self.notes.append(f"{METADATA} does not list {', '.join(unlisted)}, read too")
        for topic, count in sorted(recording.counts.items()):
            if count > found[topic]:
                lost = counted(count - found[topic], "more message")
                self.losses.append(f"{METADATA} counts {lost} of {topic} than the files hold")

    @contextlib.contextmanager
    def _speaking(self, where: Path | str) -> Iterator[None]:
        """Turn whatever goes wrong while reading into one CosenseError.

        Decompressors, SQLite and parsers have errors of their own.
        """
        try:
            yield
        except (CosenseError, GeneratorExit, MemoryError):
            raise
        except Exception as error:
            reason = str(error).rstrip(".") or repr(error)
            raise CosenseError(f"{where}: not readable as a bag of ROS 2: {reason}{_cure(where)}") from None


def _is_kept(channel: Channel) -> bool:
    return channel.topic == FRAME or message_types.name_of(channel.type_name) in _KEPT


def _remove(folder: Path, process: int) -> None:
    """Remove the copies, unless this is only a child of the process that made them."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _cure(where: Path | str) -> str:
    if isinstance(where, Path) and where.suffix == ".db3":
        return f". Keep what is whole with `sqlite3 {where.name} .recover | sqlite3 recovered.db3`"
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


def _frames(type_name: str, data: bytes) -> tuple[str, ...]:
    """Return the frames that a serialised message of `_OF_ONE_THING` names: its own, and odometry's child."""
    if type_name not in _OF_ONE_THING:
        return ()
    order, at, frames = "<" if data[1] & 1 else ">", _FRAME_AT, []
    for _ in range(2 if type_name == message_types.ODOMETRY else 1):
        (length,) = struct.unpack_from(order + "I", data, at)
        text = bytes(data[at + 4 : at + 4 + length])
        frames.append(text.rstrip(b"\0").decode(errors="replace").lstrip("/"))
        # The next one starts at a multiple of four.
        at += 4 + -(-length // 4) * 4
    return tuple(frames)


def _shown(frames: tuple[str, ...]) -> str:
    return " in ".join(f"'{frame}'" for frame in frames[::-1])
