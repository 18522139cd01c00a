"""Ports of Fast DDS in shared memory that a killed process has left unfinished.

A process that opens a port makes a file, gives it its size and says in its first word that it is ready, as
managed segments of Boost.Interprocess do. Killed in between, it leaves a file that nobody finishes, and every
later process that opens this port waits for the word without end, inside the library and deaf to Ctrl-C.
"""

from __future__ import annotations

import time
from pathlib import Path

FOLDER = Path("/dev/shm")
_READY = (2).to_bytes(4, "little")
# What a living process needs microseconds for.
_LONGEST_START_S = 2.0


def unfinished_ports(folder: Path = FOLDER) -> list[Path]:
    """Return the files of ports that somebody began to make and never finished.

    Args:
        folder: where shared memory is.
    """
    latest_s = time.time() - _LONGEST_START_S
    found = []
    for path in sorted(folder.glob("fastrtps_port*")):
        # Beside each port lies its lock, which is always empty.
        if path.name.endswith("_el"):
            continue
        try:
            if path.stat().st_mtime < latest_s and _first_word(path) != _READY:
                found.append(path)
        except OSError:
            # Gone by now, or another user's: Fast DDS cannot open it either.
            continue
    return found


def remove_unfinished_ports(folder: Path = FOLDER) -> list[str]:
    """Remove what would make Fast DDS wait without end.

    Args:
        folder: where shared memory is.

    Returns:
        A sentence for each file that could not be removed, with the cure.
    """
    left = []
    for path in unfinished_ports(folder):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            left.append(
                f"{path} is a port of Fast DDS that a killed process has left unfinished, and whoever opens "
                f"it waits without end; it cannot be removed ({error.strerror}): sudo rm {path}"
            )
    return left


def _first_word(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_READY))
