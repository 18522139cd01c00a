"""Layouts of RViz and Foxglove for a run, as files.

`python -m cosense.runs.layouts` writes again what ships in rviz/, for the agents of the shipped scenarios.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from cosense.runs.foxglove_layout import foxglove_layout
from cosense.runs.rviz_layout import rviz_layout

# Beside the results of a run.
RVIZ, FOXGLOVE = "view.rviz", "foxglove.json"
SHIPPED_AGENTS = ("vehicle", "vehicle_2", "vehicle_3", "infrastructure", "infrastructure_2")
SHIPPED_EGO = "vehicle"
SHIPPED_RVIZ = "cosense.rviz"
SHIPPED_FOXGLOVE = "cosense.foxglove.json"


def write_layouts(agents: Sequence[str], ego: str, rviz: Path, foxglove: Path) -> None:
    """Write both layouts.

    Args:
        agents: ids of all that take part.
        ego: id of the one that fuses.
        rviz: file for RViz.
        foxglove: file for Foxglove.
    """
    rviz.write_text(yaml.safe_dump(rviz_layout(agents, ego), sort_keys=False, allow_unicode=True))
    foxglove.write_text(json.dumps(foxglove_layout(agents, ego), indent=1) + "\n")


def write_run_layouts(agents: Sequence[str], ego: str, out: Path) -> Path:
    """Write both layouts beside the results of a run and return the one for RViz; see `write_layouts`."""
    write_layouts(agents, ego, out / RVIZ, out / FOXGLOVE)
    return out / RVIZ


def write_shipped(folder: Path) -> None:
    """Write the layouts that ship, into a folder that is there."""
    write_layouts(SHIPPED_AGENTS, SHIPPED_EGO, folder / SHIPPED_RVIZ, folder / SHIPPED_FOXGLOVE)


if __name__ == "__main__":
    write_shipped(Path(__file__).resolve().parents[2] / "rviz")
