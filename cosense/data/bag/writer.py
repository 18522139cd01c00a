"""Writes any data set as a bag of ROS 2: MCAP with metadata of version 8, which rosbag2 and Foxglove open.

Stamps are those of the measurement. The time of recording goes on where they go back, as between two
scenarios, so that a player that keeps the time of recording plays one after the other.

The bag has its name only when it is complete: until then it is a hidden folder beside it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer

from cosense.data.bag import types as bag_types
from cosense.data.bag.messages import messages_of
from cosense.data.dataset import CooperativeFrame
from cosense.data.recognise import BAG_METADATA
from cosense.errors import CosenseError
from cosense.topics import namespace_of

# Between two frames whose stamps do not say how much time is between them.
_SEAM_NS = 1_000_000_000
# Messages of one frame keep their order in storages that sort by the time of recording.
_MESSAGE_NS = 1_000


def check_out(out: Path, *, force: bool) -> None:
    """Refuse a place where a bag cannot or must not be written.

    Raises:
        CosenseError: another suffix than .mcap, something is there, or its folder is not.
    """
    if out.suffix not in (".mcap", ""):
        raise CosenseError(
            f"{out}: name a file that ends in .mcap, or a folder for metadata.yaml and the MCAP file"
        )
    if not out.parent.is_dir():
        raise CosenseError(f"{out}: there is no folder {out.parent}")
    if not out.exists():
        return
    is_bag = (out / BAG_METADATA).is_file() if out.suffix == "" else out.is_file()
    if not is_bag:
        raise CosenseError(f"{out}: is there and no bag; choose another name")
    if not force:
        raise CosenseError(f"{out}: is there already; --force replaces it")


def write_bag(
    frames: Iterable[CooperativeFrame],
    out: Path,
    *,
    label_set: str,
    raw_images: bool = False,
    force: bool = False,
) -> int:
    """Write frames and return how many there were.

    Args:
        frames: in their order.
        out: a file that ends in .mcap, or a folder.
        label_set: of the data set.
        raw_images: images as they are instead of JPEG.
        force: replace a bag that is there.

    Raises:
        CosenseError: `out` cannot be used, or there is no frame. Whatever is raised, nothing is left behind.
    """
    check_out(out, force=force)
    hidden = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        folder = hidden / out.stem
        with Writer(folder, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
            count = _write(frames, writer, label_set, raw_images)
        if not count:
            raise CosenseError(f"{out}: no frame to write")
        if out.is_dir():
            shutil.rmtree(out)
        os.replace(folder if out.suffix == "" else folder / f"{folder.name}.mcap", out)
    finally:
        shutil.rmtree(hidden)
    return count


def _write(frames: Iterable[CooperativeFrame], writer: Writer, label_set: str, raw_images: bool) -> int:
    store = bag_types.own_types()
    connections: dict[str, Connection] = {}
    agents: dict[str, str] = {}
    count, shift_ns, log_ns = 0, 0, -1
    for frame in frames:
        count += 1
        for agent_id in frame.agents:
            other = agents.setdefault(namespace_of(agent_id), agent_id)
            if other != agent_id:
                raise CosenseError(
                    f"agents '{other}' and '{agent_id}' have the same name in ROS 2; rename one"
                )
        if frame.ego.stamp_ns + shift_ns <= log_ns:
            shift_ns = log_ns + _SEAM_NS - frame.ego.stamp_ns
        log_ns = frame.ego.stamp_ns + shift_ns
        for topic, type_name, message in messages_of(frame, label_set, raw_images=raw_images):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, type_name, typestore=store)
            writer.write(connections[topic], log_ns, store.serialize_cdr(message, type_name))
            log_ns += _MESSAGE_NS
    return count
