from __future__ import annotations

import os

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin

from cosense.data import open_dataset
from cosense.data.bag import message_types
from cosense.data.bag.file import BagFile
from cosense.data.bag.writer import make, write_bag
from cosense.errors import CosenseError
from tests.data.bag.bags import START_NS, car, cloud, in_order, mount, rows_of, write_rows
from tests.nodes.tiny import write_scene


@pytest.mark.parametrize("storage", list(StoragePlugin))
def test_messages_recorded_at_the_same_nanosecond_are_told_apart(tmp_path, storage):
    rows = [cloud(START_NS + n, "a", log_ns=START_NS) for n in range(4)]
    bag = BagFile(write_rows(tmp_path / "bag", rows, storage))
    entries = bag.scan(["/lidar_top"])["/lidar_top"]
    assert [entry.ordinal for entry in entries] == [0, 1, 2, 3]
    for entry in entries:
        stamp = bag.read(entry).header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == entry.stamp_ns


def test_what_has_no_stamp_has_the_time_of_recording(tmp_path):
    empty = make(message_types.MARKERS)
    text = make(message_types.STRING, data="hello")
    rows = [("/m", message_types.MARKERS, empty, 5), ("/s", message_types.STRING, text, 7)]
    entries = BagFile(write_rows(tmp_path / "bag", rows)).scan(["/m", "/s"])
    found = {topic: [entry.stamp_ns for entry in of_topic] for topic, of_topic in entries.items()}
    assert found == {"/m": [5], "/s": [7]}


def test_a_type_nobody_asks_for_does_not_matter(tmp_path):
    """Its definition refers to what is not in the bag."""
    from rosbags.rosbag2 import Writer

    path = write_rows(tmp_path / "bag", in_order([mount(), *car(2)]))
    store = message_types.own_types()
    with Writer(tmp_path / "odd", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        odd = writer.add_connection("/odd", "odd/msg/Odd", msgdef="other/Missing[] x", rihs01="RIHS01_0")
        writer.write(odd, START_NS, b"\0\1\0\0")
        bag = BagFile(path)
        connections = {
            topic: writer.add_connection(topic, name, typestore=store) for topic, name in bag.types.items()
        }
        for topic, type_name, message, log_ns in rows_of(bag):
            writer.write(connections[topic], log_ns, store.serialize_cdr(message, type_name))
    assert len(open_dataset(tmp_path / "odd")) == 2


def test_a_message_is_read_as_the_bag_defines_it(tmp_path):
    """Messages have other fields in other distributions."""
    from rosbags.rosbag2 import Writer

    with Writer(tmp_path / "bag", version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        definition = "string data\nint32 more"
        connection = writer.add_connection("/s", message_types.STRING, msgdef=definition, rihs01="RIHS01_0")
        writer.write(connection, 1, b"\0\1\0\0\3\0\0\0hi\0\0\7\0\0\0")
    message = BagFile(tmp_path / "bag").first("/s")
    assert (message.data, message.more) == ("hi", 7)


def test_another_process_reads_with_a_file_of_its_own(tmp_path):
    scene = open_dataset(write_scene(tmp_path / "scene", frames=6))
    write_bag([scene[index] for index in range(6)], tmp_path / "bag.mcap", label_set="simulated")
    bag = open_dataset(tmp_path / "bag.mcap")
    child = os.fork()
    for _ in range(20):
        for index in range(6):
            if not np.array_equal(bag[index].ego.points, scene[index].ego.points):
                os._exit(1) if child == 0 else pytest.fail("parent")
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("empty.mcap", b"", "is empty, the recorder was killed before it had written anything"),
        ("text.mcap", b"hello, world", "neither MCAP nor SQLite, it starts with b'hello, world'"),
        ("text.db3", b"hello, world", "neither MCAP nor SQLite, it starts with b'hello, world'"),
    ],
)
def test_files_that_are_no_bags(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CosenseError, match=f"{name}: {complaint}"):
        open_dataset(tmp_path / name)


def test_other_files_and_nothing(tmp_path):
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(CosenseError, match=r"a bag of ROS 1 is converted with `rosbags-convert --src old"):
        open_dataset(tmp_path / "old.bag")
    with pytest.raises(CosenseError, match=r"gone.mcap: no such file or folder"):
        open_dataset(tmp_path / "gone.mcap")
