"""Checks of the machine: socket buffers, shared memory, disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cosense.errors import counted
from cosense.runs.doctor.finding import Finding
from cosense.runs.shared_memory import FOLDER, unfinished_ports

# What supervisor.dds_environment asks for: room for a few clouds of 1 MB.
_SOCKET_BYTES = 4 << 20
# What Docker gives a container that asks for nothing.
_SHARED_MEMORY_BYTES = 64 << 20
# What four agents with clouds of 1 MB at 10 Hz record in 25 s.
_DISK_BYTES = 1 << 30


def check_socket_buffers(folder: Path = Path("/proc/sys/net/core")) -> list[Finding]:
    """Compare the kernel's limits with what a cloud of 1 MB over UDP needs.

    Args:
        folder: where the kernel shows its limits.
    """
    try:
        limits = {name: int((folder / name).read_text()) for name in ("rmem_max", "wmem_max")}
    except OSError:
        return [Finding("socket buffers", "ok", "this system does not show its limits")]
    found = ", ".join(f"net.core.{name} = {value}" for name, value in limits.items())
    small = [name for name, value in limits.items() if value < _SOCKET_BYTES]
    if not small:
        return [Finding("socket buffers", "ok", found)]
    settings = " ".join(f"net.core.{name}={_SOCKET_BYTES}" for name in small)
    cure = (
        f"sudo sysctl -w {settings} (to keep it, write it into /etc/sysctl.d/60-cosense.conf); "
        "until then clouds of 1 MB over the network get lost, messages between agents do not"
    )
    return [Finding("socket buffers", "warn", found, cure)]


def check_shared_memory(folder: Path = FOLDER) -> list[Finding]:
    """Say how much room Fast DDS has for what does not leave this machine, and what blocks it.

    Args:
        folder: where shared memory is.
    """
    if not folder.is_dir():
        return [Finding("shared memory", "ok", f"{folder} is not there; DDS uses the network instead")]
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e6:.0f} MB free in {folder}"
    segments = list(folder.glob("fastrtps_*"))
    if segments:
        found += f", {counted(len(segments), 'segment')} of Fast DDS"
    unfinished = unfinished_ports(folder)
    if unfinished:
        found += f", {', '.join(path.name for path in unfinished)} left unfinished by a killed process"
        cure = (
            f"rm {' '.join(map(str, unfinished))} (our nodes do so at their start; others wait without end)"
        )
        return [Finding("shared memory", "warn", found, cure)]
    if free >= _SHARED_MEMORY_BYTES:
        return [Finding("shared memory", "ok", found)]
    cure = (
        "in Docker: --shm-size=1g; elsewhere, when no ROS 2 process runs, remove what killed ones have "
        f"left: rm {folder}/fastrtps_* {folder}/sem.fastrtps_*"
    )
    return [Finding("shared memory", "warn", found, cure)]


def check_results(folder: Path) -> list[Finding]:
    """Say whether results can be written and how much fits.

    Args:
        folder: where results go; it need not exist yet.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        cure = "give every command a folder of your own with --out"
        return [Finding("results", "fail", f"nothing can be written into {there}", cure)]
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:.1f} GB free for {folder}"
    if free < _DISK_BYTES:
        return [Finding("results", "warn", found, "make room before you record: a bag with clouds is large")]
    return [Finding("results", "ok", found)]
