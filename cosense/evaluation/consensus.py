"""Published ways to find liars without the ego's rays, to compare with; written from their descriptions.

    robosac    of all senders some are drawn until the ego with these says much the same as the ego alone
               (Li et al., "Among Us: Adversarially Robust Collaborative Perception by Consensus", ICCV 2023);
               where no draw does, the ego stays alone
    majority   a box counts if more than half of all agents have it, the ego included

Both hold boxes against the ego's boxes, as the papers do with what their networks find.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cosense.cooperation.merge import suppress
from cosense.geometry.iou import bev_iou
from cosense.methods.base import Admitted
from cosense.sensing.detections import Detections

ConsensusName = Literal["robosac", "majority"]
CONSENSUSES: tuple[ConsensusName, ...] = get_args(ConsensusName)

# So many draws; a pair of boxes overlaps by so much, and so much of all boxes is in pairs.
_DRAWS, _PAIR_IOU, _AGREED = 8, 0.3, 0.3
_MERGE_IOU = 0.15


class Consensus:
    """Chooses what of the senders is fused, frame by frame."""

    def __init__(self, name: ConsensusName, seed: int) -> None:
        self._name = name
        self._rng = np.random.default_rng(seed)

    def __call__(self, admitted: Sequence[Admitted], own: Detections) -> list[Admitted]:
        """Return what is fused of the messages of one frame, given the ego's own boxes."""
        return self._drawn(admitted, own) if self._name == "robosac" else _by_majority(admitted, own)

    def _drawn(self, admitted: Sequence[Admitted], own: Detections) -> list[Admitted]:
        if not admitted:
            return []
        size = max(1, len(admitted) // 2)
        for _ in range(_DRAWS):
            drawn = np.sort(self._rng.choice(len(admitted), size, replace=False))
            chosen = [admitted[index] for index in drawn]
            together = suppress(Detections.concatenate([own, *(other.boxes for other in chosen)]), _MERGE_IOU)
            pairs = np.count_nonzero(_overlaps(own, together).any(axis=1))
            if pairs >= _AGREED * (len(own) + len(together) - pairs):
                return chosen
        return []


def _by_majority(admitted: Sequence[Admitted], own: Detections) -> list[Admitted]:
    agents = [own, *(other.boxes for other in admitted)]
    chosen = []
    for other in admitted:
        votes = sum(_overlaps(other.boxes, boxes).any(axis=1).astype(int) for boxes in agents)
        chosen.append(other.chosen(np.asarray(votes) > len(agents) / 2))
    return chosen


def _overlaps(a: Detections, b: Detections) -> NDArray[np.bool_]:
    return np.asarray(bev_iou(a.boxes, b.boxes) > _PAIR_IOU)
