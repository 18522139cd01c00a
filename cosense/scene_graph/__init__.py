"""SG-Reg: compact semantic scene graphs, registered coarse to fine to find the pose between agents."""

from cosense.scene_graph.build import build

__all__ = ["build"]
