"""The processes that speak ROS 2: player, agent, fusion, ego and recorder, and the scenario that starts them.

Only this room imports rclpy and message packages, and only inside the modules that need them: scenario.py,
processes.py, supervisor.py, method.py, collector.py, feature_store.py, mailbox.py, pose_join.py, topics.py,
the layouts and the diagnosis work without ROS 2; launching.py is for launch files alone.
"""
