"""The command line: one module for each verb, found by its name; main.py is the program."""

import signal
import sys
from pathlib import Path

if sys.argv and (sys.argv[0] == "-m" or Path(sys.argv[0]).name == "cosense"):
    # This is the program, which is still being imported: Ctrl-C is no traceback. `main` takes over.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
