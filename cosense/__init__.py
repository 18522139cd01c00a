"""cosense: collaborative perception on ROS 2."""

__version__ = "0.1.0"
