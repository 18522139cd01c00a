"""Starts the processes of a scenario without ROS 2's own launch, watches them and stops them.

A run ends when the player has played everything; who ends before has failed, whatever its exit status. When
another agent or the channel dies the others go on; when the player, the ego, its agent or its fusion dies, or
anything before the first fused frame, the run ends. Processes that respawn are started again instead, a few
times. Whatever happened, nothing is left running and the last words of who failed are in the result.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from cosense.errors import CosenseError
from cosense.runs.processes import ProcessSpec
from cosense.runs.shared_memory import FOLDER

_POLL_S = 0.1
# Ctrl-C first, so that files are completed; then what cannot be ignored.
_STOPPING = ((signal.SIGINT, 8.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))
# Ctrl-C, who stops a service, and a terminal that is closed; each of them may come twice.
_ASKS_TO_END = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_SETTLE_S = 0.5
# Folder, in that of the results, of one log a process.
LOGS = "logs"
_LAST_LINES = 12
# Opened before there are threads and children; between fork and exec nothing may be loaded.
_LIBC = ctypes.CDLL(None)
_SET_PARENT_DEATH_SIGNAL = 1
# Who dies more often than this has something that a new start does not cure.
RESPAWNS = 5
# Of shared memory, for a segment of 32 MB for each of some ten processes.
_ROOM_BYTES = 1 << 30
# Domains whose ports lie below those that Linux hands out to clients.
_DOMAINS = range(1, 100)


@dataclass(frozen=True)
class Failure:
    """A process that ended otherwise or earlier than it should.

    Attributes:
        name: name of the process.
        status: its exit status, negative for a signal.
        last_lines: end of its log.
        is_back: whether it was started again.
    """

    name: str
    status: int
    last_lines: list[str]
    is_back: bool = False

    def __str__(self) -> str:
        how = f"exit status {self.status}" if self.status >= 0 else signal.Signals(-self.status).name
        what = f"{self.name} ended with {how}" + (" and was started again" if self.is_back else "")
        return "\n  ".join([what, *self.last_lines])


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        fused: frames that came out of the fusion so far.
        last: the newest line of the fusion's journal, None before the first.
        running: process id by name, None for what has ended.
    """

    fused: int
    last: dict[str, Any] | None
    running: dict[str, int | None]


def check_ros() -> None:
    """Raise CosenseError with the cure where rclpy is missing."""
    if importlib.util.find_spec("rclpy") is None:
        raise CosenseError(
            "rclpy is not installed: source a ROS 2 installation, or `pip install 'cosense[ros]'`"
        )


def ros_environment(logs: Path) -> dict[str, str]:
    """Return the environment of all processes: what the caller has set, else kept to this machine."""
    environment = dict(os.environ)
    environment.setdefault("ROS_DOMAIN_ID", str(free_domain()))
    if environment.get("ROS_DISTRO") == "humble":
        environment.setdefault("ROS_LOCALHOST_ONLY", "1")
    else:
        environment.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    environment |= dds_environment()
    environment.setdefault("ROS_LOG_DIR", str(logs / "ros"))
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def dds_environment() -> dict[str, str]:
    """Return how Fast DDS serves a run on one machine, as far as the caller has not set it."""
    # Segments of 32 MB that do not fit end a process by a signal; transports of the caller are not replaced.
    has_room = FOLDER.is_dir() and shutil.disk_usage(FOLDER).free >= _ROOM_BYTES
    takes_memory = has_room and "FASTDDS_BUILTIN_TRANSPORTS" not in os.environ
    profiles = "fastdds_shared_memory.xml" if takes_memory else "fastdds.xml"
    wanted = {
        # Room for a few clouds of 1 MB.
        "FASTDDS_BUILTIN_TRANSPORTS": "DEFAULT?sockets_size=4MB",
        # A short wait for what did not fit, and for the confirmation of what has arrived.
        "FASTRTPS_DEFAULT_PROFILES_FILE": str(Path(__file__).with_name(profiles)),
    }
    return {name: value for name, value in wanted.items() if name not in os.environ}


def free_domain() -> int:
    """Return a DDS domain in which nobody on this machine seems to talk."""
    candidates = list(_DOMAINS)
    random.shuffle(candidates)
    for domain in candidates:
        # The port of the domain's first participant (DDSI-RTPS, 9.6.1).
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", 7410 + 250 * domain))
            except OSError:
                continue
            return domain
    return candidates[0]


def command(spec: ProcessSpec) -> list[str]:
    """Return the command line of a process."""
    words = [sys.executable, "-m", f"cosense.nodes.{spec.executable}", "--ros-args"]
    words += ["-r", f"__ns:={spec.namespace}"]
    for private, public in spec.remappings.items():
        words += ["-r", f"{private}:={public}"]
    for name, value in spec.parameters.items():
        # JSON is YAML, and its quotes keep an agent called "4279" a text.
        words += ["-p", f"{name}:={json.dumps(value)}"]
    return words


class Supervisor:
    """Runs the processes of one scenario."""

    def __init__(self, specs: Sequence[ProcessSpec], out: Path, environment: Mapping[str, str]) -> None:
        self._specs = list(specs)
        self._journal = JournalTail(out / "detections.jsonl")
        # Where the ego is on another machine, the run has begun when it is played.
        fuses = any(spec.name == "ego" for spec in specs)
        self._beginning = self._journal if fuses else JournalTail(out / "frames.jsonl")
        self._logs = out / LOGS
        self._environment = environment
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._failures: list[Failure] = []
        # Who is dead for good, and who of these has to live.
        self._failed: set[str] = set()
        self._vital = {spec.name for spec in specs if spec.is_vital}

    def run(self, on_progress: Callable[[Progress], None]) -> list[Failure]:
        """Start everything, wait for the player, stop everything; return who failed.

        Raises:
            KeyboardInterrupt: Ctrl-C, SIGTERM or a terminal that was closed; everything is stopped before it
                goes on.
        """
        self._logs.mkdir(parents=True, exist_ok=True)
        with _stopped_once():
            try:
                for spec in self._specs:
                    self._start(spec)
                while not self._is_over():
                    on_progress(self._progress())
                    time.sleep(_POLL_S)
            finally:
                self.stop()
        on_progress(self._progress())
        return self._failures

    def stop(self) -> None:
        """End what still runs, politely first; the recorder last, when it has recorded all the others."""
        recorder = [process for name, process in self._processes.items() if name == "recorder"]
        _end([process for name, process in self._processes.items() if name != "recorder"])
        if recorder:
            time.sleep(_SETTLE_S)
            _end(recorder)

    def _start(self, spec: ProcessSpec) -> None:
        with self._log(spec.name).open("ab" if spec.name in self._processes else "wb") as output:
            self._processes[spec.name] = start_process(
                command(spec), {**self._environment, **spec.environment}, output
            )

    def _is_over(self) -> bool:
        """Look after all processes; True if the run has to end."""
        # Asked first: who ends after the player has not failed.
        has_played = self._processes["player"].poll() is not None
        for spec in self._specs:
            process = self._processes[spec.name]
            # The player may end while this looks after the others.
            may_end = has_played or spec.name == "player"
            is_fine = process.poll() is None or (process.returncode == 0 and may_end)
            if not is_fine and spec.name not in self._failed:
                self._bury(spec, process.returncode, may_respawn=not has_played)
        has_begun = self._beginning.read()[0] > 0
        return has_played or bool(self._failed & self._vital) or (bool(self._failed) and not has_begun)

    def _bury(self, spec: ProcessSpec, status: int, *, may_respawn: bool) -> None:
        """Note a death, and start the process again where that is wanted."""
        deaths = sum(failure.name == spec.name for failure in self._failures)
        is_back = spec.respawn and may_respawn and deaths < RESPAWNS
        self._failures.append(Failure(spec.name, status, _tail(self._log(spec.name)), is_back))
        if is_back:
            self._start(spec)
        else:
            self._failed.add(spec.name)

    def _progress(self) -> Progress:
        running = {
            name: process.pid if process.poll() is None else None for name, process in self._processes.items()
        }
        return Progress(*self._journal.read(), running)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"


@contextmanager
def _stopped_once() -> Iterator[None]:
    """Raise one KeyboardInterrupt for whatever asks to end; what is done then is not disturbed again."""
    is_main = threading.current_thread() is threading.main_thread()
    before = {each: signal.getsignal(each) for each in _ASKS_TO_END if is_main}
    taken = {each: was for each, was in before.items() if was in (signal.SIG_DFL, signal.default_int_handler)}

    def interrupt(*_: object) -> None:
        for each in taken:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in taken:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each, was in taken.items():
            signal.signal(each, was)


class JournalTail:
    """Follows a growing file of JSON lines without reading it anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._count = 0
        self._last: dict[str, Any] | None = None

    def read(self) -> tuple[int, dict[str, Any] | None]:
        """Return the number of complete lines so far and the last of them."""
        if self._path.is_file():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                complete, newline, _ = file.read().rpartition(b"\n")
            if newline:
                self._offset += len(complete) + 1
                lines = complete.split(b"\n")
                self._count += len(lines)
                self._last = json.loads(lines[-1])
        return self._count, self._last


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Stop processes by ever harder signals until all are gone."""
    for number, patience_s in _STOPPING:
        running = [process for process in processes if process.poll() is None]
        for process in running:
            process.send_signal(number)
        end_s = time.monotonic() + patience_s
        while any(process.poll() is None for process in running) and time.monotonic() < end_s:
            time.sleep(_POLL_S / 2)


def start_process(
    words: list[str], environment: Mapping[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a process that the terminal's Ctrl-C does not reach and that does not outlive this one."""
    return subprocess.Popen(
        words,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=die_with_parent if sys.platform == "linux" else None,
    )


def die_with_parent() -> None:
    """Ask Linux to end this process when its parent is gone, even by kill -9."""
    _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def _tail(path: Path) -> list[str]:
    lines = path.read_text(errors="replace").splitlines()
    return lines[-_LAST_LINES:]
