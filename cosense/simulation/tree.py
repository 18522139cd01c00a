"""The part that all writers of data sets share: a new folder, frames one by one, and indices at the end.

Indices are also written if the frames stop with an error, so that what was written up to then is a complete,
shorter data set. A process that is killed leaves a `cosense.json` that says so, and readers refuse the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from cosense.data.provenance import write_provenance
from cosense.errors import CosenseError
from cosense.simulation.sequence import SCENES_VERSION
from cosense.simulation.stage import SimulatedFrame


class TreeWriter(Protocol):
    """Writes one layout.

    Attributes:
        layout: format that the reader will report.
        out: root of the tree.
    """

    layout: str
    out: Path

    def start(self) -> None:
        """Create the folders."""
        ...

    def add(self, simulated: SimulatedFrame) -> None:
        """Write all files of one frame; if that fails halfway, the frame does not show in the tree."""
        ...

    def finish(self) -> None:
        """Write the indices of all frames written so far."""
        ...


def write_tree(writer: TreeWriter, frames: Iterable[SimulatedFrame], source: Mapping[str, Any]) -> int:
    """Write frames, with one in memory at a time, and return their number.

    Args:
        writer: writer of the layout.
        frames: the frames in order, sequence by sequence.
        source: arguments from which the frames were made (families, seed, ...), for `cosense.json`; the
            version of the simulation is added.

    Raises:
        CosenseError: the folder is not empty, or the layout cannot hold a frame.
    """
    out = writer.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CosenseError(f"{out}: is not an empty folder; name a new one")
    out.mkdir(parents=True, exist_ok=True)
    source = {**source, "scenes_version": SCENES_VERSION}
    write_provenance(out, layout=writer.layout, complete=False, source=source)
    writer.start()
    count = 0
    try:
        for frame in frames:
            writer.add(frame)
            count += 1
    finally:
        if count:
            writer.finish()
            write_provenance(out, layout=writer.layout, complete=True, source=source)
    return count


def write_image(image: NDArray[np.uint8], path: Path, options: list[int]) -> None:
    """Write an RGB image (H,W,3) in the format of the path's suffix, with options of OpenCV's encoder."""
    encoded, data = cv2.imencode(path.suffix, image[:, :, ::-1], options)
    if not encoded:
        raise CosenseError(f"{path}: OpenCV cannot encode an image of shape {image.shape}")
    path.write_bytes(data.tobytes())
