"""Recordings for Rerun: what is in the file, and that nobody waits for it."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cosense.cooperation.outcome import FusionResult
from cosense.errors import CosenseError
from cosense.messages.reports import PeerReport
from cosense.sensing.detections import Detections
from cosense.viewer.pack import ReportFrame
from cosense.viewer.rerun_log import NewestSlot, RerunLog
from tests.evaluation.scenes import two_agents


class Recorder:
    """Stands in for Rerun's SDK: keeps what is logged."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, str, str]] = []
        self.saved: list[Path] = []
        self._frame = -1

    def __getattr__(self, name: str) -> Any:
        return lambda *values, **named: (name, values, named)

    def RecordingStream(self, name: str) -> Recorder:
        return self

    def save(self, path: Path, default_blueprint: Any) -> None:
        self.saved.append(path)

    def set_time(self, timeline: str, *, sequence: int | None = None, timestamp: Any = None) -> None:
        self._frame = self._frame if sequence is None else sequence

    def log(self, path: list[str], entity: Any) -> None:
        self.logged.append((self._frame, "/".join(path), entity[0]))


def page(seed: int, mode: str = "") -> ReportFrame:
    result = FusionResult(Detections.empty(), [PeerReport("unit", 120, "boxes")])
    return ReportFrame(two_agents(seed), result, mode=mode, elapsed_ms=12.5)


def test_what_a_frame_does_not_have_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr("cosense.viewer.rerun_log._import_rerun", lambda: (recorder, recorder))
    with RerunLog(str(tmp_path / "deep" / "a.rrd"), "title") as log:
        log.add(5, page(0, mode="LATE: 'unit' is late"))
        log.add(6, ReportFrame(two_agents(1)))
    assert recorder.saved == [tmp_path / "deep" / "a.rrd"]
    first = {path: kind for frame, path, kind in recorder.logged if frame == 5}
    second = {path: kind for frame, path, kind in recorder.logged if frame == 6}
    assert first == {
        "ego/ego": "Points3D",
        "ego/unit": "Points3D",
        "ego/ground truth": "LineStrips3D",
        "bytes/unit": "Scalars",
        "latency/ms": "Scalars",
        "mode": "TextLog",
    }
    assert second == first | dict.fromkeys(("bytes/unit", "latency/ms", "mode"), "Clear")


def test_rerun_itself_reads_what_was_recorded(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="Rerun's SDK is not installed")
    target = tmp_path / "a.rrd"
    with RerunLog(str(target), "title") as log:
        log.add(0, page(0, mode="LATE"))
    words = [sys.executable, "-m", "rerun", "rrd", "stats", str(target)]
    read = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    entities = re.findall(r"^/(.*): \d+$", read.replace("\\ ", " "), re.MULTILINE)
    names = {"ego/ego", "ego/unit", "ego/ground truth", "bytes/unit", "latency/ms", "mode"}
    assert names <= set(entities)


def test_a_target_that_is_no_recording_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    with monkeypatch.context() as patch:
        patch.setattr("cosense.viewer.rerun_log._import_rerun", lambda: (recorder, recorder))
        with pytest.raises(CosenseError, match=r"--rerun a.png: expected a file that ends in .rrd"):
            RerunLog("a.png", "title")
        with pytest.raises(CosenseError, match=r"/proc/a.rrd: cannot be written"):
            RerunLog("/proc/a.rrd", "title")
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(CosenseError, match=r"needs Rerun's SDK .*pip install 'cosense\[rerun\]'"):
        RerunLog(str(tmp_path / "a.rrd"), "title")


def test_whoever_offers_never_waits_and_the_newest_is_worked_on() -> None:
    """The function hangs in the first value; of those that come meanwhile it gets the last."""
    started, goes_on, seen = threading.Event(), threading.Event(), []

    def work(value: int) -> None:
        seen.append(value)
        started.set()
        goes_on.wait(10)

    with NewestSlot(work) as slot:
        slot.offer(0)
        assert started.wait(10)
        for value in range(1, 5):
            slot.offer(value)
        goes_on.set()
    assert seen == [0, 4]
    assert slot.num_replaced == 3


def test_what_goes_wrong_in_the_thread_is_said_at_the_end() -> None:
    def work(value: int) -> None:
        raise CosenseError("disk full")

    with pytest.raises(CosenseError, match="disk full"), NewestSlot(work) as slot:
        slot.offer(1)
