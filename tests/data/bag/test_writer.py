from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from cosense.data import open_dataset
from cosense.data.bag.writer import check_out, write_bag
from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError
from tests.nodes.tiny import write_scene

FRAMES = 4
PER_FRAME = {
    "/cosense/frame": 1,
    "/ground_truth": 1,
    "/ground_truth/boxes": 1,
    "/tf": 2,
    **{f"/{agent}/{topic}": 1 for agent in ("agent_1", "agent_minus_1") for topic in ("points", "pose")},
    **{f"/{agent}/camera0/camera_info": 1 for agent in ("agent_1", "agent_minus_1")},
    **{f"/{agent}/camera0/image_raw/compressed": 1 for agent in ("agent_1", "agent_minus_1")},
}


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> list[CooperativeFrame]:
    """Two sequences, each with stamps from zero."""
    dataset = open_dataset(write_scene(tmp_path_factory.mktemp("scene") / "scene", FRAMES, 2), cameras=True)
    return [dataset[index] for index in range(len(dataset))]


def test_the_mcap_package_reads_what_is_written(frames, tmp_path):
    write_bag(frames, tmp_path / "bag.mcap", label_set="simulated")
    with (tmp_path / "bag.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert reader.get_header().profile == "ros2"
        counts = {c.topic: summary.statistics.channel_message_counts[i] for i, c in summary.channels.items()}
        assert counts == {topic: FRAMES * count for topic, count in PER_FRAME.items()}
        assert {schema.encoding for schema in summary.schemas.values()} == {"ros2msg"}
        logs = [message.log_time for _, _, message in reader.iter_messages(log_time_order=False)]
    assert logs == sorted(set(logs))


def test_a_folder_has_metadata_of_version_8(frames, tmp_path):
    write_bag(frames, tmp_path / "bag", label_set="simulated")
    metadata = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())
    information = metadata["rosbag2_bagfile_information"]
    assert (information["version"], information["storage_identifier"]) == (8, "mcap")
    assert information["message_count"] == FRAMES * sum(PER_FRAME.values())
    assert [tmp_path / "bag" / name for name in information["relative_file_paths"]] == list(
        (tmp_path / "bag").glob("*.mcap")
    )


def test_topics_keep_their_last_messages_when_others_play_the_bag(frames, tmp_path):
    """Latched topics: rosbag2 publishes with the quality of service that the bag has."""
    write_bag(frames, tmp_path / "bag.mcap", label_set="simulated")
    with AnyReader([tmp_path / "bag.mcap"]) as reader:
        offered = [connection.ext.offered_qos_profiles for connection in reader.connections]
    assert len(offered) == len(PER_FRAME)
    for (profile,) in offered:
        assert (profile.reliability.name, profile.durability.name) == ("RELIABLE", "TRANSIENT_LOCAL")


def test_stamps_are_those_of_the_measurement_while_the_recording_goes_on(frames, tmp_path):
    write_bag(frames, tmp_path / "bag.mcap", label_set="simulated")
    with AnyReader([tmp_path / "bag.mcap"]) as reader:
        clouds = [
            (reader.deserialize(data, connection.msgtype).header.stamp, log_ns)
            for connection, log_ns, data in reader.messages()
            if connection.topic == "/agent_1/points"
        ]
    assert [stamp.sec * 10**9 + stamp.nanosec for stamp, _ in clouds] == [0, 100_000_000] * 2
    gaps_ms = np.diff([log_ns for _, log_ns in clouds]) / 1e6
    np.testing.assert_allclose(gaps_ms, [100, 1000, 100], atol=0.1)


def broken(frames: list[CooperativeFrame]) -> Iterator[CooperativeFrame]:
    yield frames[0]
    raise CosenseError("the second frame is broken")


@pytest.mark.parametrize("name", ["bag.mcap", "bag"])
def test_a_conversion_that_stops_leaves_nothing_and_spoils_nothing(frames, tmp_path, name):
    with pytest.raises(CosenseError, match="the second frame is broken"):
        write_bag(broken(frames), tmp_path / name, label_set="simulated")
    assert list(tmp_path.iterdir()) == []
    write_bag(frames[:1], tmp_path / name, label_set="simulated")
    with pytest.raises(CosenseError, match="the second frame is broken"):
        write_bag(broken(frames), tmp_path / name, label_set="simulated", force=True)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert len(open_dataset(tmp_path / name)) == 1


def test_what_is_there_is_kept_unless_it_is_a_bag_and_one_insists(frames, tmp_path):
    out = tmp_path / "bag.mcap"
    write_bag(frames[:1], out, label_set="simulated")
    with pytest.raises(CosenseError, match=r"bag.mcap: is there already; --force replaces it"):
        write_bag(frames, out, label_set="simulated")
    assert write_bag(frames, out, label_set="simulated", force=True) == len(open_dataset(out)) == FRAMES
    treasure = tmp_path / "folder" / "treasure"
    treasure.parent.mkdir()
    treasure.touch()
    with pytest.raises(CosenseError, match="is there and no bag"):
        write_bag(frames, treasure.parent, label_set="simulated", force=True)
    assert treasure.exists()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("bag.db3", r"name a file that ends in .mcap"), ("missing/bag.mcap", "there is no folder")],
)
def test_places_that_cannot_be(tmp_path: Path, name, complaint):
    with pytest.raises(CosenseError, match=complaint):
        check_out(tmp_path / name, force=True)


def test_agents_whose_names_fall_together_are_one_error(frames, tmp_path):
    agents = {"a b": frames[0].ego, "a_b": frames[0].ego}
    frame = dataclasses.replace(frames[0], ego_id="a b", agents=agents)
    with pytest.raises(CosenseError, match="agents 'a b' and 'a_b' have the same name in ROS 2"):
        write_bag([frame], tmp_path / "bag.mcap", label_set="simulated")


def test_no_frames_are_no_bag(tmp_path):
    with pytest.raises(CosenseError, match="no frame to write"):
        write_bag([], tmp_path / "bag.mcap", label_set="simulated")
    assert list(tmp_path.iterdir()) == []
