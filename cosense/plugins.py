"""Parts found by name: a detector, method, data set, message kind, check or verb is one file or folder.

Each is a module of its room's folder; base.py of a room says what it has to offer and is none itself. Folders
outside of the package take part too: the environment variable COSENSE_PLUGINS names some (with ":" between),
laid out like the package, e.g. mine/detectors/my_detector.py and mine/cli/my_verb.py.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from cosense.errors import CosenseError, nearest

VARIABLE = "COSENSE_PLUGINS"
Base = TypeVar("Base")
Constant = TypeVar("Constant")


def names(room: ModuleType) -> list[str]:
    """Return the names of the modules and packages of a room (a package such as `cosense.trust`) but base."""
    _extend(room)
    return sorted({module.name for module in pkgutil.iter_modules(room.__path__)} - {"base"})


def load(room: ModuleType, name: str) -> ModuleType:
    """Import a module of a room.

    Raises:
        CosenseError: there is none of this name, and the nearest is named; or it cannot be imported.
    """
    known = names(room)
    if name not in known:
        what = room.__name__.rpartition(".")[2].replace("_", " ")
        raise CosenseError(f"unknown {what} '{name}', {nearest(name, known)}")
    return _imported(f"{room.__name__}.{name}")


def function(module: ModuleType, name: str) -> Callable[..., Any]:
    """Return a function that a part has to define.

    Raises:
        CosenseError: the module does not define it.
    """
    found = getattr(module, name, None)
    if not callable(found):
        raise CosenseError(f"{module.__file__}: has no function '{name}'; docs/extending.md shows one")
    return found


def constant(module: ModuleType, name: str, kind: type[Constant]) -> Constant:
    """Return a constant that a part has to define.

    Raises:
        CosenseError: the module does not define it, or as something else than a `kind`.
    """
    found = getattr(module, name, None)
    if not isinstance(found, kind):
        raise CosenseError(f"{module.__file__}: {name} is {found!r}, expected a {kind.__name__}")
    return found


def class_names(room: ModuleType, base: type, part: str = "") -> list[str]:
    """Return the names under which `load_class` finds something; imports every candidate."""
    return [name for name in names(room) if _class_in(room, name, base, part) is not None]


def load_class(room: ModuleType, name: str, base: type[Base], where: str, part: str = "") -> type[Base]:
    """Return the class that a part of a room defines.

    Args:
        room: holds one module or folder for each part.
        name: the module or folder.
        base: class from which the part's class derives.
        where: file and key in which the name stands, for the error.
        part: module of the folder that defines the class; "" if the module `name` itself does.

    Raises:
        CosenseError: there is none of this name, and the nearest is named; or it cannot be imported.
    """
    found = _class_in(room, name, base, part) if name in names(room) else None
    if found is None:
        raise CosenseError(f"{where}: no '{name}', {nearest(name, class_names(room, base, part))}")
    return found


def _class_in(room: ModuleType, name: str, base: type[Base], part: str) -> type[Base] | None:
    """Return the class that a module defines, not one that it merely imports."""
    module_name = ".".join(piece for piece in (room.__name__, name, part) if piece)
    try:
        module = _imported(module_name)
    except ModuleNotFoundError:
        return None
    classes = [member for _, member in inspect.getmembers(module, inspect.isclass)]
    own = [member for member in classes if member.__module__ == module_name]
    return next(
        (member for member in own if issubclass(member, base) and not inspect.isabstract(member)), None
    )


def _imported(name: str) -> ModuleType:
    """Import a module.

    Raises:
        ModuleNotFoundError: there is no such module.
        CosenseError: the module cannot be imported; names the line that is to blame.
    """
    try:
        return importlib.import_module(name)
    except CosenseError:
        raise
    except Exception as error:
        # What the module itself imports must be there.
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise
        if isinstance(error, SyntaxError):
            place = f"{error.filename}:{error.lineno}"
        else:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{last.filename}:{last.lineno}"
        raise CosenseError(
            f"{place}: {type(error).__name__}: {error}; {name} cannot be used: mend it or take it away"
        ) from error


def _extend(room: ModuleType) -> None:
    """Let a room also consist of its folders below those of COSENSE_PLUGINS."""
    inside = Path(*room.__name__.split(".")[1:])
    for folder in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        if not Path(folder).is_dir():
            raise CosenseError(f"{VARIABLE} names {folder}, which is no folder")
        path = str(Path(folder).resolve() / inside)
        if path not in room.__path__:
            room.__path__.append(path)
