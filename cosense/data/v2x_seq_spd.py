"""V2X-Seq-SPD: sequences of one vehicle and one roadside unit with tracks (Yu et al., CVPR 2023).

The tree is laid out like that of DAIR-V2X-C, with three differences: cooperative labels are already given in
the vehicle LiDAR frame; `system_error_offset` is added to the translation from roadside unit to vehicle, in
the vehicle LiDAR frame; objects have track ids.
"""

from __future__ import annotations

from pathlib import Path

from cosense.data.dair_index import COOPERATIVE_INDEX, Pair, is_sequential
from cosense.data.dair_labels import read_objects
from cosense.data.dair_v2x import DairV2xDataset
from cosense.data.dataset import Dataset
from cosense.geometry.transforms import Matrix, invert
from cosense.sensing.objects import Objects

LAYOUT = f"{COOPERATIVE_INDEX} with vehicle_frame (V2X-Seq-SPD)"
OPTIONS = ("async_frames",)


def recognises(path: Path) -> type[Dataset] | None:
    """Return the reader of this module for the root of a tree of V2X-Seq-SPD."""
    return V2xSeqSpdDataset if is_sequential(path) else None


class V2xSeqSpdDataset(DairV2xDataset):
    """One tree of V2X-Seq-SPD; arguments and errors as for `DairV2xDataset`."""

    layout = "v2x-seq-spd"
    split_files = ("cooperative-split-data-spd.json", "cooperative-split-data.json")

    def _label_folders(self) -> dict[str, str]:
        return {self._made_here("original"): "label"}

    def _ground_truth(self, pair: Pair, T_world_vehicle: Matrix) -> Objects:
        return read_objects(self._label_file(pair))

    def _corrected(
        self, T_world_unit: Matrix, T_world_vehicle: Matrix, offset_m: tuple[float, float]
    ) -> Matrix:
        T_vehicle_unit = invert(T_world_vehicle) @ T_world_unit
        T_vehicle_unit[:2, 3] += offset_m
        return T_world_vehicle @ T_vehicle_unit
