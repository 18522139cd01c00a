from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
import zstandard
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from cosense.data import open_dataset
from cosense.data.bag import message_types
from cosense.errors import CosenseError
from tests.data.bag.bags import MS, START_NS, car, in_order, mount, rsu, write_rows

FRAMES = 4
# Recording time at which the second part of a drive begins.
HALF_NS = START_NS + 150 * MS


def write_drive(folder: Path, storage: StoragePlugin) -> Path:
    """Write a car and a roadside unit in two parts, drive_0 and drive_1, which both are listed."""
    rows = in_order([mount(), *car(FRAMES), *rsu(FRAMES)])
    ending = {StoragePlugin.MCAP: ".mcap", StoragePlugin.SQLITE3: ".db3"}[storage]
    parts = [[row for row in rows if row[3] < HALF_NS], [row for row in rows if row[3] >= HALF_NS]]
    written = [write_rows(folder.with_name(f"part{n}"), part, storage) for n, part in enumerate(parts)]
    folder.mkdir()
    for number, part in enumerate(written):
        (part / f"part{number}{ending}").rename(folder / f"drive_{number}{ending}")
    content = [metadata_of(part) for part in written]
    metadata = content[0]
    metadata["relative_file_paths"] = [f"drive_{number}{ending}" for number in range(2)]
    metadata["files"] = []
    for listed in metadata["topics_with_message_count"]:
        for other in content[1]["topics_with_message_count"]:
            if other["topic_metadata"]["name"] == listed["topic_metadata"]["name"]:
                listed["message_count"] += other["message_count"]
    write_metadata(folder, metadata)
    return folder


def metadata_of(folder: Path) -> dict:
    return yaml.safe_load((folder / "metadata.yaml").read_text())["rosbag2_bagfile_information"]


def write_metadata(folder: Path, content: dict) -> None:
    (folder / "metadata.yaml").write_text(yaml.safe_dump({"rosbag2_bagfile_information": content}))


@pytest.fixture(scope="module")
def written(tmp_path_factory, request) -> Path:
    storage = getattr(request, "param", StoragePlugin.MCAP)
    return write_drive(tmp_path_factory.mktemp("written") / "drive", storage)


in_both = pytest.mark.parametrize("written", list(StoragePlugin), indirect=True, scope="module")


@pytest.fixture
def drive(tmp_path, written) -> Path:
    return Path(shutil.copytree(written, tmp_path / "drive"))


def stamps(path: Path) -> list[int]:
    bag = open_dataset(path)
    assert all(list(frame.agents) == ["ego", "rsu"] for frame in bag)
    return [frame.ego.stamp_ns - START_NS for frame in bag]


ALL = [100 * MS * n for n in range(FRAMES)]


def notes(path: Path) -> str:
    return "\n".join(open_dataset(path).info().notes)


def test_a_finished_recording_in_parts_needs_no_note(drive):
    assert stamps(drive) == ALL
    info = open_dataset(drive).info()
    assert (info.notes, info.problems) == ([], [])


@in_both
def test_a_part_that_is_not_listed_is_read(drive):
    """Kind: a recorder that was killed; 2 of 4 frames without a word."""
    metadata = metadata_of(drive)
    metadata["relative_file_paths"].pop()
    write_metadata(drive, metadata)
    assert stamps(drive) == ALL
    assert "metadata.yaml does not list drive_1" in notes(drive)


def test_a_topic_that_is_not_listed_is_read_with_its_agent(drive):
    """Kind: a topic that appeared after metadata.yaml was written."""
    metadata = metadata_of(drive)
    topics = metadata["topics_with_message_count"]
    metadata["topics_with_message_count"] = [
        t for t in topics if t["topic_metadata"]["name"] != "/rsu/points"
    ]
    write_metadata(drive, metadata)
    assert stamps(drive) == ALL
    assert "metadata.yaml does not list /rsu/points, read too" in notes(drive)


@pytest.mark.parametrize("left", ["nothing", "empty", "half a line", "half", "no files", "another file"])
def test_a_recording_without_a_whole_list_is_read(drive, left):
    """Kind: metadata.yaml is written last, so that a recorder which was killed has none, or a part of it."""
    file = drive / "metadata.yaml"
    text = file.read_text()
    if left == "nothing":
        file.unlink()
    else:
        half = text[: text.index("relative_file_paths") - 3]
        contents = {"empty": "", "half a line": text[: len(text) // 2] + "\n - {", "half": half}
        contents |= {"no files": "rosbag2_bagfile_information:\n  version: 5\n", "another file": "a: 1\n"}
        file.write_text(contents[left])
    assert stamps(drive) == ALL
    assert "read without it; `ros2 bag reindex" in notes(drive)


@in_both
def test_a_single_file_without_list_is_opened(drive):
    (drive / "metadata.yaml").unlink()
    for path in drive.glob("drive_1*"):
        path.unlink()
    assert stamps(drive) == ALL[:2]
    assert stamps(next(drive.iterdir())) == ALL[:2]


def test_files_that_do_not_belong_together_are_not_joined(drive):
    """Kind: several recordings in one folder; a guess would be wrong."""
    (path,) = drive.glob("drive_1*")
    path.rename(path.with_stem("evening"))
    with pytest.raises(CosenseError, match=r"metadata.yaml lists drive_1.*beside it is evening"):
        open_dataset(drive)
    (drive / "metadata.yaml").unlink()
    with pytest.raises(CosenseError, match=r"drive_0\S+, evening\S+; open one of them, or `ros2 bag reindex"):
        open_dataset(drive)


def test_another_file_beside_the_listed_ones_is_named_and_not_read(drive):
    (path,) = drive.glob("drive_1*")
    shutil.copy(path, path.with_stem("recovered"))
    assert stamps(drive) == ALL
    assert "not read: recovered" in notes(drive)


@pytest.mark.parametrize("identifier", ["", "sqlite3"])
def test_the_storage_is_what_the_file_is(drive, identifier):
    """Kind: `storage_identifier: ''`, which rosbag2 of some distributions wrote."""
    metadata = metadata_of(drive)
    metadata["storage_identifier"] = identifier
    write_metadata(drive, metadata)
    assert stamps(drive) == ALL


def test_a_listed_file_that_is_missing_is_an_error(drive):
    (path,) = drive.glob("drive_0*")
    path.unlink()
    with pytest.raises(CosenseError, match=r"database files are missing: metadata.yaml lists drive_0"):
        open_dataset(drive)
    for path in drive.glob("drive_1*"):
        path.unlink()
    with pytest.raises(CosenseError, match="database files are missing"):
        open_dataset(drive)


def test_messages_that_are_counted_and_not_there_are_a_problem(drive):
    """Kind: lists and files that contradict each other."""
    metadata = metadata_of(drive)
    for item in metadata["topics_with_message_count"]:
        if item["topic_metadata"]["name"] == "/lidar_top":
            item["message_count"] += 3
    write_metadata(drive, metadata)
    assert open_dataset(drive).info().problems == [
        "metadata.yaml counts 3 more messages of /lidar_top than the files hold"
    ]


def test_an_empty_last_part_is_a_problem_and_the_others_are_read(drive):
    """Kind: a recorder that was killed as it began a new file."""
    (path,) = drive.glob("drive_1*")
    path.with_name(path.name.replace("_1", "_2")).touch()
    assert stamps(drive) == ALL
    assert "drive_2" in open_dataset(drive).info().problems[0]


@pytest.mark.parametrize("storage", list(StoragePlugin))
@pytest.mark.parametrize("mode", [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_compressed_recordings_are_read_with_and_without_list(tmp_path, mode, storage):
    """Kind: `ros2 bag record --compression-mode file` and `message`."""
    store = message_types.own_types()
    rows = in_order([mount(), *car(FRAMES), *rsu(FRAMES)])
    writer = Writer(tmp_path / "drive", version=8, storage_plugin=storage)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, type_name, message, log_ns in rows:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, type_name, typestore=store)
            writer.write(connections[topic], log_ns, store.serialize_cdr(message, type_name))
    assert stamps(tmp_path / "drive") == ALL
    (file,) = (path for path in (tmp_path / "drive").iterdir() if path.suffix != ".yaml")
    assert stamps(file) == ALL


def test_a_file_that_was_decompressed_by_hand_is_read_once(tmp_path):
    write_rows(tmp_path / "drive", in_order([mount(), *car(FRAMES), *rsu(FRAMES)]))
    metadata = metadata_of(tmp_path / "drive")
    metadata["relative_file_paths"] = ["drive/drive.mcap.zstd"]
    write_metadata(tmp_path / "drive", metadata)
    (tmp_path / "drive" / "drive.mcap.zstd").write_bytes(b"not looked at")
    assert stamps(tmp_path / "drive") == ALL


def test_a_folder_of_something_else_beside_a_bag_is_no_bag(tmp_path):
    """Kind: a run of ours has its bag beside the data set that was played."""
    write_rows(tmp_path / "run" / "sequence", in_order([mount(), *car(FRAMES), *rsu(FRAMES)]))
    (tmp_path / "run" / "run.mcap").write_bytes(b"not looked at")
    assert stamps(tmp_path / "run") == ALL


def test_what_is_compressed_in_another_way_or_cut_off_is_an_error(drive):
    """Kind: compressed files that cannot be unpacked."""
    (path,) = drive.glob("drive_1*")
    packed = path.rename(path.with_name(f"{path.name}.lz4"))
    metadata = metadata_of(drive)
    metadata["relative_file_paths"][1] = packed.name
    write_metadata(drive, metadata)
    with pytest.raises(CosenseError, match=rf"{packed.name}: expected .mcap or .db3, as it is or compressed"):
        open_dataset(drive)
    whole = zstandard.ZstdCompressor().compress(packed.read_bytes())
    packed = packed.rename(packed.with_suffix(".zstd"))
    metadata["relative_file_paths"][1] = packed.name
    write_metadata(drive, metadata)
    packed.write_bytes(whole)
    assert stamps(drive) == ALL
    packed.write_bytes(whole[:-20])
    with pytest.raises(CosenseError, match=rf"{packed.name}: the compressed file is cut off; copy it again"):
        open_dataset(drive)
