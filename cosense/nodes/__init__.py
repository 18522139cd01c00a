"""The processes that speak ROS 2: player, agent, fusion and recorder, and the scenario that starts them.

Only this room imports rclpy and message packages, and only inside the modules that need them: scenario.py,
supervisor.py, collector.py, mailbox.py, pose_join.py and topics.py work without ROS 2.
"""
