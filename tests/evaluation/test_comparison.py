"""Runs beside each other: the same frames for all, differences as they are, intervals that hold them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cosense.errors import CosenseError
from cosense.evaluation.comparison import compare, protocol_of, read_runs
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import FRAMES
from cosense.evaluation.runs.runner import evaluate
from cosense.evaluation.tables import paired_view
from tests.evaluation.scenes import Scenes, box, objects, point_is_car, two_agents
from tests.evaluation.test_tables import printed

PROTOCOL = load_protocol("opencood")
FRAMES_EACH = 6


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The ego alone, which finds one of two cars, and early fusion, which finds both."""
    root = tmp_path_factory.mktemp("runs")
    frames = [two_agents(seed) for seed in range(FRAMES_EACH)]
    for fusion in ("none", "early"):
        evaluate(Scenes(list(frames)), point_is_car(), PROTOCOL, fusion=fusion, out=root / fusion)  # type: ignore[arg-type]
    return [root / "none", root / "early"]


def test_differences_are_those_of_the_runs_and_lie_in_their_intervals(folders: list[Path]) -> None:
    runs = read_runs(folders)
    content = compare(runs, protocol_of(runs))
    alone, early = content["runs"]
    assert [run["name"] for run in content["runs"]] == ["none", "early"]
    assert (content["frames"], content["frames_left_out"], content["sequences"]) == (FRAMES_EACH, 0, 1)
    assert "differences" not in alone
    for key in ("0.3", "0.5", "0.7"):
        assert (alone["ap"][key], early["ap"][key]) == pytest.approx((0.5, 1.0))
        assert early["differences"][key] == pytest.approx(50.0)
        # Every frame has one car of each kind, so each draw gives the same.
        assert early["difference_intervals"][key] == pytest.approx([50.0, 50.0])
        assert alone["intervals"][key] == pytest.approx([50.0, 50.0])
    assert max(early["curves"]["0.5"]["recall"]) == pytest.approx(100.0)
    assert early["curves"]["0.5"]["precision"][0] == 100.0


def test_a_run_does_not_differ_from_itself(folders: list[Path]) -> None:
    content = compare(read_runs([folders[1], folders[1]]), PROTOCOL)
    first, second = content["runs"]
    assert first["name"] == second["name"] == str(folders[1])
    assert second["differences"]["0.5"] == 0.0
    assert second["difference_intervals"]["0.5"] == [0.0, 0.0]


def test_the_table_says_what_was_compared(folders: list[Path]) -> None:
    content = compare(read_runs(folders), PROTOCOL)
    text = printed(paired_view(content))
    assert "protocol opencood" in text
    (line,) = [line for line in text.splitlines() if line.startswith(" early") and "(" in line]
    assert line.split()[:7] == ["early", "100.0", "to", "100.0", "+50.0", "(+50.0", "to"]


def test_only_frames_that_all_runs_have_are_counted(folders: list[Path], tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.mkdir()
    (part / "run.json").write_text((folders[1] / "run.json").read_text())
    lines = (folders[1] / FRAMES).read_text().splitlines(keepends=True)
    (part / FRAMES).write_text("".join(lines[2:]))
    content = compare(read_runs([folders[0], part]), PROTOCOL)
    assert (content["frames"], content["frames_left_out"]) == (FRAMES_EACH - 2, 2)
    assert "2 frames that not all runs have left out" in printed(paired_view(content))


def test_runs_on_other_data_or_labels_are_not_compared(folders: list[Path], tmp_path: Path) -> None:
    other = [two_agents(seed) for seed in range(FRAMES_EACH)]
    other[1] = dataclasses.replace(other[1], ground_truth=objects([box(10)]))
    evaluate(Scenes(list(other)), point_is_car(), PROTOCOL, fusion="none", out=tmp_path / "other")
    with pytest.raises(CosenseError, match="frame '000001' has 2 objects in none and 1 in other"):
        compare(read_runs([folders[0], tmp_path / "other"]), PROTOCOL)
    evaluate(Scenes([two_agents(77)]), point_is_car(), PROTOCOL, fusion="none", out=tmp_path / "else")
    with pytest.raises(
        CosenseError, match=r"no frame in common: none has 6 frames of .*, else has 1 frame of"
    ):
        compare(read_runs([folders[0], tmp_path / "else"]), PROTOCOL)


def test_runs_under_several_protocols_need_one_to_be_named(folders: list[Path], tmp_path: Path) -> None:
    unsorted = load_protocol("opencood_unsorted")
    evaluate(Scenes([two_agents(0)]), point_is_car(), unsorted, fusion="none", out=tmp_path / "unsorted")
    runs = read_runs([folders[0], tmp_path / "unsorted"])
    with pytest.raises(
        CosenseError, match="under opencood and opencood_unsorted: choose one with --protocol"
    ):
        protocol_of(runs)
    assert compare(runs, unsorted)["runs"][0]["protocol"] == "opencood_unsorted"


def test_a_folder_without_a_run_is_named(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match=r"has no run.json; expected a folder that `cosense evaluate"):
        read_runs([folders[0], tmp_path])
    (tmp_path / "run.json").write_text(json.dumps({"protocol": "opencood"}))
    (tmp_path / FRAMES).touch()
    with pytest.raises(CosenseError, match="holds no frame yet"):
        read_runs([tmp_path])
