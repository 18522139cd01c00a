"""Find a detector or a method by the name of its file: adding one is adding a file, nothing is registered."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import TypeVar

from cosense.errors import CosenseError, nearest

Base = TypeVar("Base")


def plugin_names(package: ModuleType, base: type, part: str = "") -> list[str]:
    """Return the names under which `find_plugin` finds something; imports every candidate."""
    found = [module for module in pkgutil.iter_modules(package.__path__) if module.ispkg or not part]
    return sorted(m.name for m in found if _class_in(package, m.name, base, part) is not None)


def find_plugin(package: ModuleType, name: str, base: type[Base], where: str, part: str = "") -> type[Base]:
    """Return the class of a plug-in.

    Args:
        package: holds one module or folder for each plug-in.
        name: the module or folder.
        base: class that the plug-in's class derives from.
        where: file and key that name the plug-in, for the error.
        part: module inside the plug-in's folder that defines the class; "" if it is the module `name` itself.

    Raises:
        CosenseError: there is none of this name; names the nearest.
    """
    found = _class_in(package, name, base, part)
    if found is None:
        raise CosenseError(f"{where}: no '{name}', {nearest(name, plugin_names(package, base, part))}")
    return found


def _class_in(package: ModuleType, name: str, base: type[Base], part: str) -> type[Base] | None:
    """Return the class that a module defines, not one that it merely imports."""
    module_name = ".".join(piece for piece in (package.__name__, name, part) if piece)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Only the plug-in itself may be missing, not something that it imports.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        return None
    classes = [member for _, member in inspect.getmembers(module, inspect.isclass)]
    own = [member for member in classes if member.__module__ == module_name]
    return next(
        (member for member in own if issubclass(member, base) and not inspect.isabstract(member)), None
    )
