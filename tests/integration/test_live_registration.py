"""Scene graphs over DDS: the same poses and boxes as offline, and a wrong pose that nobody has announced."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Generator

import numpy as np
import pytest

from cosense import topics
from cosense.cooperation.offline import Cooperation
from cosense.data import open_dataset
from cosense.evaluation.run_files import read_fused_frames
from cosense.geometry.transforms import displaced
from cosense.messages.reports import UNKNOWN
from cosense.runs.frame_source import FrameSource
from cosense.runs.scenario import AgentSpec, Scenario, resolved
from cosense.runs.supervisor import Progress
from cosense.sensing.frame import AgentFrame
from cosense.simulation import simulate
from cosense.simulation.opv2v_writer import write_opv2v
from cosense.simulation.stage import SimulatedFrame
from tests.integration.supervised import (
    PATIENT_PLAYER,
    PATIENT_SYNCHRONISER,
    Stranger,
    run_supervised,
)
from tests.nodes.tiny import write_sharing_model

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

FRAMES = 3
# Enough for a graph that is registered; the frames after the first have fewer nodes.
BUDGET_BYTES = 2500
POSITION_ERROR_M, HEADING_ERROR_DEG = (0.9, -0.6), 0.8


def one_sequence(name: str, seed: int) -> list[SimulatedFrame]:
    made = []
    for simulated in simulate("t_junction", seed, FRAMES):
        frame = dataclasses.replace(simulated.frame, sequence=name)
        made.append(dataclasses.replace(simulated, frame=frame))
    return made


def believed(agent: AgentFrame) -> AgentFrame:
    """Return the roadside unit where it believes to be."""
    error = np.array([*POSITION_ERROR_M, np.deg2rad(HEADING_ERROR_DEG)])
    return dataclasses.replace(agent, T_world_agent=displaced(agent.T_world_agent, error))


def test_live_and_offline_find_the_same_wrong_pose(tmp_path, stranger: Stranger):
    # Imported late: PyTorch takes its number of threads from the environment.
    from cosense.methods.model import load_model

    model = write_sharing_model(tmp_path / "tiny")
    write_opv2v(one_sequence("first", 700_013) + one_sequence("second", 700_012), tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    ego_id, unit_id = dataset[0].ego_id, dataset[0].others[0].agent_id
    unit = AgentSpec(
        unit_id,
        "infrastructure",
        position_error_m=POSITION_ERROR_M,
        heading_error_deg=HEADING_ERROR_DEG,
    )
    scenario = Scenario(
        source=FrameSource(data=tmp_path / "data"),
        agents=(AgentSpec(ego_id), unit),
        model=str(model),
        budget_bytes=BUDGET_BYTES,
        player=PATIENT_PLAYER,
        synchroniser=PATIENT_SYNCHRONISER,
    )

    def shout() -> Generator[None, Progress, None]:
        """Be heard from the first frame on: the few frames would be over before the two know each other."""
        progress = yield
        player = progress.running["player"]
        assert player is not None
        os.kill(player, signal.SIGSTOP)
        while not stranger.is_heard(topics.V2X_MESSAGES):
            yield
        stranger.shout(topics.V2X_MESSAGES, b"no graph")
        while not stranger.is_heard(topics.V2X_MESSAGES):
            yield
        os.kill(player, signal.SIGCONT)
        while True:
            stranger.shout(topics.V2X_MESSAGES, b"no graph")
            yield

    disturbance = shout()
    next(disturbance)
    assert run_supervised(resolved(scenario), tmp_path / "run", disturbance.send) == []

    detector = load_model(model)
    journal = read_fused_frames(tmp_path / "run" / "detections.jsonl")
    assert len(journal) == len(dataset) == 2 * FRAMES
    for number, live in enumerate(journal):
        frame = dataset[number]
        if number in (0, FRAMES):
            together = Cooperation(detector, "hybrid", registration="scene_graph", budget_bytes=BUDGET_BYTES)
        offline = together.step([frame.ego, believed(frame.others[0])], number).result
        known = [peer for peer in live.result.peers if peer.sender != UNKNOWN]
        assert (live.missing, known) == ([], offline.peers)
        found, expected = live.result.detections, offline.detections
        np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-9)
    # The error is one that poses have in the field: the graphs are believed from the first frame on.
    of_unit = [
        (entry.mode, [peer.used_for for peer in entry.result.peers if peer.sender == unit_id])
        for entry in journal[FRAMES:]
    ]
    assert of_unit == [("HYBRID", ["features", "pose"])] * FRAMES
    refused = [p.reason for entry in journal for p in entry.result.peers if p.sender == UNKNOWN]
    assert refused
    assert set(refused) == {"message has 8 bytes, expected 101 to 4194692"}
