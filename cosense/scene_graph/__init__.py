"""SG-Reg: compact semantic scene graphs that find or set right the pose between agents."""

from cosense.messages.scene_graph import NodeClass, SceneGraph
from cosense.scene_graph.describe.describe import describe
from cosense.scene_graph.extract.builder import build
from cosense.scene_graph.register.pipeline import register
from cosense.scene_graph.register.result import Prior, Registration, Settings, Status

__all__ = [
    "NodeClass",
    "Prior",
    "Registration",
    "SceneGraph",
    "Settings",
    "Status",
    "build",
    "describe",
    "register",
]
