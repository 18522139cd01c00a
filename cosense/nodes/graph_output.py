"""What an agent tells of what stands and moves around it, where poses are set right: its scene graph."""

from __future__ import annotations

from std_msgs.msg import UInt8MultiArray

from cosense.errors import CosenseError
from cosense.nodes.ros import conversions, qos
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.scene_graph.extract.builder import SceneGraphBuilder
from cosense.scene_graph.message import share_graph
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame


class GraphOutput:
    """Publishes `~/output/scene_graph` of one agent."""

    def __init__(self, node: ManagedNode, fingerprint: bytes) -> None:
        """Announce it.

        Args:
            node: that publishes.
            fingerprint: of its detector.
        """
        self._node = node
        self._fingerprint = fingerprint
        self._builder = SceneGraphBuilder()
        self._graphs = node.publisher(UInt8MultiArray, "~/output/scene_graph", qos.V2X)

    def publish(self, frame: AgentFrame, detections: Detections, sequence: int) -> int:
        """Send the graph of a frame and return the bytes of its SCENE_GRAPH message.

        One that cannot be made is told and does not keep the frame from being sent.
        """
        try:
            graph = self._builder.update(frame, detections)
            data = share_graph(graph, sequence, self._fingerprint)
        except CosenseError as error:
            self._node.get_logger().error(f"no scene graph: {error}", throttle_duration_sec=1.0)
            return 0
        self._graphs.publish(conversions.bytes_to_message(data))
        return len(data)
