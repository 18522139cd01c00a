"""Checks of spconv: an extra with one wheel for processors and one for each CUDA; one is to be installed."""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from collections.abc import Mapping

from cosense.detectors.spconv_library import load_spconv
from cosense.errors import CosenseError
from cosense.runs.doctor.finding import Finding

_NAME = re.compile(r"spconv(-cu\d+)?")
_OLDEST = (2, 3, 6)
# Wheels by the CUDA that they are built for; one also runs with a later CUDA of its generation.
_CUDA_WHEELS = {(11, 4): "cu114", (11, 8): "cu118", (12, 1): "cu121", (12, 4): "cu124", (12, 6): "cu126"}


def check_spconv() -> list[Finding]:
    """Say which wheel of spconv is installed, and whether it is the one that this machine needs."""
    import torch

    cuda = torch.version.cuda if torch.cuda.is_available() else None
    wheels = installed_wheels()
    if len(wheels) != 1:
        return [judged(wheels, cuda, runs_on_gpu=False)]
    try:
        load_spconv()
    except CosenseError as error:
        return [Finding("spconv", "warn", str(error), f"pip install --force-reinstall {next(iter(wheels))}")]
    constants = importlib.import_module("spconv.cppconstants")
    return [judged(wheels, cuda, runs_on_gpu=not constants.CPU_ONLY_BUILD)]


def installed_wheels() -> dict[str, str]:
    """Return the version of every wheel of spconv by its name on the package index."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = str(distribution.metadata["Name"]).lower().replace("_", "-")
        if _NAME.fullmatch(name):
            found[name] = distribution.version
    return dict(sorted(found.items()))


def judged(wheels: Mapping[str, str], cuda: str | None, runs_on_gpu: bool) -> Finding:
    """Return what there is to say of the wheels that are installed.

    Args:
        wheels: version by name.
        cuda: version of CUDA that PyTorch computes with, None where it computes on the processor.
        runs_on_gpu: whether what is imported as spconv was built for GPUs.
    """
    wanted = wheel_for(cuda)
    if not wheels:
        found = "not installed: no detector of sparse voxels"
        return Finding("spconv", "ok", found, f"optional: pip install {wanted}")
    said = ", ".join(f"{name} {version}" for name, version in wheels.items())
    again = f"pip uninstall {' '.join(wheels)}, then pip install {wanted}"
    if len(wheels) > 1:
        return Finding("spconv", "warn", f"{said}: they overwrite each other", again)
    (version,) = wheels.values()
    if tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        return Finding("spconv", "warn", f"{said}, older than {oldest}", f"pip install '{wanted}>={oldest}'")
    if cuda is not None and not runs_on_gpu:
        return Finding("spconv", "warn", f"{said} is for processors, there is a GPU with CUDA {cuda}", again)
    where = "GPUs" if runs_on_gpu else "processors"
    return Finding("spconv", "ok", f"{said}, for {where}")


def wheel_for(cuda: str | None) -> str:
    """Return the wheel to install for a version of CUDA such as "12.6", None for processors."""
    if cuda is None:
        return "spconv"
    have = tuple(int(part) for part in cuda.split(".")[:2])
    fitting = [name for built, name in _CUDA_WHEELS.items() if built <= have]
    return f"spconv-{fitting[-1]}" if fitting else "spconv"
