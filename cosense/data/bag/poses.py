"""Poses at a moment of a recording, from a topic of poses or from /tf and /tf_static."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.data.bag.file import Entry
from cosense.data.bag.timeline import Moment, Timeline
from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, interpolated, invert
from cosense.sensing.ros_messages import message_to_pose, pose_to_matrix, to_ns

TF_STATIC = "/tf_static"


class PoseTrack:
    """The poses of one topic.

    Args:
        entries: all messages of the topic.
        read: function that returns the message of an entry.
    """

    def __init__(self, entries: Sequence[Entry], read: Callable[[Entry], Any]) -> None:
        self._read = read
        self._timeline = timeline_of(entries)

    def at(self, moment: Moment, tolerance_ns: int) -> tuple[Matrix, NDArray[np.float64]] | None:
        """Return T_world_frame (4,4) and the covariance (3,3) of (x, y, yaw) at a moment.

        It is the pose with that stamp, else interpolated between the two around it, else the nearest within
        the tolerance. None if there is none, or if it is not valid, e.g. before a localisation has converged.
        """
        pair = self._timeline.around(moment, tolerance_ns)
        if pair is None:
            return None
        first, second = (self._timeline.values[index] for index in pair)
        try:
            T_first, covariance = message_to_pose(self._read(first))
            if first is second:
                return T_first, covariance
            T_second, _ = message_to_pose(self._read(second))
        except CosenseError:
            return None
        fraction = (moment.stamp_ns - first.stamp_ns) / (second.stamp_ns - first.stamp_ns)
        return interpolated(T_first, T_second, fraction), covariance


class TransformTree:
    """All transforms of a recording; if a frame has several parents, the one that was recorded last counts.

    Args:
        messages: each tf2_msgs/msg/TFMessage, its time of recording in nanoseconds, and whether it is static.
    """

    def __init__(self, messages: Iterable[tuple[Any, int, bool]]) -> None:
        self._parents: dict[str, str] = {}
        static: dict[str, Matrix] = {}
        moving: dict[str, tuple[list[int], list[int], list[Matrix]]] = {}
        for message, log_ns, is_static in messages:
            for transform in message.transforms:
                child = _name(transform.child_frame_id)
                try:
                    T = pose_to_matrix(transform.transform.translation, transform.transform.rotation)
                except CosenseError:
                    continue
                self._parents[child] = _name(transform.header.frame_id)
                if is_static:
                    static[child] = T
                    continue
                stamps, logs, matrices = moving.setdefault(child, ([], [], []))
                stamps.append(to_ns(transform.header.stamp))
                logs.append(log_ns)
                matrices.append(T)
        self._static = static
        self._moving = {child: Timeline(*columns) for child, columns in moving.items()}

    @property
    def frames(self) -> list[str]:
        """The names of all frames, sorted."""
        return sorted({*self._parents, *self._parents.values()})

    def root_of(self, frame: str) -> str:
        """Return the root of the tree that contains `frame`."""
        return self._chain(_name(frame))[-1]

    def is_connected(self, dst: str, src: str) -> bool:
        """Return whether two frames are connected at any time."""
        return self.root_of(dst) == self.root_of(src)

    def at(self, dst: str, src: str, moment: Moment, tolerance_ns: int) -> Matrix | None:
        """Return T_dst_src (4,4) at a moment, None if a transform on the way is unknown at that time."""
        up_dst, up_src = self._chain(_name(dst)), self._chain(_name(src))
        common = next((frame for frame in up_src if frame in up_dst), None)
        if common is None:
            return None
        T_common_dst = self._up(up_dst[: up_dst.index(common)], moment, tolerance_ns)
        T_common_src = self._up(up_src[: up_src.index(common)], moment, tolerance_ns)
        return None if T_common_dst is None or T_common_src is None else invert(T_common_dst) @ T_common_src

    def _chain(self, frame: str) -> list[str]:
        """Return the frame and its ancestors, up to the root."""
        chain = [frame]
        while (parent := self._parents.get(chain[-1])) is not None and parent not in chain:
            chain.append(parent)
        return chain

    def _up(self, frames: Sequence[str], moment: Moment, tolerance_ns: int) -> Matrix | None:
        """Return the transform (4,4) from the first of these frames to the parent of the last."""
        T = np.eye(4)
        for frame in frames:
            T_parent_frame = self._static.get(frame)
            if T_parent_frame is None:
                T_parent_frame = _between(self._moving[frame], moment, tolerance_ns)
            if T_parent_frame is None:
                return None
            T = T_parent_frame @ T
        return T


def timeline_of(entries: Sequence[Entry]) -> Timeline[Entry]:
    """Return a timeline of messages."""
    stamps_ns = [entry.stamp_ns for entry in entries]
    return Timeline(stamps_ns, [entry.moment.log_ns for entry in entries], entries)


def _between(timeline: Timeline[Matrix], moment: Moment, tolerance_ns: int) -> Matrix | None:
    pair = timeline.around(moment, tolerance_ns)
    if pair is None:
        return None
    first, second = pair
    T_first, T_second = timeline.values[first], timeline.values[second]
    if first == second:
        return T_first
    span_ns = timeline.stamps_ns[second] - timeline.stamps_ns[first]
    return interpolated(T_first, T_second, float((moment.stamp_ns - timeline.stamps_ns[first]) / span_ns))


def _name(frame: str) -> str:
    """Return the name of a frame without the leading slash of ROS 1."""
    return frame.lstrip("/")
