"""Reads YAML files into frozen dataclasses: models, training runs, protocols and scenarios.

The dataclass is the only source of names, types and defaults. The error for an unknown key names the nearest
known one; the error for a wrong type names the key, the value and what was expected.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from cosense.errors import CosenseError, counted, nearest, read_file, shown

T = TypeVar("T")

# PyYAML reads 1e-3 as a string: YAML 1.1 demands a point before the exponent and a sign in it.
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")

# So many values a file with aliases may stand for: a few lines of them can be more than any memory holds.
_MOST_VALUES = 100_000

# PyYAML's loader in C, where there is one, is six times faster; some data sets have a file for every frame.
YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(path: Path, loader: Any = YAML_LOADER) -> Any:
    """Read a YAML file.

    Args:
        path: path of the file.
        loader: a safe loader of PyYAML.

    Raises:
        CosenseError: the file is missing, not readable or not YAML.
    """
    try:
        content = yaml.load(read_file(path).decode(), Loader=loader)
    except (yaml.YAMLError, ValueError) as error:
        raise CosenseError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise CosenseError(f"{path}: not readable as YAML: it is nested too deeply") from None
    if _is_larger(content, _MOST_VALUES):
        raise CosenseError(
            f"{path}: its aliases (*) stand for more than {_MOST_VALUES} values; write out what is meant"
        )
    return content


def _is_larger(content: Any, limit: int) -> bool:
    """Return whether content has a part that is there twice, and more than `limit` values in all."""
    seen: set[int] = set()
    left, count, is_shared = [content], 0, False
    while left:
        value = left.pop()
        count += 1
        if not isinstance(value, (dict, list)):
            continue
        is_shared |= id(value) in seen
        if is_shared and count > limit:
            return True
        seen.add(id(value))
        left += value.values() if isinstance(value, dict) else value
    return False


def load_config(cls: type[T], path: Path) -> T:
    """Read a YAML file into the dataclass `cls`; see `from_mapping`. An empty file leaves all defaults."""
    mapping = load_yaml(path)
    return from_mapping(cls, {} if mapping is None else mapping, where=str(path))


def from_mapping(cls: type[T], mapping: Any, where: str) -> T:
    """Build the dataclass `cls` from nested mappings.

    Args:
        cls: dataclass with fields of numbers, strings, bools, tuples, lists, dicts, optionals or dataclasses.
        mapping: content of the YAML file.
        where: file and key, for the error.

    Raises:
        CosenseError: a key is unknown or missing, a type is wrong, or the dataclass refuses a value.
    """
    if not isinstance(mapping, Mapping):
        raise CosenseError(f"{where}: expected a mapping of keys, got {shown(mapping)}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    for key in mapping:
        if key not in fields:
            raise CosenseError(f"{where}: unknown key '{key}', {nearest(str(key), fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in mapping
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise CosenseError(f"{where}: missing key '{missing[0]}'")
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in mapping.items()}
    try:
        return cls(**values)
    except ValueError as error:
        raise CosenseError(f"{where}: {error}") from None


def to_mapping(config: Any) -> dict[str, Any]:
    """Return nested plain dicts and lists that `from_mapping` reads back."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    return plain(dataclasses.asdict(config))


def with_paths(config: T, place: Callable[[Path], Path]) -> T:
    """Return a dataclass of settings with each path in it replaced by `place` of it."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if isinstance(value, Path):
            changes[field.name] = place(value)
        elif dataclasses.is_dataclass(value):
            changes[field.name] = with_paths(value, place)
    return dataclasses.replace(config, **changes) if changes else config  # type: ignore[type-var]


def beside(file: Path, name: Path) -> Path:
    """Return a path that a file names: beside the file where there is such a one, else as it is."""
    there = file.parent / name
    return there if there.exists() else name


def _num_known(kind: Any, mapping: Mapping[str, Any]) -> int:
    """Return how many keys of a mapping are fields of a dataclass; 0 for other types."""
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    return sum(field.name in mapping for field in fields)


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Convert one YAML value to the type of its field."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        # Of several plain types the one that the value has; else the error names the first.
        kinds = [a for a in arguments if a is not type(None)]
        if isinstance(value, Mapping):
            # Of several dataclasses the one that has most of the keys.
            kinds.sort(key=lambda a: -_num_known(a, value))
        plain = next((a for a in kinds if (typing.get_origin(a) or a) is type(value)), kinds[0])
        return _convert(plain, value, where)
    if origin is typing.Literal:
        # YAML 1.1 takes the word for false.
        if value is False and "off" in arguments:
            return "off"
        if value not in arguments:
            raise CosenseError(
                f"{where}: {shown(value)} is not allowed, {nearest(str(value), map(str, arguments))}"
            )
        return value
    if origin in (tuple, list):
        if not isinstance(value, (list, tuple)):
            raise CosenseError(f"{where}: expected a list, got {shown(value)}")
        if origin is tuple and arguments[-1:] != (Ellipsis,):
            if len(value) != len(arguments):
                raise CosenseError(f"{where}: expected {counted(len(arguments), 'value')}, got {len(value)}")
            return tuple(
                _convert(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(arguments, value, strict=True))
            )
        return origin(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, Mapping):
            raise CosenseError(f"{where}: expected a mapping of keys, got {shown(value)}")
        return {str(key): _convert(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_mapping(typing.cast(type, hint), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is Any or (isinstance(value, hint) and not (hint is not bool and isinstance(value, bool))):
        return value
    raise CosenseError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {shown(value)}")
