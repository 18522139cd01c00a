"""What an agent's detector and memory make of one frame: computed once, and only when it is asked for."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

from cosense.detectors.base import Detector, Encoded
from cosense.messages.scene_graph import SceneGraph
from cosense.scene_graph.extract.builder import SceneGraphBuilder
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.levelling import LevelFrame, levelled


class Perceiver:
    """The detector of one agent and its memory of static objects; call `perceive` with each of its frames.

    Attributes:
        score_threshold: boxes with a lower score do not count as seen; may be set at any time.
    """

    def __init__(self, detector: Detector, score_threshold: float = 0.0) -> None:
        self._detector = detector
        self._graphs = SceneGraphBuilder(detector.site)
        self.score_threshold = score_threshold

    def perceive(self, frame: AgentFrame) -> Perceived:
        """Return what can be seen in a frame; frames come in the order of time.

        Raises:
            CosenseError: the cloud has another shape, or coordinates that are not finite.
        """
        level = levelled(frame, self._detector.site)
        return Perceived(level, _Sight(level, self._detector, self._graphs, self.score_threshold))


class Perceived:
    """One frame of one agent with what can be seen in it, all of it in the levelled frame of the agent.

    Attributes:
        frame: what was measured, and where the agent believes to be.
    """

    def __init__(self, frame: LevelFrame, sight: _Sight) -> None:
        self.frame = frame
        self._sight = sight

    @property
    def encoded(self) -> Encoded:
        """The maps of the detector."""
        return self._sight.encoded

    @property
    def detections(self) -> Detections:
        """The agent's own boxes."""
        return self._sight.detections

    @property
    def scene_graph(self) -> SceneGraph:
        """What surrounds the agent, remembered over its frames."""
        frame = self.frame
        return replace(
            self._sight.scene_graph, T_world_agent=frame.T_world_agent, pose_covariance=frame.pose_covariance
        )

    def at_pose_of(self, frame: AgentFrame) -> Perceived:
        """Return the same sight from the pose of another `frame`, in which the agent believes instead."""
        return Perceived(self.frame.at_pose_of(frame), self._sight)


class _Sight:
    """What follows from the measurements alone, whatever pose goes with them."""

    def __init__(
        self, frame: LevelFrame, detector: Detector, graphs: SceneGraphBuilder, score_threshold: float
    ) -> None:
        self._frame = frame
        self._detector = detector
        self._graphs = graphs
        self._score_threshold = score_threshold

    @cached_property
    def encoded(self) -> Encoded:
        return self._detector.encode(self._frame)

    @cached_property
    def detections(self) -> Detections:
        found = self._detector.decode(self.encoded)
        return found[found.scores >= self._score_threshold]

    @cached_property
    def scene_graph(self) -> SceneGraph:
        return self._graphs.update(self._frame, self.detections)
