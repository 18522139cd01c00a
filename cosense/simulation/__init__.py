"""Road scenes, traffic and sensors: cooperative sequences made from a seed."""

from cosense.simulation.families import FAMILIES
from cosense.simulation.frame import SimulatedFrame
from cosense.simulation.sequence import SCENES_VERSION, simulate

__all__ = ["FAMILIES", "SCENES_VERSION", "SimulatedFrame", "simulate"]
