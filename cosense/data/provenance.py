"""`cosense.json` at the root of a simulated tree: what made it, and whether it was finished.

Trees from elsewhere do not have the file and need none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cosense
from cosense.data.files import read_json
from cosense.errors import CosenseError

FILE_NAME = "cosense.json"


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
        "label_set": "simulated",
        "complete": complete,
        "generator": f"cosense {cosense.__version__}",
        "source": dict(source),
    }
    (root / FILE_NAME).write_text(json.dumps(content, indent=1) + "\n")


def label_set_of(root: Path, default: str) -> str:
    """Return the label set named in `cosense.json`, `default` if there is no such file.

    Raises:
        CosenseError: the file is broken, or the tree was never finished.
    """
    path = root / FILE_NAME
    if not path.is_file():
        return default
    content = read_json(path)
    if not isinstance(content, dict) or "label_set" not in content:
        raise CosenseError(f"{path}: has no 'label_set'; write the tree again with `cosense simulate`")
    if not content.get("complete", False):
        raise CosenseError(
            f"{path}: writing this tree was interrupted; write it again with `cosense simulate`"
        )
    return str(content["label_set"])
