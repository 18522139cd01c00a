"""Message types of packages that are not installed, made at run time from one that is.

Such a type is seen on DDS under its own name, with the content of the other one. On a machine with ROS 2 the
packages could simply be installed; the wheels have only the common types.
"""

from __future__ import annotations

import ctypes
from types import ModuleType
from typing import Any

_IMPLEMENTATION = b"rosidl_typesupport_fastrtps_c"


# rosidl_message_typesupport_handle_function: finds the implementation of a type by its name.
_Find = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)


class _TypeSupport(ctypes.Structure):
    """rosidl_message_type_support_t."""

    _fields_ = (
        ("identifier", ctypes.c_char_p),
        ("callbacks", ctypes.c_void_p),
        ("find", _Find),
        ("others", ctypes.c_void_p * 3),
    )


class _Callbacks(ctypes.Structure):
    """message_type_support_callbacks_t."""

    _fields_ = (
        ("namespace", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
        ("others", ctypes.c_void_p * 5),
    )


# C keeps pointers to these.
_kept: list[Any] = []


def foreign_type(like: Any, package: str, name: str) -> Any:
    """Return the class of "package/msg/Name", a type with the fields of the class `like`."""
    like.__class__.__import_type_support__()
    common, capsule_name = _pointer_in(like._TYPE_SUPPORT)
    find_common = _TypeSupport.from_address(common).find
    support = _copied(_TypeSupport, find_common(common, _IMPLEMENTATION))
    callbacks = _copied(_Callbacks, support.callbacks)
    callbacks.namespace, callbacks.name = f"{package}::msg".encode(), name.encode()
    support.callbacks = ctypes.addressof(callbacks)

    @_Find
    def find(_: int, implementation: bytes) -> int:
        is_ours = implementation == _IMPLEMENTATION
        return ctypes.addressof(support) if is_ours else find_common(common, implementation)

    support.find = find
    _kept.extend([support, callbacks, find, capsule_name])
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    members = {"_TYPE_SUPPORT": new(ctypes.addressof(support), capsule_name, None)}
    members["__import_type_support__"] = classmethod(lambda cls: None)
    metaclass = type(f"Metaclass_{name}", (type(like),), members)
    return metaclass(name, (like,), {"__slots__": (), "__module__": f"{package}.msg._{name.lower()}"})


def installed(kind: Any) -> dict[str, ModuleType]:
    """Return the modules from which a class can be imported, for `sys.modules`."""
    package = kind.__module__.split(".")[0]
    modules = {package: ModuleType(package), f"{package}.msg": ModuleType(f"{package}.msg")}
    setattr(modules[f"{package}.msg"], kind.__name__, kind)
    return modules


def _pointer_in(capsule: Any) -> tuple[int, bytes]:
    get_name, get = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    name = get_name(capsule)
    return get(capsule, name), name


def _copied(kind: Any, address: int) -> Any:
    return kind.from_buffer_copy(ctypes.string_at(address, ctypes.sizeof(kind)))
