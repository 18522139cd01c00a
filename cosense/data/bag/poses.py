"""Poses at a moment of a recording, from a topic of poses or from /tf and /tf_static."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from cosense.data.bag.file import Entry
from cosense.data.bag.timeline import Moment, Timeline
from cosense.errors import CosenseError
from cosense.geometry.timed_pose import TimedPose, pose_between
from cosense.geometry.transforms import Matrix, invert
from cosense.sensing.cloud_formats.ros_messages import message_to_pose, pose_to_matrix, to_ns

TF_STATIC = "/tf_static"
# Metres, and radians: how far two calibrations may differ that are the same.
_ROUNDING = 1e-3


class PoseTrack:
    """The poses of one topic; those that are not valid, as before a localisation converges, do not count.

    Args:
        topic: name of the topic.
        entries: all its messages.
        read: function that returns the message of an entry.

    Attributes:
        timeline: the messages.
    """

    def __init__(self, topic: str, entries: Sequence[Entry], read: Callable[[Entry], Any]) -> None:
        self.timeline = timeline_of(entries)
        self._topic = topic
        self._message = read
        self._poses: dict[int, TimedPose | str] = {}

    def at(self, moment: Moment, max_gap_ns: int) -> TimedPose:
        """Return the pose at a moment; see `pose_between`.

        Raises:
            CosenseError: it is not known, and why.
        """
        refused: list[str] = []

        def is_valid(entry: Entry) -> bool:
            pose = self._read(entry)
            if isinstance(pose, str):
                refused.append(pose)
            return isinstance(pose, TimedPose)

        before, after = self.timeline.around(moment, is_valid)
        source = f"'{self._topic}'"
        try:
            return pose_between(self._of(before), self._of(after), moment.stamp_ns, max_gap_ns, source)
        except CosenseError as error:
            reason = f" ({refused[0]})" if refused else ""
            raise CosenseError(f"{error}{reason}") from None

    def _of(self, entries: list[Entry]) -> list[TimedPose]:
        return [pose for entry in entries if isinstance(pose := self._read(entry), TimedPose)]

    def _read(self, entry: Entry) -> TimedPose | str:
        """Return the pose of a message, or why it is not valid."""
        if id(entry) not in self._poses:
            try:
                self._poses[id(entry)] = TimedPose(entry.stamp_ns, *message_to_pose(self._message(entry)))
            except CosenseError as error:
                self._poses[id(entry)] = str(error)
        return self._poses[id(entry)]


class TransformTree:
    """All transforms of a recording; if a frame has several parents, the one that was recorded last counts.

    Args:
        messages: each tf2_msgs/msg/TFMessage, its time of recording in nanoseconds, and whether it is static.

    Attributes:
        doubts: by the frame that is placed, one line for each thing that is wrong with its transforms.
    """

    def __init__(self, messages: Iterable[tuple[Any, int, bool]]) -> None:
        self._parents: dict[str, list[str]] = {}
        self._static: dict[tuple[str, str], Matrix] = {}
        self.doubts: dict[str, list[str]] = {}
        moving: dict[tuple[str, str], tuple[list[int], list[int], list[TimedPose]]] = {}
        for message, log_ns, is_static in messages:
            for transform in message.transforms:
                child, parent = _name(transform.child_frame_id), _name(transform.header.frame_id)
                try:
                    T = pose_to_matrix(transform.transform.translation, transform.transform.rotation)
                except CosenseError as error:
                    self._doubt(child, f"a transform '{parent}' -> '{child}' is not used: {error}")
                    continue
                parents = self._parents.setdefault(child, [])
                if parent in parents:
                    parents.remove(parent)
                parents.append(parent)
                if is_static:
                    if not np.allclose(self._static.get((child, parent), T), T, rtol=0, atol=_ROUNDING):
                        self._doubt(
                            child, f"'{parent}' -> '{child}' is said in several ways, the last one counts"
                        )
                    self._static[child, parent] = T
                    continue
                stamp_ns = to_ns(transform.header.stamp)
                stamps, logs, poses = moving.setdefault((child, parent), ([], [], []))
                stamps.append(stamp_ns)
                logs.append(log_ns)
                poses.append(TimedPose(stamp_ns, T))
        # What also moves is not static.
        self._moving = {edge: Timeline(*columns) for edge, columns in moving.items()}
        for child, (*others, parent) in self._parents.items():
            if others:
                self._doubt(
                    child,
                    f"frame '{child}' has several parents: '{parent}', which was recorded last, counts, not "
                    f"'{', '.join(others)}'",
                )

    @property
    def frames(self) -> list[str]:
        """The names of all frames, sorted."""
        return sorted({*self._parents, *(parent for found in self._parents.values() for parent in found)})

    def root_of(self, frame: str) -> str:
        """Return the root of the tree that contains `frame`."""
        return self.chain(frame)[-1]

    def chain(self, frame: str) -> list[str]:
        """Return the frame and its ancestors, up to the root."""
        chain = [_name(frame)]
        while (parent := self._parent(chain[-1])) is not None and parent not in chain:
            chain.append(parent)
        return chain

    def fixed_chain(self, frame: str) -> list[str]:
        """Return the frame and those of its ancestors, from the nearest on, to which it is fixed."""
        chain = self.chain(frame)
        moves = [self._moves(edge) for edge in pairwise(chain)]
        return chain[: [*moves, True].index(True) + 1]

    def is_connected(self, dst: str, src: str) -> bool:
        """Return whether two frames are connected at any time."""
        return self.root_of(dst) == self.root_of(src)

    def at(self, dst: str, src: str, moment: Moment, max_gap_ns: int) -> Matrix:
        """Return T_dst_src (4,4) at a moment.

        Raises:
            CosenseError: a transform on the way is not known at that time, and why.
        """
        up_dst, up_src = self._ways(dst, src)
        T_common_dst = self._up(up_dst, moment, max_gap_ns)
        return invert(T_common_dst) @ self._up(up_src, moment, max_gap_ns)

    def timelines(self, dst: str, src: str) -> list[Timeline[TimedPose]]:
        """Return the transforms that move on the way from one frame to another."""
        edges = [edge for way in self._ways(dst, src) for edge in pairwise(way)]
        return [self._moving[edge] for edge in edges if self._moves(edge)]

    def _doubt(self, frame: str, line: str) -> None:
        lines = self.doubts.setdefault(frame, [])
        if line not in lines:
            lines.append(line)

    def _parent(self, frame: str) -> str | None:
        return self._parents[frame][-1] if frame in self._parents else None

    def _moves(self, edge: tuple[str, str]) -> bool:
        return edge in self._moving

    def _ways(self, dst: str, src: str) -> tuple[list[str], list[str]]:
        """Return the frames from both frames up to their nearest common ancestor."""
        up_dst, up_src = self.chain(dst), self.chain(src)
        common = next((frame for frame in up_src if frame in up_dst), None)
        if common is None:
            raise CosenseError(f"no transform from '{src}' to '{dst}'")
        return up_dst[: up_dst.index(common) + 1], up_src[: up_src.index(common) + 1]

    def _up(self, frames: Sequence[str], moment: Moment, max_gap_ns: int) -> Matrix:
        """Return the transform (4,4) from the first of these frames to the last, its ancestor."""
        T = np.eye(4)
        for edge in pairwise(frames):
            if self._moves(edge):
                timeline = self._moving[edge]
                before, after = timeline.around(moment)
                source = f"transform '{edge[1]}' -> '{edge[0]}'"
                T = pose_between(before, after, moment.stamp_ns, max_gap_ns, source).T_world_frame @ T
            else:
                T = self._static[edge] @ T
        return T


def timeline_of(entries: Sequence[Entry]) -> Timeline[Entry]:
    """Return a timeline of messages."""
    stamps_ns = [entry.stamp_ns for entry in entries]
    return Timeline(stamps_ns, [entry.moment.log_ns for entry in entries], entries)


def _name(frame: str) -> str:
    """Return the name of a frame without the leading slash of ROS 1."""
    return frame.lstrip("/")
