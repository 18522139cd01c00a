"""What a live run takes and stands: latency, a bad radio, a wrong pose, two hosts, a flood of garbage.

    python benchmarks/live.py [latency] [lossy] [registration] [hosts] [fuzz]

All of it with real processes on real DDS. Ratios are between phases of one run; the times beside them are of
the machine that is named, which is shared and noisy.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from rich.console import Console
from std_msgs.msg import UInt8MultiArray
from timing import RESULTS, write

from cosense import topics
from cosense.data import open_dataset
from cosense.errors import nearest
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import read_fused_frames, write_json
from cosense.evaluation.runs.live_metrics import evaluate_live
from cosense.json_lines import read_lines
from cosense.methods.model import load_model
from cosense.nodes.ros import conversions
from cosense.runs.frame_source import FrameSource
from cosense.runs.latency import OVERHEAD, read_latency
from cosense.runs.live_run import run_scenario
from cosense.runs.processes import processes
from cosense.runs.scenario import AgentSpec, PlayerSettings, Scenario, load_scenario, resolved
from cosense.runs.supervisor import Failure, Progress, Supervisor, free_domain, ros_environment

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tests.integration.two_hosts import Cable, environment, two_hosts, why_not  # noqa: E402

OUT = RESULTS / "live"
SCENARIOS = ROOT / "launch" / "scenarios"
# A rate that two slow cores can follow with two agents, and with four.
SLOW, SLOWER = 0.15, 0.12
LIMIT_OVERHEAD_MS = 15.0
# 80 frames at 1.2 Hz have to take longer.
LOSSY_WALL_S = 60.0
HOSTS_TIMEOUT_S = 600
# One sequence of the pairs.
REGISTERED_FRAMES = 60
FUZZ_MESSAGES, FUZZ_BURST = 100_000, 160


def latency() -> list[dict[str, Any]]:
    """One vehicle and one unit: at 10 Hz, where the machine is too slow, and at a rate that it can follow."""
    scenario = resolved(Scenario(FrameSource(data=_data("pair")), budget_bytes=2000, frames=120))
    rows = []
    for rate in (1.0, SLOW):
        out = OUT / f"latency-{rate:g}"
        played = dataclasses.replace(scenario, player=PlayerSettings(mode="rate", rate=rate))
        _check(run_scenario(played, out, Console()))
        found = read_latency(out)
        for stage, (p50, p95) in found.percentiles_ms().items():
            rows.append({"job": f"{10 * rate:g} Hz: {stage}", "p50_ms": p50, "p95_ms": p95})
            if stage == OVERHEAD:
                rows[-1]["limit_p95_ms"] = LIMIT_OVERHEAD_MS
        rows.append({"job": f"{10 * rate:g} Hz: played", "frames": found.played})
        rows.append({"job": f"{10 * rate:g} Hz: fused", "frames": found.fused})
        rows += [
            {"job": f"{10 * rate:g} Hz: not fused, {reason}", "frames": count}
            for reason, count in found.lost.items()
        ]
    return rows


def lossy() -> list[dict[str, Any]]:
    """Three vehicles and one unit, 30 % of the messages lost: memory, logs, and AP beside that of offline."""
    scenario = load_scenario(SCENARIOS / "lossy_link.yaml")
    data, out = _data("many"), OUT / "lossy"
    played = resolved(
        dataclasses.replace(
            scenario,
            source=FrameSource(data=data),
            agents=(),
            ego=None,
            frames=None,
            player=PlayerSettings(mode="rate", rate=SLOWER),
        )
    )
    memory: dict[str, list[float]] = {}

    def watch(progress: Progress) -> None:
        for name, pid in progress.running.items():
            if pid is not None and progress.fused:
                memory.setdefault(name, []).append(_resident_mb(pid))

    _check(_supervised(played, out, watch))
    frames = list(read_lines(out / "frames.jsonl"))
    # Between the first frame and the last, without the start of the processes.
    recorded_s, wall_s = (
        (frames[-1][clock] - frames[0][clock]) / 1e9 for clock in ("stamp_ns", "published_ns")
    )
    rows: list[dict[str, Any]] = [
        {"job": "lossy: recorded time, s", "s": recorded_s},
        {"job": "lossy: wall time, s", "s": wall_s, "wanted": LOSSY_WALL_S},
    ]
    for name, sizes in memory.items():
        # A third of the run to settle; then the second third against the last.
        third = len(sizes) // 3
        before, after = (np.median(part) for part in (sizes[third : 2 * third], sizes[2 * third :]))
        rows.append(
            {"job": f"lossy: memory of {name}", "mb": after, "growth": after / before - 1, "limit": 0.05}
        )
    errors = sum("Traceback" in log.read_text() for log in (out / "logs").glob("*.log"))
    rows.append({"job": "lossy: logs with an exception", "count": errors, "limit": 0})
    live = _scored(played, out)
    offline = _offline_at(played.radio.loss, data, played.budget_bytes)
    for iou in ("0.5", "0.7"):
        row = {"job": f"lossy: AP@{iou}", "live": 100 * live["ap"][iou], "offline": 100 * offline[iou]}
        rows.append(row | {"difference": row["live"] - row["offline"], "limit": 1.0})
    return rows


def registration() -> list[dict[str, Any]]:
    """A unit whose pose is wrong, which it does not know, with and without scene graphs, and a right one."""
    scenario = load_scenario(SCENARIOS / "wrong_pose.yaml")
    scenario = dataclasses.replace(scenario, source=FrameSource(data=_data("pair")), frames=REGISTERED_FRAMES)
    right = tuple(AgentSpec(agent.id, agent.kind) for agent in scenario.agents)
    rows = []
    for job, changes in (
        ("right pose", {"agents": right, "registration": "none"}),
        ("wrong pose", {"registration": "none"}),
        ("wrong pose, scene graphs", {}),
        ("right pose, scene graphs", {"agents": right}),
    ):
        out = OUT / f"registration-{job.replace(', ', '-').replace(' ', '-')}"
        played = resolved(dataclasses.replace(scenario, **changes))
        _check(run_scenario(played, out, Console()))
        metrics = _scored(played, out)
        modes = [entry.mode for entry in read_fused_frames(out / "detections.jsonl")]
        rows.append(
            {
                "job": job,
                "ap_50": 100 * metrics["ap"]["0.5"],
                "ap_70": 100 * metrics["ap"]["0.7"],
                "frames_hybrid": modes.count("HYBRID"),
                "bytes_per_frame": metrics["bytes_per_frame"]["mean"],
            }
        )
    return rows


def hosts() -> list[dict[str, Any]]:
    """Two network namespaces, 50 ± 10 ms and 10 % of the packets lost in either direction."""
    missing = why_not()
    if missing:
        return [{"job": f"hosts: not measured, {missing}"}]
    out = OUT / "hosts"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    data = _data("pair")
    cable = Cable(delay_ms=50, jitter_ms=10, loss=0.1)
    with two_hosts(cable) as (vehicle, unit):
        domain = environment(free_domain())
        runs = []
        for host, agent in ((unit, "infrastructure"), (vehicle, "vehicle")):
            words = [sys.executable, "-m", "cosense.cli.main", "run", str(SCENARIOS / "v2i.yaml")]
            words += ["--data", str(data), f"--only={agent}", "--out", str(out / agent), "--frames", "40"]
            runs.append(subprocess.Popen(host.command(words), env=domain))
        try:
            statuses = [run.wait(HOSTS_TIMEOUT_S) for run in runs]
        except subprocess.TimeoutExpired:
            sys.exit(f"a run on two hosts did not end in {HOSTS_TIMEOUT_S} s, see {out}")
        finally:
            for run in runs:
                run.kill()
                run.wait()
    if any(statuses):
        sys.exit(f"a run on two hosts failed, see {out}")
    # One clock for both: the traces of the unit belong to the frames of the vehicle.
    for trace in (out / "infrastructure" / "trace").glob("*.jsonl"):
        shutil.copy(trace, out / "vehicle" / "trace")
    found = read_latency(out / "vehicle")
    journal = read_fused_frames(out / "vehicle" / "detections.jsonl")
    return [
        {"job": "hosts: played", "frames": found.played},
        {"job": "hosts: fused", "frames": found.fused},
        {"job": "hosts: HYBRID", "frames": sum(entry.mode == "HYBRID" for entry in journal)},
        {"job": "hosts: packets carried", "count": cable.carried},
        {"job": "hosts: packets lost", "count": cable.lost},
        *(
            {"job": f"hosts: {stage}", "p50_ms": p50, "p95_ms": p95}
            for stage, (p50, p95) in found.percentiles_ms().items()
        ),
    ]


def fuzz() -> list[dict[str, Any]]:
    """100 000 mutated messages on every topic of the radio while two honest agents work."""
    domain = free_domain()
    os.environ |= {"ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    rclpy.init()
    stranger = rclpy.create_node("stranger")
    # Deep enough for a burst, else the publisher itself drops what it has not sent yet; durable like
    # those of agents, else nodes that ask for that hear nothing.
    like_an_agent = QoSProfile(depth=2 * FUZZ_BURST, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    radio = {topic: stranger.create_publisher(UInt8MultiArray, topic, like_an_agent) for topic in topics.V2X}
    heard: dict[str, deque[bytes]] = {topic: deque(maxlen=20) for topic in topics.V2X}
    for topic, messages in heard.items():
        stranger.create_subscription(
            UInt8MultiArray, topic, lambda m, messages=messages: messages.append(bytes(m.data)), 10
        )
    scenario = resolved(Scenario(FrameSource(data=_data("pair")), budget_bytes=2000))
    played = dataclasses.replace(scenario, player=PlayerSettings(mode="rate", rate=SLOW))
    chance = random.Random(0)
    shouted = 0
    # The frames at which the phases begin: all is quiet, the flood goes where nobody listens, the flood goes
    # on the radio. Making a flood takes a processor of its own; the last two differ in nothing else.
    begins = {"quiet": 5, "flood elsewhere": 25, "flood": 60}
    ends = 0
    # What honest agents have said before the flood begins.
    honest: list[bytes] = []
    unheard = stranger.create_publisher(UInt8MultiArray, "/nobody/listens", like_an_agent)

    def shout(progress: Progress) -> None:
        nonlocal shouted, ends
        if progress.fused < begins["flood elsewhere"]:
            rclpy.spin_once(stranger, timeout_sec=0)
            return
        if not honest:
            honest.extend(message for messages in heard.values() for message in messages)
        is_flood = progress.fused >= begins["flood"]
        if shouted >= FUZZ_MESSAGES:
            return
        ends = progress.fused
        for _ in range(FUZZ_BURST):
            publisher = radio[chance.choice(topics.V2X)] if is_flood else unheard
            publisher.publish(conversions.bytes_to_message(mutated(chance.choice(honest), chance)))
        shouted += FUZZ_BURST if is_flood else 0

    out = OUT / "fuzz"
    failures = _supervised(played, out, shout)
    stranger.destroy_node()
    rclpy.shutdown()
    journal = read_fused_frames(out / "detections.jsonl")
    phases = {
        name: journal[first:last]
        for (name, first), last in zip(begins.items(), (*[*begins.values()][1:], ends), strict=True)
    }
    times = {name: [entry.elapsed_ms for entry in phase] for name, phase in phases.items()}
    p50 = {name: float(np.median(spent)) for name, spent in times.items()}
    errors = sum("Traceback" in log.read_text() for log in (out / "logs").glob("*.log"))
    return [
        {"job": "fuzz: mutated messages published", "count": shouted, "wanted": FUZZ_MESSAGES},
        {"job": "fuzz: processes that died", "count": len(failures), "limit": 0},
        {"job": "fuzz: logs with an exception", "count": errors, "limit": 0},
        *({"job": f"fuzz: fusing {name}", "frames": len(times[name]), "p50_ms": p50[name]} for name in times),
        {
            "job": "fuzz: flood to flood elsewhere",
            "ratio": p50["flood"] / p50["flood elsewhere"],
            "limit": 1.5,
        },
        {"job": "fuzz: flood to quiet", "ratio": p50["flood"] / p50["quiet"]},
        {
            "job": "fuzz: HYBRID in the flood",
            "frames": sum(entry.mode == "HYBRID" for entry in phases["flood"]),
        },
    ]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a message with a few bytes changed, cut, doubled or made up; half of them with a valid CRC."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        position = chance.randrange(len(changed))
        what = chance.randrange(4)
        if what == 0:
            changed[position] = chance.randrange(256)
        elif what == 1:
            del changed[position : position + chance.randint(1, 16)]
        elif what == 2:
            changed[position:position] = changed[: chance.randint(1, 64)]
        else:
            changed[position:position] = chance.randbytes(chance.randint(1, 64))
        if not changed:
            return b""
    return with_checksum(bytes(changed)) if chance.random() < 0.5 else bytes(changed)


def with_checksum(data: bytes) -> bytes:
    """Return the bytes with the right CRC at their end, so that more than the CRC is put to the test."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


def _offline_at(loss: float, data: Path, budget_bytes: int | None) -> dict[str, float]:
    """Return the AP of hybrid fusion where as many messages get lost offline."""
    out = OUT / "lossy-offline"
    words = [sys.executable, "-m", "cosense.cli.main", "sweep", "loss", "--model", "cosense-lite"]
    words += ["--fusion", "hybrid", "--values", str(loss), "--data", str(data), "--out", str(out)]
    if budget_bytes is not None:
        words += ["--budget", str(budget_bytes)]
    subprocess.run(words, check=True)
    (point,) = (
        point
        for point in json.loads((out / "sweep.json").read_text())["points"]
        if (point["fusion"], point["loss"]) == ("hybrid", loss)
    )
    return dict(point["ap"])


def _scored(played: Scenario, out: Path) -> dict[str, Any]:
    """Return the metrics of a run that played a data set, and leave them in its folder."""
    dataset = open_dataset(played.source.data)
    metrics = evaluate_live(
        dataset,
        read_fused_frames(out / "detections.jsonl"),
        load_model(played.model),
        load_protocol("simulated_riders"),
        frames=played.frames or len(dataset),
        command=f"python benchmarks/live.py {' '.join(sys.argv[1:])}",
        fusion="hybrid",
        budget_bytes=played.budget_bytes,
        registration=played.registration,
    )
    write_json(out / "metrics.json", metrics)
    return metrics


def _data(name: str) -> Path:
    """Return a simulated data set of T-junctions, which nothing was trained on; made where it is missing."""
    path = OUT / f"data-{name}"
    made = {
        "pair": "--frames 300 --sequence-frames 60 --seed 530000",
        "many": "--frames 80 --sequence-frames 80 --seed 540000 --layout opv2v "
        "--agents vehicle=3,infrastructure=1",
    }
    if not (path / "cosense.json").is_file():
        words = ["simulate", "--out", str(path), "--scene", "t_junction", *made[name].split()]
        subprocess.run([sys.executable, "-m", "cosense.cli.main", *words], check=True)
    return path


def _supervised(scenario: Scenario, out: Path, watch: Callable[[Progress], None]) -> list[Failure]:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    return Supervisor(processes(scenario, out), out, ros_environment(out / "logs")).run(watch)


def _check(failures: list[Failure]) -> None:
    if failures:
        sys.exit("\n".join(map(str, failures)))


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


JOBS = {job.__name__: job for job in (latency, lossy, registration, hosts, fuzz)}


def main() -> None:
    """Run the jobs that are named, or all."""
    wanted = sys.argv[1:] or list(JOBS)
    for name in wanted:
        if name not in JOBS:
            sys.exit(f"no job '{name}', {nearest(name, JOBS)}")
    for name in wanted:
        write(f"live-{name}", JOBS[name]())


if __name__ == "__main__":
    main()
