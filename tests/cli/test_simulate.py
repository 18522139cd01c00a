"""The verb writes data sets that the readers open, and says in one line what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.cli.simulate import parse_agents, parse_families, plan_sequences
from cosense.data import open_dataset
from cosense.errors import CosenseError
from cosense.simulation import FAMILIES, UNSEEN_FAMILIES, SimulatedFrame
from tests.cli.program import run_here
from tests.simulation.hand_made import make_frames


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate in this process; tests/simulation/test_parallel.py has the others."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take frames that are written by hand instead of simulated ones."""
    monkeypatch.setattr("cosense.simulation.parallel.simulate_all", lambda *_, **__: make_frames(1))


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["simulate", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dair_v2x_tree(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    output = run("--out", str(tree), "--frames", "3", "--sequence-frames", "2", "--scene", "underpass")
    assert "3 frames in 2 sequences" in output
    dataset = open_dataset(tree)
    assert dataset.kind == "simulated by cosense (layout of dair-v2x-c)"
    assert dataset.label_set == "simulated"
    assert [dataset[i].sequence for i in range(len(dataset))] == ["underpass_000000"] * 2 + [
        "underpass_000001"
    ]


def test_an_opv2v_tree_of_several_agents(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    team = "vehicle=2,infrastructure=1"
    run("--out", str(tree), "--frames", "1", "--layout", "opv2v", "--agents", team, "--scene", "underpass")
    frame = open_dataset(tree)[0]
    assert sorted(agent.kind for agent in frame.agents.values()) == ["infrastructure", "vehicle", "vehicle"]


def test_the_same_command_writes_the_same_bytes(tmp_path: Path) -> None:
    trees = []
    for name in ("one", "other"):
        run(
            "--out",
            str(tmp_path / name),
            "--frames",
            "1",
            "--seed",
            "7",
            "--scene",
            "underpass",
        )
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        trees.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert trees[0] == trees[1]
    assert any(path.suffix == ".pcd" for path in trees[0])


@pytest.mark.usefixtures("by_hand")
def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CosenseError, match="not an empty folder"):
        run("--out", str(tmp_path), "--frames", "1")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_dair_v2x_holds_two_agents_only(tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match="--layout opv2v"):
        run("--out", str(tmp_path / "tree"), "--agents", "vehicle=2,infrastructure=1")
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--agents vehicle=0,infrastructure=1", "vehicles=0: expected at least 1"),
        ("--agents vehicle=7", "vehicles=7: expected at most 6"),
        (
            "--scene underpass,curved_road --agents infrastructure=5 --frames 2",
            "curved_road .* for 4 units",
        ),
        ("--split ../train", "--split '../train'"),
        ("--lidar vlp23", "lidar 'vlp23' is unknown, did you mean 'vlp32'"),
    ],
)
def test_what_cannot_be_simulated_leaves_no_folder(arguments: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match=message):
        run("--out", str(tmp_path / "tree"), "--layout", "opv2v", *arguments.split())
    assert not (tmp_path / "tree").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--frames", "0"),
        ("--frames", "many"),
        ("--seed", "-1"),
        ("--layout", "kitti"),
        ("--sequence-frames", "0"),
        ("--tilt", "60"),
        ("--agents", "vehicles=2"),
        ("--scene", "crosing"),
        ("--split", "a/b"),
        ("--lidar", "vlp23"),
    ],
)
def test_every_option_that_is_wrong_is_one_line_with_its_value(
    option: str, value: str, tmp_path: Path
) -> None:
    result = run_here("simulate", "--out", str(tmp_path / "tree"), option, value)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert value in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "tree").exists()


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize("layout", ["dair-v2x", "opv2v"])
@pytest.mark.parametrize("split", [None, "train"])
def test_frames_belong_to_the_split_that_is_asked_for(layout: str, split: str | None, tmp_path: Path) -> None:
    tree, named = tmp_path / "tree", [] if split is None else ["--split", split]
    run("--out", str(tree), "--frames", "1", "--layout", layout, *named)
    expected = split or {"dair-v2x": "val", "opv2v": "validate"}[layout]
    assert len(open_dataset(tree, split=expected)) == 1


@pytest.mark.parametrize("layout", ["dair-v2x", "opv2v"])
@pytest.mark.parametrize("done", [0, 2])
def test_ctrl_c_says_what_is_left(
    layout: str, done: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object, **options: object) -> Iterator[SimulatedFrame]:
        yield from make_frames(done)
        raise KeyboardInterrupt

    monkeypatch.setattr("cosense.simulation.parallel.simulate_all", stopped)
    tree = tmp_path / "tree"
    result = CliRunner().invoke(app, ["simulate", "--out", str(tree), "--layout", layout])
    assert result.exit_code == 130
    if done:
        assert f"{tree} is a complete data set of the frames so far, 2; the same command" in result.output
        assert open_dataset(tree).info(verify=True).problems == []
    else:
        assert f"{tree} holds no data set, remove it" in result.output
        with pytest.raises(CosenseError):
            open_dataset(tree)


@pytest.mark.parametrize(
    ("text", "message"),
    [("vehicles=2", "did you mean 'vehicle'"), ("vehicle", "vehicle=NUMBER"), ("vehicle=two", "NUMBER")],
)
def test_agents_that_are_no_counts(text: str, message: str) -> None:
    with pytest.raises(CosenseError, match=message):
        parse_agents(text)


def test_agents() -> None:
    assert parse_agents("vehicle=3,infrastructure=2") == (3, 2)
    assert parse_agents("infrastructure=1") == (1, 1)


def test_families() -> None:
    assert parse_families("all") == list(FAMILIES)
    assert parse_families("unseen, car_park") == [*UNSEEN_FAMILIES, "car_park"]
    assert parse_families("car_park, crossing") == ["car_park", "crossing"]
    with pytest.raises(CosenseError, match="did you mean 'curved_road'"):
        parse_families("curved-road")


def test_frames_are_shared_out_to_sequences() -> None:
    assert plan_sequences(["crossing"], 5, 7, None) == [("crossing", 5, 7)]
    assert plan_sequences(["crossing", "car_park"], 5, 7, 3) == [
        ("crossing", 5, 3),
        ("car_park", 6, 3),
        ("crossing", 7, 1),
    ]
    assert plan_sequences(["crossing", "car_park"], 0, 5, None) == [("crossing", 0, 3), ("car_park", 1, 2)]
