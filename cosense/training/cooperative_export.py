"""The end of a cooperative run: a model folder that `cosense.methods.model.load_model` opens.

The scores are calibrated here, on the validation scenes, by source: the ego's and the others' boxes as they
are, the fused ones over all amounts that validation tries.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

import cosense
from cosense.config import to_mapping
from cosense.detectors.head import DETECTED_CLASSES
from cosense.methods.calibration import Calibration, fit_curve
from cosense.methods.model import ModelConfig, read_network
from cosense.methods.patches.settings import PatchesConfig
from cosense.model_folders import WEIGHTS, find_model, network_tensors, write_tensors
from cosense.sensing.detections import Detections
from cosense.training.config import CooperativeTrainingConfig
from cosense.training.cooperative_features import EncodedSample
from cosense.training.cooperative_validation import fused_boxes, judge
from cosense.training.fusion_examples import plain_example
from cosense.training.task import Task

_IOU = 0.5
# A curve from fewer boxes than this would be a guess.
_FEWEST_BOXES = 30


def export_cooperation(
    task: Task,
    model: ModelConfig,
    config: CooperativeTrainingConfig,
    unseen: list[EncodedSample],
    out: Path,
    command: str,
    elapsed_s: float,
    figures: dict[str, float],
) -> None:
    """Write weights.safetensors, config.yaml, calibration.json and card.md into `out`.

    Args:
        task: trained.
        model: what it is.
        config: how it was trained.
        unseen: validation moments, on which scores are calibrated.
        out: the model folder; exists.
        command: that trained it.
        elapsed_s: wall time of the training.
        figures: for the card, by name.
    """
    tensors = network_tensors(read_network(find_model(config.start_from)))
    trained = network_tensors(task)
    write_tensors(tensors | trained, out / WEIGHTS)
    (out / "config.yaml").write_text(yaml.safe_dump(model.to_mapping(), sort_keys=False))
    if isinstance(model.sharing, PatchesConfig):
        calibrate(task, unseen, config.min_points).write(out, command)
    added = sum(tensor.numel() for name, tensor in trained.items() if name not in tensors)
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items())
    (out / "card.md").write_text(
        f"# {out.resolve().name}\n\n"
        f"{sum(t.numel() for t in (tensors | trained).values()) / 1e6:.2f} million parameters, of which "
        f"{added / 1e6:.2f} million share and fuse. Trained {elapsed_s / 60:.0f} minutes on {config.device} "
        f"with {torch.get_num_threads()} threads, seed {config.seed}, from {config.start_from}; "
        f"cosense {cosense.__version__}, torch {torch.__version__}.\n\n"
        f"Command: `{command}`\n\n"
        f"| figure | value |\n|---|---|\n{rows}\n\n"
        "AP: vehicles, bird's-eye IoU 0.5 and 0.7, objects with at least "
        f"{config.min_points} points of any agent, fused maps alone, validation scenes.\n\n"
        f"## Configuration of the run\n\n```yaml\n{yaml.safe_dump(to_mapping(config), sort_keys=False)}```\n"
    )


def calibrate(task: Task, samples: list[EncodedSample], min_points: int) -> Calibration:
    """Fit the curve of each source and class on moments that nothing was learned from."""
    task.eval()
    detector = task.detector
    pairs: dict[tuple[str, int], list[tuple[Any, Any]]] = defaultdict(list)
    for sample in samples:
        example = plain_example(sample, detector, min_points)
        found: list[tuple[str, Detections]] = [("ego", example.ego.detections)]
        found += [("late", sender.boxes) for sender in example.senders]
        found += [
            ("fused", fused_boxes(task, example, setting, detector)) for setting in task.settings.values()
        ]
        for source, boxes in found:
            for kind in range(len(DETECTED_CLASSES)):
                judged = judge(boxes, sample, detector, kind, min_points)
                pairs[source, kind].append((judged.scores, judged.is_hit[_IOU]))
    curves: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
    for (source, kind), parts in pairs.items():
        scores, hits = (np.concatenate(column) for column in zip(*parts, strict=True))
        if len(scores) >= _FEWEST_BOXES:
            curves[source][DETECTED_CLASSES[kind].name.lower()] = fit_curve(scores, hits)
    return Calibration(dict(curves))
