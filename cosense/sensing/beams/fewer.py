"""Clouds as a cheaper LiDAR would give them: only some beams, and of these only every second point or so.

"16" keeps 16 beams, evenly spread over those that there are; "16,product" those nearest to a LiDAR whose
beams are evenly spread from -15 to 15 degrees, as those of the 16-beam class are, as far as the given one
reaches; "16,azimuth/2" drops every second point of each beam too; "0" is no LiDAR at all. Vehicles are
meant: roadside units keep all their beams, unless "16,all" says otherwise. A LiDAR with fewer beams keeps
them all, which is said.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cosense.errors import CosenseError, counted
from cosense.sensing.beams.table import BeamTable, Points, Rings
from cosense.sensing.frame import AgentFrame

logger = logging.getLogger(__name__)

_PRODUCT_DEG = (-15.0, 15.0)
_COUNT = re.compile(r"0|[1-9]\d{0,3}")
_AZIMUTH = re.compile(r"azimuth/([2-9])")


@dataclass(frozen=True)
class FewerBeams:
    """Which beams are kept; its text is what the command line and YAML say.

    Attributes:
        count: number of beams that are kept.
        spread: "stride" over the beams that there are, or "product" as the beams of a cheap LiDAR are.
        every: of each beam only every so manieth point is kept.
        of_all: roadside units lose beams too.
    """

    count: int
    spread: Literal["stride", "product"] = "stride"
    every: int = 1
    of_all: bool = False

    @classmethod
    def parse(cls, text: str | int) -> FewerBeams:
        """Read "16", "16,product", "8,azimuth/2" or "16,all".

        Raises:
            CosenseError: it is none of these.
        """
        number, *words = [word.strip() for word in str(text).split(",")]
        divided = [found for found in map(_AZIMUTH.fullmatch, words) if found]
        plain = [word for word in words if not _AZIMUTH.fullmatch(word)]
        is_twice = len(set(plain)) < len(plain) or len(divided) > 1 or {"stride", "product"} <= {*plain}
        if not _COUNT.fullmatch(number) or {*plain} - {"stride", "product", "all"} or is_twice:
            raise CosenseError(
                f"beams '{text}': expected a number of beams, as 16, or 0 for no LiDAR, and after commas "
                "stride or product, azimuth/2 for every second point of a beam, all for roadside units too"
            )
        return cls(
            int(number),
            "product" if "product" in plain else "stride",
            int(divided[0][1]) if divided else 1,
            "all" in plain,
        )

    def __str__(self) -> str:
        words = [str(self.count)]
        words += ["product"] if self.spread == "product" else []
        words += [f"azimuth/{self.every}"] if self.every > 1 else []
        return ",".join(words + (["all"] if self.of_all else []))

    def applies_to(self, frame: AgentFrame) -> bool:
        """Return whether an agent loses beams."""
        return self.of_all or frame.kind == "vehicle"

    def chosen(self, table: BeamTable) -> NDArray[np.int64]:
        """Return which beams of a LiDAR are kept, ascending; all where it has no more than are asked for."""
        if len(table) <= self.count:
            return np.arange(len(table))
        if self.spread == "stride":
            return ((np.arange(self.count) + 0.5) * len(table) / self.count).astype(np.int64)
        # Imported late: it takes long, and every reader of a data set knows this module.
        from scipy.optimize import linear_sum_assignment

        elevations = table.elevations_deg
        low, high = np.clip(_PRODUCT_DEG, np.nanmin(elevations), np.nanmax(elevations))
        off = np.square(np.linspace(low, high, self.count)[:, None] - elevations)
        # A beam that has never met anything is the last choice.
        return np.sort(linear_sum_assignment(np.where(np.isfinite(off), off, 1e6))[1])

    def kept(self, points: Points, rings: Rings | None, table: BeamTable) -> NDArray[np.bool_]:
        """Return (N,) which points (N,>=3) of a LiDAR with these beams are kept."""
        beams = table.beams_of(points, rings)
        is_kept = np.isin(beams, self.chosen(table))
        if self.every > 1:
            azimuth = np.arctan2(points[:, 1], points[:, 0])
            order = np.lexsort((azimuth, beams))
            starts = np.searchsorted(beams[order], beams[order], side="left")
            number = np.empty(len(beams), np.int64)
            number[order] = np.arange(len(beams)) - starts
            is_kept &= number % self.every == 0
        return is_kept

    def reduced(self, frame: AgentFrame, table: BeamTable) -> AgentFrame:
        """Return the frame of an agent whose LiDAR has fewer beams."""
        kept = self.kept(frame.points, frame.rings, table)
        rings = None if frame.rings is None else frame.rings[kept]
        return replace(frame, points=frame.points[kept], rings=rings)

    def table_of(self, name: str, frames: Sequence[AgentFrame]) -> BeamTable:
        """Return the beams of a LiDAR as some of its frames show them, and say what was assumed.

        Args:
            name: name of the LiDAR, for the log.
            frames: frames of one agent.
        """
        table = BeamTable.of([(frame.points, frame.rings) for frame in frames])
        level = logging.WARNING if table.are_slices else logging.INFO
        what = "slices" if table.are_slices else "beams"
        logger.log(level, "%s: %d %s, %s", name, len(table), what, table.how)
        if len(table) < self.count:
            logger.warning(
                "%s: has %s, fewer than the %d asked for, and keeps them all",
                name,
                counted(len(table), "beam"),
                self.count,
            )
        return table
