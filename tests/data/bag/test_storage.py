from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from mcap.opcode import Opcode
from mcap.writer import CompressionType, IndexType
from rosbags.rosbag2 import StoragePlugin

from cosense.data import open_dataset
from cosense.data.bag import message_types
from cosense.data.bag.file import BagFile
from cosense.errors import CosenseError
from tests.data.bag.bags import (
    MS,
    POINTS,
    START_NS,
    T_base_lidar,
    T_map_base,
    car,
    cloud,
    in_order,
    mount,
    records_of,
    without_record,
    write_mcap,
    write_rows,
)

FRAMES = 4


def drive(frames: int = FRAMES) -> list:
    return in_order([mount(), *car(frames)])


def check(path: Path, frames: int = FRAMES) -> None:
    """Check every value of every frame of a bag with a car."""
    bag = open_dataset(path)
    assert [frame.ego.stamp_ns for frame in bag] == [START_NS + 100 * MS * n for n in range(frames)]
    for frame in bag:
        np.testing.assert_allclose(frame.ego.points, POINTS, atol=1e-5)
        expected = T_map_base(frame.ego.stamp_ns) @ T_base_lidar
        np.testing.assert_allclose(frame.ego.T_world_agent, expected, atol=1e-9)


LAYOUTS = {
    "chunks without message index": {"index_types": IndexType.CHUNK},
    "no index at all": {"index_types": IndexType.NONE},
    "no chunks": {"use_chunking": False},
    "no summary": {
        "index_types": IndexType.NONE,
        "use_statistics": False,
        "use_summary_offsets": False,
        "repeat_channels": False,
        "repeat_schemas": False,
    },
    "neither chunks nor summary": {
        "use_chunking": False,
        "use_statistics": False,
        "use_summary_offsets": False,
        "repeat_channels": False,
        "repeat_schemas": False,
    },
    "lz4": {"compression": CompressionType.LZ4},
    "uncompressed, without checksums": {"compression": CompressionType.NONE, "enable_crcs": False},
    "everything in one chunk": {"chunk_size": 1 << 24},
}


@pytest.mark.parametrize("options", LAYOUTS.values(), ids=LAYOUTS)
def test_every_message_is_found_whatever_the_index_lacks(tmp_path, options):
    """Kind: parts of MCAP that its specification calls optional."""
    check(write_mcap(tmp_path / "bag.mcap", drive(), **options))


@pytest.mark.parametrize("number", [0, 12])
def test_a_chunk_that_the_index_lacks_is_read_too(tmp_path, number):
    """Kind: an index that names some of the messages, 2 of 4 frames without a word."""
    path = write_mcap(tmp_path / "bag.mcap", drive())
    without_record(path, Opcode.CHUNK_INDEX, number)
    check(path)


@pytest.mark.parametrize("options", [{}, {"use_chunking": False}])
def test_messages_out_of_order_are_sorted_by_the_time_of_recording(tmp_path, options):
    """Kind: orders that a recorder may leave; unindexed ones were refused."""
    check(write_mcap(tmp_path / "bag.mcap", drive()[::-1], **options))


@pytest.mark.parametrize("options", [{}, {"use_chunking": False}], ids=["chunks", "no chunks"])
def test_a_recording_that_was_cut_off_is_read_up_to_there(tmp_path, options, caplog):
    """Kind: a recorder that was killed, at any byte."""
    whole = write_mcap(tmp_path / "whole.mcap", drive(), **options)
    content = whole.read_bytes()
    names = [opcode for opcode, _ in records_of(whole)]
    kind = Opcode.MESSAGE if options else Opcode.CHUNK
    ends = np.cumsum([8, *(len(data) for _, data in records_of(whole))])[1:]
    ends_of_messages = [end for name, end in zip(names, ends, strict=True) if name == kind]
    counts = []
    for index in (5, len(ends_of_messages) // 2, len(ends_of_messages) - 1):
        for more in (0, 1, 30):
            cut = tmp_path / f"cut{index}-{more}.mcap"
            cut.write_bytes(content[: ends_of_messages[index] + more])
            bag = BagFile(cut)
            (loss,) = bag.losses
            count = sum(len(entries) for entries in bag.scan(bag.types).values())
            assert count == index + 1
            assert re.search(
                rf"cut off at byte \d+ of {cut.stat().st_size}; {count} messages before that", loss
            )
            counts.append(count)
    assert len(set(counts)) == 3
    check(cut)
    assert "cut off at byte" in caplog.text
    assert "cut off" in open_dataset(cut).info().problems[0]


def test_zeros_at_the_end_are_where_a_recording_was_cut_off(tmp_path):
    """Kind: a machine that lost its power; the file system had reserved the room."""
    path = write_mcap(tmp_path / "bag.mcap", drive(), index_types=IndexType.NONE)
    data = b"".join(data for opcode, data in records_of(path) if opcode in (Opcode.HEADER, Opcode.CHUNK))
    path.write_bytes(path.read_bytes()[:8] + data + bytes(100_000))
    check(path)
    assert "cut off" in BagFile(path).losses[0]


def test_a_recorder_that_wrote_no_message_is_one_line(tmp_path):
    path = write_mcap(tmp_path / "bag.mcap", [])
    with pytest.raises(CosenseError, match=r"bag.mcap: holds not one message"):
        open_dataset(path)
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(CosenseError, match=r"holds not one message \(the recording was cut off at byte"):
        open_dataset(path)


@pytest.mark.parametrize("damage", ["byte", "length", "size", "lost chunk", "lost message"])
def test_a_damaged_file_is_refused_with_the_cure(tmp_path, damage):
    """Kind: a finished file that does not hold what it says; nothing of it is left out in silence."""
    chunked = damage != "lost message"
    path = write_mcap(tmp_path / "bag.mcap", drive(), use_chunking=chunked)
    ends = np.cumsum([8, *(len(data) for _, data in records_of(path))])
    names = [opcode for opcode, _ in records_of(path)]
    chunk = ends[[index for index, name in enumerate(names) if name == Opcode.CHUNK][5]] if chunked else 0
    content = bytearray(path.read_bytes())
    if damage == "byte":
        content[chunk + 80] ^= 0xFF
        complaint = f"the chunk at byte {chunk} is damaged"
    elif damage == "size":
        # 4 GB more than there are.
        content[chunk + 29] = 1
        complaint = f"the chunk at byte {chunk} is damaged .it has .* and claims to hold 4"
    elif damage == "length":
        content[chunk + 6] = 0xFF
        complaint = f"the record at byte {chunk} is damaged"
    path.write_bytes(content)
    if damage.startswith("lost"):
        without_record(path, Opcode.CHUNK if chunked else Opcode.MESSAGE, 5)
        complaint = "its statistics count 1 more message on /odom"
    with pytest.raises(CosenseError, match=rf"bag.mcap: .*{complaint}.*`mcap recover bag.mcap -o recovered"):
        open_dataset(path)


def add_foreign(writer, encoding: str, schema_encoding: str) -> None:
    schema = writer.register_schema("foxglove.PointCloud", schema_encoding, b"{}") if schema_encoding else 0
    channel = writer.register_channel("/strange", encoding, schema)
    writer.add_message(channel, START_NS, b'{"a": 1}', START_NS)


@pytest.mark.parametrize(
    ("encoding", "schema", "reason"),
    [
        ("json", "jsonschema", "json"),
        ("json", "", "json"),
        ("ros1", "ros1msg", "ros1"),
        ("cdr", "", "no type"),
    ],
)
def test_channels_of_other_encodings_are_named_and_left_out(tmp_path, monkeypatch, encoding, schema, reason):
    """Kind: bags that other programs wrote into as well; one such channel made the bag unreadable."""
    from mcap.writer import Writer

    finish = Writer.finish

    def finish_with_more(self):
        add_foreign(self, encoding, schema)
        finish(self)

    monkeypatch.setattr(Writer, "finish", finish_with_more)
    path = write_mcap(tmp_path / "bag.mcap", drive())
    check(path)
    assert (
        f"not read, as they are not messages of ROS 2: /strange ({reason})" in open_dataset(path).info().notes
    )
    alone = write_mcap(tmp_path / "alone.mcap", [])
    with pytest.raises(CosenseError, match=rf"only messages that are not of ROS 2: /strange \({reason}\)"):
        open_dataset(alone)


@pytest.mark.parametrize("pattern", ["{0}/{2}", "{0}::msg::dds_::{2}_"])
def test_types_are_known_by_their_other_names(tmp_path, monkeypatch, pattern):
    """Kind: recorders that are not rosbag2 spell types in their own way."""
    from mcap.writer import Writer

    register = Writer.register_schema
    monkeypatch.setattr(
        Writer,
        "register_schema",
        lambda self, name, encoding, data: register(self, pattern.format(*name.split("/")), encoding, data),
    )
    check(write_mcap(tmp_path / "bag.mcap", drive()))


def test_a_message_without_header_is_counted_and_left_out(tmp_path):
    """Kind: a single broken message does not hide the others."""
    path = write_rows(tmp_path / "bag", drive(), StoragePlugin.SQLITE3)
    (file,) = path.glob("*.db3")
    with sqlite3.connect(file) as database:
        query = (
            "SELECT messages.id FROM messages JOIN topics ON topic_id = topics.id WHERE name = '/lidar_top'"
        )
        database.execute(
            f"UPDATE messages SET data = x'0001' WHERE id = ({query} ORDER BY timestamp LIMIT 1)"
        )
    bag = open_dataset(path)
    assert len(bag) == FRAMES - 1
    assert bag.info().problems == ["bag.db3: 1 message too short or broken"]


def test_messages_of_topics_that_are_not_described_are_counted(tmp_path):
    """Kind: a recorder that was killed between a message and the entry of its topic."""
    path = write_rows(tmp_path / "bag", drive(), StoragePlugin.SQLITE3)
    (file,) = path.glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM topics WHERE name = '/odom'")
    assert BagFile(file).losses == ["21 messages of topics that the file does not describe"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def keep_back(source: Path, from_ns: int) -> None:
    """Move the messages from a time on into a table of their own."""
    with contextlib.closing(sqlite3.connect(source)) as database, database:
        database.execute(f"CREATE TABLE late AS SELECT * FROM messages WHERE timestamp > {from_ns}")
        database.execute(f"DELETE FROM messages WHERE timestamp > {from_ns}")


def copied_while_open(source: Path, target: Path, journal: str) -> None:
    """Make a database whose last messages are only in its -wal, or half written with a -journal beside it."""
    database = sqlite3.connect(source, isolation_level=None)
    database.execute(f"PRAGMA journal_mode={journal}")
    database.execute("PRAGMA cache_size=1")
    database.execute("PRAGMA wal_autocheckpoint=0")
    database.execute("BEGIN")
    if journal == "WAL":
        database.executescript(
            "CREATE TABLE moved AS SELECT * FROM late; INSERT INTO messages SELECT * FROM moved;"
        )
    else:
        database.execute("UPDATE messages SET topic_id = 99, data = zeroblob(5000)")
    target.mkdir()
    for path in source.parent.glob(f"{source.name}*"):
        shutil.copy(path, target)
    database.close()


@pytest.mark.parametrize("journal", ["WAL", "DELETE"])
def test_what_lies_beside_an_open_database_counts_and_nothing_is_written(tmp_path, journal):
    """Kind: a recorder that was killed leaves a -wal or a -journal: 16 of 20 frames, or nonsense."""
    source = tmp_path / "bag" / "bag.db3"
    write_rows(tmp_path / "bag", drive(20), StoragePlugin.SQLITE3)
    if journal == "WAL":
        keep_back(source, START_NS + 1510 * MS)
        assert len(open_dataset(source)) == 16
    copied_while_open(source, tmp_path / "killed", journal)
    before = files_of(tmp_path / "killed")
    assert len(before) > 1
    bag = open_dataset(tmp_path / "killed" / "bag.db3")
    assert "bag.db3 was not closed; what lies beside it is read too, from a copy" in bag.info().notes
    check(bag.path, 20)
    assert files_of(tmp_path / "killed") == before


@pytest.mark.parametrize("link", ["to the database", "to both"])
def test_what_lies_beside_the_database_of_a_link_counts_too(tmp_path, link):
    """Kind: recordings behind links, as data version control keeps them; -wal lies beside the target."""
    source = tmp_path / "bag" / "bag.db3"
    write_rows(tmp_path / "bag", drive(6), StoragePlugin.SQLITE3)
    keep_back(source, START_NS + 310 * MS)
    copied_while_open(source, tmp_path / "killed", "WAL")
    linked = tmp_path / "linked.db3"
    if link == "to both":
        for ending in ("", "-wal"):
            cached = (tmp_path / "killed" / f"bag.db3{ending}").rename(tmp_path / f"{len(ending)}a7f")
            linked.with_name(f"linked.db3{ending}").symlink_to(cached)
    else:
        linked.symlink_to(tmp_path / "killed" / "bag.db3")
    check(linked, 6)


def test_a_journal_that_was_not_copied_is_a_problem(tmp_path):
    """Kind: a database that was copied without its -wal; the last frames were gone without a word."""
    write_rows(tmp_path / "bag", drive(), StoragePlugin.SQLITE3)
    (tmp_path / "bag" / "bag.db3-shm").write_bytes(bytes(32768))
    assert open_dataset(tmp_path / "bag").info().problems == [
        "bag.db3 was not closed, and there is no bag.db3-wal: copy it too, the last messages may be in it"
    ]
    (tmp_path / "bag" / "bag.db3-wal").touch()
    assert open_dataset(tmp_path / "bag").info().problems == []
    (tmp_path / "bag" / "old.db3-wal").write_bytes(b"1")
    assert open_dataset(tmp_path / "bag").info().notes == [
        "not read: old.db3-wal has the last messages of a database of that name, which is not there"
    ]


def test_what_follows_behind_the_end_is_a_problem(tmp_path):
    """Kind: files that were joined with `cat`; the second one was not read, and nobody said so."""
    path = write_mcap(tmp_path / "bag.mcap", drive())
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(5000))
    assert open_dataset(path).info().problems == []
    path.write_bytes(whole + whole)
    check(path)
    assert open_dataset(path).info().problems == [
        f"what follows behind its end at byte {len(whole) - 8} of {2 * len(whole)} is not read; another "
        "recording is a file of its own"
    ]


def test_copies_are_removed_with_the_bag(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "copies"))
    (tmp_path / "copies").mkdir()
    write_rows(tmp_path / "bag", drive(), StoragePlugin.SQLITE3)
    (tmp_path / "bag" / "bag.db3-wal").write_bytes(b"left")
    bag = open_dataset(tmp_path / "bag")
    assert list((tmp_path / "copies").iterdir())
    del bag
    assert not list((tmp_path / "copies").iterdir())


def test_odd_characters_in_a_path_and_odd_entries_in_a_database(tmp_path):
    """Kind: what is an address, a definition or a QoS profile to somebody else."""
    folder = tmp_path / "drive #3?mode=rw %20 & more"
    write_rows(tmp_path / "bag", drive(), StoragePlugin.SQLITE3).rename(folder)
    check(folder)
    with sqlite3.connect(folder / "bag.db3") as database:
        database.execute("UPDATE topics SET offered_qos_profiles = '- {broken'")
        database.execute("UPDATE message_definitions SET encoding = 'unknown'")
    check(folder)
    with sqlite3.connect(folder / "bag.db3") as database:
        database.execute("DROP TABLE message_definitions")
        database.execute("DROP TABLE schema")
    check(folder)


def test_a_type_that_is_defined_in_two_ways_is_refused(tmp_path):
    """Kind: bags that were joined out of two distributions; the later definition was taken for both."""
    from mcap.writer import Writer

    with (tmp_path / "bag.mcap").open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        for topic, text in (("/a", "string data"), ("/b", "string data\nint32 more")):
            schema = writer.register_schema(message_types.STRING, "ros2msg", text.encode())
            channel = writer.register_channel(topic, "cdr", schema)
            writer.add_message(channel, 1, b"\0\1\0\0\3\0\0\0hi\0\0\7\0\0\0", 1)
        writer.finish()
    with pytest.raises(CosenseError, match="type std_msgs/msg/String is defined in two ways, once with /b"):
        BagFile(tmp_path / "bag.mcap")


def test_a_truncated_database_names_the_cure(tmp_path):
    path = write_rows(tmp_path / "bag", [cloud(START_NS + n, "a") for n in range(200)], StoragePlugin.SQLITE3)
    (file,) = path.glob("*.db3")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(CosenseError, match=r"bag.db3: not readable .*malformed.*`sqlite3 bag.db3 .recover"):
        open_dataset(path)
