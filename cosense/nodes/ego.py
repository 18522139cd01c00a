"""The ego in one process: its agent and its fusion, so that features and cloud reach it and never travel.

Two nodes, `agent` and `fusion`, with their own topics and parameters as agent.py and fusion.py name them. The
ego's boxes go over its in-vehicle topic as always, and say which features belong to them.
"""

from __future__ import annotations

from rclpy.executors import SingleThreadedExecutor

from cosense.nodes.agent import AgentNode
from cosense.nodes.feature_store import FeatureStore
from cosense.nodes.fusion import FusionNode, OwnFeatures
from cosense.nodes.ros import process


class Ego:
    """Both nodes."""

    def __init__(self) -> None:
        # The fusion says how many it may need.
        store = FeatureStore(depth=1)
        self._agent = AgentNode(store)
        self._fusion = FusionNode(OwnFeatures(self._agent, store))

    @property
    def nodes(self) -> tuple[AgentNode, FusionNode]:
        """The agent and the fusion."""
        return self._agent, self._fusion

    @property
    def has_failed(self) -> bool:
        """Whether something in one of them has broken."""
        return self._agent.has_failed or self._fusion.has_failed

    def bring_up(self) -> None:
        """Start the agent, then the fusion, which uses its detector."""
        self._agent.bring_up()
        self._fusion.bring_up()

    def spin(self) -> None:
        """Serve both nodes until the end."""
        executor = SingleThreadedExecutor()
        for node in self.nodes:
            executor.add_node(node)
        executor.spin()

    def close(self) -> None:
        """Let both finish their frames."""
        self._agent.close()
        self._fusion.close()

    def destroy_node(self) -> None:
        """Take both off the network."""
        self._agent.destroy_node()
        self._fusion.destroy_node()


def main() -> None:
    """Run both nodes."""
    process.run(Ego, "agent", "fusion", work=Ego.spin)


if __name__ == "__main__":
    main()
