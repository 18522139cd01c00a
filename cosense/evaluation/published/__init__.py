"""What is published on each data set, one YAML file each, and how it is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cosense.config import load_config
from cosense.cooperation.kinds import FEATURE_KINDS, FUSION_KINDS, FusionKind
from cosense.errors import CosenseError, nearest
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.runs.pose_noise import PoseErrorName

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Ours:
    """The run of ours that stands beside a published figure; the arguments of an evaluation.

    Attributes:
        fusion: how the agents work together.
        method: way of sharing features that the model must have, None for any model.
        async_frames: frames by which the others measured earlier.
        budget_bytes, registration, pose_error: as for `cosense evaluate`.
    """

    fusion: FusionKind
    method: str | None = None
    async_frames: int = 0
    budget_bytes: int | None = None
    registration: str = "none"
    pose_error: PoseErrorName | None = None

    def __post_init__(self) -> None:
        if self.fusion not in FUSION_KINDS:
            raise ValueError(f"fusion '{self.fusion}': {nearest(self.fusion, FUSION_KINDS)}")
        if (self.method is not None) != (self.fusion in FEATURE_KINDS):
            raise ValueError(f"fusion '{self.fusion}' and method '{self.method}' do not go together")


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: what was measured.
        figures: published figures in percent by column; empty where there are none.
        bytes: published bytes a frame, None where they are not given or counted otherwise.
        source: where the figures are from.
        ours: our run; None where we have none,
        reason: which says why.
    """

    name: str
    figures: dict[str, float] = field(default_factory=dict)
    bytes: float | None = None
    source: str = ""
    ours: Ours | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if bool(self.figures) != bool(self.source):
            raise ValueError(f"row '{self.name}': figures and their source belong together")
        if (self.ours is None) != bool(self.reason):
            raise ValueError(
                f"row '{self.name}': expected 'ours', or the 'reason' why there is nothing of ours"
            )


@dataclass(frozen=True)
class PublishedTable:
    """Figures that were measured alike.

    Attributes:
        name, title: what people call it, and what it is.
        protocol: what is counted.
        split, labels: of the data set.
        columns: "ap@0.5" for average precision from above, "ap_3d@0.5" for volumes.
        rows: published ones and ours.
        frames: number of frames that the published figures are of, None where nobody says.
        note: what else has to be known.
    """

    name: str
    title: str
    protocol: str
    split: str
    labels: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    frames: int | None = None
    note: str = ""

    def __post_init__(self) -> None:
        load_protocol(self.protocol)
        for row in self.rows:
            for column in row.figures:
                if column not in self.columns:
                    raise ValueError(f"row '{row.name}': {column} is no column of table '{self.name}'")


@dataclass(frozen=True)
class Published:
    """All that is published on one data set.

    Attributes:
        layout: format of the data set, as its description names it.
        page: page of this repository that says how to get the data set.
        tables: at least one.
    """

    layout: str
    page: str
    tables: tuple[PublishedTable, ...]


def published_names() -> list[str]:
    """Return the names of the data sets of which figures are kept."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def load_published(name: str) -> Published:
    """Read what is published on a data set.

    Raises:
        CosenseError: nothing is kept under this name.
    """
    if name not in published_names():
        raise CosenseError(f"no published figures of '{name}', {nearest(name, published_names())}")
    return load_config(Published, _FOLDER / f"{name}.yaml")
