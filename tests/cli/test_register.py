"""`cosense register`: what it finds, what it refuses, and what it says to bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.data import open_dataset
from cosense.errors import CosenseError
from cosense.geometry.transforms import (
    invert,
    transform_from_planar,
    transform_from_slopes,
    transform_points,
    yaw_of,
)
from cosense.sensing.cloud_formats.cloud_files import read_cloud
from cosense.sensing.cloud_formats.pcd import write_pcd
from cosense.simulation import simulate
from cosense.simulation.dair_v2x_writer import write_dair_v2x
from tests.scene_graph.clouds import cloud, pole
from tests.scene_graph.scenes import errors
from tests.simulation.hand_made import make_empty_frame

POLES = [(12, 7), (-9, 8.5), (20, -7), (31, 8), (-16, -6), (5, -12), (-25, 11), (17, 16)]
T_A_B = transform_from_planar(6.0, -3.0, np.deg2rad(70))
KEYS = {"data", "status", "reason", "T_a_b", "covariance", "inliers", "time_ms", "bytes", "packets"}


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One row of poles from two places, the first cloud turned and moved, and another place."""
    folder = tmp_path_factory.mktemp("clouds")
    write_pcd(folder / "a.pcd", street(POLES))
    from_b = transform_points(invert(T_A_B), np.array([(x, y, 0.0) for x, y in POLES]))
    write_pcd(folder / "b.pcd", street(from_b[:, :2]))
    same = street(POLES)
    same[:, :3] = transform_points(invert(T_A_B), same[:, :3])
    same.tofile(folder / "same.bin")
    elsewhere = np.random.default_rng(3).uniform(-30, 30, (9, 2))
    write_pcd(folder / "elsewhere.pcd", street(elsewhere))
    write_pcd(folder / "empty.pcd", np.zeros((0, 4), np.float32))
    nowhere = np.full((5, 4), np.nan, np.float32)
    nowhere[:, 3] = 0
    write_pcd(folder / "nan.pcd", nowhere)
    return folder


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two frames of a vehicle and a roadside unit that both see a T-junction."""
    folder = tmp_path_factory.mktemp("data") / "tree"
    write_dair_v2x(simulate("t_junction", SEED, 2, first=APPROACHED), folder, split="val")
    return folder


# By then the vehicle is 44 m from the unit: both see enough of what stands still, whatever a detector finds.
SEED, APPROACHED = 700_012, 30


def street(poles: Any) -> np.ndarray:
    """Return the cloud of an agent among poles."""
    return cloud([face for x, y in poles for face in pole(x, y, 0.2, 5.0)])


def register(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["register", *map(str, arguments)])


def content(*arguments: object) -> dict[str, Any]:
    result = register(*arguments, "--json")
    assert not isinstance(result.exception, CosenseError), result.exception
    values = json.loads(result.stdout)
    assert result.exit_code == (0 if values["status"] == "registered" else 1)
    return values


def refusal(*arguments: object) -> str:
    """Return the one line that bad input ends with."""
    result = register(*arguments)
    assert isinstance(result.exception, CosenseError), result.output
    return str(result.exception)


def test_two_clouds_of_one_place(clouds: Path) -> None:
    values = content(clouds / "a.pcd", clouds / "b.pcd", "--model", "none")
    assert values.keys() == KEYS
    assert values["status"] == "registered"
    metres, degrees = errors(np.array(values["T_a_b"]), T_A_B)
    assert metres < 0.1
    assert degrees < 0.3
    assert np.linalg.eigvalsh(values["covariance"]).min() > 0
    assert len(values["inliers"]) >= 5
    assert 0 < values["time_ms"] < 10_000


def test_one_cloud_moved(clouds: Path) -> None:
    values = content(clouds / "a.pcd", clouds / "same.bin", "--model", "none")
    metres, degrees = errors(np.array(values["T_a_b"]), T_A_B)
    assert metres < 0.1
    assert degrees < 0.2


@pytest.mark.parametrize("slopes", [((0.0, 0.0), (0.09, -0.08)), ((-0.07, 0.09), (0.09, 0.05))])
def test_clouds_of_leaning_sensors_have_the_pose_between_the_sensors(
    clouds: Path, tmp_path: Path, slopes: tuple[tuple[float, float], tuple[float, float]]
) -> None:
    """Five degrees to the front and to the side: found as often, and given back with the tilt."""
    T_level_a, T_level_b = (invert(transform_from_slopes(*each)) for each in slopes)
    for name, T_level_sensor in (("a", T_level_a), ("b", T_level_b)):
        points = read_cloud(clouds / f"{name}.pcd").points
        points[:, :3] = transform_points(invert(T_level_sensor), points[:, :3])
        write_pcd(tmp_path / f"{name}.pcd", points)
    values = content(tmp_path / "a.pcd", tmp_path / "b.pcd", "--model", "none")
    found, expected = np.array(values["T_a_b"]), invert(T_level_a) @ T_A_B @ T_level_b
    np.testing.assert_allclose(found[:3, 3], expected[:3, 3], atol=0.1)
    turn = Rotation.from_matrix(expected[:3, :3].T @ found[:3, :3]).magnitude()
    assert np.rad2deg(turn) < 0.3


def test_bytes_are_those_of_the_message_of_b(clouds: Path) -> None:
    """The envelope of a sender 'B' costs 101 bytes, the header of a graph 4, a node 18."""
    values = content(clouds / "a.pcd", clouds / "b.pcd", "--model", "none")
    assert (values["bytes"] - 105) % 18 == 0
    assert (values["bytes"] - 105) // 18 >= len(values["inliers"])


def test_another_place_is_refused(clouds: Path) -> None:
    values = content(clouds / "a.pcd", clouds / "elsewhere.pcd", "--model", "none")
    assert values["status"] != "registered"
    assert values["T_a_b"] is None
    assert values["covariance"] is None
    assert values["reason"]


def test_people_are_told_the_same(clouds: Path) -> None:
    found = register(clouds / "a.pcd", clouds / "b.pcd", "--model", "none")
    assert found.exit_code == 0
    for word in ("registered", "T_a_b", "covariance", "inliers", "bytes"):
        assert word in found.stdout
    assert "error" not in found.stdout
    refused = register(clouds / "a.pcd", clouds / "elsewhere.pcd", "--model", "none", "--out", "x.png")
    assert refused.exit_code == 1
    assert "no picture" in refused.stdout
    assert not Path("x.png").exists()


def test_a_prior_is_tested_and_what_agrees_elsewhere_wins(clouds: Path) -> None:
    both = (clouds / "a.pcd", clouds / "b.pcd", "--model", "none")
    near = content(*both, "--prior", 7, -4, 68)
    assert errors(np.array(near["T_a_b"]), T_A_B)[0] < 0.1
    far = content(*both, "--prior", -30, 10, -100)
    assert errors(np.array(far["T_a_b"]), T_A_B)[0] < 0.1
    assert "m from the prior, near which" in far["reason"]


def test_the_picture_shows_matches(clouds: Path, tmp_path: Path) -> None:
    path = tmp_path / "new" / "together.png"
    result = register(clouds / "a.pcd", clouds / "b.pcd", "--model", "none", "--out", path)
    assert str(path) in result.stdout
    green = np.abs(imread(path)[..., :3] - np.array([0x2F, 0xD0, 0x8F]) / 255).max(axis=2) < 0.1
    assert green.sum() > 200


def test_agents_of_one_frame(tree: Path) -> None:
    """The pose of the data set is known, so that people are told how far off the answer is."""
    result = register(f"{tree}:vehicle", f"{tree}:infrastructure", "--frame", 1, "--model", "none")
    assert result.exit_code == 0, result.output
    assert "from the pose in the data set" in result.stdout
    values = content(f"{tree}:vehicle:1", f"{tree}:infrastructure:1", "--model", "none")
    agents = open_dataset(tree)[1].agents
    T_known = invert(agents["vehicle"].T_world_agent) @ agents["infrastructure"].T_world_agent
    metres, degrees = errors(np.array(values["T_a_b"]), T_known)
    assert metres < 1
    assert degrees < 1


def test_one_agent_at_two_times(tree: Path) -> None:
    values = content(f"{tree}:vehicle:0", f"{tree}:vehicle:1", "--model", "none")
    first, second = (open_dataset(tree)[index].agents["vehicle"].T_world_agent for index in (0, 1))
    metres, degrees = errors(np.array(values["T_a_b"]), invert(first) @ second)
    assert metres < 0.3
    assert degrees < 0.5


def test_agents_of_a_bag(tree: Path, tmp_path: Path) -> None:
    bag = tmp_path / "drive.mcap"
    written = CliRunner().invoke(app, ["convert", str(tree), str(bag)])
    assert written.exit_code == 0, written.output
    for mine, theirs in (("vehicle:0", "infrastructure:0"), ("vehicle:0", "vehicle:1")):
        from_bag, from_tree = (
            content(f"{path}:{mine}", f"{path}:{theirs}", "--model", "none") for path in (bag, tree)
        )
        assert from_bag["status"] == "registered"
        assert np.allclose(from_bag["T_a_b"], from_tree["T_a_b"], atol=1e-3)
    assert "there is no frame 2" in refusal(f"{bag}:vehicle:2", f"{bag}:vehicle:0")
    assert "no agent 'unit'" in refusal(f"{bag}:unit:0", f"{bag}:vehicle:0")


def test_one_point_ends_with_a_status(clouds: Path, tmp_path: Path) -> None:
    write_pcd(tmp_path / "one.pcd", np.array([[3.0, 2.0, 1.0, 0.5]], np.float32))
    for pair in ((clouds / "a.pcd", tmp_path / "one.pcd"), (tmp_path / "one.pcd", tmp_path / "one.pcd")):
        assert content(*pair)["status"] == "too_few"


def test_bad_input_names_the_value_and_the_cure(clouds: Path, tree: Path, tmp_path: Path) -> None:
    a = clouds / "a.pcd"
    assert "nowhere.pcd: no such file" in refusal(a, clouds / "nowhere.pcd")
    assert "empty.pcd: not one finite point" in refusal(a, clouds / "empty.pcd")
    assert "nan.pcd: not one finite point" in refusal(clouds / "nan.pcd", a)
    assert "did you mean 'infrastructure'" in refusal(f"{tree}:infrastucture", a)
    assert f"Say {tree}:vehicle" in refusal(tree, a)
    assert "has frames 0 to 1" in refusal(f"{tree}:vehicle", a, "--frame", 2)
    assert "frame 'x' is no number" in refusal(f"{tree}:vehicle:x", a)
    assert "leave out ':vehicle'" in refusal(f"{a}:vehicle", a)
    assert "no model 'cosense-lit': did you mean 'cosense-lite'?" in refusal(a, a, "--model", "cosense-lit")
    (tmp_path / "notes.txt").write_text("")
    assert ".pcd or .ply" in refusal(tmp_path / "notes.txt", a)
    assert "--prior" in refusal(a, a, "--prior", "nan", 0, 0)
    assert "--prior-sigma" in refusal(a, a, "--prior", 0, 0, 0, "--prior-sigma", 0, 1)
    assert "--out x.json: expected the name of a picture" in refusal(a, a, "--out", "x.json")
    # A model that is not there would be complained about if the detector came first.
    assert "did you mean 'learned'" in refusal(a, a, "--descriptors", "learnt", "--model", "none such")


def test_an_agent_without_returns_is_named(tmp_path: Path) -> None:
    write_dair_v2x(iter([make_empty_frame()]), tmp_path / "tree", split="val")
    assert ":vehicle: not one finite point" in refusal(*[f"{tmp_path / 'tree'}:vehicle"] * 2)


def test_values_out_of_all_bounds_end_with_a_status(clouds: Path, tmp_path: Path) -> None:
    huge = np.random.default_rng(0).uniform(-1e30, 1e30, (2000, 4)).astype(np.float32)
    huge[:1200, :3] *= 1e-28
    huge[:, 3] = 0.5
    write_pcd(tmp_path / "huge.pcd", huge)
    assert content(clouds / "a.pcd", tmp_path / "huge.pcd", "--model", "none")["status"] == "too_few"


def graph_file(path: Path, poles: np.ndarray, *others: dict[str, Any]) -> Path:
    """Write lamp posts at (N,2), the sensor 1.9 m above the ground, and other nodes."""
    nodes = [{"label": "lamp post", "position": [x, y, -1.9]} for x, y in poles.tolist()]
    path.write_text(json.dumps({"nodes": [*nodes, *others]}))
    return path


def test_graphs_of_another_front_end(tmp_path: Path) -> None:
    """No cloud and no detector: the file says what there is."""
    there = np.array(POLES, float)
    from_b = transform_points(invert(T_A_B), np.column_stack([there, np.zeros(len(there))]))[:, :2]
    a = graph_file(tmp_path / "a.json", there)
    b = graph_file(tmp_path / "b.json", from_b[::-1], {"label": "Dragon", "position": [1, 2, 3]})
    values = content(a, b, "--model", "no such model", "--prior", 6, -3, 70)
    assert values["status"] == "registered"
    metres, degrees = errors(np.array(values["T_a_b"]), T_A_B)
    assert metres < 0.05
    assert degrees < 0.1
    assert values["inliers"] == [[index, len(POLES) - 1 - index] for index in range(len(POLES))]
    result = register(a, b, "--descriptors", "triplets", "--out", tmp_path / "both.png")
    assert result.exit_code == 0, result.output
    assert "labels that are unknown here, of 1 node: 'Dragon' (1)" in result.output
    assert imread(tmp_path / "both.png").shape[2] in (3, 4)


def test_a_graph_and_a_cloud(clouds: Path, tmp_path: Path) -> None:
    a = graph_file(tmp_path / "a.json", np.array(POLES, float))
    values = content(a, clouds / "b.pcd", "--model", "none")
    assert errors(np.array(values["T_a_b"]), T_A_B)[0] < 0.2


def test_a_graph_that_is_wrong_is_refused_with_its_place(tmp_path: Path) -> None:
    good = graph_file(tmp_path / "a.json", np.array(POLES, float))
    bad = graph_file(tmp_path / "b.json", np.zeros((1, 2)), {"label": "car", "position": [1, 2]})
    assert "b.json: nodes[1]: position: expected 3 values, got 2" in refusal(good, bad)
    assert "leave out ':vehicle'" in refusal(f"{good}:vehicle", good)
    assert "did you mean 'learned'" in refusal(good, good, "--descriptors", "learnt")
    empty = graph_file(tmp_path / "c.json", np.zeros((0, 2)))
    assert content(good, empty)["status"] == "too_few"


def test_real_scans_of_different_places_are_refused(shared_data: Path) -> None:
    scans = sorted((shared_data / "lidar_scans").glob("*.pcd"))
    frames = sorted((shared_data / "kitti_frames" / "training" / "velodyne").glob("*.bin"))
    assert len(scans) == 4
    assert len(frames) == 2
    assert content(*frames)["status"] != "registered"
    assert content(scans[0], frames[0])["status"] != "registered"


def test_a_real_scan_finds_itself_turned(shared_data: Path, tmp_path: Path) -> None:
    scan = shared_data / "kitti_frames" / "training" / "velodyne" / "000000.bin"
    points = np.fromfile(scan, np.float32).reshape(-1, 4)
    points[:, :3] = transform_points(invert(T_A_B), points[:, :3])
    points.tofile(tmp_path / "turned.bin")
    T = np.array(content(scan, tmp_path / "turned.bin")["T_a_b"])
    assert errors(T, T_A_B)[0] < 0.3
    assert abs(np.rad2deg(yaw_of(invert(T_A_B) @ T))) < 0.5
