"""From frames and their detections to scene graphs: `build` for one frame, `SceneGraphBuilder` for many.

Detected boxes become the dynamic nodes, with their centres (not the means of visible points); the rest of the
cloud becomes the static nodes, see `static_layer`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import invert
from cosense.messages.scene_graph import NodeClass, SceneGraph
from cosense.scene_graph.extract.static_layer import StaticLayer, static_objects
from cosense.scene_graph.nodes import Nodes, graph_of
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.ground import ANY_SITE, GroundSettings
from cosense.sensing.levelling import LevelFrame, levelled
from cosense.sensing.objects import RIDERS, VEHICLES, ObjectClass
from cosense.tracking.motion import MotionTracker

# Below this score more boxes are wrong than right.
LEAST_SCORE = 0.3
_PEOPLE = (ObjectClass.PEDESTRIAN,)
# Standard deviation of the centre of a box per axis, measured on simulated scenes: of a near box with a score
# of 1, what a metre of distance adds, and what a score of 0 adds to that of a vehicle.
_SIGMA_M, _SIGMA_PER_M, _SIGMA_DOUBT_M = 0.06, 0.0015, 0.5
# Ids are even for dynamic and odd for static nodes.
_IDS_PER_LAYER = 1 << 15
# An agent without odometry whose position is less certain than this may be somewhere else in the next frame:
# static objects cannot be gathered then.
_JUMPS_M = 0.2


def build(
    frame: AgentFrame | NDArray[np.float32],
    detections: Detections,
    site: GroundSettings = ANY_SITE,
) -> SceneGraph:
    """Return the scene graph of one frame, or of a bare cloud.

    Args:
        frame: frame whose cloud has z roughly up and the sensor at the origin; or such a cloud (N,>=3), whose
            graph then has no stamp and no name, and the pose of the levelled frame in that of the cloud.
        detections: boxes in the same cloud and frame.
        site: what is assumed of the ground around the sensor.

    Returns:
        Nodes in the levelled frame, which is that of its pose, numbered from 0, dynamic ones first;
        velocities of dynamic nodes are not known.

    Raises:
        CosenseError: the cloud has another shape, or coordinates that are not finite.
    """
    if not isinstance(frame, AgentFrame):
        frame = AgentFrame("", "vehicle", 0, np.eye(4), frame)
    level, dynamic = _levelled(frame, detections, site)
    velocities = np.full((len(dynamic), 2), np.nan)
    static = static_objects(level.points, level.ground, dynamic.boxes, site.reach_m[0]).nodes
    nodes = Nodes.concatenate([dynamic_nodes(dynamic, velocities), static])
    ids = np.arange(len(nodes))
    return graph_of(nodes, ids, level.agent_id, level.stamp_ns, level.T_world_agent, level.pose_covariance)


def _levelled(
    frame: AgentFrame, detections: Detections, site: GroundSettings
) -> tuple[LevelFrame, Detections]:
    """Return a frame and those detections that are sure enough, given in it, in its levelled frame."""
    level, sure = levelled(frame, site), detections[sure_enough(detections)]
    return level, sure if level is frame else sure.transformed(invert(level.T_sensor_level))


def dynamic_nodes(detections: Detections, velocities: NDArray[np.float64]) -> Nodes:
    """Return a node for each of M detections, in their order; positions are those of box centres.

    Args:
        detections: boxes in the frame of the graph, those that are `sure_enough`.
        velocities: (M,2) m/s, NaN where not known.
    """
    boxes, scores = detections.boxes, detections.scores.astype(np.float64)
    classes = _classes(detections.labels)
    sigmas = _SIGMA_M + _SIGMA_PER_M * np.hypot(boxes[:, 0], boxes[:, 1])
    sigmas[classes == NodeClass.VEHICLE] += _SIGMA_DOUBT_M * (1 - scores[classes == NodeClass.VEHICLE])
    return Nodes(
        classes=classes,
        positions=boxes[:, :3],
        sizes=boxes[:, 3:6],
        yaws=boxes[:, 6],
        velocities=velocities,
        sigmas_m=sigmas,
        scores=scores,
    )


def sure_enough(detections: Detections) -> NDArray[np.bool_]:
    """Tell which detections (M,) become nodes: a score of at least 0.3, and finite."""
    return np.asarray((detections.scores >= LEAST_SCORE) & np.isfinite(detections.boxes).all(axis=1))


def _classes(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the node class of each `ObjectClass`; other classes are UNKNOWN, not left out."""
    classes = np.full(len(labels), NodeClass.UNKNOWN, dtype=np.int64)
    for kind, group in (
        (NodeClass.VEHICLE, VEHICLES),
        (NodeClass.PERSON, _PEOPLE),
        (NodeClass.RIDER, RIDERS),
    ):
        classes[np.isin(labels, group)] = kind
    return classes


class SceneGraphBuilder:
    """The scene graphs of one agent, frame after frame: like `build`, with memory."""

    def __init__(self, site: GroundSettings = ANY_SITE) -> None:
        """Start without memory; `site` is what is assumed of the ground around the sensor."""
        self._site = site
        self._static = StaticLayer()
        self._motion = MotionTracker()
        self._dynamic_ids, self._static_ids = _Numbers(), _Numbers()

    def update(self, frame: AgentFrame, detections: Detections) -> SceneGraph:
        """Return the graph at the stamp of a frame.

        Args:
            frame: frame after the previous one; a step back in time starts over.
            detections: boxes in its cloud, in its frame.

        Returns:
            Nodes in the levelled frame: dynamic ones first, with velocities where they are known; then static
            ones, also those seen earlier that are out of sight by now. The same object keeps its id.

        Raises:
            CosenseError: the cloud has another shape, or coordinates that are not finite.
        """
        frame, dynamic = _levelled(frame, detections, self._site)
        found = static_objects(frame.points, frame.ground, dynamic.boxes, self._site.reach_m[0])
        velocities = self._motion.velocities(frame, dynamic)
        # Objects gathered over frames must not be smeared by a position that jumps from frame to frame.
        if frame.T_odom_agent is None and np.trace(frame.pose_covariance[:2, :2]) / 2 > _JUMPS_M**2:
            self._static = StaticLayer()
        self._static.update(frame.stamp_ns, frame.T_steady_agent, found)
        static, landmark_ids = self._static.nodes(frame.T_steady_agent)
        return graph_of(
            Nodes.concatenate([dynamic_nodes(dynamic, velocities), static]),
            np.concatenate(
                [
                    2 * self._dynamic_ids.of(self._motion.track_ids, self._motion.track_ids),
                    2 * self._static_ids.of(landmark_ids, self._static.landmark_ids) + 1,
                ]
            ),
            frame.agent_id,
            frame.stamp_ns,
            frame.T_world_agent,
            frame.pose_covariance,
        )


class _Numbers:
    """Small numbers for objects that are counted without end; free again once their object has gone."""

    def __init__(self) -> None:
        self._number_of: dict[int, int] = {}
        self._next = 0

    def of(self, objects: NDArray[np.int64], remembered: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the number of each of K objects; all `remembered` ones keep their number."""
        kept = set(remembered.tolist())
        self._number_of = {item: number for item, number in self._number_of.items() if item in kept}
        taken = set(self._number_of.values())
        for item in objects.tolist():
            if item not in self._number_of:
                while self._next in taken:
                    self._next = (self._next + 1) % _IDS_PER_LAYER
                self._number_of[item] = self._next
                taken.add(self._next)
        return np.array([self._number_of[item] for item in objects.tolist()], dtype=np.int64)
