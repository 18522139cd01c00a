"""The processes that speak ROS 2: player, agent, fusion, ego, channel and recorder.

Only this room imports rclpy and message packages. ros/ has what every node uses; launching.py is for launch
files alone. Which of these processes make up a run is said without ROS 2 in `cosense.runs`.
"""
