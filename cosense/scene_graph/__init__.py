"""SG-Reg: compact semantic scene graphs, registered coarse to fine to find or repair the pose between agents."""
