"""Road scenes, traffic and sensors: cooperative sequences made from a seed."""

from cosense.simulation.families import FAMILIES
from cosense.simulation.frame import SimulatedFrame
from cosense.simulation.sequence import simulate

__all__ = ["FAMILIES", "SimulatedFrame", "simulate"]
