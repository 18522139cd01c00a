"""Whether two processes find each other over DDS, and how long their messages take: tried, not guessed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosense.errors import counted
from cosense.runs.doctor.finding import Finding
from cosense.runs.supervisor import free_domain, ros_environment

# Together with the rest `cosense doctor` has to answer in 20 s.
PATIENCE_S = 6.0
_START_S = 15.0
_SLOW_DISCOVERY_S = 3.0
_STOP_S = 2.0


@dataclass(frozen=True)
class Sent:
    """What became of messages of one size.

    Attributes:
        size_bytes: size of each message.
        sent: number of messages that were sent.
        delays_ms: time from one process to the other, one number per message that arrived.
    """

    size_bytes: int
    sent: int
    delays_ms: tuple[float, ...]


@dataclass(frozen=True)
class Measured:
    """What two processes saw of each other.

    Attributes:
        discovery_s: until both had found each other, None if they never did.
        sent: one entry per size of message.
        trouble: last words of a process that broke, else empty.
    """

    discovery_s: float | None
    sent: tuple[Sent, ...] = ()
    trouble: str = ""


def check_dds() -> list[Finding]:
    """Let two processes find each other and exchange messages of 2 kB and 1 MB."""
    if importlib.util.find_spec("rclpy") is None:
        return []
    with tempfile.TemporaryDirectory(prefix="cosense-doctor-") as logs:
        # A domain of its own, so that nobody who talks on this machine is disturbed or received.
        environment = {**ros_environment(Path(logs)), "ROS_DOMAIN_ID": str(free_domain())}
        return findings_of(measure(environment))


def measure(environment: Mapping[str, str]) -> Measured:
    """Start two processes and return what they saw; nothing is left running.

    Args:
        environment: variables of both processes.
    """
    words = [sys.executable, "-m", "cosense.nodes.ros.dds_probe", str(PATIENCE_S)]
    options: dict[str, Any] = {"env": dict(environment), "stdin": subprocess.DEVNULL, "text": True}
    answering = subprocess.Popen(
        [*words, "answer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options
    )
    asking = subprocess.Popen([*words, "ask"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    try:
        output, errors = asking.communicate(timeout=_START_S + PATIENCE_S)
    except subprocess.TimeoutExpired:
        return Measured(None, trouble=f"no answer within {_START_S + PATIENCE_S:.0f} s")
    finally:
        _end(asking, answering)
    if asking.returncode != 0:
        last = errors.strip().splitlines()[-1:] or [f"exit status {asking.returncode}"]
        return Measured(None, trouble=last[0])
    seen = json.loads(output)
    sent = tuple(Sent(each["size_bytes"], each["sent"], tuple(each["delays_ms"])) for each in seen["sent"])
    return Measured(seen["discovery_s"], sent)


def findings_of(measured: Measured) -> list[Finding]:
    """Return what to say about it."""
    if measured.trouble:
        cure = "check RMW_IMPLEMENTATION and, if you have set one, your DDS profile"
        return [Finding("DDS", "fail", f"a process broke: {measured.trouble}", cure)]
    if measured.discovery_s is None:
        cure = (
            "let UDP pass on the loopback interface (firewall, container, VPN), unset your own DDS profile, "
            "and see 'discovery' above"
        )
        return [Finding("DDS", "fail", f"two processes did not find each other in {PATIENCE_S:.0f} s", cure)]
    found = f"two processes found each other in {measured.discovery_s:.2f} s"
    if measured.discovery_s > _SLOW_DISCOVERY_S:
        cure = "this machine is very busy, or a DDS profile of your own announces rarely"
        return [Finding("DDS", "warn", found, cure), *map(_finding_of, measured.sent)]
    return [Finding("DDS", "ok", found), *map(_finding_of, measured.sent)]


def _finding_of(sent: Sent) -> Finding:
    size = f"{sent.size_bytes / 1e6:.0f} MB" if sent.size_bytes >= 1e6 else f"{sent.size_bytes / 1e3:.0f} kB"
    arrived = len(sent.delays_ms)
    if arrived < sent.sent:
        cure = "see 'socket buffers' and 'shared memory'"
        return Finding("DDS", "fail", f"{arrived} of {counted(sent.sent, 'message')} of {size} arrived", cure)
    middle = sorted(sent.delays_ms)[arrived // 2]
    return Finding(
        "DDS", "ok", f"messages of {size} take {middle:.1f} ms, {max(sent.delays_ms):.1f} ms at worst"
    )


def _end(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        process.terminate()
    end_s = time.monotonic() + _STOP_S
    for process in processes:
        try:
            process.wait(max(0.0, end_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
