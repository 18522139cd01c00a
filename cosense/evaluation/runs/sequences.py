"""Agents that work together over the frames of a data set; their memory lasts as long as a sequence.

A sequence ends where the data set says so, or where time goes back: a data set may hold several recordings of
one place under one name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from cosense.data.dataset import CooperativeFrame, Dataset
from cosense.errors import CosenseError
from cosense.sensing.frame import AgentFrame

if TYPE_CHECKING:
    # Who only plays asks where sequences end, and needs no PyTorch.
    from cosense.cooperation.offline import Cooperation, Exchange


class SequenceCooperation:
    """The agents of one run; call `step` once a frame, in the order of the data set."""

    def __init__(self, start: Callable[[], Cooperation]) -> None:
        """Take the function that makes the agents of a new sequence, who remember nothing."""
        self._start = start
        self._cooperation: Cooperation | None = None
        self._previous: CooperativeFrame | None = None

    def step(self, frame: CooperativeFrame, agents: Sequence[AgentFrame], sequence: int) -> Exchange:
        """Let the agents of one frame work together.

        Args:
            frame: the frame, which names its sequence.
            agents: what the agents have measured, with the poses that they believe in, the ego first.
            sequence: number of the frame in the data set.
        """
        if self._cooperation is None or not goes_on(self._previous, frame):
            self._cooperation = self._start()
        self._previous = frame
        return self._cooperation.step(agents, sequence)


def goes_on(previous: CooperativeFrame | None, frame: CooperativeFrame) -> bool:
    """Return whether a frame belongs to the sequence of the frame before it, None for no frame before."""
    return (
        previous is not None
        and previous.sequence == frame.sequence
        and previous.ego.stamp_ns <= frame.ego.stamp_ns
    )


def sequence_start(dataset: Dataset, index: int) -> int:
    """Return the index of the first frame of the sequence that frame `index` belongs to.

    Frames that cannot be read belong to the sequence around them.
    """
    frame = readable(dataset, index)
    start = index
    for earlier in range(index - 1, -1, -1):
        previous = readable(dataset, earlier)
        if previous is not None and frame is not None and not goes_on(previous, frame):
            break
        frame = previous or frame
        start = earlier
    return start


def readable(dataset: Dataset, index: int) -> CooperativeFrame | None:
    """Return a frame, None where it cannot be read."""
    try:
        return dataset[index]
    except CosenseError:
        return None
