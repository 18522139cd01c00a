"""A fusion and an agent that know others by their keys, over DDS: what does not pass is refused, and why."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cosense import topics
from cosense.evaluation.run_files import read_fused_frames
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.demand import DemandMap, encode_demand
from cosense.messages.envelope import PayloadKind
from cosense.messages.reports import UNKNOWN
from cosense.runs.processes import ProcessSpec, agent_remappings, fusion_remappings
from cosense.runs.supervisor import command, ros_environment
from cosense.sensing.grid import BevGrid
from cosense.trust.identity.roster import Member, Roster
from tests.integration.supervised import Stranger
from tests.integration.warm import ForkedProcess
from tests.nodes.tiny import write_sharing_model
from tests.trust.identity.signing import Signers

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")
pytest.importorskip("cryptography", reason="signatures need the library cryptography")

S = 1_000_000_000
SIGNERS = Signers("car", "unit", "old", "thief")
PATIENCE_S = 60


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[[ProcessSpec], None]]:
    started = []

    def begin(spec: ProcessSpec) -> None:
        with (tmp_path / f"{spec.name}.log").open("wb") as log:
            started.append(ForkedProcess(command(spec), ros_environment(tmp_path), log))

    yield begin
    for process in started:
        process.kill()
        process.wait(10)


def write_keys(folder: Path) -> dict[str, str]:
    """Write a roster in which one row has expired, and return the parameters of who goes by it."""
    car, unit, old = (str(SIGNERS.by_name[name].public_key) for name in ("car", "unit", "old"))
    rows = Member("car", car), Member("unit", unit), Member("old", old, valid_to=dt.date(2020, 1, 1))
    Roster(rows).write(folder / "roster.yaml")
    return {"trust.identity": "enforce", "trust.roster": str(folder / "roster.yaml")}


def wait_until(is_so: Callable[[], bool], stranger: Stranger) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end_s
        stranger.take()
        time.sleep(0.01)


def test_what_does_not_pass_is_refused_with_the_reason_and_the_honest_message_is_used(
    tmp_path, start, stranger: Stranger
):
    own, journal = topics.own_messages_topic("car"), tmp_path / "detections.jsonl"
    stranger.offer(own)
    told = stranger.read_diagnostics()
    trust = write_keys(tmp_path)
    fusion = {"ego_id": "car", "peers": "unit", "registration": "none", "journal": str(journal), **trust}
    start(ProcessSpec("fusion", "fusion", "/car", fusion, fusion_remappings("car"), {}))
    model = str(write_sharing_model(tmp_path / "tiny"))
    agent = {"agent_id": "unit", "model": model, "registration": "none", **trust}
    start(ProcessSpec("agent", "agent", "/unit", agent, agent_remappings("unit", is_ego=False), {}))
    for topic in (own, *topics.V2X):
        wait_until(lambda topic=topic: stranger.is_heard(topic), stranger)

    now_ns = time.time_ns()
    honest = SIGNERS.message("unit", 7, now_ns)
    key = SIGNERS.by_name["unit"].public_key.short
    refused = [
        (
            SIGNERS.message("unit", 8, now_ns, key_of="thief"),
            f"its signature is not by {key}, the key of the name",
        ),
        (honest, "number 7 with this stamp came before: it is replayed"),
        (SIGNERS.message("unit", 7, now_ns + 1), "number 7 came before with another stamp"),
        (
            SIGNERS.message("unit", 9, now_ns + 60 * S),
            "ahead of the clock, the limit is 10000: a clock is wrong",
        ),
        (SIGNERS.message("unit", 6, now_ns - 60 * S), "behind the clock, the limit is 10000: it is replayed"),
        (SIGNERS.message("old", 1, now_ns), "has expired, it was valid to 2020-01-01"),
        (Signers("limo").message("limo", 1, now_ns), "the name is not in the roster"),
    ]
    for data in (honest, *(data for data, _ in refused)):
        stranger.shout(topics.V2X_MESSAGES, data)
    grid = BevGrid((-8.0, -8.0, 0.0, 8.0, 8.0, 1.0), 1.0)
    wanted = DemandMap("unit", now_ns, transform_from_planar(0, 0, 0), grid, np.ones(grid.shape, bool))
    demand = encode_demand(wanted, 200)
    for name in ("thief", "car"):
        request = SIGNERS.message("car", 3, now_ns, key_of=name, kind=PayloadKind.DEMAND, payload=demand)
        stranger.shout(topics.V2X_REQUESTS, request)
    wait_until(lambda: stranger.is_heard(topics.V2X_MESSAGES), stranger)
    stranger.shout(own, SIGNERS.message("car", 1, now_ns, key_of="thief"))
    stranger.shout(own, SIGNERS.message("car", 1, now_ns))

    wait_until(lambda: journal.is_file() and journal.stat().st_size > 0, stranger)
    (frame,) = read_fused_frames(journal)
    assert [(peer.sender, peer.reason) for peer in frame.result.peers if peer.used_for == "boxes"] == [
        ("unit", "")
    ]
    reasons = [peer.reason for peer in frame.result.peers if peer.sender == UNKNOWN]
    assert len(reasons) == len(refused) == len(frame.result.peers) - 1
    for found, (_, reason) in zip(reasons, refused, strict=True):
        assert found.startswith("under the name '")
        assert reason in found

    def values_of(name: str) -> dict[str, str]:
        lines = [line for line in told if line.name == name]
        return {pair.key: pair.value for pair in lines[-1].values} if lines else {}

    wait_until(lambda: values_of("agent/unit").get("requests refused") == "1", stranger)
    wait_until(lambda: values_of("fusion").get("not by their keys") == "8", stranger)
    assert values_of("agent/unit")["requests received"] == "1"
    assert values_of("agent/unit")["the last of them"].startswith(
        "under the name 'car': its signature is not by"
    )
    published = {line.message for line in told if line.name == "fusion/unknown"}
    assert published == set(reasons)
