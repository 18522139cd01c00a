"""Checks of what is installed: cosense, its libraries, PyTorch, optional extras, the models' weights."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import cosense
from cosense.errors import CosenseError, counted
from cosense.runs.doctor.finding import Finding

# Import name and name on the package index of what setup.py always asks for, but PyTorch.
_LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "cv2": "opencv-python-headless",
    "yaml": "PyYAML",
    "safetensors": "safetensors",
    "matplotlib": "matplotlib",
    "PIL": "Pillow",
    "rich": "rich",
    "typer": "typer",
    "rosbags": "rosbags",
    "mcap": "mcap",
}
# Extras that have checks of their own or are for those who change cosense.
_NOT_LISTED = {"ros", "dev", "spconv"}
# What is used where it is installed, without an extra that asks for it. embreex has no wheel for aarch64.
_BESIDE_EXTRAS = {
    "embreex": "simulator, which training, `cosense simulate` and `make demo` need",
    "tensorboard": "curves of a training in TensorBoard",
}
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def check_cosense() -> list[Finding]:
    """Say which cosense and which Python this is."""
    folder = Path(cosense.__file__).resolve().parent
    found = f"{cosense.__version__} from {folder}, Python {platform.python_version()}"
    return [Finding("cosense", "ok", found)]


def check_libraries(libraries: Mapping[str, str] = _LIBRARIES) -> list[Finding]:
    """Import every library: a version that does not fit another one shows only then.

    Args:
        libraries: import name to name on the package index.
    """
    versions, findings = [], []
    for module, package in libraries.items():
        try:
            importlib.import_module(module)
        except Exception as error:
            found = f"{module} cannot be imported: {error}"
            cure = f"pip install {package}"
            if "numpy" in str(error).lower():
                cure += (
                    " in a version that fits the installed NumPy (before NumPy 2: opencv 4.11.0.86 or older)"
                )
            findings.append(Finding("libraries", "fail", found, cure))
            continue
        versions.append(
            f"{module} {_version(package) or getattr(sys.modules[module], '__version__', '')}".strip()
        )
    return [*findings, Finding("libraries", "ok", ", ".join(versions))] if versions else findings


def check_torch() -> list[Finding]:
    """Say which PyTorch this is, what it computes on and in which precision."""
    try:
        torch = importlib.import_module("torch")
    except (ImportError, OSError) as error:
        return [Finding("PyTorch", "fail", f"cannot be imported: {error}", "pip install torch")]
    from cosense.detectors.device import has_bfloat16_matrix_instructions

    try:
        torch.zeros(1).numpy()
    except RuntimeError as error:
        cure = "pip install a PyTorch and a NumPy that fit each other: before PyTorch 2.3 'numpy<2'"
        return [Finding("PyTorch", "fail", f"{torch.__version__} and NumPy do not fit: {error}", cure)]
    precision = "bfloat16 (AMX)" if has_bfloat16_matrix_instructions() else "float32"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found = (
        f"{torch.__version__}, "
        f"{counted(torch.get_num_threads(), 'thread')} on {counted(cores, 'core')}, {precision} on the CPU"
    )
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        names = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
        return [
            Finding("PyTorch", "ok", f"{found}; GPU: {names}", "to use it: `device: cuda` in the scenario")
        ]
    if _NVIDIA_DRIVER.exists():
        cure = "install PyTorch for your CUDA, see pytorch.org; or leave it, everything runs on the CPU"
        return [Finding("PyTorch", "warn", f"{found}; there is an NVIDIA GPU that it cannot use", cure)]
    return [Finding("PyTorch", "ok", f"{found}, no GPU")]


def check_extras() -> list[Finding]:
    """Say which of the optional extras of setup.py are installed."""
    try:
        metadata = importlib.metadata.metadata("cosense")
    except importlib.metadata.PackageNotFoundError:
        return [
            Finding("extras", "ok", "unknown, since cosense runs from its source without being installed")
        ]
    findings = []
    for package, purpose in _BESIDE_EXTRAS.items():
        if _version(package) is not None:
            findings.append(Finding("extras", "ok", f"{package}: installed"))
        else:
            found = f"{package} not installed: no {purpose}"
            findings.append(Finding("extras", "ok", found, f"optional: pip install {package}"))
    for extra in sorted(set(metadata.get_all("Provides-Extra") or ()) - _NOT_LISTED):
        missing = [name for name in _packages_of(extra) if _version(name) is None]
        found = f"{extra}: {', '.join(missing)} not installed" if missing else f"{extra}: installed"
        cure = f"optional: pip install 'cosense[{extra}]'" if missing else ""
        findings.append(Finding("extras", "ok", found, cure))
    return findings


def _packages_of(extra: str) -> list[str]:
    wanted = [text for text in importlib.metadata.requires("cosense") or () if _asks_for(extra, text)]
    return [match[0] for text in wanted if (match := re.match(r"[A-Za-z0-9._-]+", text))]


def _asks_for(extra: str, requirement: str) -> bool:
    return re.search(rf"""extra\s*==\s*["']{re.escape(extra)}["']""", requirement) is not None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_models() -> list[Finding]:
    """Load the weights of each model that can be found by its name; nothing without PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return []
    from cosense.model_folders import CONFIG, WEIGHTS
    from cosense.scene_graph.describe import node_encoder as encoder

    folders = _models_with(CONFIG)
    if not folders:
        return [Finding("models", "fail", "there are none", "install cosense with its folder models/")]
    findings = []
    for name, folder in folders.items():
        if (folder / WEIGHTS).is_file():
            findings.append(_check_model(name, folder, _load_model))
        else:
            found = f"{name}: configuration without weights, in {folder}"
            findings.append(Finding("models", "ok", found, f"to use it, train it: see {folder / 'card.md'}"))
    for name, folder in _models_with(encoder.CONFIG).items():
        findings.append(_check_model(name, folder, _load_encoder))
    return findings


def _models_with(config: str) -> dict[str, Path]:
    """Return the folder of each model that has a configuration of this name."""
    from cosense.shipped import shipped_folders

    folders: dict[str, Path] = {}
    for parent in shipped_folders("models"):
        for path in sorted(parent.glob(f"*/{config}")):
            folders.setdefault(path.parent.name, path.parent)
    return folders


def _check_model(name: str, folder: Path, load: Callable[[Path], str]) -> Finding:
    from cosense.model_folders import WEIGHTS

    path = folder / WEIGHTS
    try:
        found = load(folder)
    except CosenseError as error:
        return Finding("models", "fail", f"{name}: {error}", f"bring back {path} as it was delivered")
    return Finding("models", "ok", f"{name}: {path.stat().st_size / 1e6:.1f} MB, {found}")


def _load_model(folder: Path) -> str:
    from cosense.methods.model import load_model

    detector = load_model(folder).detector
    precision = str(detector.dtype).removeprefix("torch.")
    return f"fingerprint {detector.fingerprint.hex()}, {precision}"


def _load_encoder(folder: Path) -> str:
    from cosense.scene_graph.describe.node_encoder import load_encoder

    load_encoder(folder)
    return "encoder of scene graphs"
