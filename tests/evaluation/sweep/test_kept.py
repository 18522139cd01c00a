"""What was computed once is kept: a stopped sweep goes on, and further values cost only themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cosense.errors import CosenseError
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.sweep.kept import KEPT, read_kept, write_kept
from cosense.evaluation.sweep.lockstep import PointResult, SharedPerception, sweep
from cosense.evaluation.sweep.point import Point
from cosense.evaluation.sweep.results import JSON, run_description, sweep_content, write_sweep
from cosense.methods.model import Model
from tests.evaluation.cooperators import drive, tiny_model
from tests.evaluation.scenes import Scenes

PROTOCOL = load_protocol("simulated")
# One setting of each kind that remembers something from frame to frame.
POINTS = [
    Point("tiny", "none"),
    Point("tiny", "late", delay_ms=100.0),
    Point("tiny", "hybrid", budget_bytes=400, pose_noise=0.3, loss=0.3, burst=3.0),
    Point("tiny", "hybrid", rate_bytes_per_s=3000),
]


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    """Two sequences of three frames."""
    return Scenes([*drive(3), *drive(3, sequence="two", seed=50)])


class Folder:
    """A folder of results that one sweep after another goes on in."""

    def __init__(self, path: Path, scenes: Scenes, model: Model) -> None:
        self.path, self.scenes, self.models = path, scenes, {"tiny": model}
        self.counted = [False, True, True] * 2

    def sweep(self, points: list[Point], stop_after: int | None = None, seed: int = 0) -> list[PointResult]:
        """Sweep, or press Ctrl-C after some frames."""
        run = run_description(self.scenes, self.models, PROTOCOL, self.counted, seed)
        run, kept = read_kept(self.path / KEPT, run)

        def progress(done: int) -> None:
            if done == stop_after:
                raise KeyboardInterrupt

        def keep(results: Any) -> None:
            write_kept(self.path / KEPT, run, {**kept, **{r.point: r for r in results}}.values())

        options: dict[str, Any] = {"seed": seed, "progress": progress, "earlier": kept, "keep": keep}
        return sweep(self.scenes, self.models, points, PROTOCOL, self.counted, **options)

    def written(self, results: list[PointResult]) -> bytes:
        content = sweep_content(
            results,
            self.scenes,
            self.models,
            PROTOCOL,
            curve="delay",
            seed=0,
            command="cosense sweep",
            sequences=range(sum(self.counted)),
        )
        write_sweep(content, self.path)
        return (self.path / JSON).read_bytes()


@pytest.mark.parametrize("stops", [(1,), (4,), (2, 5)])
def test_a_sweep_that_was_stopped_ends_like_one_that_was_not(
    scenes: Scenes, model: Model, tmp_path: Path, stops: tuple[int, ...]
) -> None:
    """Ctrl-C, once or twice, within a sequence or between: the same numbers to the last bit."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "stopped").mkdir()
    whole, stopped = (Folder(tmp_path / name, scenes, model) for name in ("whole", "stopped"))
    expected = whole.written(whole.sweep(POINTS))
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            stopped.sweep(POINTS, stop_after=stop)
        run = run_description(scenes, {"tiny": model}, PROTOCOL, stopped.counted, 0)
        kept = read_kept(tmp_path / "stopped" / KEPT, run)[1]
        assert [len(kept[point].frames) for point in POINTS] == [stop] * len(POINTS)
    assert stopped.written(stopped.sweep(POINTS)) == expected


def test_further_points_are_computed_alone_and_earlier_ones_taken_from_the_file(
    scenes: Scenes, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command with more values, and again with those that it had at first."""
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    folder = Folder(tmp_path, scenes, model)
    folder.sweep(POINTS[:2])
    # Half of a third one.
    with pytest.raises(KeyboardInterrupt):
        folder.sweep(POINTS[:3], stop_after=2)
    expected = Folder(fresh, scenes, model)
    assert folder.written(folder.sweep(POINTS)) == expected.written(expected.sweep(POINTS))
    monkeypatch.setattr(SharedPerception, "perceive", None)
    assert [result.point for result in folder.sweep(POINTS[1:3])] == POINTS[1:3]


def test_points_of_another_run_are_neither_used_nor_lost(
    scenes: Scenes, model: Model, tmp_path: Path
) -> None:
    """Another seed, data set or weights: an error that says what is different, with both ways out."""
    folder = Folder(tmp_path, scenes, model)
    folder.sweep(POINTS[:1])
    before = (tmp_path / KEPT).read_bytes()
    with pytest.raises(CosenseError, match=r"sweep.npz: belongs to another sweep \(seed 0 there, 1 here\)"):
        folder.sweep(POINTS[:1], seed=1)
    folder.models = {"tiny": tiny_model(seed=2)}
    with pytest.raises(
        CosenseError, match=r"\(models .*; choose another folder with --out, or throw it away"
    ):
        folder.sweep(POINTS[:1])
    # Another model beside it is welcome.
    folder.models = {"tiny": model, "other": tiny_model("other", seed=2)}
    folder.sweep([POINTS[0], Point("other", "none")])
    folder.models = {"tiny": model}
    assert len(folder.sweep(POINTS[:1])[0].frames) == 6
    (tmp_path / KEPT).write_bytes(before[:-40])
    with pytest.raises(CosenseError, match=r"sweep.npz: not readable as points of a sweep: .*--restart"):
        folder.sweep(POINTS[:1])
