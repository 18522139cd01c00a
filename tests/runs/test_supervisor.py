from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from cosense.errors import CosenseError
from cosense.runs.processes import ProcessSpec
from cosense.runs.supervisor import (
    Failure,
    JournalTail,
    Progress,
    Supervisor,
    check_ros,
    dds_environment,
    free_domain,
    ros_environment,
)

Usage = namedtuple("Usage", "total used free")


def test_the_tail_counts_complete_lines_only(tmp_path):
    path = tmp_path / "detections.jsonl"
    tail = JournalTail(path)
    assert tail.read() == (0, None)
    with path.open("w") as file:
        for number in range(3):
            file.write(json.dumps({"n": number}) + "\n")
        file.write('{"n": 3')
        file.flush()
        assert tail.read() == (3, {"n": 2})
        file.write("}\n")
    assert tail.read() == (4, {"n": 3})
    assert tail.read() == (4, {"n": 3})


def test_traffic_stays_on_this_machine_unless_the_user_says_otherwise(tmp_path, monkeypatch):
    for name in ("ROS_DOMAIN_ID", "ROS_AUTOMATIC_DISCOVERY_RANGE", "ROS_DISTRO"):
        monkeypatch.delenv(name, raising=False)
    environment = ros_environment(tmp_path)
    assert environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert 0 < int(environment["ROS_DOMAIN_ID"]) < 100
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    environment = ros_environment(tmp_path)
    assert (environment["ROS_AUTOMATIC_DISCOVERY_RANGE"], environment["ROS_DOMAIN_ID"]) == ("SUBNET", "7")


def test_a_free_domain_is_one_with_room_for_its_ports():
    assert 7410 + 250 * free_domain() < 32768


def test_without_rclpy_the_cure_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CosenseError, match=r"rclpy is not installed: .*pip install 'cosense\[ros\]'"):
        check_ros()


def test_failures_say_how_and_show_the_last_lines():
    assert str(Failure("agent-unit", -9, ["working"])) == "agent-unit ended with SIGKILL\n  working"
    assert str(Failure("player", 2, [])) == "player ended with exit status 2"


SLEEP = "import time; time.sleep(60)"
VITAL = {"player", "ego"}
FUSE = "import time; open('detections.jsonl', 'w').write('{}\\n')"


def run_scripts(
    scripts: dict[str, str],
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_progress=lambda progress: None,
    *,
    respawn: bool = False,
) -> list[Failure]:
    """Supervise processes that run some lines of Python instead of a node."""
    monkeypatch.chdir(out)
    monkeypatch.setattr(
        "cosense.runs.supervisor.command", lambda spec: [sys.executable, "-c", spec.executable]
    )
    specs = [
        ProcessSpec(name, script, "/", {}, {}, {}, respawn and name != "player", name in VITAL)
        for name, script in scripts.items()
    ]
    return Supervisor(specs, out, {}).run(on_progress)


def test_an_ego_that_ends_before_the_player_has_failed_and_ends_the_run(tmp_path, monkeypatch):
    scripts = {"ego": f"{FUSE}; print('no more')", "agent-a": SLEEP, "player": SLEEP}
    assert run_scripts(scripts, tmp_path, monkeypatch) == [Failure("ego", 0, ["no more"])]


def test_an_agent_that_ends_before_the_player_has_failed_but_the_others_go_on(tmp_path, monkeypatch):
    wait = "import os, time\nwhile not os.path.exists('{}'): time.sleep(0.01)\n"
    scripts = {
        "ego": f"{FUSE}; time.sleep(60)",
        "agent-a": wait.format("fused") + "print('bye')",
        "player": wait.format("gone") + "open('played', 'w')",
    }
    seen_gone = []

    def follow(progress: Progress) -> None:
        if progress.fused:
            Path("fused").touch()
        seen_gone.append(progress.running["agent-a"] is None)
        # The supervisor has looked after all processes between two reports.
        if seen_gone[-2:] == [True, True]:
            Path("gone").touch()

    assert run_scripts(scripts, tmp_path, monkeypatch, follow) == [Failure("agent-a", 0, ["bye"])]
    assert (tmp_path / "played").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whoever_asks_a_run_to_end_gets_what_ctrl_c_gives(tmp_path, monkeypatch, number):
    """A service that is stopped, a terminal that is closed (its shell and the kernel say so), impatience."""
    finish = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: open('complete', 'w').close()"
    pids: set[int] = set()
    before = signal.getsignal(number)

    def ask(progress: Progress) -> None:
        pids.update(filter(None, progress.running.values()))
        # Python has set its own handler for Ctrl-C by now.
        if progress.fused:
            threading.Timer(0.2, os.kill, (os.getpid(), number)).start()
            os.kill(os.getpid(), number)

    scripts = {"recorder": finish, "player": f"{FUSE}; time.sleep(60)"}
    with pytest.raises(KeyboardInterrupt):
        run_scripts(scripts, tmp_path, monkeypatch, ask)
    assert (tmp_path / "complete").exists()
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert signal.getsignal(number) == before


def test_a_player_that_ends_while_the_others_are_looked_after_has_not_failed(tmp_path, monkeypatch):
    """Who died when: the agent is asked how it is just when the player has played everything."""
    started = []

    class Process(subprocess.Popen):
        def poll(self) -> int | None:
            # The first to be started is the agent, the second the player.
            if self is started[0] and Path("fused").exists():
                started[1].wait()
            return super().poll()

    def start(words, environment, output):
        started.append(Process(words, env=environment, stdout=output, stderr=output))
        return started[-1]

    monkeypatch.setattr("cosense.runs.supervisor.start_process", start)
    play = "import os, time\nwhile not os.path.exists('fused'): time.sleep(0.01)\n"
    scripts = {"agent-a": f"{FUSE}; time.sleep(60)", "player": play}
    assert run_scripts(scripts, tmp_path, monkeypatch, lambda _: Path("fused").touch()) == []


def test_who_may_respawn_is_started_again_and_is_not_vital(tmp_path, monkeypatch):
    die = "import os; n = len(os.listdir('lives')); open(f'lives/{n}', 'w'); print('life', n, flush=True)\n"
    scripts = {
        "ego": f"{FUSE}; time.sleep(60)",
        "agent-a": die + "import time; time.sleep(60 if n else 0.2)",
        "player": "import os, time\nwhile len(os.listdir('lives')) < 2: time.sleep(0.01)\ntime.sleep(0.3)",
    }
    (tmp_path / "lives").mkdir()
    (failure,) = run_scripts(scripts, tmp_path, monkeypatch, respawn=True)
    assert (failure.name, failure.status, failure.is_back) == ("agent-a", 0, True)
    assert str(failure).startswith("agent-a ended with exit status 0 and was started again")
    assert (tmp_path / "logs" / "agent-a.log").read_text().startswith("life 0\nlife 1\n")


def test_who_dies_again_and_again_is_given_up(tmp_path, monkeypatch):
    scripts = {"ego": f"{FUSE}; raise SystemExit(3)", "player": SLEEP}
    failures = run_scripts(scripts, tmp_path, monkeypatch, respawn=True)
    assert [failure.is_back for failure in failures] == [True] * 5 + [False]
    assert {failure.status for failure in failures} == {3}


@pytest.mark.parametrize(
    ("free", "transports", "profiles"),
    [
        (8 << 30, None, "fastdds_shared_memory.xml"),
        # A container that asks for nothing.
        (64 << 20, None, "fastdds.xml"),
        # What the caller has chosen stays.
        (8 << 30, "UDPv4", "fastdds.xml"),
    ],
)
def test_clouds_go_through_shared_memory_where_there_is_room(monkeypatch, free, transports, profiles):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(free, 0, free))
    monkeypatch.setattr("cosense.runs.supervisor.FOLDER", Path("/"))
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.delenv("FASTDDS_BUILTIN_TRANSPORTS", raising=False)
    if transports is not None:
        monkeypatch.setenv("FASTDDS_BUILTIN_TRANSPORTS", transports)
    chosen = Path(dds_environment()["FASTRTPS_DEFAULT_PROFILES_FILE"])
    assert chosen.name == profiles
    assert chosen.is_file()
