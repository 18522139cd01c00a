"""Who takes part in a run is who its source has."""

from __future__ import annotations

import dataclasses

import pytest

from cosense.errors import CosenseError
from cosense.runs.frame_source import FrameSource, SimulatedSource, frames_of
from cosense.runs.scenario import AgentSpec, Scenario, resolved
from tests.nodes.tiny import write_scene
from tests.runs.test_scenario import SCENARIO


def test_agents_and_ego_are_those_of_the_first_frame():
    open_scenario = dataclasses.replace(SCENARIO, agents=(), ego=None)
    scenario = resolved(open_scenario)
    assert scenario.agents == (AgentSpec("vehicle"), AgentSpec("infrastructure", "infrastructure"))
    assert scenario.ego == "vehicle"


def test_agents_that_do_not_exist_are_named():
    with pytest.raises(CosenseError, match="no agent '-1' in the source"):
        resolved(SCENARIO)
    wrong = dataclasses.replace(SCENARIO, agents=(AgentSpec("vehicle"), AgentSpec("infrastructure")))
    with pytest.raises(CosenseError, match="ego: 'infrastructure' is not the ego of the source"):
        resolved(dataclasses.replace(wrong, ego="infrastructure"))


def test_a_data_set_that_does_not_exist_is_named(tmp_path):
    source = FrameSource(data=tmp_path / "nowhere")
    with pytest.raises(CosenseError, match="nowhere"):
        list(frames_of(source, None))


def test_an_ego_that_does_not_take_part_is_named():
    alone = dataclasses.replace(SCENARIO, agents=(AgentSpec("infrastructure"),), ego=None)
    with pytest.raises(CosenseError, match="the ego 'vehicle' is none of the agents"):
        resolved(alone)


def test_simulated_agents_are_numbered_from_the_second():
    several = dataclasses.replace(
        SCENARIO, source=FrameSource(simulate=SimulatedSource("crossing", vehicles=2)), agents=(), ego=None
    )
    assert [agent.id for agent in resolved(several).agents] == ["vehicle", "vehicle_2", "infrastructure"]


def test_a_data_set_is_asked_for_its_agents_and_frames(tmp_path):
    write_scene(tmp_path / "data", frames=3)
    scenario = resolved(Scenario(source=FrameSource(data=tmp_path / "data", cameras=True)))
    assert scenario.agents == (AgentSpec("1"), AgentSpec("-1", "infrastructure"))
    assert scenario.ego == "1"
    assert len(list(frames_of(scenario.source, None))) == 3
    (first,) = frames_of(scenario.source, 1)
    assert len(first.ego.cameras) == 1


def test_a_frame_that_cannot_be_read_does_not_end_the_run(tmp_path):
    write_scene(tmp_path / "data", frames=3)
    sorted((tmp_path / "data").rglob("*.pcd"))[1].write_bytes(b"broken")
    frames = list(frames_of(FrameSource(data=tmp_path / "data"), None))
    assert [isinstance(frame, CosenseError) for frame in frames] == [False, True, False]


def test_agents_are_those_of_the_first_frame_that_can_be_read(tmp_path):
    write_scene(tmp_path / "data", frames=2)
    first, *others = sorted((tmp_path / "data").rglob("1/*.pcd"))
    first.write_bytes(b"broken")
    scenario = Scenario(source=FrameSource(data=tmp_path / "data"))
    assert resolved(scenario).agents == (AgentSpec("1"), AgentSpec("-1", "infrastructure"))
    for path in others:
        path.write_bytes(b"broken")
    with pytest.raises(CosenseError, match=first.name):
        resolved(scenario)
