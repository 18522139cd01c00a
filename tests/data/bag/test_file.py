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
from cosense.geometry.transforms import transform_from_planar
from tests.data.bag.bags import (
    MS,
    START_NS,
    T_base_lidar,
    T_map_base,
    car,
    cloud,
    in_order,
    mount,
    odometry,
    rows_of,
    transform,
    write_rows,
)
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


@pytest.mark.parametrize("storage", list(StoragePlugin))
@pytest.mark.parametrize(
    ("others", "note"),
    [
        (
            ("/odom", "trailer", "map"),
            "3 of 24 messages on /odom, which are of 'trailer' in 'map' and not of ",
        ),
        (
            ("/odom", "base_link", "utm"),
            "3 of 24 messages on /odom, which are of 'base_link' in 'utm' and not",
        ),
        (("/lidar_top", "os_left", ""), "3 of 7 messages on /lidar_top, which are of 'os_left' and not of "),
    ],
)
def test_a_topic_is_of_one_thing_and_what_is_of_another_is_named(tmp_path, storage, others, note):
    """Kind: several publishers of one topic, each with a frame of its own; all had the place of the first."""
    topic, child, frame = others
    aside = transform_from_planar(-0.4, 0.2, 0.1)
    rows = [mount(), transform("base_link", "os_left", aside, 0, static=True, log_ns=START_NS), *car(4)]
    for stamp_ns in (START_NS + (50 + 100 * n) * MS for n in range(3)):
        other = cloud(stamp_ns, child, topic=topic)
        rows.append(odometry(stamp_ns, T_map_base(stamp_ns) @ aside, child, topic, frame) if frame else other)
    bag = open_dataset(write_rows(tmp_path / "bag", in_order(rows), storage))
    (line,) = bag.info().notes
    assert line.startswith(f"not read: {note}")
    assert line.endswith("; record each under a name of its own")
    assert [frame.ego.stamp_ns for frame in bag] == [START_NS + 100 * MS * n for n in range(4)]
    for found in bag:
        expected = T_map_base(found.ego.stamp_ns) @ T_base_lidar
        np.testing.assert_allclose(found.ego.T_world_agent, expected, atol=1e-6)
