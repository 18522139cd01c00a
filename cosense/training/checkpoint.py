"""Checkpoints on disk: written as one file that appears complete or not at all, read with one error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cosense.errors import CosenseError


def write_checkpoint(content: dict[str, Any], path: Path) -> None:
    """Write a checkpoint."""
    partial = path.with_name(path.name + ".part")
    torch.save(content, partial)
    partial.replace(path)


def read_checkpoint(path: Path) -> Any:
    """Return what a checkpoint holds, on the processor; what it is has yet to be checked.

    Raises:
        CosenseError: it is missing or broken.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CosenseError(f"{path}: no checkpoint to resume from; leave --resume out") from None
    except Exception as error:  # torch raises half a dozen types for a broken file
        raise CosenseError(f"{path}: not readable as a checkpoint: {error}") from None
