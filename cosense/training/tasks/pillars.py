"""Training of the pillar detector."""

from __future__ import annotations

from cosense.training.detector_task import DetectorTask


class PillarsTask(DetectorTask):
    """A pillar network with its losses."""

    what = "Pillar detector"
