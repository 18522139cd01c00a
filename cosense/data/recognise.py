"""Finds out which data set a folder or a file holds, by asking every module of this room.

A data set is one module of this folder (or a folder of modules, such as bag/), found as plugins.py says, with
these names:

- `recognises(path)` returns the `Dataset` class that reads the folder or file at `path`, None if it is of
  another kind. It looks at names, and at contents only as far as it must.
- `LAYOUT` says in one line what it looks for; errors quote it.
- `OPTIONS`, where there are any, names the options of `open_dataset` that the class takes besides `split`,
  `labels` and `cameras`.
- `IS_LAST_RESORT = True` where what it recognises may be a part of any other data set: it is asked only if
  nobody else knows the path, nor one of its folders.

Modules without `recognises` are shared by the others. A new data set edits no existing file.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import cosense.data
from cosense import plugins
from cosense.data.bag import BagOptions
from cosense.data.changed_images_dataset import ChangedImages, ChangedImagesDataset
from cosense.data.dataset import Dataset
from cosense.data.fewer_beams_dataset import FewerBeamsDataset
from cosense.data.provenance import is_simulated_tree
from cosense.errors import CosenseError, refuse_device
from cosense.sensing.beams.fewer import FewerBeams

# Whether those who are a last resort are asked: first the others, at a path and in its folders.
_ROUNDS = (False, True)


def open_dataset(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    labels: str | None = None,
    cameras: bool = False,
    async_frames: int = 0,
    bag: BagOptions | None = None,
    columns: str = "",
    region: str = "",
    pair_gap: int | str = "",
    beams: str = "",
    images: str = "",
) -> Dataset:
    """Open a data set; only indices are read, frames when they are asked for.

    Args:
        path: root of a tree, or the folder that holds it; a bag: .mcap, .db3, or a folder of rosbag2; or a
            cloud, or a folder of clouds.
        split: name of a split, e.g. "val", "all" for every frame, None for the default of the data set: every
            frame, but only the labelled ones of a bag that has both. DAIR-V2X also takes "FILE.json:NAME".
        labels: label set, e.g. "original" or "complemented"; None for the one that is in place.
        cameras: also read images; where there are none, frames come without.
        async_frames: DAIR-V2X and V2X-Seq: take the infrastructure's frame this many frames earlier.
        bag: choices of topics and frames where a bag is ambiguous.
        columns: names of the columns of clouds without a header, as "x y z intensity ring".
        region: azimuths in degrees between which the labels beside clouds cover everything, as "-38,38", or
            "all"; empty for what is stated beside them, else for what the labels show.
        pair_gap: clouds with poses: take two of them as two agents that are so many frames apart by the
            numbers in their names, as 20, or so many metres, as "20m"; see `cosense.data.frame_pairs`.
        beams: reduce the LiDARs of vehicles, to 16 beams as "16"; see `cosense.sensing.beams.fewer`.
        images: what is done to images on purpose, as "lost"; see `cosense.data.changed_images_dataset`.

    Raises:
        CosenseError: nothing is recognised, the split or label set is unknown, or an option does not apply.
    """
    root = Path(path)
    if not root.exists():
        raise CosenseError(f"{root}: no such file or folder")
    refuse_device(root)
    module, reader, root = _find(root)
    given: dict[str, tuple[str, Any]] = {}
    if async_frames:
        given["async_frames"] = f"async_frames={async_frames}", async_frames
    if bag is not None and bag != BagOptions():
        given["bag"] = "a choice of topics", bag
    if columns:
        given["columns"] = f"columns '{columns}'", columns
    if region:
        given["region"] = f"region '{region}'", region
    if pair_gap:
        given["pair_gap"] = f"pair_gap '{pair_gap}'", pair_gap
    for option, (text, _) in given.items():
        if option not in _options(module):
            takers = " and ".join(_name(other) for other in _modules() if option in _options(other))
            raise CosenseError(
                f"{root}: {text} does not apply to {_name(module)}, only to {takers}; leave it out"
            )
    options = {option: value for option, (_, value) in given.items() if option != "pair_gap"}
    fewer = FewerBeams.parse(beams) if beams else None
    changes = ChangedImages.parse(images) if images else None
    dataset = reader(root, split=split, labels=labels, cameras=cameras, **options)
    if pair_gap:
        from cosense.data.frame_pairs import FramePairs

        dataset = FramePairs(dataset, pair_gap)
    if changes is not None:
        dataset = ChangedImagesDataset(dataset, changes)
    return dataset if fewer is None else FewerBeamsDataset(dataset, fewer)


def reader_of(path: Path) -> type[Dataset] | None:
    """Return the class that reads the data set whose root is `path`, None where none is recognised."""
    return next((found[1] for found in map(partial(_recognised, path), _ROUNDS) if found[0]), None)


def _modules() -> list[ModuleType]:
    """Return the modules of this room that recognise a data set."""
    modules = [plugins.load(cosense.data, name) for name in plugins.names(cosense.data)]
    return [module for module in modules if hasattr(module, "recognises")]


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _options(module: ModuleType) -> tuple[str, ...]:
    return getattr(module, "OPTIONS", ())


def _recognised(path: Path, is_last_resort: bool) -> tuple[ModuleType, Any] | tuple[None, None]:
    """Return the module that recognises a data set with this root, and the class that reads it.

    Args:
        path: root of a data set.
        is_last_resort: whether the modules that are a last resort are asked, or all others.
    """
    for module in _modules():
        if getattr(module, "IS_LAST_RESORT", False) != is_last_resort:
            continue
        reader = module.recognises(path)
        if reader is not None:
            return module, reader
    return None, None


def _find(path: Path) -> tuple[ModuleType, Any, Path]:
    """Return module, class and root of the one data set at `path` or in one of its folders."""
    beside = ""
    for is_last_resort in _ROUNDS:
        module, reader = _recognised(path, is_last_resort)
        if module is not None:
            return module, reader, path
        if path.is_file():
            continue
        is_simulated_tree(path)  # raises where this is a simulated tree that was never finished
        found = []
        for child in sorted(path.iterdir()):
            module, reader = _recognised(child, is_last_resort) if child.is_dir() else (None, None)
            if module is not None:
                found.append((module, reader, child))
        names = ", ".join(child.name for *_, child in found)
        if len(found) == 1:
            return found[0]
        if found and not is_last_resort:
            raise CosenseError(f"{path}: holds several data sets, name one of them: {names}")
        if found:
            beside = f". For the clouds by themselves that its folders hold name one of them: {names}"
    files = [child.name for child in path.glob("*") if child.is_file() and _recognised(child, False)[0]]
    if files:
        beside = f". Name one of its files: {', '.join(sorted(files))}"
    looked_for = "; ".join(plugins.constant(module, "LAYOUT", str) for module in _modules())
    where = "It opens" if path.is_file() else "Looked in it and in its folders for"
    raise CosenseError(f"{path}: not a data set that cosense knows. {where} {looked_for}{beside}")
