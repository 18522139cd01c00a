"""The scene graph of an agent on its way to the others, where poses are corrected."""

from __future__ import annotations

from rclpy.publisher import Publisher

from cosense.errors import CosenseError
from cosense.messages.scene_graph import share_graph
from cosense.nodes.ros import conversions
from cosense.nodes.ros.lifecycle import ManagedNode
from cosense.scene_graph.extract.builder import SceneGraphBuilder
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame


class GraphOutput:
    """Builds and publishes the SCENE_GRAPH messages of one agent."""

    def __init__(self, node: ManagedNode, messages: Publisher, fingerprint: bytes) -> None:
        """Start.

        Args:
            node: the agent, which logs what goes wrong.
            messages: publishes all messages of the agent.
            fingerprint: says which detector found the boxes.
        """
        self._node = node
        self._fingerprint = fingerprint
        self._builder = SceneGraphBuilder()
        self._messages = messages

    def publish(self, frame: AgentFrame, detections: Detections, sequence: int) -> int:
        """Send the graph of a frame and return the bytes of its SCENE_GRAPH message.

        A graph that cannot be made is logged and does not keep the frame from being sent.
        """
        try:
            graph = self._builder.update(frame, detections)
            data = share_graph(graph, sequence, self._fingerprint)
        except CosenseError as error:
            self._node.get_logger().error(f"no scene graph: {error}", throttle_duration_sec=1.0)
            return 0
        self._messages.publish(conversions.bytes_to_message(data))
        return len(data)
