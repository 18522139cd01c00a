from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from cosense.config import from_mapping, to_mapping
from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.merge import MergeSettings
from cosense.cooperation.peers import SynchroniserSettings
from cosense.cooperation.radio import RadioSettings
from cosense.errors import CosenseError
from cosense.methods.model import find_model_config
from cosense.runs.frame_source import FrameSource, SimulatedSource
from cosense.runs.live_run import prepare
from cosense.runs.processes import processes
from cosense.runs.scenario import (
    AgentSpec,
    PlayerSettings,
    Scenario,
    load_scenario,
    resolved,
    with_absolute_paths,
)
from cosense.runs.supervisor import command
from cosense.trust.base import TrustSettings
from tests.conftest import REPOSITORY
from tests.nodes.tiny import write_model, write_scene
from tests.training.camera_toys import TOY_CAMERA_MODEL

SCENARIO = Scenario(
    source=FrameSource(simulate=SimulatedSource("crossing", seed=1)),
    agents=(AgentSpec("vehicle"), AgentSpec("-1", "infrastructure", budget_bytes=500), AgentSpec("4279")),
    ego="vehicle",
    fusion="late",
    budget_bytes=1000,
    frames=3,
    record=True,
)
HYBRID = dataclasses.replace(SCENARIO, fusion="hybrid")
RADIO = RadioSettings(loss=0.1, links=({"from": "-1", "loss": 0.3},))
OVER_RADIO = dataclasses.replace(HYBRID, radio=RADIO, player=PlayerSettings(mode="rate", rate=0.5))


def by_name(scenario: Scenario, out: Path = Path("out")) -> dict:
    return {spec.name: spec for spec in processes(scenario, out)}


def test_processes_start_with_those_who_listen():
    names = [spec.name for spec in processes(SCENARIO, Path("out"))]
    assert names == [
        "recorder",
        "ego",
        "agent-agent_minus_1",
        "agent-agent_4279",
        "player",
    ]
    without = dataclasses.replace(SCENARIO, record=False)
    assert "recorder" not in by_name(without)


def test_the_ego_talks_to_its_own_fusion_and_the_others_to_everybody():
    specs = by_name(SCENARIO)
    assert specs["ego"].remappings["agent:~/output/messages"] == "/vehicle/messages"
    assert specs["agent-agent_minus_1"].remappings["~/output/messages"] == "/v2x/messages"
    assert specs["ego"].remappings["fusion:~/input/own"] == "/vehicle/messages"
    assert specs["ego"].parameters["peers"] == "-1,4279"


def test_budgets_are_those_of_the_agent_else_of_the_scenario_and_none_for_the_ego():
    specs = by_name(SCENARIO)
    names = ("ego", "agent-agent_minus_1", "agent-agent_4279")
    budgets = [specs[name].parameters["budget_bytes"] for name in names]
    assert budgets == [0, 500, 1000]


def test_nothing_is_lost_in_mode_drain_and_the_latest_wins_at_a_rate():
    drain = by_name(SCENARIO)
    assert drain["ego"].parameters["queue_depth"] > 10
    assert drain["ego"].parameters["timeout_ms"] == 5000.0
    rate = by_name(dataclasses.replace(SCENARIO, player=PlayerSettings(mode="rate")))
    assert rate["ego"].parameters["queue_depth"] == 1
    assert rate["ego"].parameters["timeout_ms"] == SynchroniserSettings().timeout_ms
    own = by_name(dataclasses.replace(SCENARIO, synchroniser=SynchroniserSettings(timeout_ms=7.0)))
    assert own["ego"].parameters["timeout_ms"] == 7.0


def test_in_slow_motion_the_fusion_waits_longer_by_the_clock_and_all_know_the_time_of_the_recording():
    slow = dataclasses.replace(SCENARIO, player=PlayerSettings(mode="rate", rate=0.25))
    specs = by_name(slow)
    assert specs["ego"].parameters["timeout_ms"] == 4 * SynchroniserSettings().timeout_ms
    assert {name for name, spec in specs.items() if spec.parameters.get("use_sim_time")} == {*specs} - {
        "player"
    }
    # In mode drain the clock stands still while a frame waits.
    assert [name for name, spec in by_name(SCENARIO).items() if spec.parameters.get("use_sim_time")] == [
        "recorder"
    ]
    # The ego is not blind while a slow network makes it wait.
    silence_ms = by_name(SCENARIO)["ego"].parameters["no_sensor_after_ms"]
    assert silence_ms == 1e3 * PlayerSettings().timeout_s
    assert "no_sensor_after_ms" not in specs["ego"].parameters


def test_agents_of_one_scenario_may_run_on_several_machines():
    here = {spec.name: spec for spec in processes(HYBRID, Path("out"), only=["vehicle"])}
    assert list(here) == ["recorder", "ego", "player"]
    assert here["player"].parameters["agents"] == "vehicle"
    # The fusion waits for those on the other machines as well.
    assert here["ego"].parameters["peers"] == "-1,4279"
    there = {spec.name: spec for spec in processes(HYBRID, Path("out"), only=["-1", "4279"])}
    assert list(there) == ["recorder", "agent-agent_minus_1", "agent-agent_4279", "player"]
    assert (there["player"].parameters["agents"], there["player"].parameters["ego"]) == ("-1,4279", "vehicle")
    with pytest.raises(CosenseError, match="no agent 'vehicel' in the scenario, did you mean 'vehicle'"):
        processes(HYBRID, Path("out"), only=["vehicel"])


def test_agents_and_ego_respawn_where_the_scenario_says_so():
    specs = by_name(dataclasses.replace(HYBRID, respawn=True))
    assert {name for name, spec in specs.items() if spec.respawn} == {
        "ego",
        "agent-agent_minus_1",
        "agent-agent_4279",
    }
    assert not any(spec.respawn for spec in by_name(HYBRID).values())


def test_agents_whose_detector_looks_at_images_are_told_where_their_cameras_are(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text(
        yaml.safe_dump({"detector": "camera_pillars", **to_mapping(TOY_CAMERA_MODEL)})
    )
    mounted = {"vehicle": {"front": list(range(16))}, "-1": {}, "4279": {"rear": list(range(16))}}
    monkeypatch.setattr("cosense.runs.processes.cameras_of", lambda source: mounted)
    source = dataclasses.replace(SCENARIO.source, cameras=True)
    agents = (dataclasses.replace(SCENARIO.agents[0], model=str(tmp_path)), *SCENARIO.agents[1:])
    specs = by_name(dataclasses.replace(SCENARIO, source=source, agents=agents))
    vehicle, car = specs["ego"], specs["agent-agent_4279"]
    assert json.loads(vehicle.parameters["cameras"]) == mounted["vehicle"]
    assert vehicle.remappings["agent:~/input/front/image"] == "/vehicle/front/image_raw/compressed"
    assert vehicle.remappings["agent:~/input/front/camera_info"] == "/vehicle/front/camera_info"
    assert "cameras" not in car.parameters
    assert specs["player"].parameters["watched"] == "vehicle"
    # Nobody listens where no images are played.
    blind = by_name(dataclasses.replace(SCENARIO, agents=agents))
    assert "cameras" not in blind["ego"].parameters
    assert blind["player"].parameters["watched"] == ""


def test_lost_sensors_are_a_matter_of_the_player():
    silent = AgentSpec("4279", lost={"camera": (2, 5)})
    scenario = dataclasses.replace(SCENARIO, agents=(*SCENARIO.agents[:2], silent))
    assert json.loads(by_name(scenario)["player"].parameters["lost"]) == {"4279": {"camera": [2, 5]}}


def test_wrong_clocks_are_a_matter_of_the_player():
    skewed = (AgentSpec("vehicle"), AgentSpec("-1", clock_skew_ms=-200.0), AgentSpec("4279"))
    player = by_name(dataclasses.replace(SCENARIO, agents=skewed))["player"]
    assert player.parameters["clock_skews_ms"] == '{"-1": -200.0}'


def test_an_error_of_poses_is_a_matter_of_the_player_and_its_delay_one_of_the_radio():
    measured = dataclasses.replace(SCENARIO, pose_error="dair")
    assert by_name(measured)["player"].parameters["pose_error"] == "dair"
    with pytest.raises(
        ValueError, match=r"'literature' messages take their time, .* set player: \{mode: rate\}"
    ):
        dataclasses.replace(SCENARIO, pose_error="literature")
    agents = (AgentSpec("vehicle"), AgentSpec("infrastructure", "infrastructure"))
    at_rate = dataclasses.replace(SCENARIO, agents=agents, pose_error="literature", player=OVER_RADIO.player)
    assert resolved(at_rate).radio == RadioSettings(delay_ms=100)
    with pytest.raises(CosenseError, match="pose_error 'dair' is between agents, and there is one"):
        resolved(dataclasses.replace(measured, agents=agents[:1]))


def test_pairs_of_frames_and_the_region_of_labels_are_chosen_in_the_source():
    source = FrameSource(data=Path("drive"), region="all", pair_gap="20")
    parameters = by_name(dataclasses.replace(SCENARIO, source=source))["player"].parameters
    assert (parameters["region"], parameters["pair_gap"]) == ("all", "20")


def test_the_ego_is_one_process_in_which_each_node_has_its_topics():
    ego = by_name(HYBRID)["ego"]
    assert ego.remappings["agent:~/output/messages"] == ego.remappings["fusion:~/input/own"]
    assert ego.remappings["agent:~/output/markers"] == "/vehicle/markers"
    assert ego.remappings["fusion:~/output/markers"] == "/markers"
    assert (ego.namespace, ego.parameters["agent_id"], ego.parameters["ego_id"]) == (
        "/vehicle",
        "vehicle",
        "vehicle",
    )
    assert ego.parameters["budget_bytes"] == 0


def test_messages_and_requests_meet_on_the_radio():
    specs = by_name(HYBRID)
    sender = specs["agent-agent_minus_1"]
    assert sender.remappings["~/output/messages"] == "/v2x/messages"
    assert specs["ego"].remappings["fusion:~/input/messages"] == "/v2x/messages"
    assert sender.remappings["~/input/requests"] == "/v2x/requests"
    assert specs["ego"].remappings["fusion:~/output/requests"] == "/v2x/requests"


def test_with_a_link_everybody_sends_to_the_channel_and_hears_the_channel_alone():
    specs = by_name(dataclasses.replace(OVER_RADIO, respawn=True))
    assert list(specs)[:2] == ["recorder", "channel"]
    sender, ego = specs["agent-agent_minus_1"], specs["ego"]
    assert sender.remappings["~/output/messages"] == "/v2x/tx/agent_minus_1/messages"
    assert sender.remappings["~/input/requests"] == "/v2x/rx/agent_minus_1/requests"
    assert ego.remappings["fusion:~/input/messages"] == "/v2x/rx/vehicle/messages"
    assert ego.remappings["fusion:~/output/requests"] == "/v2x/tx/vehicle/requests"
    assert ego.remappings["agent:~/output/messages"] == "/vehicle/messages"
    channel = specs["channel"]
    assert channel.respawn
    assert (channel.parameters["agents"], channel.parameters["player_rate"]) == ("vehicle,-1,4279", 0.5)
    assert from_mapping(RadioSettings, json.loads(channel.parameters["radio"]), "radio") == RADIO


def test_a_link_between_agents_that_do_not_take_part_is_named(tmp_path):
    write_scene(tmp_path / "data", frames=1)
    scenario = dataclasses.replace(
        OVER_RADIO, source=FrameSource(data=tmp_path / "data"), agents=(), ego=None
    )
    assert resolved(scenario).radio == RADIO
    wrong = RadioSettings(links=({"to": "unit"},))
    with pytest.raises(CosenseError, match=r"radio: links\[0\]: to: 'unit' is no agent, known: -1, 1"):
        resolved(dataclasses.replace(scenario, radio=wrong))


def test_in_mode_drain_the_next_frame_waits_until_the_senders_know_the_demand():
    assert by_name(HYBRID)["ego"].parameters["request_delivery_ms"] > 0
    # As long as the fusion waits for their messages.
    patient = dataclasses.replace(HYBRID, synchroniser=SynchroniserSettings(timeout_ms=8000.0))
    assert by_name(patient)["ego"].parameters["request_delivery_ms"] == 8000.0
    rate = by_name(dataclasses.replace(HYBRID, player=PlayerSettings(mode="rate")))
    assert rate["ego"].parameters["request_delivery_ms"] == 0


def test_the_gate_is_part_of_the_parameters():
    strict = dataclasses.replace(
        HYBRID,
        admission=AdmissionSettings(features_max_age_ms=20.0),
        merge=MergeSettings(roof_below_sensor_m=2.0),
        trust=TrustSettings(checks=("one", "two")),
    )
    parameters = by_name(strict)["ego"].parameters
    assert parameters["admission.features_max_age_ms"] == 20.0
    assert parameters["admission.max_ahead_ms"] == AdmissionSettings().max_ahead_ms
    assert parameters["merge.roof_below_sensor_m"] == 2.0
    assert parameters["trust.checks"] == "one,two"


@pytest.mark.parametrize(
    ("model", "fusion"), [("cosense-lite", "hybrid"), ("cosdh", "hybrid"), ("pillars-lite", "late")]
)
def test_the_fusion_is_what_the_model_of_the_ego_is_made_for(model, fusion):
    agents = (AgentSpec("vehicle", model=model), AgentSpec("infrastructure", "infrastructure"))
    other = {"hybrid": "pillars-lite", "late": "cosense-lite"}[fusion]
    scenario = dataclasses.replace(SCENARIO, agents=agents, fusion=None, model=other)
    assert resolved(scenario).fusion == fusion
    assert resolved(dataclasses.replace(scenario, fusion="intermediate")).fusion == "intermediate"


def test_agents_share_the_processor():
    assert by_name(SCENARIO)["ego"].environment["OMP_NUM_THREADS"] == "1"


def test_the_command_keeps_numbers_in_names_as_texts():
    words = command(by_name(SCENARIO)["agent-agent_4279"])
    assert words[1:4] == ["-m", "cosense.nodes.agent", "--ros-args"]
    assert 'agent_id:="4279"' in words
    assert "__ns:=/agent_4279" in words
    assert "recorded:=true" in command(by_name(SCENARIO)["player"])


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "launch" / "scenarios").glob("*.yaml")), ids=lambda p: p.stem
)
def test_shipped_scenarios_can_be_read(path):
    scenario = load_scenario(path)
    assert scenario.fusion is not None
    if scenario.source.simulate is not None:
        assert {agent.kind for agent in resolved(scenario).agents} == {"vehicle", "infrastructure"}
    names = [spec.name for spec in processes(resolved(scenario), Path("out"))]
    assert ("channel" in names) == (scenario.radio is not None)
    # What `cosense run` writes into scenario.yaml is a scenario.
    assert from_mapping(Scenario, to_mapping(scenario), "scenario.yaml") == scenario


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("source: {data: x}\nmodle: y", "unknown key 'modle', did you mean 'model'"),
        ("source: {}", "neither 'data' nor 'simulate'"),
        ("model: x", "missing key 'source'"),
        ("source: {simulate: {family: crossing}}", "set 'frames'"),
        ("source: {data: x}\nframes: 0", "frames is 0"),
        ("source: {data: x}\nthreads: 0", "threads is 0"),
        ("source: {data: x}\nplayer: {mode: fast}", "'fast' is not allowed"),
        ("source: {data: x}\nplayer: {rate: 0}", "rate is 0.0"),
        ("source: {data: x}\nagents: [{id: a}, {id: b}]\nego: c", "ego 'c' is none of the agents"),
        ("source: {data: x}\nagents: [{id: a b}, {id: a_b}]", "not different in ROS names"),
        ("source: {data: x}\nadmission: {max_age: 3}", "did you mean 'max_age_ms'"),
        ("source: {data: x}\nadmission: {features_max_age_ms: -3}", "features_max_age_ms is -3.0"),
        ("source: {data: x}\nradio: {}", "in player mode 'drain' the recording waits for every message: set"),
        ("source: {data: x}\nradio: {loss: 2}", "radio: loss is 2.0, expected 0 to 1"),
        ("source: {data: x}\nlink: {}", "key 'link' is called 'radio' now"),
        ("source: {data: x}\nmethod: late", "key 'method' is called 'fusion' now"),
        ("source: {data: x}\ncollect: {}", "key 'collect' is called 'synchroniser' now"),
        (
            "source: {data: x}\nfusion: {nms_iou: 0.2}",
            "is called 'admission' now; fusion is one of hybrid, intermediate, late",
        ),
        ("source: {data: x}\nfusion: early", "'early' is not allowed"),
        (
            "source: {data: x}\nbudget_bytes: 0",
            "budget_bytes is 0, expected 1 to 1048576; leave it out",
        ),
        ("source: {data: x}\nagents: [{id: a, budget_bytes: -1}]", "budget_bytes is -1"),
        (
            "source: {data: x}\nagents: [{id: a, lost: {radar: [1, 2]}}]",
            "lost: 'radar', did you mean 'lidar'",
        ),
        ("source: {data: x}\nagents: [{id: a, lost: {camera: [3, 2]}}]", "lost: camera: frames 3 to 2"),
        ("source: {data: x}\nagents: [{id: a, lost: {lidar: [1, 2]}}]", "waits for 'a', which loses its"),
        ("source: {data: x}\nagents: [{id: 'a,b'}]", "id 'a,b' must have 1 to 32 bytes and no comma"),
        ("source: {data: x}\nagents: [{id: ''}]", "id '' must have"),
        (
            "source: {data: x}\npose_error: literature\nplayer: {mode: rate}\nradio: {loss: 0.1}",
            "radio: delay_ms is 0, and in pose_error 'literature' messages take 100 ms: set it",
        ),
        ("source: {data: x}\npose_error: dare", "'dare' is not allowed, did you mean 'dair'"),
        ("[]", "expected a mapping"),
    ],
)
def test_bad_scenarios_are_named(tmp_path, text, complaint):
    with pytest.raises(CosenseError, match=complaint):
        load_scenario(write(tmp_path, text))


def test_all_means_all(tmp_path):
    assert load_scenario(write(tmp_path, "source: {data: x}\nagents: all")).agents == ()


def test_paths_of_a_scenario_are_those_beside_its_file_or_in_the_working_folder(tmp_path, monkeypatch):
    """Files that name others by relative paths, read from another folder than they were written in."""
    elsewhere = tmp_path / "elsewhere"
    write_scene(tmp_path / "data", frames=1)
    for folder in (elsewhere, tmp_path / "mine", elsewhere / "data"):
        folder.mkdir()
    (tmp_path / "mine" / "config.yaml").touch()
    path = write(tmp_path, "source: {data: data}\nmodel: mine\nagents: [{id: '1', model: mine}, {id: '-1'}]")
    monkeypatch.chdir(elsewhere)
    scenario = load_scenario(path)
    assert (scenario.source.data, scenario.model) == (tmp_path / "data", str(tmp_path / "mine"))
    assert [agent.model for agent in scenario.agents] == [str(tmp_path / "mine"), None]
    # Not beside the file: as given, from the working folder; the name of a model that ships stays a name.
    assert load_scenario(write(tmp_path, "source: {data: other}")).source.data == Path("other")
    assert load_scenario(write(tmp_path, "source: {data: other}")).model == "cosense-lite"


def test_what_a_run_writes_down_reads_the_same_from_any_folder(tmp_path, monkeypatch):
    write_scene(tmp_path / "data", frames=1)
    write_model(tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    relative = Scenario(source=FrameSource(data=Path("data")), model="tiny", fusion="late")
    prepare(relative, tmp_path / "runs" / "one")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    read = load_scenario(tmp_path / "runs" / "one" / "scenario.yaml")
    assert (read.source.data, read.model) == (tmp_path / "data", str(tmp_path / "tiny"))
    assert resolved(read) == read


def test_a_detector_with_its_keys_reaches_the_agents_with_its_files_by_full_path(tmp_path, monkeypatch):
    (tmp_path / "car.pth").touch()
    model = "{mmdet3d: {config: theirs/net.py, checkpoint: car.pth, classes: {Car: car}}}"
    path = write(
        tmp_path, f"source: {{data: x}}\nmodel: {model}\nagents: [{{id: a}}, {{id: b, model: tiny}}]"
    )
    monkeypatch.chdir(tmp_path)
    scenario = dataclasses.replace(with_absolute_paths(load_scenario(path)), ego="b", fusion="late")
    given = {spec.name: spec.parameters.get("model") for spec in processes(scenario, tmp_path)}
    assert given["ego"] == "tiny"
    config = find_model_config(given["agent-a"])[1].detector
    # A name below mmdet3d's own configurations stays one.
    assert (config.checkpoint, config.config) == (tmp_path / "car.pth", Path("theirs/net.py"))


@pytest.mark.parametrize("beams", ["16", "'8,product'"])
def test_vehicles_are_given_fewer_beams(tmp_path, beams):
    path = tmp_path / "few.yaml"
    path.write_text(f"source: {{simulate: {{family: crossing}}, beams: {beams}}}\nframes: 1\n")
    assert str(load_scenario(path).source.beams) == beams.strip("'")


def test_what_is_no_number_of_beams_is_refused(tmp_path):
    path = tmp_path / "few.yaml"
    path.write_text("source: {simulate: {family: crossing}, beams: few}\nframes: 1\n")
    with pytest.raises(CosenseError, match="beams 'few': expected a number of beams"):
        load_scenario(path)
