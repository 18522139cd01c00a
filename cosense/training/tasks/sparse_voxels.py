"""Training of the sparse voxel detector."""

from __future__ import annotations

from cosense.training.detector_task import DetectorTask


class SparseVoxelsTask(DetectorTask):
    """A sparse voxel network with its losses."""

    what = "Sparse voxel detector"
