"""What the simulator hands to whoever writes or uses a sequence."""

from __future__ import annotations

from dataclasses import dataclass

from cosense.data.dataset import CooperativeFrame


@dataclass(frozen=True)
class SimulatedFrame:
    """One simulated moment.

    Attributes:
        frame: with the TRUE poses of all agents; its ground truth holds at the time of the ego's cloud.
        offset_m: (dx, dy) in the world: true position of a roadside unit minus the one that its calibration
            claims. A reader that adds it to the claimed translation gets the true pose.
    """

    frame: CooperativeFrame
    offset_m: tuple[float, float]
