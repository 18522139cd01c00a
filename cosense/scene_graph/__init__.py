"""SG-Reg: compact semantic scene graphs that find or correct the pose between agents."""
