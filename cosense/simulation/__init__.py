"""Simulates cooperative sequences from a seed.

scenes/ builds places, traffic.py lets road users move through them, sensors/ casts the rays of LiDARs and
cameras, stage.py puts the three together, and the writers store frames in the layouts that data/ reads.
"""

from cosense.simulation.scenes.families import FAMILIES, TRAINING_FAMILIES, UNSEEN_FAMILIES
from cosense.simulation.sensors.lidar_unit import LIDARS
from cosense.simulation.sequence import IMAGES_VERSION, SCENES_VERSION, simulate
from cosense.simulation.stage import SimulatedFrame

__all__ = [
    "FAMILIES",
    "IMAGES_VERSION",
    "LIDARS",
    "SCENES_VERSION",
    "TRAINING_FAMILIES",
    "UNSEEN_FAMILIES",
    "SimulatedFrame",
    "simulate",
]
