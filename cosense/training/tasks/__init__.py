"""What can be trained: one file for each detector, method and encoder, with a class `TASK`.

A run's YAML names the kind in `train:`. For a detector the file is called like `detector:` in the model's
config.yaml, for a method like `method:` of its `sharing:`; there is one kind of encoder.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

from cosense.config import from_mapping, load_yaml
from cosense.detectors.models import CONFIG, find_model
from cosense.errors import CosenseError, nearest
from cosense.training.run_config import RunConfig
from cosense.training.task import Task

KINDS = ("detector", "method", "encoder")


def read_run(path: Path) -> tuple[type[Task], RunConfig]:
    """Return what a run's YAML trains, and how.

    Raises:
        CosenseError: the file does not say what kind of thing it trains, nothing can train it, or a key or
            value is wrong.
    """
    mapping = load_yaml(path)
    kind = mapping.get("train") if isinstance(mapping, dict) else None
    if not isinstance(kind, str):
        raise CosenseError(
            f"{path}: does not say what it trains; add 'train: detector', 'train: method' or "
            "'train: encoder', and call the scenes that it learns from 'data:'"
        )
    if kind not in KINDS:
        raise CosenseError(
            f"{path}: train: '{kind}' is not one of {', '.join(KINDS)}, {nearest(kind, KINDS)}"
        )
    task = find_task(_name(kind, mapping, path), path)
    return task, from_mapping(task.Config, mapping, where=str(path))


def find_task(name: str, where: Path) -> type[Task]:
    """Return the task in the file `name` of this folder.

    Raises:
        CosenseError: there is none.
    """
    known = [module.name for module in pkgutil.iter_modules(__path__)]
    if name not in known:
        raise CosenseError(
            f"{where}: no file training/tasks/{name}.py trains '{name}', {nearest(name, known)}"
        )
    task: type[Task] = importlib.import_module(f"{__name__}.{name}").TASK
    return task


def _name(kind: str, mapping: dict[str, Any], path: Path) -> str:
    """Return which of its kind a run trains."""
    if kind == "encoder":
        return "node_encoder"
    if not isinstance(mapping.get("model"), str):
        raise CosenseError(f"{path}: missing key 'model', the folder whose {CONFIG} says which network")
    config = find_model(mapping["model"]) / CONFIG
    model = load_yaml(config)
    if kind == "detector":
        return "pillars"
    for name in ("patches", "cosdh"):
        if model.get(name) is not None:
            return name
    raise CosenseError(f"{config}: has no 'sharing:', so there is no method to train")
