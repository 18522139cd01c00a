"""From one frame and its detections to a scene graph: `build`.

Boxes become the nodes that move, with their centres (not the means of visible points); the rest of the
cloud becomes the nodes that stand, see `static_objects`. `builder` does the same over many frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cosense.geometry.transforms import Matrix
from cosense.messages.scene_graph import NodeClass, SceneGraph
from cosense.scene_graph.extract.static_objects import static_objects
from cosense.scene_graph.found import Nodes
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import VEHICLES, ObjectClass

# Below that more boxes are wrong than right.
LEAST_SCORE = 0.3
_PEOPLE = (ObjectClass.PEDESTRIAN,)
_RIDERS = (ObjectClass.CYCLIST, ObjectClass.TRICYCLIST, ObjectClass.MOTORCYCLIST)
# Of a box's place, per axis, as measured on simulated scenes: sure and near, what a metre of distance adds,
# and what a doubtful score adds to a vehicle's.
_SIGMA_M, _SIGMA_PER_M, _SIGMA_DOUBT_M = 0.06, 0.0015, 0.5


def build(frame: AgentFrame | NDArray[np.float32], detections: Detections) -> SceneGraph:
    """Return the scene graph of one frame, or of a bare cloud.

    Args:
        frame: its cloud in a frame with z up and the sensor at the origin; or such a cloud (N,>=3), which
            then has an identity pose, no stamp and no name.
        detections: of the same cloud, in the same frame.

    Returns:
        Nodes numbered from 0, what moves first; velocities of what moves are not known.

    Raises:
        CosenseError: the cloud has another shape, or coordinates that are not finite.
    """
    points = frame.points if isinstance(frame, AgentFrame) else frame
    moving = detections[sure_enough(detections)]
    nodes = Nodes.concatenate(
        [moving_nodes(moving, np.full((len(moving), 2), np.nan)), static_objects(points, moving.boxes).nodes]
    )
    ids = np.arange(len(nodes))
    if isinstance(frame, AgentFrame):
        return graph_of(
            nodes, ids, frame.agent_id, frame.stamp_ns, frame.T_world_agent, frame.pose_covariance
        )
    return graph_of(nodes, ids, "", 0, np.eye(4), np.zeros((3, 3)))


def moving_nodes(detections: Detections, velocities: NDArray[np.float64]) -> Nodes:
    """Return a node for each detection, in their order.

    Args:
        detections: in the frame of the graph, those that are `sure_enough`.
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


def graph_of(
    nodes: Nodes,
    ids: NDArray[np.int64],
    agent_id: str,
    stamp_ns: int,
    T_world_agent: Matrix,
    pose_covariance: NDArray[np.float64],
    descriptors: NDArray[np.float32] | None = None,
) -> SceneGraph:
    """Return found nodes as the graph of an agent."""
    return SceneGraph(
        agent_id=agent_id,
        stamp_ns=stamp_ns,
        T_world_agent=T_world_agent,
        pose_covariance=pose_covariance,
        ids=np.asarray(ids, np.int64),
        classes=nodes.classes,
        positions=nodes.positions,
        sizes=nodes.sizes,
        yaws=nodes.yaws,
        velocities=nodes.velocities,
        sigmas_m=nodes.sigmas_m,
        scores=nodes.scores,
        descriptors=descriptors,
    )


def _classes(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the node class of each `ObjectClass`; what is none of these is UNKNOWN, not left out."""
    classes = np.full(len(labels), NodeClass.UNKNOWN, dtype=np.int64)
    for kind, group in (
        (NodeClass.VEHICLE, VEHICLES),
        (NodeClass.PERSON, _PEOPLE),
        (NodeClass.RIDER, _RIDERS),
    ):
        classes[np.isin(labels, group)] = kind
    return classes
