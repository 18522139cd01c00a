"""Model folders: find one by name, read it, write it, and say which weights these are.

A folder holds config.yaml (a `ModelConfig`), weights.safetensors (float32, batch norms not yet folded, so
that training can go on from it) and card.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import sysconfig
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from cosense.config import to_mapping
from cosense.detectors.config import ModelConfig
from cosense.detectors.network import PillarNetwork, build_network
from cosense.errors import CosenseError, nearest

CONFIG, WEIGHTS = "config.yaml", "weights.safetensors"
# Names in a weights file of what is not the detector itself begin with one of these.
SHARING, FUSION = "sharing.", "fusion."
FURTHER = (SHARING, FUSION)


def model_folders() -> list[Path]:
    """Return where models are looked for: in the repository, in ROS 2 workspaces, in the prefix."""
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    prefixes.append(Path(sysconfig.get_path("data")))
    folders = [Path(__file__).resolve().parents[2] / "models"]
    folders += [prefix / "share" / "cosense" / "models" for prefix in prefixes]
    return [folder for folder in folders if folder.is_dir()]


def find_model(name_or_folder: str | Path, config: str = CONFIG) -> Path:
    """Return the folder of a model, given as a name or as a path to it.

    Args:
        name_or_folder: which one.
        config: the file that makes a folder a model of the wanted kind.

    Raises:
        CosenseError: no such model; names the nearest.
    """
    given = Path(name_or_folder)
    for folder in (given, *(folder / given for folder in model_folders())):
        if (folder / config).is_file():
            return folder
    known = {path.parent.name for folder in model_folders() for path in folder.glob(f"*/{config}")}
    raise CosenseError(f"no model '{name_or_folder}': {nearest(given.name, known)}")


def read_network(folder: Path, config: ModelConfig) -> tuple[PillarNetwork, bytes]:
    """Return the network of a model folder with its weights, and the bytes of the weights file."""
    tensors, data = read_weights(folder)
    return network_of(tensors, folder, config), data


def network_of(tensors: dict[str, torch.Tensor], folder: Path, config: ModelConfig) -> PillarNetwork:
    """Return the network of a model folder from the tensors of its weights file."""
    network = build_network(config, seed=0)
    # What is shared and fused comes on top, see `cosense.methods.models`.
    fill(network, {name: tensor for name, tensor in tensors.items() if not name.startswith(FURTHER)}, folder)
    return network


def read_weights(folder: Path) -> tuple[dict[str, torch.Tensor], bytes]:
    """Return the tensors of a model folder by name, and the bytes of the weights file.

    Raises:
        CosenseError: there are no weights, or the file is broken.
    """
    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CosenseError(
            f"{path}: no such file: this model has no weights yet, train it with `cosense train`"
        ) from None
    try:
        return load(data), data
    except (SafetensorError, ValueError) as error:
        raise CosenseError(f"{path}: not readable as safetensors: {error}") from None


def fill(network: nn.Module, tensors: dict[str, torch.Tensor], folder: Path, config: str = CONFIG) -> None:
    """Put tensors into a network, all of which must be there and of its shapes.

    Raises:
        CosenseError: one is missing, too many or of another shape than the file `config` asks for.
    """
    expected = network_tensors(network)
    for name in sorted(expected.keys() | tensors.keys()):
        have = tuple(tensors[name].shape) if name in tensors else None
        want = tuple(expected[name].shape) if name in expected else None
        if have != want:
            raise CosenseError(f"{folder / WEIGHTS}: '{name}' is {have}, {folder / config} asks for {want}")
    network.load_state_dict(tensors, strict=False)


def write_weights(network: nn.Module, path: Path) -> None:
    """Write the weights of a network, as one file that appears complete or not at all."""
    write_tensors(network_tensors(network), path)


def write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write the tensors of a weights file; see `write_weights`."""
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


def fingerprint(config: ModelConfig, weights: bytes) -> bytes:
    """Return 8 bytes that two detectors share only if configuration and weights are the same."""
    canonical = json.dumps(to_mapping(config), sort_keys=True).encode()
    return hashlib.sha256(canonical + weights).digest()[:8]
