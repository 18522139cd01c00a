"""Results of an offline run in formats that other tools read: a module of this folder each, with `write`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import cosense.evaluation.exports
from cosense import plugins
from cosense.errors import CosenseError, nearest
from cosense.evaluation.run_files import FRAMES, FrameResult, frame_result
from cosense.geometry.transforms import Matrix
from cosense.json_lines import read_lines
from cosense.sensing.objects import RIDERS, VEHICLES, ObjectClass


@dataclass(frozen=True)
class PlacedFrame:
    """One frame of a run.

    Attributes:
        result: detections and ground truth in the ego frame.
        T_world_ego: (4,4) pose of that frame.
    """

    result: FrameResult
    T_world_ego: Matrix


def check_formats(names: Sequence[str]) -> None:
    """Refuse a format that nobody writes.

    Raises:
        CosenseError: it names the nearest that there is.
    """
    known = plugins.names(cosense.evaluation.exports)
    for name in names:
        if name not in known:
            raise CosenseError(f"--export {name}: unknown format, {nearest(name, known)}")


def export(run: Path, name: str) -> Path:
    """Write the frames of a run in a format, and return the folder: in that of the run, called as the format.

    Args:
        run: folder with frames.jsonl.
        name: of the format, one that `check_formats` lets pass.

    Raises:
        CosenseError: frames of a release that did not keep poses yet.
    """
    write = plugins.function(plugins.load(cosense.evaluation.exports, name), "write")
    out = run / name
    out.mkdir(parents=True, exist_ok=True)
    write(_placed_frames(run / FRAMES), out)
    return out


def single_class(labels: NDArray[np.int64]) -> list[ObjectClass]:
    """Return classes as detectors here tell them apart: CAR for every vehicle, CYCLIST for every rider."""
    of = {**dict.fromkeys(VEHICLES, ObjectClass.CAR), **dict.fromkeys(RIDERS, ObjectClass.CYCLIST)}
    return [of.get(ObjectClass(label), ObjectClass(label)) for label in labels.tolist()]


def _placed_frames(path: Path) -> list[PlacedFrame]:
    frames = []
    for number, record in enumerate(read_lines(path), 1):
        if "skipped" in record:
            continue
        if "T_world_ego" not in record:
            raise CosenseError(
                f"{path}: line {number} has no pose (T_world_ego): the run is of an earlier release; "
                "evaluate again with --restart"
            )
        frames.append(PlacedFrame(frame_result(record), np.array(record["T_world_ego"], dtype=np.float64)))
    return frames
