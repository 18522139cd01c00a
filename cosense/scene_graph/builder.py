"""The scene graphs of one agent, frame after frame: a layer that stands and a layer that moves."""

from __future__ import annotations

import numpy as np

from cosense.perception.detections import Detections
from cosense.scene_graph.build import graph_of, moving_nodes, sure_enough
from cosense.scene_graph.found import Nodes
from cosense.scene_graph.graph import SceneGraph
from cosense.scene_graph.map_layer import MapLayer
from cosense.scene_graph.static_objects import static_objects
from cosense.sensing.frame import AgentFrame
from cosense.sharing.motion import MotionTracker

# Ids are even for what moves and odd for what stands, and begin again long after the first ones have gone.
_IDS_PER_LAYER = 1 << 15


class SceneGraphBuilder:
    """Like `build`, with memory: call `update` with each frame of one agent."""

    def __init__(self) -> None:
        self._map = MapLayer()
        self._motion = MotionTracker()

    def update(self, frame: AgentFrame, detections: Detections) -> SceneGraph:
        """Return the graph at the stamp of a frame.

        Args:
            frame: later than the one before; a step back in time starts over.
            detections: of its cloud, in the agent frame.

        Returns:
            What moves first, with velocities where they are known; then what stands, also what was seen
            earlier and is out of sight by now. The same thing keeps its id.

        Raises:
            CosenseError: the cloud has another shape, or coordinates that are not finite.
        """
        moving = detections[sure_enough(detections)]
        found = static_objects(frame.points, moving.boxes)
        velocities = self._motion.velocities(frame, moving)
        self._map.update(frame.stamp_ns, frame.T_world_agent, found)
        standing, map_ids = self._map.nodes(frame.T_world_agent)
        return graph_of(
            Nodes.concatenate([moving_nodes(moving, velocities), standing]),
            np.concatenate(
                [
                    2 * (self._motion.track_ids % _IDS_PER_LAYER),
                    2 * (map_ids % _IDS_PER_LAYER) + 1,
                ]
            ),
            frame.agent_id,
            frame.stamp_ns,
            frame.T_world_agent,
            frame.pose_covariance,
        )
