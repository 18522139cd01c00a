"""The ego's side of feature sharing: one frame of messages to boxes, and what to ask for next.

Features of all senders that the gate admits are fused in the ego's map. In hybrid fusion the boxes that the
fused head finds, the ego's own and those of all others are then merged: they compete by calibrated scores,
those of others lowered by how likely they still lie where they say. Without any usable message the result is
the ego's own boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cosense.cooperation.gate import GateSettings
from cosense.cooperation.hybrid import merge_averaged
from cosense.cooperation.late import merge
from cosense.cooperation.received import receive_features
from cosense.cooperation.receiver import FusionResult, FusionSettings, without_ego_body
from cosense.detectors.base import BevFeatures
from cosense.detectors.box_maps import middle_cells
from cosense.messages.demand import DemandMap, encode_demand
from cosense.messages.envelope import (
    MAX_PAYLOAD_BYTES,
    MessageError,
    PayloadKind,
    decode,
    encode,
    envelope_bytes,
)
from cosense.messages.objects import decode_objects
from cosense.methods.base import Admitted, Method
from cosense.scene_graph.correction.pose_correction import Place, as_sent
from cosense.sensing.detections import Detections
from cosense.sensing.grid import BevGrid


class FeatureReceiver:
    """One ego; call `fuse` once a frame, in the order of time.

    Attributes:
        settings: how boxes are merged; may be set at any time.
        gate: what a message may do; may be set at any time.
    """

    def __init__(
        self,
        method: Method,
        *,
        with_boxes: bool = True,
        settings: FusionSettings | None = None,
        gate: GateSettings | None = None,
    ) -> None:
        """Start.

        Args:
            method: the ego's; others take part with features if their model is the same.
            with_boxes: hybrid fusion; without it the boxes of others are not merged (intermediate).
            settings: how boxes are merged.
            gate: what a message may do.
        """
        self._method = method
        self._with_boxes = with_boxes
        self.settings = settings or FusionSettings()
        self.gate = gate or GateSettings()
        self._received: list[Admitted] = []

    def fuse(
        self,
        ego_message: bytes,
        features: BevFeatures,
        messages: Sequence[bytes],
        place: Place = as_sent,
    ) -> FusionResult:
        """Fuse one frame.

        Args:
            ego_message: the ego's own OBJECTS message.
            features: of the ego's own cloud.
            messages: FEATURES or OBJECTS of the others, as they came. What cannot be used becomes a report.
            place: says where each sender is.

        Returns:
            detections in the ego frame, with calibrated scores, and a report for each message.

        Raises:
            MessageError: the ego's own message is broken.
        """
        ego = decode(ego_message)
        if ego.kind != PayloadKind.OBJECTS:
            raise MessageError(f"the ego's own message carries {ego.kind.name}, expected OBJECTS")
        received, reports = receive_features(
            messages,
            ego,
            self._method.specs,
            features.grid.shape,
            self.gate,
            self.settings.max_senders,
            place,
        )
        self._received = received
        return FusionResult(self.fuse_received(ego_message, features, received), reports)

    def fuse_received(
        self, ego_message: bytes, features: BevFeatures, received: Sequence[Admitted]
    ) -> Detections:
        """Return the boxes in the ego frame, from messages that were read and judged already; see `fuse`."""
        own = decode_objects(decode(ego_message).payload)
        found = self._method.fuse(features, own, received, with_boxes=self._with_boxes)
        one_per_object = merge_averaged if self._method.averages_boxes else merge
        return one_per_object(without_ego_body(found), self.settings.nms_iou)

    def demands(self, ego_message: bytes, features: BevFeatures) -> dict[str, bytes]:
        """Return the DEMAND messages for the next frame, by addressee.

        One for everybody ("") as long as there is at most one sender. Several senders are each told what is
        still missing: what the ego cannot see, without the cells in which another one, who is nearer, has
        just told of an object.
        """
        ego = decode(ego_message)
        request = self._method.request(features)
        maps = {"": request.wanted}
        if len(self._received) > 1:
            maps = {
                other.sender: maps[""] & ~self._told_by_nearer(other, request.grid)
                for other in self._received
            }
        limit = request.max_bytes
        room = MAX_PAYLOAD_BYTES if limit is None else limit - envelope_bytes(ego.sender)
        return {
            addressee: encode(
                replace(
                    ego,
                    kind=PayloadKind.DEMAND,
                    payload=encode_demand(
                        DemandMap(addressee, ego.stamp_ns, ego.T_world_agent, request.grid, cells), room
                    ),
                )
            )
            for addressee, cells in maps.items()
        }

    def _told_by_nearer(self, sender: Admitted, grid: BevGrid) -> NDArray[np.bool_]:
        """Return (H,W): the cells with a box of another sender who is nearer to it than this one."""
        told = np.zeros(grid.shape, dtype=np.bool_)
        for other in self._received:
            if other.sender == sender.sender:
                continue
            places = other.boxes.boxes[:, :2]
            nearer = np.linalg.norm(places - other.T_ego_sender[:2, 3], axis=1) < np.linalg.norm(
                places - sender.T_ego_sender[:2, 3], axis=1
            )
            cells, inside = middle_cells(other.boxes.boxes, grid)
            told[tuple(cells[inside & nearer].T)] = True
        return told
