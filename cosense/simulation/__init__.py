"""Road scenes, traffic and sensors: cooperative sequences made from a seed."""

from cosense.simulation.scenes.families import FAMILIES
from cosense.simulation.sequence import SCENES_VERSION, simulate
from cosense.simulation.stage import SimulatedFrame

__all__ = ["FAMILIES", "SCENES_VERSION", "SimulatedFrame", "simulate"]
