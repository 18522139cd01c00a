"""The processes that speak ROS 2: player, agent, fusion, ego, channel and recorder.

Only this room imports rclpy and message packages. ros/ has what every node uses; launching.py is for launch
files alone. Which of these processes make up a run is said without ROS 2 in `cosense.runs`.
"""

import signal
import sys

if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # One of these modules is run, and its imports take seconds: Ctrl-C is no traceback of theirs. As soon as
    # there is something to end in order, ros/process.py does.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
