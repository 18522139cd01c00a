"""Which files make up a recording: one file, or a folder as rosbag2 leaves it, finished or not.

metadata.yaml is written when a recorder ends. One that was killed leaves none, an empty one, or one that does
not list the newest files and topics. So the files themselves say what was recorded, and metadata.yaml says
which files belong together and how many messages they should have.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosense.config import load_yaml
from cosense.data.bag import COMPRESSED, FILE_SUFFIXES, METADATA, is_bag_file
from cosense.errors import CosenseError

_ROOT = "rosbag2_bagfile_information"
# The parts of a recording are numbered: drive_0.mcap, drive_1.mcap.
_PART = re.compile(r"(?P<stem>.*)_(?P<number>\d+)")


@dataclass
class Recording:
    """The files of a recording.

    Attributes:
        files: the files, in their order.
        counts: number of messages of each topic according to metadata.yaml, None if it does not say it.
        notes: one line for each thing that was assumed.
    """

    files: list[Path]
    counts: dict[str, int] | None = None
    notes: list[str] = field(default_factory=list)


def find_recording(path: Path) -> Recording:
    """Return the files of the recording at `path`.

    Raises:
        CosenseError: a file that metadata.yaml lists is not there, or it is not clear what belongs together.
    """
    if path.is_file():
        return Recording([path])
    files = {item.name for item in path.iterdir() if item.is_file()}
    # Hidden files are no recordings: macOS leaves one for each file on other file systems.
    names = {name for name in files if is_bag_file(name) and not name.startswith(".")}
    # A compressed file may lie beside its decompressed copy.
    there = [path / name for name in sorted(names) if name == _plain(name) or _plain(name) not in names]
    recording = _read_listed(path, there)
    for item in path.glob("*-wal"):
        if item.stat().st_size and not item.with_name(item.name.removesuffix("-wal")).exists():
            recording.notes.append(
                f"not read: {item.name} has the last messages of a database of that name, which is not there"
            )
    return recording


def _read_listed(path: Path, there: list[Path]) -> Recording:
    """Return those of the files in a folder that belong to the recording."""
    metadata, reason = _read_metadata(path)
    listed = metadata.get("relative_file_paths")
    if not isinstance(listed, list) or not listed:
        reason = reason or f"{METADATA} lists no file"
        if not there:
            raise CosenseError(f"{path}: {reason}, and no {' or '.join(FILE_SUFFIXES)} file is there")
        note = f"{reason}: {_names(_of_one(path, there, reason))} read without it; {_reindex(path)}"
        return Recording(_of_one(path, there, reason), _counts(metadata), [note])
    return _listed(path, there, [Path(str(name)).name for name in listed], _counts(metadata))


def _listed(path: Path, there: list[Path], listed: list[str], counts: dict[str, int] | None) -> Recording:
    """Return the files that metadata.yaml lists, and later ones of the same recording."""
    by_name = {_plain(file.name): file for file in there}
    missing = [name for name in listed if _plain(name) not in by_name]
    others = {name: file for name, file in by_name.items() if name not in map(_plain, listed)}
    packed = [name for name in missing if (path / name).is_file()]
    if packed:
        raise CosenseError(
            f"{path}: {', '.join(packed)}: expected {' or '.join(FILE_SUFFIXES)}, as it is or compressed "
            f"with zstd ({COMPRESSED}); unpack it first"
        )
    if missing:
        beside = f", beside it is {_names(list(others.values()))}" if others else ""
        raise CosenseError(
            f"{path}: database files are missing: {METADATA} lists {', '.join(missing)}{beside}; copy the "
            f"folder again, open a single file of it, or go on with what is there: {_reindex(path)}"
        )
    recording = Recording([by_name[_plain(name)] for name in listed], counts)
    own = {_part(name)[0] for name in listed}
    later = sorted((f for name, f in others.items() if _part(name)[0] in own), key=lambda f: _part(f.name)[1])
    if later:
        recording.files += later
        recording.notes.append(f"{METADATA} does not list {_names(later)}, read too; {_reindex(path)}")
    strangers = [file for file in others.values() if file not in later]
    if strangers:
        recording.notes.append(
            f"not read: {_names(strangers)}; {METADATA} does not list it, and it is not named like a part of "
            "the recording. Open it by itself"
        )
    return recording


def _of_one(path: Path, there: list[Path], reason: str) -> list[Path]:
    """Return the files in a folder without list, if they are parts of one recording."""
    stems = {_part(file.name)[0] for file in there}
    if len(stems) > 1:
        raise CosenseError(
            f"{path}: {reason}, and the files are not named like parts of one recording: {_names(there)}; "
            f"open one of them, or {_reindex(path)}"
        )
    return sorted(there, key=lambda file: _part(file.name)[1])


def _read_metadata(path: Path) -> tuple[Mapping[str, Any], str]:
    """Return what metadata.yaml says, and what is wrong with it."""
    file = path / METADATA
    if not file.is_file():
        return {}, f"there is no {METADATA}"
    try:
        content = load_yaml(file)
    except CosenseError:
        return {}, f"{METADATA} is cut off or broken"
    metadata = content.get(_ROOT) if isinstance(content, Mapping) else None
    if not isinstance(metadata, Mapping):
        return {}, f"{METADATA} is empty or cut off"
    return metadata, ""


def _counts(metadata: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the number of messages of each topic, None if metadata.yaml is not complete."""
    counts: Counter[str] = Counter()
    try:
        for item in metadata["topics_with_message_count"]:
            counts[item["topic_metadata"]["name"]] += int(item["message_count"])
    except (KeyError, TypeError, ValueError):
        return None
    return dict(counts)


def _plain(name: str) -> str:
    return name.removesuffix(COMPRESSED)


def _part(name: str) -> tuple[tuple[str, str], int]:
    """Return what the parts of a recording have in common in their names, and the number of this one."""
    path = Path(_plain(name))
    match = _PART.fullmatch(path.stem)
    stem, number = (match["stem"], int(match["number"])) if match else (path.stem, -1)
    return (stem, path.suffix), number


def _names(files: list[Path]) -> str:
    return ", ".join(file.name for file in files)


def _reindex(path: Path) -> str:
    return f"`ros2 bag reindex {path}` writes {METADATA} anew"
