"""The fusion's part in correcting poses: scene graphs in, where the others are, and what agrees for RViz.

    ~/output/scene_graph  MarkerArray for RViz

See `cosense.scene_graph.correction.pose_correction`; a step back in time is another recording and starts
over.
"""

from __future__ import annotations

from visualization_msgs.msg import MarkerArray

from cosense import topics
from cosense.cooperation.kinds import LIVE_REGISTRATIONS
from cosense.cooperation.synchroniser import Collection
from cosense.messages.envelope import MessageError, decode
from cosense.messages.reports import PeerReport
from cosense.messages.scene_graph import SceneGraph, decode_scene_graph
from cosense.nodes.ros import process, qos
from cosense.nodes.ros.graph_markers import graphs_to_markers
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.scene_graph.correction.pose_correction import Place, PoseRepair, as_sent


def _read(data: bytes) -> SceneGraph:
    return decode_scene_graph(decode(data))


class GraphRepair:
    """What the fusion does with scene graphs; nothing where `registration` is none.

    Attributes:
        is_wanted: whether graphs are used at all.
    """

    def __init__(self, node: ManagedNode, ego_id: str) -> None:
        """Declare the parameter."""
        self._node = node
        self._frame_id = topics.lidar_frame(ego_id)
        kind = process.choose(
            node, "registration", LIVE_REGISTRATIONS, "how the poses of others are corrected"
        )
        self.is_wanted = kind == "scene_graph"
        self._repair: PoseRepair | None = None
        self._own: SceneGraph | None = None
        self._newest_ns = 0

    def build(self) -> None:
        """Start over."""
        self._own = None
        if self.is_wanted:
            self._repair = PoseRepair("scene_graph")
            self._markers = self._node.publisher(MarkerArray, "~/output/scene_graph", qos.RESULT)

    def hear(self, collection: Collection) -> tuple[Place, list[PeerReport]]:
        """Register the graphs of one moment.

        Returns:
            what says where each sender is, and a report for each graph.
        """
        if self._repair is None:
            return as_sent, []
        if collection.stamp_ns <= self._newest_ns:
            self._repair = PoseRepair("scene_graph")
        self._newest_ns, self._own = collection.stamp_ns, None
        try:
            self._own = None if collection.own_graph is None else _read(collection.own_graph)
        except MessageError as error:
            self._node.get_logger().error(
                f"scene graph of the ego itself: {error}", throttle_duration_sec=1.0
            )
        if self._own is None:
            self._node.get_logger().warning(
                "no scene graph of the ego itself, poses are not set right: does its agent have "
                "'scene_graph: true'?",
                throttle_duration_sec=10.0,
            )
            return self._repair.place, []
        return self._repair.place, self._repair.hear(self._own, collection.graphs)

    def publish_markers(self, stamp_ns: int) -> None:
        """Publish the graphs and what of them agrees, while somebody looks."""
        if self._repair is None or self._own is None or not self._markers.get_subscription_count():
            return
        self._markers.publish(
            graphs_to_markers(self._own, self._repair.registrations, stamp_ns, self._frame_id)
        )
