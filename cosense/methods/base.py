"""What a method is: a way in which agents share features, sender half and receiver half.

The ego asks (`request`), each sender answers with the cells that are worth most (`offer`), the ego puts what
arrives into its own maps and decides again (`fuse`). What a message is, how many bytes it may have, who sent
it and whether it is believed is not a method's business: `cosense.cooperation` decides that.

A method is a folder of this package, found by `sharing: {method: <folder>, …}` in a model's config.yaml; its
module `method.py` defines one class that derives from `Method`. The folder's README says where the method
comes from and where it deviates.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from cosense.detectors.base import BevDetector, Encoded
from cosense.detectors.layers import folded
from cosense.geometry.transforms import Matrix
from cosense.messages.chunks import LayerSpec, ReceivedLayer, Section
from cosense.messages.demand import MAX_DEMAND_BYTES
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.calibration import IDENTITY, Calibration
from cosense.sensing.detections import Detections
from cosense.sensing.grid import BevGrid
from cosense.sensing.places import EXACT_SHARE, EXACTLY, ROUGHLY, chance

# Gives (H/s,W/s) bool for a stride of s pillars, in the sender's frame: where the ego wants to know more.
Wanted = Callable[[int], Tensor]

# Cells this near to a moving box move with it.
_AROUND_BOX_M = 0.8


@dataclass(frozen=True)
class RequestMap:
    """What the ego wants to know more about.

    Attributes:
        grid: cells of the map, in the ego frame.
        wanted: (H,W) bool.
        max_bytes: limit of the encoded message that carries the map, None for that of the format.
    """

    grid: BevGrid
    wanted: NDArray[np.bool_]
    max_bytes: int | None = MAX_DEMAND_BYTES


@dataclass(frozen=True)
class Admitted:
    """A message of another agent that may be used, brought to the moment of the ego's frame.

    Attributes:
        sender: name of the agent.
        use: most that the message may be used for.
        is_precise: whether age and poses are within the limits for features, whatever the sender's model.
        T_ego_sender: (4,4) by both poses, corrected where they were.
        age_s: time by which it was measured before the ego's frame; negative if after it.
        layers: decoded features, one entry for each of the method's specs; empty where they are not used.
        sent: late boxes in the sender's frame, at the time they were measured.
        boxes: the same in the ego frame, moved to the ego's time, without those around the ego itself.
        errors_m: (M,) standard deviation per axis of the place of each of `boxes`, by both poses.
        spreads_m: (M,2) the same along its heading and across it, by poses, age and experience.
    """

    sender: str
    use: Literal["features", "boxes"]
    is_precise: bool
    T_ego_sender: Matrix
    age_s: float
    layers: tuple[ReceivedLayer, ...]
    sent: LateBoxes
    boxes: Detections
    errors_m: NDArray[np.float64]
    spreads_m: NDArray[np.float64]

    @cached_property
    def reliability(self) -> NDArray[np.float64]:
        """(M,) in [0, 1], probability that each of `boxes` still overlaps its object by half."""
        return chance(self.boxes.boxes, self.spreads_m, ROUGHLY)

    @cached_property
    def exactness(self) -> NDArray[np.float64]:
        """(M,) in [0, 1], the same for an overlap of 0.7, beside a box whose place is known."""
        exact = chance(self.boxes.boxes, self.spreads_m, EXACTLY)
        return np.minimum(exact / EXACT_SHARE, 1.0)

    @property
    def worth(self) -> NDArray[np.float64]:
        """(M,) in [0, 1], the mean of both: what is left of a score that is to hold for either overlap."""
        return (self.reliability + self.exactness) / 2

    def chosen(self, index: NDArray) -> Admitted:
        """Return the same with only the boxes that a mask or an index array selects."""
        return replace(
            self,
            boxes=self.boxes[index],
            errors_m=self.errors_m[index],
            spreads_m=self.spreads_m[index],
        )

    def cell_shifts(self, cells: NDArray[np.int64], grid: BevGrid) -> NDArray[np.float64]:
        """Return (K,2) metres in the sender's frame: the way that cells (K,) of its grid have moved by now.

        A cell in or beside a box of known velocity moves with the box; the others are static.
        """
        shifts = np.zeros((len(cells), 2))
        velocities = known_velocities(self.sent)
        speed = np.linalg.norm(velocities, axis=1)
        centres = grid.centres().reshape(-1, 2)[cells]
        for index in np.flatnonzero(speed * abs(self.age_s) > 0.05):
            x, y, _, length, width, _, yaw = self.sent.detections.boxes[index]
            offset = centres - (x, y)
            along = offset @ (np.cos(yaw), np.sin(yaw))
            across = offset @ (-np.sin(yaw), np.cos(yaw))
            inside = (np.abs(along) <= length / 2 + _AROUND_BOX_M) & (
                np.abs(across) <= width / 2 + _AROUND_BOX_M
            )
            shifts[inside] = velocities[index] * self.age_s
        return shifts


class Method(ABC):
    """One way of sharing features, on top of a detector.

    Attributes:
        Config: dataclass that the keys of `sharing:` in config.yaml (without `method`) are read into.
        averages_boxes: whether boxes of one object are averaged when all sources are merged; otherwise the
            best one is kept as it is.
        config: an instance of `Config`.
        detector: the detector whose features are shared.
        network: what `build` returns, ready for inference.
        specs: layers that a message carries, by the index in `Section.layer`.
        calibration: curves that make the scores of all sources comparable.
    """

    Config: ClassVar[type]
    averages_boxes: ClassVar[bool]
    specs: tuple[LayerSpec, ...]

    def __init__(
        self, config: Any, detector: BevDetector, network: nn.Module, calibration: Calibration = IDENTITY
    ) -> None:
        """Take a network, which is used for inference from now on; arguments are the attributes."""
        self.config = config
        self.detector = detector
        self.network = folded(network).to(detector.device)
        self.calibration = calibration

    @classmethod
    @abstractmethod
    def build(cls, config: Any, detector: BevDetector, seed: int) -> nn.Module:
        """Return the untrained network of a configuration, with weights drawn from `seed`.

        The names of its tensors in a weights file stand beside the detector's: no two may be the same.

        Raises:
            ValueError: the method cannot share the features of this detector.
        """

    @abstractmethod
    def request(self, own: Encoded) -> RequestMap:
        """Return what the ego wants to know more about, given its own encoding."""

    @abstractmethod
    def offer(
        self, own: Encoded, wanted: Wanted, selection: str | None, seed: int, *, with_boxes: bool
    ) -> list[Section]:
        """Return what a sender has to say, most valuable first; a budget cuts the list where it is full.

        Args:
            own: the sender's encoding.
            wanted: the ego's request, on the sender's grid.
            selection: rule that ranks the cells, see `cosense.methods.selection`; None for the method's own.
            seed: for random selection.
            with_boxes: whether the sender's boxes are sent too (hybrid), so that features need not say where
                they are.
        """

    @abstractmethod
    def supply(self, own: Encoded) -> tuple[int, Tensor]:
        """Return a stride and the map (H/s,W/s) of how sure a sender is there, for people to look at."""

    def difference(self, own: Encoded) -> Tensor | None:
        """Return a map (H/s,W/s) in [0, 1] of how much features stand out, None if there is no such map.

        s is the stride of `supply`.
        """
        return None

    @abstractmethod
    def fuse(
        self, own: Encoded, detections: Detections, admitted: Sequence[Admitted], *, with_boxes: bool
    ) -> Detections:
        """Return the candidate boxes of all sources: calibrated, in the ego frame, several for one object.

        Args:
            own: the ego's encoding.
            detections: the ego's own boxes.
            admitted: messages of others, ordered by sender.
            with_boxes: whether the boxes of others take part (hybrid) or only their features (intermediate).
        """


def check_request_grid(grid: BevGrid) -> None:
    """Raise ValueError for a grid that requests, which count in decimetres, cannot describe at stride 2."""
    for metres in (*grid.range_m[:2], 2 * grid.cell_m):
        if abs(10 * metres - round(10 * metres)) > 1e-6:
            raise ValueError(
                f"range_m and 2 * cell_m are whole decimetres in a model that shares features, not {metres} m"
            )


def known_velocities(boxes: LateBoxes) -> NDArray[np.float64]:
    """Return (M,2) m/s in the frame of the boxes; 0 where no velocity is known, or only half of one."""
    known = np.isfinite(boxes.velocities_mps).all(axis=1, keepdims=True)
    return np.where(known, boxes.velocities_mps, 0.0)


def scaled(detections: Detections, factors: NDArray[np.float64]) -> Detections:
    """Return the detections with their scores multiplied by factors (M,), in the order given."""
    scores = (detections.scores * factors).astype(np.float32)
    return Detections(detections.boxes, scores, detections.labels, detections.sources)


def marked(detections: Detections, source: int) -> Detections:
    """Return the detections with another source."""
    sources = np.full(len(detections), source, dtype=np.uint8)
    return Detections(detections.boxes, detections.scores, detections.labels, sources)
