"""What a message type looks like, from what is installed on this machine, in the text form of rosbag2.

The text is that of the installed .msg file; where there is none (types that are made from IDL, packages
without their share folder) it is made from the fields of the Python class, without constants and comments.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rclpy.type_support import check_for_type_support

from cosense.errors import CosenseError

_SEPARATOR = "=" * 80
_MESSAGE_TYPE = re.compile(r"([A-Za-z]\w*)/msg/([A-Za-z]\w*)")
# Names in IDL of what a .msg file calls otherwise.
_BASIC = {"boolean": "bool", "octet": "byte", "float": "float32", "double": "float64"}


def message_class(type_name: str) -> Any:
    """Return the Python class of "package/msg/Name".

    Raises:
        CosenseError: this is no message type of ROS 2, or it is not installed here, or broken.
    """
    words = _MESSAGE_TYPE.fullmatch(type_name)
    if words is None:
        raise CosenseError(f"'{type_name}' is no message type of ROS 2")
    package, name = words.groups()
    try:
        kind = getattr(importlib.import_module(f"{package}.msg"), name)
        check_for_type_support(kind)
    # Somebody else's package is imported here: whatever is wrong with it may come.
    except Exception as error:
        raise CosenseError(
            f"type {type_name} cannot be used here ({error}); install its package, or source its workspace"
        ) from None
    return kind


def definition_of(kind: Any) -> str:
    """Return the definition of a message class with those of all types in it."""
    texts = {_name_of(kind): _text_of(kind)}
    waiting = [kind]
    while waiting:
        for part in _parts_of(waiting.pop()):
            name = _name_of(part)
            if name not in texts:
                texts[name] = _text_of(part)
                waiting.append(part)
    own, *others = texts.items()
    return own[1] + "".join(f"{_SEPARATOR}\nMSG: {name}\n{text}" for name, text in others)


def _name_of(kind: Any) -> str:
    """Return "package/Name"."""
    return f"{kind.__module__.split('.')[0]}/{kind.__name__}"


def _text_of(kind: Any) -> str:
    package, name = _name_of(kind).split("/")
    module = sys.modules.get(kind.__module__)
    for folder in Path(getattr(module, "__file__", None) or "").parents:
        path = folder / "share" / package / "msg" / f"{name}.msg"
        if path.is_file():
            return path.read_text(encoding="utf-8", errors="replace").rstrip("\n") + "\n"
    return "".join(f"{_type_text(slot)} {field}\n" for field, slot in _fields_of(kind))


def _fields_of(kind: Any) -> Iterator[tuple[str, Any]]:
    return zip(kind.get_fields_and_field_types(), kind.SLOT_TYPES, strict=True)


def _parts_of(kind: Any) -> Iterator[Any]:
    """Yield the message classes of the fields."""
    for _, slot in _fields_of(kind):
        item = getattr(slot, "value_type", slot)
        if hasattr(item, "namespaces"):
            yield getattr(importlib.import_module(".".join(item.namespaces)), item.name)


def _type_text(slot: Any) -> str:
    """Return a type of `rosidl_parser.definition` as a .msg file has it."""
    if hasattr(slot, "value_type"):
        item = _type_text(slot.value_type)
        if hasattr(slot, "size"):
            return f"{item}[{slot.size}]"
        return f"{item}[<={slot.maximum_size}]" if slot.has_maximum_size() else f"{item}[]"
    if hasattr(slot, "namespaces"):
        return f"{slot.namespaces[0]}/{slot.name}"
    if hasattr(slot, "typename"):
        return _BASIC.get(slot.typename, slot.typename)
    text = "wstring" if "WString" in type(slot).__name__ else "string"
    return f"{text}<={slot.maximum_size}" if slot.has_maximum_size() else text
