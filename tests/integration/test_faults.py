"""What happens when something fails, with real processes; docs/live.md says the same in words."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from cosense import topics
from cosense.cooperation.peers import SynchroniserSettings
from cosense.evaluation.run_files import FusedFrame, read_fused_frames
from cosense.runs.frame_source import FrameSource
from cosense.runs.scenario import AgentSpec, PlayerSettings, Scenario, resolved
from cosense.runs.supervisor import Progress
from cosense.sensing.detections import Source as BoxSource
from tests.integration.supervised import Stranger, run_supervised
from tests.nodes.tiny import write_scene, write_sharing_model

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
pytestmark = pytest.mark.clock

PEER = "agent-agent_minus_1"
BUDGET_BYTES = 600
# Slow motion, so that a machine with other things to do keeps up: a frame every 400 ms.
RATE = 0.25
# Longest time without a new frame; ten of them, since the machine may do something else meanwhile.
LONGEST_GAP_S = 4.0


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_sharing_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """One sequence of half a minute."""
    return write_scene(tmp_path_factory.mktemp("data") / "scene", frames=300)


@pytest.fixture
def scenario(model, data) -> Scenario:
    """One that goes by the clock."""
    return resolved(
        Scenario(
            source=FrameSource(data=data),
            model=str(model),
            registration="none",
            budget_bytes=BUDGET_BYTES,
            player=PlayerSettings(mode="rate", rate=RATE),
            synchroniser=SynchroniserSettings(timeout_ms=80.0),
        )
    )


def modes(journal: list[FusedFrame]) -> list[str]:
    """Return the modes of a run, each once in a row."""
    names = [entry.mode for entry in journal]
    return [name for index, name in enumerate(names) if index == 0 or names[index - 1] != name]


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def mode(progress: Progress) -> str:
    """Return the mode of the newest frame."""
    return progress.last["mode"] if progress.last else ""


def until(is_so: Callable[[Progress], bool]) -> Generator[None, Progress, Progress]:
    """Let the run go on until something has happened; the time-out of the test is the only limit."""
    while True:
        progress = yield
        if is_so(progress):
            return progress


def test_a_peer_and_the_ego_that_are_killed_come_back_and_the_frames_go_on(scenario, tmp_path):
    out = tmp_path / "run"
    ego_died_at: list[int] = []

    def events() -> Generator[None, Progress, None]:
        progress = yield from until(lambda now: now.fused >= 5 and mode(now) == "HYBRID")
        first = progress.running[PEER]
        kill(first)
        progress = yield from until(lambda now: now.running[PEER] not in (None, first))
        # However soon the next one would be ready: it is held until the ego has been on its own.
        second = progress.running[PEER]
        assert second is not None
        os.kill(second, signal.SIGSTOP)
        yield from until(lambda now: mode(now) == "EGO")
        os.kill(second, signal.SIGCONT)
        progress = yield from until(lambda now: mode(now) == "HYBRID")
        kill(progress.running["ego"])
        ego_died_at.append(progress.fused)
        yield from until(lambda now: now.fused > ego_died_at[0] + 5 and mode(now) == "HYBRID")
        raise KeyboardInterrupt

    run = events()
    next(run)
    with pytest.raises(KeyboardInterrupt):
        run_supervised(dataclasses.replace(scenario, respawn=True), out, run.send)
    journal = read_fused_frames(out / "detections.jsonl")
    found = modes(journal)
    # The boxes of the dead stay as long as they may, then the ego is on its own, then the peer is back.
    assert found[0] == "HYBRID"
    first = found.index("EGO")
    assert set(found[:first]) <= {"HYBRID", "LATE"}
    assert found[-1] == "HYBRID"
    dead = [entry for entry in journal if entry.mode == "EGO"]
    assert all(set(entry.result.detections.sources) <= {BoxSource.EGO} for entry in dead)
    assert any("'-1'" in entry.mode_reason for entry in dead)
    # Frames go on while the peer dies.
    until_the_ego_dies = [entry.stamp_ns for entry in journal[: ego_died_at[0]]]
    gaps_s = [(b - a) / 1e9 / RATE for a, b in itertools.pairwise(until_the_ego_dies)]
    assert max(gaps_s) <= LONGEST_GAP_S
    assert (out / "logs" / "ego.log").read_text().count("hybrid fusion of '1'") == 2


def test_a_wrong_clock_is_named_and_does_as_little_harm_as_an_old_message(scenario, tmp_path):
    other = AgentSpec("-1", "infrastructure", clock_skew_ms=400.0)
    skewed = dataclasses.replace(scenario, agents=(AgentSpec("1"), other), frames=12)
    assert run_supervised(skewed, tmp_path / "run", lambda progress: None) == []
    journal = read_fused_frames(tmp_path / "run" / "detections.jsonl")
    assert len(journal) >= 8
    # Nobody knows of the other yet in the first frames.
    assert {entry.mode for entry in journal[4:]} == {"EGO"}
    assert any("'-1': its clock is" in entry.mode_reason for entry in journal)


def test_floods_garbage_and_who_does_not_read_do_not_stop_anybody(scenario, tmp_path, stranger: Stranger):
    from sensor_msgs.msg import PointCloud2
    from visualization_msgs.msg import MarkerArray

    stranger.ignore(MarkerArray, topics.MARKERS)
    stranger.ignore(PointCloud2, topics.DETECTIONS)
    heard = stranger.listen(topics.V2X_MESSAGES)
    replayed = 0
    with_the_peer: set[int] = set()

    def flood(progress: Progress) -> None:
        nonlocal replayed
        stranger.take()
        for number in range(20):
            stranger.shout(topics.V2X_MESSAGES, b"CSNS\x01 and then nonsense" * (number + 1))
            stranger.shout(topics.V2X_REQUESTS, bytes(range(number + 1)) * 10)
            if heard:
                # The peer's own message of a while ago, again and again.
                stranger.shout(topics.V2X_MESSAGES, heard[0])
                replayed += 1
        if mode(progress) == "HYBRID":
            with_the_peer.add(progress.fused)
        if progress.fused >= 30 and len(with_the_peer) >= 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_supervised(scenario, tmp_path / "run", flood)
    assert replayed > 200
    journal = read_fused_frames(tmp_path / "run" / "detections.jsonl")
    stamps = [entry.stamp_ns for entry in journal]
    assert len(stamps) >= 30
    assert max(b - a for a, b in itertools.pairwise(stamps)) / 1e9 / RATE <= LONGEST_GAP_S
    # The honest peer is used all the while.
    assert [entry.mode for entry in journal].count("HYBRID") >= 15
    assert any(peer.sender == "unknown" for entry in journal for peer in entry.result.peers)
    for log in (tmp_path / "run" / "logs").glob("*.log"):
        assert "Traceback" not in log.read_text()
