"""`cosense sweep`: which files it writes, what is in them, and what it refuses."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.cli.sweep import command, model_names
from cosense.errors import CosenseError
from cosense.evaluation.sweep.curves import AXES, FIELDS
from cosense.simulation.opv2v_writer import write_opv2v
from cosense.simulation.stage import SimulatedFrame
from tests.evaluation.cooperators import drive, write_tiny_model
from tests.threads import one_thread

__all__ = ["one_thread"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames of two cars."""
    folder = tmp_path_factory.mktemp("data") / "tree"
    write_opv2v((SimulatedFrame(frame, (0.0, 0.0)) for frame in drive(4)), folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def sweep(curve: str, tree: Path, model: Path, out: Path, *more: object) -> Any:
    given = ["sweep", curve, "--data", tree, "--model", model, "--out", out, *more]
    return CliRunner().invoke(app, [str(part) for part in given])


@pytest.mark.parametrize(
    ("curve", "more", "points"),
    [
        ("budget", ("--values", "320,none"), 6),
        ("budget", ("--values", "320", "--fusion", "hybrid", "--selection", "ranked,random"), 3),
        ("pose-error", ("--values", "none,dair", "--fusion", "late"), 3),
        ("pose-noise", ("--values", "0,0.3", "--registration", "none", "scene_graph"), 9),
        ("pose-noise", ("--values", "1", "--registration", "icp", "--unannounced"), 3),
        ("delay", ("--values", "0,100", "--fusion", "hybrid"), 3),
        ("loss", ("--values", "0,1", "--fusion", "late", "--fusion", "hybrid"), 5),
        ("burst", ("--values", "1,8", "--fusion", "late"), 3),
        ("rate", ("--values", "3000,100000", "--fusion", "hybrid"), 3),
        ("range", ("--values", "2,50", "--fusion", "hybrid"), 3),
        ("agents", ("--fusion", "intermediate"), 3),
        ("grid", ("--values", "0,0.3/0,100/0,1", "--budget", "500"), 9),
    ],
)
def test_every_curve_writes_numbers_and_a_picture(
    tree: Path, model: Path, tmp_path: Path, curve: str, more: tuple[str, ...], points: int
) -> None:
    result = sweep(curve, tree, model, tmp_path, *more)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"sweep.{ending}" for ending in ("csv", "json", "npz", "png")
    ]
    content = json.loads((tmp_path / "sweep.json").read_text())
    assert (content["curve"], len(content["points"])) == (curve, points)
    assert content["frames"] == (3 if curve in ("delay", "grid") else 4)
    rows = list(csv.DictReader((tmp_path / "sweep.csv").open()))
    assert [row["fusion"] for row in rows] == [point["fusion"] for point in content["points"]]
    assert {"ap_0.5", "bytes_mean", "bytes_p95", "where2comm_log2", "difference_low"} <= rows[0].keys()
    assert any(float(row["ap_0.5"]) > 0 for row in rows)
    with Image.open(tmp_path / "sweep.png") as picture:
        assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24)) > 50
    if curve == "grid":
        assert "8 points" in result.output


def test_several_models_stand_side_by_side(tree: Path, model: Path, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other")
    result = sweep(
        "budget", tree, model, tmp_path / "out", "--model", other, "--values", "320", "--frames", 2
    )
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert list(content["models"]) == ["tiny", "other"]
    assert content["frames"] == 2
    of_tiny, of_other = (
        [point | {"model": ""} for point in content["points"] if point["model"] == name]
        for name in ("tiny", "other")
    )
    assert of_tiny == of_other
    assert model_names(["a,b", "c", "a"]) == ["a", "b", "c"]
    assert model_names(None) == ["cosense-lite"]


@pytest.mark.parametrize(
    ("curve", "more", "message"),
    [
        ("budgt", (), "unknown curve 'budgt', did you mean 'budget'"),
        ("loss", ("--values", "0,much"), "'much' is no loss: expected numbers 0 to 1"),
        ("delay", ("--values", "0,900"), "delay of 900 ms: .*longest sequence lasts 300 ms"),
        ("budget", ("--values", "90"), "budget of 90 bytes is too small for agent '2'"),
        ("budget", ("--budget", "500"), "give them as --values 500"),
        ("loss", ("--fusion", "hybird"), "--fusion 'hybird' is unknown, did you mean 'hybrid'"),
        (
            "loss",
            ("--fusion", "early", "--budget", "20", "--selection", "ranked", "--values", "2"),
            "'2' is no",
        ),
        ("loss", ("--selection", "rnked"), "--selection 'rnked' is unknown, did you mean 'ranked'"),
        ("loss", ("--registration", "scene_grph"), "'scene_grph' is unknown, did you mean 'scene_graph'"),
        ("loss", ("--fusion", "late", "--selection", "ranked"), "selection ranked: nobody sends features"),
        ("loss", ("--fusion", "early", "--registration", "icp"), "registration icp: no poses are corrected"),
        (
            "loss",
            ("--fusion", "late", "--registration", "none", "--budget", "500"),
            "--budget 500: no message of these fusions has a",
        ),
        ("loss", ("--unannounced",), "--unannounced: in the curve 'loss' poses are exact"),
        ("loss", ("--model", "pillars-light"), "no model 'pillars-light': did you mean 'pillars-lite'"),
        ("loss", ("--protocol", "opencod"), "did you mean 'opencood'"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    tree: Path, model: Path, tmp_path: Path, curve: str, more: tuple[str, ...], message: str
) -> None:
    result = sweep(curve, tree, model, tmp_path / "out", *more)
    assert isinstance(result.exception, CosenseError), result.output
    assert re.search(message, str(result.exception))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "written"),
    [
        (("--values", "0,100"), [0.0, 100.0]),
        (("--values", "0", "100"), [0.0, 100.0]),
        (("--values", "0 100"), [0.0, 100.0]),
        (("--values=0,", "100"), [0.0, 100.0]),
        (("--values", "0,55"), [0.0, 55.0]),
    ],
)
def test_lists_are_given_with_commas_or_spaces_and_what_is_not_applied_as_given_is_said(
    tree: Path, model: Path, tmp_path: Path, words: tuple[str, ...], written: list[float]
) -> None:
    """A list written as people write it; a value that the frames of the data round is named."""
    given = ["delay", *words, "--fusion", "late", "--data", tree, "--model", model, "--out", tmp_path]
    result = CliRunner().invoke(app, [str(word) for word in ("sweep", *given)])
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "sweep.json").read_text())
    assert [point["delay_ms"] for point in content["points"] if point["fusion"] == "late"] == written
    note = "delay of 55 ms: a frame comes every 100 ms, so messages are 100 ms old when they are fused"
    assert content.get("notes", []) == ([note] if 55.0 in written else [])
    assert (f"note: {note}" in result.output) == (55.0 in written)


def test_words_after_an_option_belong_to_it(tree: Path, model: Path, tmp_path: Path) -> None:
    """An unknown word is looked up among the values of its own option, whatever other options there are."""
    for words, message in (
        (("--registration", "none", "scene_grph"), "--registration 'scene_grph' is unknown, did you mean 's"),
        (("--fusion", "late", "hybird"), "--fusion 'hybird' is unknown, did you mean 'hybrid'"),
        (("--selection", "ranked", "rndom"), "--selection 'rndom' is unknown, did you mean 'random'"),
        (("--values", "0", "much"), "'much' is no loss"),
    ):
        result = sweep("loss", tree, model, tmp_path / "out", *words)
        assert isinstance(result.exception, CosenseError), result.output
        assert message in str(result.exception)


def test_a_stopped_sweep_says_how_to_go_on(
    tree: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle, then the same command, then one with further values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cosense.cli.sweep._progress", _ctrl_c_after_two_frames)
        result = sweep("loss", tree, model, tmp_path, "--values", "0", "--fusion", "late")
    assert result.exit_code == 130
    said = (
        f"Stopped. What is done of each point is in {tmp_path / 'sweep.npz'}: the same command goes on from"
    )
    assert said in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.npz"]
    monkeypatch.setenv("COLUMNS", "400")
    assert sweep("loss", tree, model, tmp_path, "--values", "0", "--fusion", "late").exit_code == 0
    result = sweep("loss", tree, model, tmp_path, "--values", "0,1", "--fusion", "late")
    assert f"3 settings, 2 of them are in {tmp_path / 'sweep.npz'} already, 4 of 4 frames" in result.output


@contextmanager
def _ctrl_c_after_two_frames(console: Any, total: int) -> Iterator[Callable[[int], None]]:
    def progress(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    yield progress


def test_the_help_names_the_values_of_every_curve() -> None:
    said = " ".join(str(command.__doc__).split())
    for curve, field in AXES.items():
        usual = ", ".join(
            value if isinstance(value, str) else "none" if value is None else f"{value:g}"
            for value in FIELDS[field].values
        )
        assert re.search(rf"- {curve}: [^-]*; {usual}", said), curve


def test_missing_data_is_named(model: Path, tmp_path: Path) -> None:
    result = sweep("loss", tmp_path / "nowhere", model, tmp_path / "out")
    assert isinstance(result.exception, CosenseError)
    assert "nowhere" in str(result.exception)
