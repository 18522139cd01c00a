"""What the agents of a sequence carry: their LiDARs, how these are mounted, and the weather they work in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cosense.simulation.mounting import Mounting, on_mast, on_vehicle
from cosense.simulation.scenes.bodies import Body
from cosense.simulation.sensors.lidar_unit import ANY, HELD_OUT, STANDARD, LidarUnit, draw_unit
from cosense.simulation.sensors.weather import CLEAR, Weather, draw_weather


@dataclass(frozen=True)
class Equipment:
    """What the agents carry, constant over a sequence.

    Attributes:
        lidars: LiDAR of each agent.
        mountings: how it is mounted.
        weather: the weather.
        suffix: what it adds to the name of a sequence; nothing for the standard equipment.
    """

    lidars: Mapping[str, LidarUnit]
    mountings: Mapping[str, Mounting]
    weather: Weather
    suffix: str

    @classmethod
    def drawn(
        cls,
        lidar: str,
        tilt_deg: float | None,
        vehicles: Mapping[str, Body],
        units: Sequence[str],
        seed: int,
    ) -> Equipment:
        """Draw the equipment, with random numbers of its own: the scene does not depend on it.

        Args:
            lidar, tilt_deg, seed: see `simulate`.
            vehicles: body of each instrumented vehicle.
            units: names of the roadside units.
        """
        lidars, mountings = {}, {}
        for number, (name, body) in enumerate(vehicles.items()):
            rng = np.random.default_rng([seed, 2, number])
            mountings[name] = on_vehicle(body, tilt_deg, rng)
            lidars[name] = draw_unit(lidar, "vehicle", rng)
        for number, name in enumerate(units):
            rng = np.random.default_rng([seed, 3, number])
            mountings[name] = on_mast(tilt_deg, rng)
            lidars[name] = draw_unit(lidar, "infrastructure", rng)
        varies = lidar in (ANY, HELD_OUT)
        weather = draw_weather(np.random.default_rng([seed, 4])) if varies else CLEAR
        return cls(lidars, mountings, weather, "" if lidar == STANDARD else f"_{lidar}")
