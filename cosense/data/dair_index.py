"""The index files of DAIR-V2X-C and V2X-Seq: frames, pairs and splits.

`cooperative/data_info.json` lists the pairs of frames; the `data_info.json` of each side says where the files
of its frames are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cosense.data.dair_labels import read_offset
from cosense.data.files import read_json
from cosense.errors import CosenseError, nearest
from cosense.sensing.frame import AgentKind

SIDES: dict[AgentKind, str] = {"vehicle": "vehicle-side", "infrastructure": "infrastructure-side"}
COOPERATIVE_INDEX = Path("cooperative") / "data_info.json"
# Relative to the root of the tree: inside it, in the toolkit's folder, or beside it.
_SPLIT_FOLDERS = (".", "split_datas", "..", "../split_datas")

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Pair:
    """One cooperative frame: a vehicle frame and the infrastructure frame that goes with it.

    Attributes:
        vehicle_id, infrastructure_id: frame ids of the two sides.
        sequence: batch or sequence of the vehicle frame.
        offset_m: system_error_offset (delta_x, delta_y), zero where there is none.
    """

    vehicle_id: str
    infrastructure_id: str
    sequence: str
    offset_m: tuple[float, float]

    @property
    def frames(self) -> dict[AgentKind, str]:
        """The frame id of each side."""
        return {"vehicle": self.vehicle_id, "infrastructure": self.infrastructure_id}


def is_sequential(root: Path) -> bool:
    """Return whether a folder is the root of a tree of V2X-Seq-SPD rather than of DAIR-V2X-C.

    A broken index is taken for one of DAIR-V2X-C, whose reader raises the error.
    """
    if not (root / COOPERATIVE_INDEX).is_file():
        return False
    try:
        entries = _read_list(root / COOPERATIVE_INDEX)
    except CosenseError:
        return False
    return bool(entries) and "vehicle_frame" in entries[0]


def read_side(root: Path, side: AgentKind) -> dict[str, Entry]:
    """Return the entries of one side's `data_info.json`, keyed by frame id.

    Raises:
        CosenseError: the file is missing or broken, or an entry names no frame.
    """
    path = root / SIDES[side] / "data_info.json"
    entries: dict[str, Entry] = {}
    for number, entry in enumerate(_read_list(path)):
        frame = entry.get("frame_id") or PurePosixPath(str(entry.get("pointcloud_path", ""))).stem
        if not frame:
            raise CosenseError(f"{path}: entry {number} has neither 'pointcloud_path' nor 'frame_id'")
        entries[str(frame)] = entry
    return entries


def read_pairs(root: Path) -> list[Pair]:
    """Return all pairs that the cooperative index lists, sorted by vehicle id.

    Raises:
        CosenseError: the file is missing or broken.
    """
    path = root / COOPERATIVE_INDEX
    pairs = []
    for number, entry in enumerate(_read_list(path)):
        where = f"{path}: entry {number}"
        pairs.append(
            Pair(
                vehicle_id=_frame_of(entry, "vehicle", where),
                infrastructure_id=_frame_of(entry, "infrastructure", where),
                sequence=str(entry.get("vehicle_sequence", "")),
                offset_m=read_offset(entry.get("system_error_offset"), where),
            )
        )
    return sorted(pairs, key=lambda pair: pair.vehicle_id)


def earlier_frame(entries: Mapping[str, Entry], frame: str, steps: int) -> str | None:
    """Return the id of the frame `steps` earlier in the same batch, later where negative; None for none."""
    if frame not in entries or not frame.isdigit():
        return None
    earlier = f"{int(frame) - steps:0{len(frame)}d}"
    if earlier not in entries or _batch_of(entries[earlier]) != _batch_of(entries[frame]):
        return None
    for part in entries[frame].get("valid_batch_splits") or entries[frame].get("valid_frames_splits") or ():
        start = part.get("batch_start_id", part.get("start_frame_id"))
        end = part.get("batch_end_id", part.get("end_frame_id"))
        if start is not None and end is not None and int(start) <= int(frame) <= int(end):
            return earlier if int(start) <= int(earlier) <= int(end) else None
    return earlier


def read_splits(root: Path, file_names: tuple[str, ...]) -> dict[str, frozenset[str]]:
    """Return the vehicle ids of every split that is defined in the tree or in the folder beside it.

    The official file defines "train", "val", "test" and "test_A". The lists that come with the complemented
    annotations define other splits of nearly the same size, which are called "train.json" and "val.json".

    Raises:
        CosenseError: a file is broken.
    """
    splits: dict[str, frozenset[str]] = {}
    candidates = (root / folder / name for name in file_names for folder in _SPLIT_FOLDERS)
    official = next((path for path in candidates if path.is_file()), None)
    if official is not None:
        splits |= read_split_file(official)
    for name in ("train.json", "val.json"):
        path = root / name
        if path.is_file():
            splits[name] = frozenset(_read_ids(read_json(path), path))
    return splits


def read_split_file(path: Path) -> dict[str, frozenset[str]]:
    """Return the vehicle ids of each split in an official split file (`cooperative_split`).

    Raises:
        CosenseError: the file is missing or broken.
    """
    content = read_json(path)
    table = content.get("cooperative_split") if isinstance(content, Mapping) else None
    if not isinstance(table, Mapping):
        raise CosenseError(f"{path}: has no 'cooperative_split', it is not a cooperative split file")
    return {str(name): frozenset(_read_ids(ids, path)) for name, ids in table.items()}


def choose_split(
    root: Path, split: str, splits: Mapping[str, frozenset[str]], file_names: tuple[str, ...]
) -> frozenset[str]:
    """Return the vehicle ids of a split that is given as its name or as "FILE.json:NAME".

    Raises:
        CosenseError: unknown split, or no split file where one is needed.
    """
    file, _, name = split.rpartition(":")
    if file:
        path, splits, split = Path(file), read_split_file(Path(file)), name
    else:
        path = root
    if not splits:
        raise CosenseError(
            f"{root}: split '{split}' needs {file_names[0]} in the tree or beside it; "
            "it is in AIR-THU/DAIR-V2X, data/split_datas (or give split='FILE.json:NAME')"
        )
    if split not in splits:
        raise CosenseError(f"{path}: unknown split '{split}', {nearest(split, [*splits, 'all'])}")
    return splits[split]


def _read_list(path: Path) -> list[Entry]:
    content = read_json(path)
    if not isinstance(content, list) or not all(isinstance(entry, Mapping) for entry in content):
        raise CosenseError(f"{path}: expected a list of entries")
    return content


def _read_ids(values: Any, path: Path) -> list[str]:
    if not isinstance(values, list):
        raise CosenseError(f"{path}: expected a list of frame ids, got {type(values).__name__}")
    return [str(value) for value in values]


def _frame_of(entry: Entry, side: str, where: str) -> str:
    frame = entry.get(f"{side}_frame") or PurePosixPath(str(entry.get(f"{side}_pointcloud_path", ""))).stem
    if not frame:
        raise CosenseError(f"{where} has neither '{side}_pointcloud_path' nor '{side}_frame'")
    return str(frame)


def _batch_of(entry: Entry) -> str:
    return str(entry.get("batch_id", entry.get("sequence_id", "")))
