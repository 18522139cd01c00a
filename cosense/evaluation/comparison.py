"""Two or more offline runs on the same frames, counted under one protocol, and how sure differences are.

Frames are paired by their name. Each difference to the first run is measured on the same draws of frames
(bootstrap; whole sequences where there are several), so that what is hard for all of them does not hide it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cosense.errors import CosenseError, counted, parse_json, read_file
from cosense.evaluation.metrics.scoring import Question, pool
from cosense.evaluation.metrics.summary import (
    FrameScore,
    Resampled,
    draws_of,
    main_question,
    resample,
    score,
    summarise_scores,
    threshold_key,
)
from cosense.evaluation.protocol import Protocol, load_protocol
from cosense.evaluation.run_files import FRAMES, RUN, frame_result
from cosense.json_lines import read_lines

# A curve in a picture needs no more corners.
_CURVE_POINTS = 200


@dataclass(frozen=True)
class FinishedRun:
    """What an offline run has left in its folder.

    Attributes:
        name: of the folder.
        description: content of run.json.
        records: line of frames.jsonl by name of the frame, in their order.
    """

    name: str
    description: dict[str, Any]
    records: dict[str, dict[str, Any]]


def read_runs(folders: Sequence[Path]) -> list[FinishedRun]:
    """Read runs; they are called like their folders, by the whole path where two are called the same.

    Raises:
        CosenseError: a folder is of no offline run, or holds no frames.
    """
    runs = [_read_run(folder) for folder in folders]
    if len({run.name for run in runs}) == len(runs):
        return runs
    return [replace(run, name=str(folder)) for run, folder in zip(runs, folders, strict=True)]


def _read_run(folder: Path) -> FinishedRun:
    if not (folder / RUN).is_file():
        raise CosenseError(
            f"{folder}: has no {RUN}; expected a folder that `cosense evaluate --out {folder}` has written"
        )
    try:
        description = parse_json(read_file(folder / RUN))
    except ValueError as error:
        raise CosenseError(f"{folder / RUN}: is not JSON: {error}; evaluate again with --restart") from None
    records = {record["frame_id"]: record for record in read_lines(folder / FRAMES) if "frame_id" in record}
    if not records:
        raise CosenseError(f"{folder / FRAMES}: holds no frame yet; run `cosense evaluate` to its end")
    return FinishedRun(folder.resolve().name, description, records)


def protocol_of(runs: Sequence[FinishedRun]) -> Protocol:
    """Return the protocol that all runs were counted under.

    Raises:
        CosenseError: they were counted under several, or one that does not ship.
    """
    names = sorted({run.description["protocol"] for run in runs})
    if len(names) > 1:
        raise CosenseError(f"the runs were counted under {' and '.join(names)}: choose one with --protocol")
    return load_protocol(names[0])


def compare(runs: Sequence[FinishedRun], protocol: Protocol, *, seed: int = 0) -> dict[str, Any]:
    """Count runs on the frames that all of them have.

    Args:
        runs: at least two; the first is what the others are compared with.
        protocol: what is counted.
        seed: of the draws.

    Returns:
        ready for JSON: `protocol`, `protocol_hash`, `frames`, `frames_left_out`, `sequences`, `seed`, and
        `runs`. Each run has `name`, its description, the numbers of `summarise_scores`, by IoU threshold
        `intervals` (95 % of its AP) and, but for the first, `differences` (to the first run, in points) with
        `difference_intervals`, and for each threshold a precision-recall `curves`.

    Raises:
        CosenseError: no frame is in all runs, or the same name is another frame.
    """
    names = _common_frames(runs)
    sequences = [str(runs[0].records[name].get("sequence", "")) for name in names]
    numbers = {sequence: number for number, sequence in enumerate(dict.fromkeys(sequences))}
    draws = draws_of([numbers[sequence] for sequence in sequences], seed)
    scores = [[score(frame_result(run.records[name]), protocol) for name in names] for run in runs]
    band, class_name, kind, _ = main_question(protocol)
    questions: dict[str, Question] = {
        threshold_key(threshold): (band, class_name, kind, threshold)
        for threshold in protocol.main_class.iou_thresholds
    }
    drawn = [
        {
            key: resample([s.outcomes[question] for s in of_run], draws, global_sort=protocol.global_sort)
            for key, question in questions.items()
        }
        for of_run in scores
    ]
    entries = [
        _entry(run, of_run, protocol, own, questions)
        for run, of_run, own in zip(runs, scores, drawn, strict=True)
    ]
    for entry, own in zip(entries[1:], drawn[1:], strict=True):
        entry["differences"], entry["difference_intervals"] = {}, {}
        for key in questions:
            if entry["ap"][key] is not None:
                entry["differences"][key] = 100 * (entry["ap"][key] - entries[0]["ap"][key])
                ends = own[key].difference_interval(drawn[0][key])
                entry["difference_intervals"][key] = [100 * end for end in ends]
    return {
        "protocol": protocol.name,
        "protocol_hash": protocol.hash,
        "frames": len(names),
        "frames_left_out": len({name for run in runs for name in run.records}) - len(names),
        "sequences": len(numbers),
        "seed": seed,
        "runs": entries,
    }


def _common_frames(runs: Sequence[FinishedRun]) -> list[str]:
    """Return the names of the frames that all runs have, in the order of the first."""
    first = runs[0]
    names = [name for name in first.records if all(name in run.records for run in runs)]
    if not names:
        raise CosenseError(
            "the runs have no frame in common: "
            + ", ".join(
                f"{run.name} has {counted(len(run.records), 'frame')} of "
                f"{run.description.get('dataset', {}).get('path', 'unknown data')}"
                for run in runs
            )
        )
    for run in runs[1:]:
        for name in names:
            theirs, ours = run.records[name]["ground_truth"], first.records[name]["ground_truth"]
            if len(theirs["boxes"]) != len(ours["boxes"]):
                raise CosenseError(
                    f"frame '{name}' has {counted(len(ours['boxes']), 'object')} in {first.name} and "
                    f"{len(theirs['boxes'])} in {run.name}: compare runs on the same data and labels"
                )
    return names


def _entry(
    run: FinishedRun,
    scores: Sequence[FrameScore],
    protocol: Protocol,
    drawn: Mapping[str, Resampled],
    questions: Mapping[str, Question],
) -> dict[str, Any]:
    """Return what is said of one run."""
    summary = summarise_scores(scores, protocol)
    known = [key for key in questions if summary["ap"][key] is not None]
    return {
        **run.description,
        **summary,
        "name": run.name,
        "protocol": protocol.name,
        "protocol_hash": protocol.hash,
        "frames": len(scores),
        "intervals": {key: [100 * end for end in drawn[key].interval] for key in known},
        "curves": {key: _curve(scores, questions[key], protocol) for key in known},
    }


def _curve(scores: Sequence[FrameScore], question: Question, protocol: Protocol) -> dict[str, list[float]]:
    """Return recall and precision in percent along the ranks, thinned out for a picture."""
    pooled = pool([score.outcomes[question] for score in scores])
    order = np.argsort(-pooled.scores, kind="stable") if protocol.global_sort else slice(None)
    found = np.cumsum(pooled.is_true_positive[order])
    precision = found / np.arange(1, len(found) + 1)
    kept = np.unique(np.linspace(0, max(len(found) - 1, 0), _CURVE_POINTS).astype(int))[: len(found)]
    return {
        "recall": (100 * found / len(pooled.labels))[kept].tolist(),
        "precision": (100 * precision)[kept].tolist(),
    }
