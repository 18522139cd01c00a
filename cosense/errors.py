"""The one error that a user of cosense sees for bad input, and how messages hint and count.

Every message names the file or key, the offending value and the cure. The command line prints it as one line
and exits with status 2; tracebacks are left to mistakes of our own.
"""

from __future__ import annotations

import difflib
import json
import reprlib
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

# What values look like in messages: enough to find them, however much is nested in them.
_SHOWN = reprlib.Repr()
_SHOWN.maxlevel, _SHOWN.maxdict, _SHOWN.maxlist, _SHOWN.maxtuple = 2, 4, 8, 8
_SHOWN.maxstring = _SHOWN.maxother = 120


class CosenseError(Exception):
    """Bad input: a file, a value or a name that cosense cannot use."""


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        CosenseError: it is missing or not readable.
    """
    try:
        refuse_device(path)
        return path.open("rb")
    except FileNotFoundError:
        raise CosenseError(f"{path}: no such file") from None
    except OSError as error:
        raise CosenseError(f"{path}: cannot be read: {error.strerror}") from None


def refuse_device(path: Path) -> None:
    """Raise CosenseError for what is there and neither a file nor a folder, and may have no end."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise CosenseError(f"{path}: is no file but a device or a pipe; copy what it holds into a file")


def read_file(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        CosenseError: the file is missing or not readable.
    """
    with open_file(path) as stream:
        return stream.read()


def parse_json(text: str | bytes) -> Any:
    """Return what JSON says.

    Raises:
        ValueError: it is no JSON, or nested deeper than can be read.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def shown(value: Any) -> str:
    """Return what a value looks like in a message, in one short line."""
    return " ".join(_SHOWN.repr(value).split())


def harmless(text: str) -> str:
    """Return a text with its control characters written out: a name in a file must not paint a terminal."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else repr(letter)[1:-1] for letter in text
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint for an unknown `name`: the nearest of the known ones, else all of them."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known) or 'none'}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 frame", "2 frames", "0 boxes".

    Args:
        number: how many there are.
        noun: the noun in the singular, regular, with or without adjectives before it.
    """
    plural = f"{noun}es" if noun.endswith(("s", "x", "ch", "sh")) else f"{noun}s"
    plural = f"{noun[:-1]}ies" if noun[-1] == "y" and noun[-2] not in "aeiou" else plural
    return f"{number} {noun if number == 1 else plural}"
