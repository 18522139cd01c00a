"""Parts that are found by name: a detector, method, data set, message kind, check or verb is one file or folder.

Each is a module of its room's folder; base.py of a room says what it has to offer and is none itself. Folders outside of the package take part too: the environment variable
COSENSE_PLUGINS names some (with ":" between), laid out like the package, e.g. mine/detectors/my_detector.py
and mine/cli/my_verb.py.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path
from types import ModuleType

from cosense.errors import CosenseError, nearest

VARIABLE = "COSENSE_PLUGINS"


def names(room: ModuleType) -> list[str]:
    """Return the names of the modules and packages of a room (a package such as `cosense.trust`) but base."""
    _extend(room)
    return sorted({module.name for module in pkgutil.iter_modules(room.__path__)} - {"base"})


def load(room: ModuleType, name: str) -> ModuleType:
    """Import a module of a room.

    Raises:
        CosenseError: there is none of this name; names the nearest.
    """
    known = names(room)
    if name not in known:
        what = room.__name__.rpartition(".")[2].replace("_", " ")
        raise CosenseError(f"unknown {what} '{name}', {nearest(name, known)}")
    return importlib.import_module(f"{room.__name__}.{name}")


def _extend(room: ModuleType) -> None:
    """Let a room also consist of its folders below those of COSENSE_PLUGINS."""
    inside = Path(*room.__name__.split(".")[1:])
    for folder in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        path = str(Path(folder).resolve() / inside)
        if path not in room.__path__:
            room.__path__.append(path)
