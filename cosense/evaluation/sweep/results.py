"""The files of a sweep: sweep.json with everything, and sweep.csv with one line for each point."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.data.dataset import Dataset
from cosense.errors import CosenseError
from cosense.evaluation.metrics.summary import (
    draws_of,
    main_question,
    resample,
    summarise_scores,
    threshold_key,
)
from cosense.evaluation.protocol import Protocol
from cosense.evaluation.run_files import write_json
from cosense.evaluation.runs.runner import versions
from cosense.evaluation.sweep.lockstep import PointResult, lean
from cosense.evaluation.sweep.point import Point
from cosense.methods.model import Model

JSON, CSV, PNG = "sweep.json", "sweep.csv", "sweep.png"
# Points of AP below the ego alone that "never worse than alone" allows.
TOLERATED_LOSS = 0.5


def run_description(
    dataset: Dataset, models: Mapping[str, Model], protocol: Protocol, counted: Sequence[bool], seed: int
) -> dict[str, Any]:
    """Return everything that decides what a point gives, but the point itself, ready for JSON."""
    return {
        "dataset": dataset.description(),
        "frames": len(counted),
        "frames_counted": sum(counted),
        "protocol": f"{protocol.name} {protocol.hash}",
        "seed": seed,
        "models": _identities(models),
        "versions": versions(),
    }


def _identities(models: Mapping[str, Model]) -> dict[str, dict[str, str]]:
    """Return what tells two models of one name apart."""
    return {
        name: {
            "weights_sha256": model.detector.weights_sha256,
            "fingerprint": model.detector.fingerprint.hex(),
            "device": str(model.detector.device),
            "dtype": str(model.detector.dtype),
        }
        for name, model in models.items()
    }


def sweep_content(
    results: Sequence[PointResult],
    dataset: Dataset,
    models: Mapping[str, Model],
    protocol: Protocol,
    *,
    curve: str,
    seed: int,
    command: str,
    sequences: Sequence[int],
) -> dict[str, Any]:
    """Return the content of sweep.json.

    Args:
        results: with the ego alone of each model among them.
        dataset: what the frames are from.
        models: by name.
        protocol: what is counted.
        curve: name of the curve.
        seed: seed of pose noise, radio and bootstrap.
        command: command line that repeats the sweep.
        sequences: number of the sequence of each frame that counts.
    """
    counting = lean(protocol)
    points = [_point_content(result, counting) for result in results]
    if curve == "attack":
        _add_times(points, results)
    _add_spreads(points, results, counting, draws_of(sequences, seed))
    return {
        "command": command,
        "curve": curve,
        "seed": seed,
        "protocol": protocol.name,
        "protocol_hash": protocol.hash,
        "dataset": dataset.description(),
        "frames": len(results[0].scores),
        "sequences": len(set(sequences)),
        "models": _identities(models),
        "versions": versions(),
        "points": points,
    }


def write_sweep(content: Mapping[str, Any], out: Path) -> None:
    """Write sweep.json and sweep.csv into a folder.

    Raises:
        CosenseError: it cannot be written.
    """
    make_folder(out)
    write_json(out / JSON, content)
    rows = [flat(point) for point in content["points"]]
    with (out / CSV).open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def make_folder(out: Path) -> None:
    """Make a folder for results.

    Raises:
        CosenseError: it cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CosenseError(f"{out}: cannot be a folder for results: {error.strerror}") from None


def flat(point: Mapping[str, Any]) -> dict[str, Any]:
    """Return setting and numbers of a point without nesting, the setting first."""
    row = {name: point[name] for name in Point.__dataclass_fields__}
    row |= {f"ap_{threshold}": ap for threshold, ap in point["ap"].items()}
    row |= {f"bytes_{name}": count for name, count in point["bytes_per_frame"].items()}
    row |= {name: point[name] for name in ("where2comm_log2", "num_messages_sent")}
    row |= {f"used_for_{name}": count for name, count in point["messages_used_for"].items()}
    row |= point["trust"]
    low, high = point["difference_interval"] or (None, None)
    return row | {"difference": point["difference"], "difference_low": low, "difference_high": high}


def _point_content(result: PointResult, protocol: Protocol) -> dict[str, Any]:
    """Return a setting and its numbers."""
    summary = summarise_scores(result.scores, protocol)
    del summary["ap_per_band"], summary["ms_per_frame"]
    return {
        **asdict(result.point),
        **summary,
        "where2comm_log2": result.where2comm_log2,
        "num_messages_sent": result.num_sent,
        "messages_used_for": dict(result.messages_used_for),
        "trust": _trust(result),
    }


def _trust(result: PointResult) -> dict[str, float | None]:
    """Return which share of the lies, of honest messages and of made-up boxes met with what."""
    counts: Counter[str] = Counter()
    for frame in result.counted:
        counts.update(frame.trust)

    def share(of: str, in_all: str) -> float | None:
        return counts[of] / counts[in_all] if counts[in_all] else None

    return {
        "true_refusals": share("lies_refused", "lies"),
        "true_doubts": share("lies_doubted", "lies"),
        "false_refusals": share("honest_refused", "honest"),
        "false_doubts": share("honest_doubted", "honest"),
        "ghosts_accepted": share("ghosts_accepted", "ghosts"),
    }


def _add_times(points: Sequence[dict[str, Any]], results: Sequence[PointResult]) -> None:
    """Add to each point how long the ego took, and in how many times of that where nobody lies."""
    names = [name for name in Point.__dataclass_fields__ if name not in ("attack", "attackers")]
    settings = [tuple(point[name] for name in names) for point in points]
    times_ms = [[frame.fuse_ms for frame in result.counted if frame.fuse_ms > 0] for result in results]
    means_ms = [float(np.mean(times)) if times else None for times in times_ms]
    honest_ms = {
        setting: mean_ms
        for setting, point, mean_ms in zip(settings, points, means_ms, strict=True)
        if not point["attackers"]
    }
    for setting, point, mean_ms in zip(settings, points, means_ms, strict=True):
        usual_ms = honest_ms.get(setting)
        ratio = mean_ms / usual_ms if mean_ms and usual_ms else None
        point["trust"] |= {"fuse_ms": mean_ms, "time_ratio": ratio}


def _add_spreads(
    points: Sequence[dict[str, Any]],
    results: Sequence[PointResult],
    protocol: Protocol,
    draws: NDArray[np.int64],
) -> None:
    """Add to each point how sure its AP is, and how much better it is than the ego alone in points of AP.

    "ap_deviation" is the standard deviation of "ap" over draws of whole sequences. "difference" is measured
    on the same frames and with the same model, "difference_interval" holds it in 95 of 100 draws, and
    "difference_intervals" are those at every IoU threshold; all three are None for the ego alone itself, and
    where there is nothing to find.
    """
    band, name, kind, threshold = main_question(protocol)
    key = threshold_key(threshold)
    resampled = {
        threshold_key(other): [
            resample([score.outcomes[band, name, kind, other] for score in result.scores], draws)
            for result in results
        ]
        for other in protocol.main_class.iou_thresholds
    }
    alone = {point["model"]: index for index, point in enumerate(points) if point["fusion"] == "none"}
    for index, point in enumerate(points):
        point["ap_deviation"] = {name: draw[index].deviation for name, draw in resampled.items()}
        reference = alone[point["model"]]
        own, other = point["ap"][key], points[reference]["ap"][key]
        point |= {"difference": None, "difference_interval": None, "difference_intervals": None}
        if point["fusion"] != "none" and own is not None and other is not None:
            intervals = {
                name: [100 * end for end in draw[index].difference_interval(draw[reference])]
                for name, draw in resampled.items()
            }
            point |= {"difference": 100 * (own - other), "difference_interval": intervals[key]}
            point["difference_intervals"] = intervals
