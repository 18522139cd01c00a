"""Model folders: find one by name, read and write its weights, and say which weights these are.

A folder of `models/` holds a YAML file that says what the network is, weights.safetensors (float32, batch
norms not yet folded, so that training can continue from it) and card.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from cosense.errors import CosenseError, nearest, read_file
from cosense.shipped import shipped_folders

if TYPE_CHECKING:
    import torch
    from torch import nn

CONFIG, WEIGHTS = "config.yaml", "weights.safetensors"


def find_model(name_or_folder: str | Path, config: str = CONFIG) -> Path:
    """Return the folder of a model, given its name or the path to it.

    Args:
        name_or_folder: name below `models/`, or path of such a folder.
        config: name of the file that makes a folder a model of the wanted kind.

    Raises:
        CosenseError: no such model; names the nearest.
    """
    given = Path(name_or_folder)
    for folder in (given, *(folder / given for folder in shipped_folders("models"))):
        if (folder / config).is_file():
            return folder
    known = {path.parent.name for folder in shipped_folders("models") for path in folder.glob(f"*/{config}")}
    raise CosenseError(f"no model '{name_or_folder}': {nearest(given.name, known)}")


def read_weights(folder: Path) -> tuple[dict[str, torch.Tensor], bytes]:
    """Return the tensors of a model folder by name, and the bytes of its weights file; both empty without
    one.

    Raises:
        CosenseError: the file is broken.
    """
    # Imported late: scenarios name models, and who only plays them needs no PyTorch.
    from safetensors.torch import load

    path = folder / WEIGHTS
    if not path.is_file():
        return {}, b""
    data = read_file(path)
    try:
        return load(data), data
    except (SafetensorError, ValueError) as error:
        raise CosenseError(f"{path}: not readable as safetensors: {error}") from None


def fill(network: nn.Module, tensors: Mapping[str, torch.Tensor], folder: Path, config: str = CONFIG) -> None:
    """Load tensors into a network, which needs exactly these.

    Args:
        network: any module; step counters of batch norms are left as they are.
        tensors: by the names of the network's parameters and running statistics.
        folder: model folder that they come from, for errors.
        config: name of the file in it that describes the network, for errors.

    Raises:
        CosenseError: the folder has no weights, or a tensor is missing, superfluous, of another shape or not
            finite.
    """
    expected = network_tensors(network)
    if expected and not (folder / WEIGHTS).is_file():
        raise CosenseError(
            f"{folder / WEIGHTS}: no such file: this model has no weights yet, train it with `cosense train`"
        )
    for name in sorted(expected.keys() | tensors.keys()):
        have = tuple(tensors[name].shape) if name in tensors else None
        want = tuple(expected[name].shape) if name in expected else None
        if have != want:
            raise CosenseError(f"{folder / WEIGHTS}: '{name}' is {have}, {folder / config} asks for {want}")
        if not tensors[name].isfinite().all():
            raise CosenseError(f"{folder / WEIGHTS}: '{name}' is not finite; train the model again")
    network.load_state_dict(tensors, strict=False)


def write_weights(network: nn.Module, path: Path) -> None:
    """Write the weights of a network; the file appears complete or not at all."""
    write_tensors(network_tensors(network), path)


def write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write named tensors as a weights file; see `write_weights`."""
    from safetensors.torch import save

    partial = path.with_name(path.name + ".part")
    partial.write_bytes(save(tensors))
    partial.replace(path)


def network_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return what a weights file holds: parameters and running statistics, without torch's step counters."""
    return {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def fingerprint(config: Mapping[str, Any], weights: bytes) -> bytes:
    """Return 8 bytes that two models share only if all their configuration and weights are the same."""
    canonical = json.dumps(config, sort_keys=True).encode()
    return hashlib.sha256(canonical + weights).digest()[:8]
