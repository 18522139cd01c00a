"""The scene graphs of one agent, frame after frame: a layer that stands and a layer that moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.extract.build import graph_of, moving_nodes, sure_enough
from cosense.scene_graph.extract.map_layer import MapLayer
from cosense.scene_graph.extract.static_objects import static_objects
from cosense.scene_graph.found import Nodes
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.tracking.motion import MotionTracker

# Ids are even for what moves and odd for what stands.
_IDS_PER_LAYER = 1 << 15
# Who knows no better where it is than this, and has no odometry, may be somewhere else in the next frame:
# nothing can be gathered then.
_JUMPS_M = 0.2


class SceneGraphBuilder:
    """Like `build`, with memory: call `update` with each frame of one agent."""

    def __init__(self) -> None:
        self._map = MapLayer()
        self._motion = MotionTracker()
        self._moving, self._standing = _Numbers(), _Numbers()

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
        # What is gathered over frames must not be smeared by a position that jumps from frame to frame.
        if frame.T_odom_agent is None and np.trace(frame.pose_covariance[:2, :2]) / 2 > _JUMPS_M**2:
            self._map = MapLayer()
        self._map.update(frame.stamp_ns, frame.T_steady_agent, found)
        standing, map_ids = self._map.nodes(frame.T_steady_agent)
        return graph_of(
            Nodes.concatenate([moving_nodes(moving, velocities), standing]),
            np.concatenate(
                [
                    2 * self._moving.of(self._motion.track_ids, self._motion.track_ids),
                    2 * self._standing.of(map_ids, self._map.thing_ids) + 1,
                ]
            ),
            frame.agent_id,
            frame.stamp_ns,
            frame.T_world_agent,
            frame.pose_covariance,
        )


class _Numbers:
    """Small numbers for things that are counted without end; one is free again when its thing has gone."""

    def __init__(self) -> None:
        self._number_of: dict[int, int] = {}
        self._next = 0

    def of(self, things: NDArray[np.int64], there: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of each of some things (K,); `there` are all that keep theirs."""
        kept = set(there.tolist())
        self._number_of = {thing: number for thing, number in self._number_of.items() if thing in kept}
        taken = set(self._number_of.values())
        for thing in things.tolist():
            if thing not in self._number_of:
                while self._next in taken:
                    self._next = (self._next + 1) % _IDS_PER_LAYER
                self._number_of[thing] = self._next
                taken.add(self._next)
        return np.array([self._number_of[thing] for thing in things.tolist()], dtype=np.int64)


class SceneGraphBuilders:
    """The scene graphs of several agents, each with a memory of its own."""

    def __init__(self) -> None:
        self._builders: dict[str, SceneGraphBuilder] = {}

    def update(self, frame: AgentFrame, detections: Detections) -> SceneGraph:
        """Return the graph of the agent whose frame this is; see `SceneGraphBuilder.update`."""
        return self._builders.setdefault(frame.agent_id, SceneGraphBuilder()).update(frame, detections)
