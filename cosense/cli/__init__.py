"""The command line: one module for each verb, found by its name; main.py is the program."""

import signal
import sys
from pathlib import Path

_is_program = bool(sys.argv) and (sys.argv[0] == "-m" or Path(sys.argv[0]).name == "cosense")
# Where it is ignored, as in the background of a script, it stays ignored.
if _is_program and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # This is the program, which is still being imported: Ctrl-C is no traceback. `main` takes over.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
