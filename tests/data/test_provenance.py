"""What made data is named first, on every path by which simulated data reach a user, and never wrongly."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer

from cosense.cli.evaluate import default_protocol
from cosense.cli.register import read_input
from cosense.data import open_dataset
from cosense.data.bag.frame_record import record_from_text, record_of, record_to_text
from cosense.data.bag.writer import write_bag
from cosense.data.dataset import Provenance, kind_of
from cosense.errors import CosenseError
from cosense.sensing.cloud_formats.pcd import read_pcd, write_pcd
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from cosense.simulation.opv2v_writer import write_opv2v
from tests.simulation.hand_made import forget_origin, make_frames

DAIR = "simulated by cosense (layout of dair-v2x-c)"
OPV2V = "simulated by cosense (layout of opv2v)"
CARLA = "simulated by CARLA (layout of opv2v)"
POSE = [1.0, 2.0, 2.0, 0.0, 90.0, 0.0]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One tree of each layout that we write."""
    root = tmp_path_factory.mktemp("trees")
    write_dair_v2x(make_frames(2), root / "dair")
    write_opv2v(make_frames(2), root / "opv2v")
    return root


def write_scenario(folder: Path, pose: list, content: dict | None = None, protocol: str = "") -> Path:
    """Write a scenario of one agent as somebody else would."""
    (folder / "7").mkdir(parents=True)
    write_pcd(folder / "7" / "000002.pcd", np.ones((3, 4), dtype=np.float32))
    described = {"lidar_pose": pose, "vehicles": {}, **(content or {})}
    (folder / "7" / "000002.yaml").write_text(yaml.safe_dump(described))
    if protocol:
        (folder / "data_protocol.yaml").write_text(protocol)
    return folder


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Provenance(), "of unknown origin"),
        (Provenance(layouts=("dair-v2x-c",)), "dair-v2x-c"),
        (Provenance("cosense"), "simulated by cosense"),
        (Provenance("cosense", ("dair-v2x-c",)), DAIR),
        (
            Provenance("CARLA", ("opv2v",)).converted("ros2-bag").converted("ros2-bag").changed("noise"),
            "simulated by CARLA (layout of opv2v, converted to ros2-bag, noise)",
        ),
        (Provenance(layouts=("dair-v2x-c",)).converted("ros2-bag"), "dair-v2x-c (converted to ros2-bag)"),
    ],
)
def test_the_simulator_is_the_first_that_is_named(made: Provenance, words: str) -> None:
    """Kind: a title that reads as a result on recorded data."""
    assert str(made) == words


def test_frames_of_several_origins_name_all_of_them_the_simulated_ones_first() -> None:
    """Kind: as above, where only a part is simulated."""
    real, ours = Provenance(layouts=("opv2v",)), Provenance("cosense", ("opv2v",))
    assert kind_of([real, ours, real]) == f"{OPV2V} and opv2v"


def test_a_tree_and_each_of_its_frames_say_it(trees: Path) -> None:
    """Kind: simulated data titled by its layout."""
    for name, kind in ("dair", DAIR), ("opv2v", OPV2V):
        dataset = open_dataset(trees / name)
        assert dataset.kind == dataset.description()["kind"] == dataset.info().kind == kind
        assert str(dataset[0].provenance) == kind


@pytest.mark.parametrize("what", ["without cosense.json", "only the clouds are ours"])
def test_a_partial_copy_of_our_dair_tree_is_still_ours(trees: Path, tmp_path: Path, what: str) -> None:
    """Kind: a label that is lost when folders are copied in parts."""
    tree = shutil.copytree(trees / "dair", tmp_path / "tree")
    (tree / "cosense.json").unlink()
    if what == "only the clouds are ours":
        for index in tree.glob("*-side/data_info.json"):
            entries = json.loads(index.read_text())
            index.write_text(
                json.dumps([{k: v for k, v in entry.items() if "batch" not in k} for entry in entries])
            )
    dataset = open_dataset(tree)
    assert (dataset.kind, dataset.label_set, default_protocol(dataset.label_set)) == (
        DAIR,
        "simulated",
        "simulated_riders",
    )


def test_a_partial_copy_of_our_opv2v_tree_is_still_ours(trees: Path, tmp_path: Path) -> None:
    """Kind: as above: a scenario, then its agents alone, with one mark taken after the other."""
    (scenario,) = (path for path in (trees / "opv2v").glob("*/*") if path.is_dir())
    copied = shutil.copytree(scenario, tmp_path / "scenario")
    assert open_dataset(copied).kind == OPV2V
    (copied / "data_protocol.yaml").unlink()
    assert open_dataset(copied).kind == OPV2V
    for path in copied.rglob("*.yaml"):
        path.write_text(path.read_text().replace("cosense_", "other_"))
    dataset = open_dataset(copied)
    assert (dataset.kind, dataset.label_set) == (OPV2V, "simulated")


def test_clouds_of_ours_that_are_copied_alone_are_still_ours(trees: Path, tmp_path: Path) -> None:
    """Kind: as above: nothing is left of the tree but the clouds of one agent, or one of them."""
    shutil.copytree(trees / "dair" / "vehicle-side" / "velodyne", tmp_path / "velodyne")
    write_pcd(tmp_path / "theirs.pcd", np.ones((3, 4), dtype=np.float32))
    for path in tmp_path / "velodyne", next((tmp_path / "velodyne").iterdir()):
        dataset = open_dataset(path)
        assert dataset.kind == str(dataset[0].provenance) == "simulated by cosense (layout of clouds)"
    assert open_dataset(tmp_path / "theirs.pcd").kind == "clouds"


def test_our_marks_change_no_point(tmp_path: Path) -> None:
    """Kind: a mark that readers stumble over."""
    points = np.random.default_rng(0).random((5, 4), dtype=np.float32)
    for encoding in ("binary", "ascii", "binary_compressed"):
        write_pcd(tmp_path / "cloud.pcd", points, encoding, comment="simulated by cosense")
        np.testing.assert_array_equal(read_pcd(tmp_path / "cloud.pcd").points, points)


def test_an_unfinished_tree_is_refused_from_inside_too(trees: Path, tmp_path: Path) -> None:
    """Kind: a scenario of a tree whose writing was interrupted."""
    tree = shutil.copytree(trees / "opv2v", tmp_path / "tree")
    content = json.loads((tree / "cosense.json").read_text())
    (tree / "cosense.json").write_text(json.dumps(content | {"complete": False}))
    (scenario,) = (path for path in tree.glob("*/*") if path.is_dir())
    for path in (tree, scenario):
        with pytest.raises(CosenseError, match="interrupted"):
            open_dataset(path)


def test_data_of_carla_say_so(tmp_path: Path, shared_data: Path) -> None:
    """Kind: simulated by others, which is not recorded either."""
    dataset = open_dataset(shared_data / "v2xset_frame")
    assert (dataset.kind, dataset.label_set) == (CARLA, "original")
    assert str(dataset[0].provenance) == CARLA


@pytest.mark.parametrize(
    ("content", "protocol", "kind"),
    [
        ({"true_ego_pos": POSE}, "", CARLA),
        ({}, "carla_traffic_manager: {}\n", CARLA),
        ({"vehicles": {}, "note": "bp_id: vehicle.audi.a2"}, "", CARLA),
        ({}, "", "opv2v"),
        ({}, "description: recorded on a road\n", "opv2v"),
    ],
)
def test_the_layout_alone_is_no_proof(tmp_path: Path, content: dict, protocol: str, kind: str) -> None:
    """Kind: recorded data in a layout that is usually simulated must not be called simulated."""
    write_scenario(tmp_path / "tree" / "scenario", POSE, content, protocol)
    dataset = open_dataset(tmp_path / "tree")
    assert (dataset.kind, dataset.label_set) == (kind, "original")


def test_v2v4real_is_recorded_whatever_keys_its_files_have(tmp_path: Path) -> None:
    """Kind: as above."""
    write_scenario(tmp_path / "tree" / "scenario", np.eye(4).tolist(), {"true_ego_pos": POSE})
    assert open_dataset(tmp_path / "tree").kind == "v2v4real"


def test_a_scenario_of_others_inside_our_tree_is_not_ours(trees: Path, tmp_path: Path) -> None:
    """Kind: foreign data called simulated by us because of the folder that they lie in."""
    tree = shutil.copytree(trees / "opv2v", tmp_path / "tree")
    (split,) = (path for path in tree.iterdir() if path.is_dir())
    foreign = write_scenario(split / "a_road", POSE)
    dataset = open_dataset(tree)
    assert (dataset.kind, dataset.label_set) == (f"{OPV2V} and opv2v", "original")
    kinds = {frame.sequence: str(frame.provenance) for frame in (dataset[i] for i in range(len(dataset)))}
    assert kinds == {"a_road": "opv2v", "crossing-3": OPV2V}
    assert open_dataset(foreign).kind == "opv2v"


def test_a_foreign_dair_tree_is_named_by_its_format(trees: Path, tmp_path: Path) -> None:
    """Kind: as above, and its conversion keeps the name."""
    tree = shutil.copytree(trees / "dair", tmp_path / "tree")
    forget_origin(tree)
    dataset = open_dataset(tree)
    assert (dataset.kind, dataset.label_set) == ("dair-v2x-c", "original")
    write_bag([dataset[0]], tmp_path / "bag.mcap", label_set=dataset.label_set)
    assert open_dataset(tmp_path / "bag.mcap").kind == "dair-v2x-c (converted to ros2-bag)"


def test_clouds_that_are_taken_earlier_on_purpose_are_named(trees: Path) -> None:
    """Kind: data that were changed on purpose."""
    dataset = open_dataset(trees / "dair", async_frames=1)
    assert dataset.kind == "simulated by cosense (layout of dair-v2x-c, roadside unit 1 frame earlier)"
    assert str(dataset[0].provenance) == dataset.kind


def test_a_bag_keeps_it_also_when_others_record_it_again(trees: Path, tmp_path: Path) -> None:
    """Kind: bags: converted, converted again, and recorded from the topics by a foreign recorder."""
    tree, kind = open_dataset(trees / "dair"), f"{DAIR[:-1]}, converted to ros2-bag)"
    write_bag([tree[0], tree[1]], tmp_path / "first.mcap", label_set=tree.label_set)
    first = open_dataset(tmp_path / "first.mcap")
    write_bag([first[0], first[1]], tmp_path / "second.mcap", label_set=first.label_set)
    with (
        AnyReader([tmp_path / "first.mcap"]) as reader,
        Writer(tmp_path / "third", version=8, storage_plugin=StoragePlugin.SQLITE3) as writer,
    ):
        made = {
            connection.id: writer.add_connection(
                connection.topic, connection.msgtype, typestore=reader.typestore
            )
            for connection in reader.connections
        }
        for connection, time_ns, data in reader.messages():
            writer.write(made[connection.id], time_ns + 10**9, data)
    for name in ("first.mcap", "second.mcap", "third"):
        bag = open_dataset(tmp_path / name)
        assert (bag.kind, bag.label_set, str(bag[0].provenance)) == (kind, "simulated", kind)


def test_a_cloud_by_itself_and_an_agent_of_a_data_set_say_it_to_a_registration(
    trees: Path, tmp_path: Path
) -> None:
    """Kind: one file of a tree: `cosense register A.pcd B.pcd`, its picture and its JSON."""
    agent = read_input(f"{trees / 'dair'}:vehicle", 0, "A")
    cloud = read_input(str(next((trees / "dair").rglob("*.pcd"))), 0, "B")
    write_pcd(tmp_path / "theirs.pcd", np.ones((3, 4), dtype=np.float32))
    assert (agent.kind, cloud.kind) == (DAIR, "simulated by cosense")
    assert read_input(str(tmp_path / "theirs.pcd"), 0, "A").kind == ""


def test_lines_of_older_bags_are_known_by_their_labels(trees: Path) -> None:
    """Kind: bags that were written before the frames said what made them."""
    frame = open_dataset(trees / "dair")[0]
    for label_set, words in ("simulated", "simulated by cosense"), ("original", "of unknown origin"):
        line = json.loads(record_to_text(record_of(frame, label_set)))
        del line["provenance"]
        assert str(record_from_text(json.dumps(line), "bag").origin) == words


def test_a_line_keeps_everything_that_is_known(trees: Path) -> None:
    """Kind: as above, of new lines."""
    frame = open_dataset(trees / "dair")[0]
    noisy = dataclasses.replace(frame, provenance=frame.provenance.changed("pose error of unit"))
    again = record_from_text(record_to_text(record_of(noisy, "simulated")), "bag")
    assert again.origin == noisy.provenance
    assert str(again.origin) == f"{DAIR[:-1]}, pose error of unit)"
