"""What is kept of each point of a sweep, so that no point is ever computed twice.

One file, sweep.npz, holds the frames that are done of every point that was ever asked of a folder: a sweep
that was stopped goes on, and one with further values computes these alone. It holds arrays and JSON, no
objects.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError
from cosense.evaluation.metrics.scoring import Outcome, Question, pool
from cosense.evaluation.metrics.summary import FrameScore
from cosense.evaluation.sweep.lockstep import CountedFrame, PointResult
from cosense.evaluation.sweep.point import Point

KEPT = "sweep.npz"
_OUTCOME = tuple(field.name for field in fields(Outcome))
_OF_DETECTIONS = ("scores", "is_true_positive")
_RESTART = "choose another folder with --out, or throw it away with --restart"


def write_kept(path: Path, run: Mapping[str, Any], results: Iterable[PointResult]) -> None:
    """Write what is done of points, in place of what the file held.

    Args:
        path: the file, which appears complete or not at all.
        run: everything that decides what a point gives, see `run_description`.
        results: the points.
    """
    arrays: dict[str, NDArray] = {"run": _text(run)}
    for number, result in enumerate(results):
        arrays |= {f"{number}.{name}": array for name, array in _arrays(result).items()}
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def read_kept(path: Path, run: Mapping[str, Any]) -> tuple[dict[str, Any], dict[Point, PointResult]]:
    """Return the run with the models of the points that are kept too, and what is done of each point.

    Raises:
        CosenseError: the file is broken, or of another run.
    """
    if not path.exists():
        return dict(run), {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = dict(stored)
        theirs = json.loads(str(arrays.pop("run")))
        parts: dict[str, dict[str, NDArray]] = {}
        for name, array in arrays.items():
            number, _, of_point = name.partition(".")
            parts.setdefault(number, {})[of_point] = array
        results = [_result(part) for part in parts.values()]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise CosenseError(f"{path}: not readable as points of a sweep: {error}; {_RESTART}") from None
    models = {**theirs.get("models", {}), **run["models"]}
    theirs["models"] = {**run["models"], **theirs.get("models", {})}
    different = {
        key: (theirs.get(key), value)
        for key, value in {**run, "models": models}.items()
        if theirs.get(key) != value
    }
    if different:
        said = ", ".join(f"{key} {there!r} there, {here!r} here" for key, (there, here) in different.items())
        raise CosenseError(f"{path}: belongs to another sweep ({said}); {_RESTART}")
    return {**run, "models": models}, {result.point: result for result in results}


def _text(value: Any) -> NDArray:
    return np.array(json.dumps(value))


def _arrays(result: PointResult) -> dict[str, NDArray]:
    """Return a point as arrays; those of a question hold all its frames, one after the other."""
    counted = result.counted
    questions: list[Question] = list(counted[0].score.outcomes) if counted else []
    frames = [
        None
        if frame is None
        else [
            frame.score.num_on_participants,
            dict(frame.score.num_working),
            dict(frame.score.bytes_per_sender),
            frame.used_for,
            frame.num_sent,
            frame.elements,
            dict(frame.trust),
            frame.fuse_ms,
        ]
        for frame in result.frames
    ]
    arrays = {"text": _text({"point": asdict(result.point), "questions": questions, "frames": frames})}
    for index, question in enumerate(questions):
        outcomes = [frame.score.outcomes[question] for frame in counted]
        pooled = pool(outcomes)
        arrays |= {f"{index}.{name}": getattr(pooled, name) for name in _OUTCOME}
        arrays[f"{index}.sizes"] = np.array([[len(o.scores), len(o.labels)] for o in outcomes])
    return arrays


def _result(arrays: Mapping[str, NDArray]) -> PointResult:
    """Return the point that `_arrays` has written."""
    text = json.loads(str(arrays["text"]))
    answers = {
        tuple(question): _outcomes({name: arrays[f"{index}.{name}"] for name in (*_OUTCOME, "sizes")})
        for index, question in enumerate(text["questions"])
    }
    frames: list[CountedFrame | None] = []
    counted = 0
    for frame in text["frames"]:
        if frame is None:
            frames.append(None)
            continue
        num_on_participants, num_working, bytes_per_sender, used_for, num_sent, elements, *more = frame
        outcomes: dict[Question, Outcome] = {question: of[counted] for question, of in answers.items()}
        score = FrameScore(outcomes, num_on_participants, num_working, bytes_per_sender, float("nan"))
        frames.append(CountedFrame(score, tuple(used_for), num_sent, tuple(elements), *more))
        counted += 1
    return PointResult(Point(**text["point"]), frames)


def _outcomes(arrays: Mapping[str, NDArray]) -> list[Outcome]:
    """Return the outcomes of the frames."""
    detections, objects = (np.cumsum(sizes)[:-1] for sizes in arrays["sizes"].T)
    split = [np.split(arrays[name], detections if name in _OF_DETECTIONS else objects) for name in _OUTCOME]
    return [Outcome(**dict(zip(_OUTCOME, values, strict=True))) for values in zip(*split, strict=True)]
