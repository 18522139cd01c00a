"""The numbers of a live run, from what the fusion node wrote down and the data set that was played."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cosense.data.dataset import Dataset
from cosense.evaluation.metrics import FrameResult, summarise
from cosense.evaluation.pose_noise import PoseNoise
from cosense.evaluation.protocol import Protocol
from cosense.evaluation.runner import RunSettings, most_points_of_one_agent, run_description
from cosense.fusion.journal import JournalEntry
from cosense.perception.detections import Detections
from cosense.perception.detector import Detector


def evaluate_live(
    dataset: Dataset,
    entries: Sequence[JournalEntry],
    detector: Detector,
    protocol: Protocol,
    *,
    frames: int,
    command: str,
) -> dict[str, Any]:
    """Score the boxes that a live run with late fusion gave, frame by frame.

    A frame that was played but never fused counts with no detection, and is told in `frames_not_fused`.

    Args:
        dataset: what was played; the ego's stamp tells which entry belongs to which frame.
        entries: of detections.jsonl.
        detector: what all agents ran.
        protocol: what is counted.
        frames: how many frames were played, from the first on.
        command: with which all this can be repeated.

    Returns:
        the content of metrics.json, with the same keys as `cosense.evaluation.runner.evaluate` gives.
    """
    by_stamp = {entry.stamp_ns: entry for entry in entries}
    results = []
    not_fused = 0
    for index in range(frames):
        frame = dataset[index]
        entry = by_stamp.get(frame.ego.stamp_ns)
        not_fused += entry is None
        sent: Counter[str] = Counter()
        for peer in entry.result.peers if entry else ():
            sent[peer.sender] += peer.bytes
        results.append(
            FrameResult(
                frame_id=frame.frame_id,
                detections=entry.result.detections if entry else Detections.empty(),
                ground_truth=frame.ground_truth,
                num_points=most_points_of_one_agent(frame),
                bytes_per_sender=sent,
                elapsed_ms=entry.elapsed_ms if entry else 0.0,
            )
        )
    settings = RunSettings("late", None, PoseNoise(), seed=0)
    return {
        "command": command,
        **run_description(dataset, detector, protocol, settings),
        "live": True,
        "frames": frames,
        "frames_not_fused": not_fused,
        **summarise(results, protocol),
    }
