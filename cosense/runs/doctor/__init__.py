"""What `cosense doctor` looks at: each check is a function that returns findings and changes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from cosense.runs.doctor import machine, ros, software
from cosense.runs.doctor.dds import check_dds
from cosense.runs.doctor.finding import Finding, Level
from cosense.runs.doctor.sparse_convolutions import check_spconv

__all__ = ["Finding", "Level", "examine"]

Check = Callable[[], list[Finding]]


def examine(results: Path, on_start: Callable[[str], None] = lambda what: None) -> list[Finding]:
    """Check everything that a live run needs, in less than 20 s.

    Args:
        results: where results are to be written; it need not exist.
        on_start: receives the name of each check before it runs.
    """
    return [
        finding for what, check in _checks(results, os.environ) for finding in _run(what, check, on_start)
    ]


def _checks(results: Path, environment: Mapping[str, str]) -> list[tuple[str, Check]]:
    return [
        ("cosense", software.check_cosense),
        ("libraries", software.check_libraries),
        ("PyTorch", software.check_torch),
        ("optional extras", software.check_extras),
        ("spconv", check_spconv),
        ("rclpy", lambda: ros.check_rclpy(environment)),
        ("RMW", lambda: ros.check_rmw(environment)),
        ("domain", lambda: ros.check_domain(environment)),
        ("discovery", lambda: ros.check_discovery_range(environment)),
        ("messages", lambda: ros.check_messages(environment)),
        ("ros2 launch", lambda: ros.check_launch(environment)),
        ("socket buffers", machine.check_socket_buffers),
        ("shared memory", machine.check_shared_memory),
        ("DDS", check_dds),
        ("models", software.check_models),
        ("results", lambda: machine.check_results(results)),
    ]


def _run(what: str, check: Check, on_start: Callable[[str], None]) -> list[Finding]:
    on_start(what)
    try:
        return check()
    # A broken installation breaks in ways that nobody foresees; the other checks are still worth having.
    except Exception as error:
        found = f"could not be checked: {type(error).__name__}: {error}"
        return [Finding(what, "fail", found, "report this line with what `pip list` says")]
