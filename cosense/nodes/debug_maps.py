"""Why a message holds what it does, as maps for RViz: made only while somebody looks at them."""

from __future__ import annotations

from nav_msgs.msg import OccupancyGrid

from cosense.cooperation.sender import SelectionMaps
from cosense.geometry.transforms import Matrix
from cosense.nodes.ros import qos
from cosense.nodes.ros.conversions import map_to_occupancy
from cosense.nodes.ros.lifecycle import ManagedNode

NAMES = ("supply", "demand", "selection", "difference")


class DebugMaps:
    """Publishes `~/debug/supply`, `demand`, `selection` and, of a method that has one, `difference`."""

    def __init__(self, node: ManagedNode) -> None:
        self._publishers = {
            name: node.publisher(OccupancyGrid, f"~/debug/{name}", qos.RESULT) for name in NAMES
        }

    @property
    def are_watched(self) -> bool:
        """Whether somebody listens to any of them."""
        return any(publisher.get_subscription_count() for publisher in self._publishers.values())

    def publish(self, maps: SelectionMaps, T_sensor_ground: Matrix, stamp_ns: int, frame_id: str) -> None:
        """Publish the maps of one message, lying on the ground, in the frame of the sensor."""
        values = {"supply": maps.supply, "demand": maps.wanted, "selection": maps.sent}
        if maps.difference is not None:
            values["difference"] = maps.difference
        for name, cells in values.items():
            message = map_to_occupancy(cells, maps.grid, T_sensor_ground, stamp_ns, frame_id)
            self._publishers[name].publish(message)
