"""What made a tree: the marks that `cosense simulate` leaves, and how they are found again.

`cosense.json` at the root says what made a tree, and whether it was finished. As trees are copied in parts,
each cloud says it too, in a comment of its header, and so does `data_protocol.yaml` of each scenario in the
layout of OPV2V. Trees from elsewhere have none of these and need none.

OPV2V and V2XSet were recorded in CARLA with OpenCDA. A scenario counts as simulated by CARLA where its
`data_protocol.yaml` names CARLA, or where its files have what OpenCDA writes: the true pose of an agent
beside the one that it believes in, or the names of CARLA's blueprints.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cosense
from cosense.data.files import read_json
from cosense.errors import CosenseError

FILE_NAME = "cosense.json"
SIMULATOR = "cosense"
# What clouds and scenarios of our own say.
MARK = f"simulated by {SIMULATOR}"
# Label set of trees, or parts of them, that we have made.
SIMULATED = "simulated"
CARLA = "CARLA"
# What OpenCDA writes when it records CARLA.
_OF_CARLA = (b"carla", b"true_ego_pos", b"predicted_ego_pos", b"bp_id: vehicle.")
# Keys that only our files have begin so.
_OWN_KEY = b"cosense_"
_HEADER_BYTES = 256


def write_provenance(root: Path, *, layout: str, complete: bool, source: Mapping[str, Any]) -> None:
    """Write `cosense.json`.

    Args:
        root: root of the tree.
        layout: format of the data set, e.g. "dair-v2x-c".
        complete: False while the tree is being written; readers refuse such a tree.
        source: arguments from which the frames were made: families, seed, agents.
    """
    content = {
        "layout": layout,
        "label_set": SIMULATED,
        "complete": complete,
        "generator": f"cosense {cosense.__version__}",
        "source": dict(source),
    }
    (root / FILE_NAME).write_text(json.dumps(content, indent=1) + "\n")


def is_simulated_tree(root: Path) -> bool:
    """Return whether a folder is the root of a tree that `cosense simulate` has written.

    Raises:
        CosenseError: `cosense.json` is broken, or the tree was never finished.
    """
    path = root / FILE_NAME
    if not path.is_file():
        return False
    content = read_json(path)
    if not isinstance(content, dict) or "label_set" not in content:
        raise CosenseError(f"{path}: has no 'label_set'; write the tree again with `cosense simulate`")
    if not content.get("complete", False):
        raise CosenseError(
            f"{path}: writing this tree was interrupted; write it again with `cosense simulate`"
        )
    return True


def has_mark(files: Iterable[Path]) -> bool:
    """Return whether the first of some files that can be read begins with our mark."""
    for path in files:
        try:
            with path.open("rb") as stream:
                return MARK.encode() in stream.read(_HEADER_BYTES)
        except OSError:
            continue
    return False


def simulator_of_scenario(scenario: Path, agents: Sequence[str], stamp: str) -> str:
    """Return what simulated a scenario in the layout of OPV2V, empty where nothing says so.

    Args:
        scenario: its folder.
        agents: names of the folders of its agents.
        stamp: name of a frame.
    """
    described = (scenario / "data_protocol.yaml", scenario / agents[0] / f"{stamp}.yaml")
    text = b"\n".join(path.read_bytes() for path in described if path.is_file())
    clouds = (scenario / agent / f"{stamp}.pcd" for agent in agents)
    if MARK.encode() in text or _OWN_KEY in text or has_mark(clouds):
        return SIMULATOR
    return CARLA if any(word in text.lower() for word in _OF_CARLA) else ""
