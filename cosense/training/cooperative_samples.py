"""Samples for networks that fuse: the clouds of all agents of one moment, and what they could know together.

Each sample also holds the moment before, so that a message may be one period old in training, as it is on a
radio. Simulated scenes are kept in a folder like those of `training.samples`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosense.data.dataset import CooperativeFrame
from cosense.detectors.head import detected_class
from cosense.evaluation.runs.runner import most_points_of_one_agent
from cosense.geometry.boxes import Boxes
from cosense.geometry.transforms import Matrix
from cosense.sensing.frame import AgentFrame
from cosense.simulation import SCENES_VERSION, simulate
from cosense.training.config import SceneConfig

_CACHE_VERSION = 1


@dataclass(frozen=True)
class View:
    """One agent's cloud at one moment.

    Attributes:
        agent_id: of the agent.
        T_world_agent: (4,4).
        points: (N,4) float32 in the agent frame.
    """

    agent_id: str
    T_world_agent: Matrix
    points: NDArray[np.float32]


def frame_of(view: View) -> AgentFrame:
    """Return a view as the frame that a detector takes."""
    return AgentFrame(view.agent_id, "vehicle", 0, view.T_world_agent, view.points)


@dataclass(frozen=True)
class CooperativeSample:
    """One moment.

    Attributes:
        name: of the frame.
        views: of all agents, the ego first.
        earlier: the same agents one period (100 ms) before.
        boxes: (M,7) of all objects that any agent has a point of, in the ego frame.
        classes: (M,) int64, index into `DETECTED_CLASSES`.
        num_points: (M,) int64, points on each object, of the agent that has most.
    """

    name: str
    views: tuple[View, ...]
    earlier: tuple[View, ...]
    boxes: Boxes
    classes: NDArray[np.int64]
    num_points: NDArray[np.int64]


def load_cooperative_samples(
    scenes: Sequence[SceneConfig],
    cache: Path,
    progress: Callable[[str, int, int], None] = lambda what, done, of: None,
) -> Iterator[CooperativeSample]:
    """Yield one sample for each sequence of each entry, simulating what is not in the cache yet.

    Args:
        scenes: what to simulate; of each sequence the second frame is learned from.
        cache: folder of simulated samples, created where it is missing.
        progress: called with what is going on, how much is done, of how much.
    """
    total, done = sum(entry.sequences for entry in scenes), 0
    for entry in scenes:
        for number in range(entry.sequences):
            family = entry.families[number % len(entry.families)]
            yield _sample(family, entry.first_seed + number, entry.vehicles, cache)
            done += 1
            progress("simulate or read scenes", done, total)


def sample_of(earlier: CooperativeFrame, frame: CooperativeFrame) -> CooperativeSample:
    """Return the sample of two consecutive frames."""
    classes = [detected_class(int(label)) for label in frame.ground_truth.labels]
    known = np.array([index is not None for index in classes], dtype=bool)
    return CooperativeSample(
        name=f"{frame.sequence}/{frame.frame_id}",
        views=_views(frame),
        earlier=_views(earlier),
        boxes=frame.ground_truth.boxes[known],
        classes=np.array([index for index in classes if index is not None], dtype=np.int64),
        num_points=most_points_of_one_agent(frame)[known],
    )


def _views(frame: CooperativeFrame) -> tuple[View, ...]:
    return tuple(
        View(agent.agent_id, agent.T_world_agent, agent.points) for agent in (frame.ego, *frame.others)
    )


def _sample(family: str, seed: int, vehicles: int, cache: Path) -> CooperativeSample:
    """Return the sample of one sequence from its file, which is written first where it is missing."""
    key = json.dumps([_CACHE_VERSION, SCENES_VERSION, family, seed, vehicles])
    path = cache / f"cooperative-{family}-{seed}-{hashlib.sha256(key.encode()).hexdigest()[:8]}.npz"
    if not path.exists():
        earlier, frame = (made.frame for made in simulate(family, seed, 2, vehicles=vehicles))
        _write(path, sample_of(earlier, frame))
    return _read(path)


def _write(path: Path, sample: CooperativeSample) -> None:
    arrays: dict[str, NDArray] = {
        "name": np.array(sample.name),
        "agents": np.array([view.agent_id for view in sample.views]),
        **{key: getattr(sample, key) for key in ("boxes", "classes", "num_points")},
    }
    for when, views in (("now", sample.views), ("earlier", sample.earlier)):
        for index, view in enumerate(views):
            arrays[f"{when}.{index}.pose"] = view.T_world_agent
            arrays[f"{when}.{index}.points"] = view.points
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".part")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(path)


def _read(path: Path) -> CooperativeSample:
    with np.load(path) as arrays:
        now, earlier = (
            tuple(
                View(str(agent), arrays[f"{when}.{index}.pose"], arrays[f"{when}.{index}.points"])
                for index, agent in enumerate(arrays["agents"])
            )
            for when in ("now", "earlier")
        )
        return CooperativeSample(
            str(arrays["name"]), now, earlier, arrays["boxes"], arrays["classes"], arrays["num_points"]
        )
