from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cosense.runs import shared_memory
from cosense.runs.shared_memory import remove_unfinished_ports, unfinished_ports
from cosense.runs.supervisor import free_domain

READY, MAKING = b"\2\0\0\0", b"\1\0\0\0"


def port(folder: Path, name: str, content: bytes, age_s: float = 60.0) -> Path:
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def test_only_ports_that_nobody_finishes_are_removed(tmp_path):
    empty = port(tmp_path, "fastrtps_port7411", b"")
    unsaid = port(tmp_path, "fastrtps_port7413", bytes(52400))
    halfway = port(tmp_path, "fastrtps_port7415", MAKING + bytes(52396))
    kept = [
        port(tmp_path, "fastrtps_port7417", READY + bytes(52396)),
        # Its maker may still be at it.
        port(tmp_path, "fastrtps_port7419", b"", age_s=0.0),
        # Locks, segments and semaphores are none.
        port(tmp_path, "fastrtps_port7411_el", b""),
        port(tmp_path, "fastrtps_0123456789abcdef", b""),
        port(tmp_path, "sem.fastrtps_port7411_mutex", b""),
    ]
    assert unfinished_ports(tmp_path) == [empty, unsaid, halfway]
    assert remove_unfinished_ports(tmp_path) == []
    assert sorted(tmp_path.iterdir()) == sorted(kept)
    assert remove_unfinished_ports(tmp_path / "nowhere") == []


def test_a_port_that_cannot_be_removed_is_named_with_the_cure(tmp_path, monkeypatch):
    path = port(tmp_path, "fastrtps_port7411", b"")

    def refused(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refused)
    (sentence,) = remove_unfinished_ports(tmp_path)
    assert f"sudo rm {path}" in sentence
    assert "Operation not permitted" in sentence


@pytest.mark.skipif(not shared_memory.FOLDER.is_dir(), reason="no shared memory here")
def test_a_node_starts_where_a_killed_process_left_its_port_unfinished():
    """Fast DDS itself waits for such a port without end."""
    pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
    domain = free_domain()
    # Port of the first participant of a domain (DDSI-RTPS, 9.6.1), which Fast DDS takes in shared memory too.
    path = port(shared_memory.FOLDER, f"fastrtps_port{7411 + 250 * domain}", b"")
    local = {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    try:
        subprocess.run(
            [sys.executable, "-m", "cosense.nodes.ros.dds_probe", "1", "answer"],
            env=os.environ | local,
            timeout=60,
            check=True,
        )
    finally:
        path.unlink(missing_ok=True)
