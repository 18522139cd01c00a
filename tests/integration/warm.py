"""Processes of a run that are forked from a parent which has imported everything already.

They are processes like those of `python -m cosense.nodes.agent`, with the same arguments, environment and
log, but without the seconds that each of these spends importing PyTorch. Where a real command line is the
point, in test_live_launch.py, one test starts its processes in the usual way.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from typing import IO

from cosense.runs.supervisor import die_with_parent

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [f"cosense.nodes.{name}" for name in ("agent", "channel", "ego", "fusion", "player", "recorder")]
    # What these import only when they need it.
    + ["cosense.data.recognise", "cosense.simulation", "cosense.scene_graph.correction.pose_correction"]
)


class ForkedProcess:
    """As much of `subprocess.Popen` as the supervisor uses."""

    def __init__(self, words: list[str], environment: Mapping[str, str], output: IO[bytes]) -> None:
        """Start what the command line `words` would start; see `cosense.runs.supervisor.start_process`."""
        python, dash_m, module, *arguments = words
        assert (python, dash_m) == (sys.executable, "-m")
        self._process = _CONTEXT.Process(
            target=_run, args=(module, arguments, dict(environment), output.name, os.getcwd())
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout_s: float) -> int | None:
        self._process.join(timeout_s)
        return self._process.exitcode

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _run(module: str, arguments: list[str], environment: dict[str, str], log: str, folder: str) -> None:
    """Become the process of one module, with everything as a new process would find it."""
    os.setsid()
    die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(output, stream.fileno())
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.argv = [module, *arguments]
    importlib.import_module(module).main()
