from __future__ import annotations

import os
from collections import namedtuple
from pathlib import Path

import pytest

from cosense.runs.doctor.machine import check_results, check_shared_memory, check_socket_buffers

Usage = namedtuple("Usage", "total used free")


def write_limits(folder: Path, rmem_max: int, wmem_max: int) -> Path:
    (folder / "rmem_max").write_text(f"{rmem_max}\n")
    (folder / "wmem_max").write_text(f"{wmem_max}\n")
    return folder


def test_a_stock_kernel_is_told_the_line_that_makes_room(tmp_path):
    (finding,) = check_socket_buffers(write_limits(tmp_path, 212992, 8 << 20))
    assert finding.level == "warn"
    assert "net.core.rmem_max = 212992" in finding.found
    # What is large enough stays as it is.
    assert "sysctl -w net.core.rmem_max=4194304 (" in finding.cure


def test_large_buffers_need_nothing(tmp_path):
    (finding,) = check_socket_buffers(write_limits(tmp_path, 4 << 20, 4 << 20))
    assert (finding.level, finding.cure) == ("ok", "")


def test_a_system_that_hides_its_limits_is_no_reason_to_fail(tmp_path):
    (finding,) = check_socket_buffers(tmp_path / "nowhere")
    assert finding.level == "ok"


@pytest.mark.parametrize(("free", "level"), [(10 << 20, "warn"), (1 << 30, "ok")])
def test_shared_memory_of_a_stock_container_is_small(tmp_path, monkeypatch, free, level):
    (tmp_path / "fastrtps_0a").write_bytes(b"")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(free, 0, free))
    (finding,) = check_shared_memory(tmp_path)
    assert finding.level == level
    assert "1 segment of Fast DDS" in finding.found
    assert ("--shm-size" in finding.cure) == (level == "warn")


def test_a_port_that_a_killed_process_left_unfinished_is_named_with_the_cure(tmp_path):
    path = tmp_path / "fastrtps_port7411"
    path.write_bytes(b"")
    os.utime(path, (0, 0))
    (finding,) = check_shared_memory(tmp_path)
    assert finding.level == "warn"
    assert path.name in finding.found
    assert f"rm {path}" in finding.cure


@pytest.mark.parametrize(("free", "level"), [(10 << 20, "warn"), (8 << 30, "ok")])
def test_results_need_room(tmp_path, monkeypatch, free, level):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(free, 0, free))
    (finding,) = check_results(tmp_path / "not" / "yet")
    assert finding.level == level


def test_results_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "results").write_text("a file")
    (finding,) = check_results(tmp_path / "results" / "run")
    assert finding.level == "fail"
    assert "--out" in finding.cure
