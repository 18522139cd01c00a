"""Which format a folder or a file holds.

The readers are imported when a data set is opened: whoever only needs the structs of this room does not pay.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from cosense.data.bag.options import BagOptions
from cosense.data.dataset import Dataset
from cosense.errors import CosenseError

BAG_FILES = (".mcap", ".db3")
BAG_METADATA = "metadata.yaml"

Family = Literal["dair", "opv2v"]


def open_dataset(
    path: str | os.PathLike[str],
    *,
    split: str | None = None,
    labels: str | None = None,
    cameras: bool = False,
    async_frames: int = 0,
    bag: BagOptions | None = None,
) -> Dataset:
    """Open a data set; only indices are read, frames when they are asked for.

    Args:
        path: root of a tree, or the folder that holds it; or a bag: .mcap, .db3, or a folder of rosbag2.
        split: name of a split, e.g. "val"; None for every frame. For DAIR-V2X also "FILE.json:NAME"; of a bag
            "all", or "labelled", which None means where only some frames have ground truth.
        labels: label set, e.g. "original" or "complemented"; None for the one that is in place.
        cameras: also read images.
        async_frames: DAIR-V2X and V2X-Seq: the infrastructure's frame this many frames earlier.
        bag: which topics of a bag are meant, where it does not say so by itself.

    Raises:
        CosenseError: nothing is recognised, the split or label set is unknown, or an option does not apply.
    """
    root = Path(path)
    if not root.exists():
        raise CosenseError(f"{root}: no such file or folder")
    if is_bag(root):
        from cosense.data.bag.dataset import BagDataset

        if async_frames:
            raise CosenseError(f"{root}: async_frames={async_frames} does not apply to a bag, leave it out")
        return BagDataset(root, split=split, labels=labels, cameras=cameras, options=bag)
    if root.is_file():
        raise CosenseError(
            f"{root}: neither a folder nor a bag ({' or '.join(BAG_FILES)}); a bag of ROS 1 is converted "
            "with `rosbags-convert`"
        )
    if bag is not None and bag != BagOptions():
        raise CosenseError(f"{root}: topics apply to bags, and this is a folder without {BAG_METADATA}")
    root, family = _find(root)
    if family == "opv2v":
        from cosense.data.opv2v import Opv2vDataset

        if async_frames:
            raise CosenseError(f"{root}: async_frames={async_frames} does not apply to OPV2V, leave it out")
        return Opv2vDataset(root, split=split, labels=labels, cameras=cameras)
    from cosense.data.dair_index import is_sequential
    from cosense.data.dair_v2x import DairV2xDataset
    from cosense.data.v2x_seq_spd import V2xSeqSpdDataset

    cls = V2xSeqSpdDataset if is_sequential(root) else DairV2xDataset
    return cls(root, split=split, labels=labels, cameras=cameras, async_frames=async_frames)


def is_bag(path: Path) -> bool:
    """Return whether a path names a bag of ROS 2."""
    return path.suffix in BAG_FILES or (path / BAG_METADATA).is_file()


def _find(folder: Path) -> tuple[Path, Family]:
    """Return the root of the one tree in a folder, or in one of its folders, and its family of formats."""
    from cosense.data.provenance import label_set_of

    family = _family(folder)
    if family:
        return folder, family
    label_set_of(folder, "")  # says so where this is a simulated tree that was never finished
    inside = [(child, _family(child)) for child in sorted(folder.iterdir()) if child.is_dir()]
    found = [(child, family) for child, family in inside if family]
    if len(found) > 1:
        names = ", ".join(child.name for child, _ in found)
        raise CosenseError(f"{folder}: holds several data sets, name one of them: {names}")
    if not found:
        raise CosenseError(
            f"{folder}: not a data set that cosense knows. Looked in it and in its folders for "
            "cooperative/data_info.json (DAIR-V2X-C, V2X-Seq-SPD) and for "
            f"[split/]scenario/agent/*.pcd (OPV2V, V2XSet, V2V4Real), and in it for {BAG_METADATA} (a bag)"
        )
    return found[0]


def _family(root: Path) -> Family | None:
    """Return the family of formats of a tree with its root here, None for another folder."""
    from cosense.data.dair_index import COOPERATIVE_INDEX
    from cosense.data.files import Listing
    from cosense.data.opv2v import find_scenarios

    if (root / COOPERATIVE_INDEX).is_file():
        return "dair"
    return "opv2v" if find_scenarios(root, Listing()) else None
