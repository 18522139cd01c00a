"""The launch files, executed on a stand-in for ROS 2's launch, which is not among the wheels."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from cosense import topics
from cosense.data.bag import BagOptions
from cosense.errors import CosenseError
from cosense.runs.frame_source import FrameSource
from cosense.runs.processes import processes
from cosense.runs.scenario import PlayerSettings, Scenario, load_scenario, resolved
from cosense.runs.supervisor import dds_environment
from tests.conftest import REPOSITORY
from tests.data.bag.bags import car, in_order, mount, rsu, write_rows
from tests.nodes.launch_stand_in import (
    GroupAction,
    IncludeLaunchDescription,
    LaunchContext,
    LaunchDescription,
    Node,
    PythonLaunchDescriptionSource,
    Shutdown,
    execute,
    load,
    stand_in,
)
from tests.nodes.tiny import write_model, write_scene

LAUNCH = REPOSITORY / "launch"
FILES = sorted(path.name for path in LAUNCH.glob("*.launch.py"))
# What has no default.
NEEDED = {
    "scenario.launch.py": {"scenario": "v2i.yaml"},
    "replay.launch.py": {"bag": "nowhere"},
    "agent.launch.py": {"agent_id": "unit_7"},
    "fusion.launch.py": {"ego_id": "car_1"},
}


@pytest.fixture(autouse=True)
def ros2_launch() -> Iterator[None]:
    with stand_in(REPOSITORY, "rviz2"):
        yield


@pytest.fixture
def params(tmp_path) -> str:
    path = tmp_path / "params.yaml"
    path.write_text("/**:\n  ros__parameters:\n    queue_depth: 3\n")
    return str(path)


def start(name: str, **given: str) -> list[Node]:
    return execute(load(LAUNCH / name), **given).nodes


def seen(node: Node) -> tuple:
    """Return what two descriptions of a process must have in common."""
    (parameters,) = node.parameters
    return node.executable, node.namespace, parameters, dict(node.remappings), node.environment


def expected(scenario: Scenario, out: Path) -> list[tuple]:
    return [
        (
            spec.executable,
            spec.namespace,
            spec.parameters,
            spec.remappings,
            dds_environment() | spec.environment,
        )
        for spec in processes(resolved(scenario), out)
    ]


def test_there_is_a_launch_file_for_each_purpose():
    assert FILES == ["agent.launch.py", "fusion.launch.py", "replay.launch.py", "scenario.launch.py"]


@pytest.mark.parametrize("name", sorted(path.name for path in (LAUNCH / "scenarios").glob("*.yaml")))
def test_a_scenario_gives_exactly_the_processes_of_cosense_run(name, tmp_path):
    if name == "dair_v2x_late.yaml":
        pytest.importorskip("mmdet3d", reason="mmdet3d is not installed: make mmdet3d")
    nodes = start("scenario.launch.py", scenario=name, out=str(tmp_path / "run"))
    assert [seen(node) for node in nodes] == expected(
        load_scenario(LAUNCH / "scenarios" / name), tmp_path / "run"
    )
    assert {node.package for node in nodes} == {"cosense"}
    # Naming a node would give both nodes of the ego the same name.
    assert {node.name for node in nodes} == {None}


def write_scenario(folder: Path, **more: object) -> Path:
    """Write a scenario of a small data set and a small model."""
    source = {"data": str(write_scene(folder / "scene", 1))}
    small = {"source": source, "model": str(write_model(folder / "tiny")), "fusion": "late"}
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(small | more))
    return path


def test_the_launch_ends_with_the_player_and_with_anybody_who_dies_before_the_first_frame(tmp_path):
    """Who waits for whom: the player for the recorder and the agents, everybody for the player."""
    out, path = tmp_path / "run", write_scenario(tmp_path)
    nodes = start("scenario.launch.py", scenario=str(path), out=str(out), record="true")
    exited = SimpleNamespace(process_name="somebody-1")

    def ending() -> list[str]:
        return [node.executable for node in nodes if isinstance(node.on_exit(exited, None), Shutdown)]

    assert ending() == ["recorder", "ego", "agent", "player"]
    (out / "detections.jsonl").write_text("{}\n")
    # Without the agent of the ego there is nothing to fuse.
    assert ending() == ["ego", "player"]
    assert nodes[-1].on_exit(exited, None).reason == "somebody-1 has ended"


def test_who_is_started_again_ends_no_launch(tmp_path):
    path = write_scenario(tmp_path, respawn=True)
    nodes = start("scenario.launch.py", scenario=str(path), out=str(tmp_path / "run"))
    exited = SimpleNamespace(process_name="somebody-1")
    for node in nodes:
        ends = [isinstance(node.on_exit(exited, None), Shutdown) for _ in range(6)]
        # Who dies a sixth time has something that a new start does not cure.
        assert ends == [True] * 6 if node.executable == "player" else [False] * 5 + [True]


def test_nobody_outlives_the_launch_and_each_has_its_own_name_in_it(monkeypatch):
    """A launch that is killed; and debuggers, which are put before the nodes in the same way."""
    given = {"agent_id": "unit", "params_file": "none"}
    description = load(LAUNCH / "agent.launch.py")
    for found, wanted in (("/usr/bin/setpriv", "setpriv --pdeathsig TERM"), (None, None)):
        monkeypatch.setattr("shutil.which", lambda _, found=found: found)
        context = execute(description, **given)
        assert context.launch_configurations.get("launch-prefix") == wanted
        assert [node.exec_name for node in context.nodes] == ["agent"]
    prefix = {"launch-prefix": "gdb --args"}
    assert execute(description, **given, **prefix).launch_configurations["launch-prefix"] == "gdb --args"


def test_arguments_win_over_the_scenario(tmp_path):
    scene, out = write_scene(tmp_path / "scene", 2), tmp_path / "run"
    path = tmp_path / "mine.yaml"
    path.write_text(f"source: {{data: nowhere}}\nmodel: {write_model(tmp_path / 'tiny')}\nframes: 1\n")
    given = {"data": str(scene), "rate": "0.5", "record": "true", "out": str(out)}
    given["pose_error"] = "dair"
    nodes = start("scenario.launch.py", scenario=str(path), **given)
    player = PlayerSettings(mode="rate", rate=0.5)
    wanted = Scenario(
        FrameSource(data=scene),
        model=str(tmp_path / "tiny"),
        frames=1,
        player=player,
        pose_error="dair",
        record=True,
    )
    assert [seen(node) for node in nodes] == expected(wanted, out)


def test_rviz_shows_the_agents_of_the_run(tmp_path):
    nodes = start(
        "scenario.launch.py", scenario="three_vehicles_one_unit.yaml", out=str(tmp_path), rviz="true"
    )
    rviz = nodes[-1]
    assert (rviz.package, rviz.executable) == ("rviz2", "rviz2")
    flag, layout = rviz.arguments
    assert flag == "-d"
    assert topics.points_topic("vehicle_3") in Path(layout).read_text()
    assert rviz.parameters == [{"use_sim_time": True}]


def test_a_replay_of_somebody_elses_bag_is_told_which_topics_are_meant(tmp_path):
    bag, model = (
        write_rows(tmp_path / "bag", in_order([mount(), *car(), *rsu()])),
        write_model(tmp_path / "tiny"),
    )
    given = {
        "points": "shuttle=/lidar_top,corner=/rsu/points",
        "pose": "shuttle=/odom,corner=tf",
        "ego": "shuttle",
    }
    nodes = start("replay.launch.py", bag=str(bag), model=str(model), out=str(tmp_path / "run"), **given)
    options = BagOptions(
        {"shuttle": "/lidar_top", "corner": "/rsu/points"}, {"shuttle": "/odom", "corner": "tf"}, "shuttle"
    )
    wanted = Scenario(
        FrameSource(data=bag, bag=options), model=str(model), player=PlayerSettings(mode="rate", rate=1.0)
    )
    assert [seen(node) for node in nodes] == expected(wanted, tmp_path / "run")


def test_a_replay_is_told_the_columns_of_a_cloud(tmp_path):
    rows = np.tile(np.float32([7, 1, 2, 3, -0.5]), (20, 1))
    (tmp_path / "scan.bin").write_bytes(rows.tobytes())
    given = {"bag": str(tmp_path / "scan.bin"), "columns": "ring x y z i", "out": str(tmp_path / "run")}
    nodes = start("replay.launch.py", model=str(write_model(tmp_path / "tiny")), **given)
    (player,) = (seen(node)[2] for node in nodes if node.executable == "player")
    assert (player["columns"], player["agents"]) == ("ring x y z i", "ego")


def test_a_replay_plays_a_recording_in_its_own_time(tmp_path):
    scene, model, out = write_scene(tmp_path / "scene", 2), write_model(tmp_path / "tiny"), tmp_path / "run"
    given = {"model": str(model), "registration": "scene_graph", "budget_bytes": "500", "out": str(out)}
    nodes = start("replay.launch.py", bag=str(scene), **given)
    player = PlayerSettings(mode="rate", rate=1.0)
    wanted = Scenario(
        FrameSource(data=scene), model=str(model), registration="scene_graph", budget_bytes=500, player=player
    )
    assert [seen(node) for node in nodes] == expected(wanted, out)


def test_an_agent_on_a_vehicle_has_its_own_sensors_and_the_topics_of_all(params):
    (node,) = start(
        "agent.launch.py",
        agent_id="4279",
        kind="infrastructure",
        budget_bytes="2000",
        points="/lidar/points",
        params_file=params,
    )
    assert (node.package, node.executable, node.namespace) == ("cosense", "agent", "/agent_4279")
    file, parameters = node.parameters
    assert file == params
    # What was not given is left to the file.
    given = {"agent_id": "4279", "kind": "infrastructure", "budget_bytes": 2000, "use_sim_time": False}
    assert parameters == given
    assert dict(node.remappings) == {
        "~/input/points": "/lidar/points",
        "~/input/pose": "/agent_4279/pose",
        "~/input/requests": "/v2x/requests",
        "~/output/messages": "/v2x/messages",
        "~/output/markers": "/agent_4279/markers",
    }


def test_the_ego_is_one_process_with_the_files_of_both_nodes(params, tmp_path):
    of_agent = tmp_path / "agent.yaml"
    of_agent.write_text("/**:\n  ros__parameters:\n    pose_gap_ms: 20.0\n")
    files = {"params_file": params, "agent_params_file": str(of_agent)}
    given = {"model": "cosense-lite", "fusion": "hybrid", "registration": "none"}
    (node,) = start("fusion.launch.py", ego_id="car", **given, **files)
    assert (node.executable, node.namespace) == ("ego", "/car")
    *files, parameters = node.parameters
    assert files == [str(of_agent), params]
    assert parameters["agent_id"] == parameters["ego_id"] == "car"
    assert parameters["model"] == "cosense-lite"
    assert parameters["registration"] == "none"
    remappings = dict(node.remappings)
    assert remappings["agent:~/output/messages"] == remappings["fusion:~/input/own"] == "/car/messages"
    assert remappings["agent:~/input/points"] == "/car/points"


def test_late_fusion_may_be_two_processes():
    fusion, agent = (
        start(name, **given, params_file="none")[0]
        for name, given in (
            ("fusion.launch.py", {"ego_id": "car", "with_agent": "false", "peers": "unit,bus"}),
            ("agent.launch.py", {"agent_id": "car", "is_ego": "true", "registration": "scene_graph"}),
        )
    )
    assert fusion.executable == "fusion"
    assert fusion.parameters == [{"ego_id": "car", "peers": "unit,bus", "use_sim_time": False}]
    given = {"agent_id": "car", "registration": "scene_graph", "use_sim_time": False}
    assert agent.parameters == [given]
    assert dict(fusion.remappings)["~/input/own"] == dict(agent.remappings)["~/output/messages"]


def test_the_files_can_be_included_one_by_one():
    def include(name: str, **given: str) -> GroupAction:
        source = PythonLaunchDescriptionSource(str(LAUNCH / name))
        return GroupAction([IncludeLaunchDescription(source, launch_arguments=given.items())])

    description = LaunchDescription(
        [
            include("agent.launch.py", agent_id="unit", points="/unit/lidar", params_file="none"),
            include("agent.launch.py", agent_id="bus", params_file="none"),
            include("fusion.launch.py", ego_id="car", params_file="none", agent_params_file="none"),
        ]
    )
    nodes = execute(description).nodes
    assert [(node.executable, node.namespace) for node in nodes] == [
        ("agent", "/unit"),
        ("agent", "/bus"),
        ("ego", "/car"),
    ]
    assert dict(nodes[0].remappings)["~/input/points"] == "/unit/lidar"
    assert dict(nodes[1].remappings)["~/input/points"] == "/bus/points"


@pytest.mark.parametrize("name", FILES)
def test_every_argument_is_described(name):
    context = LaunchContext(NEEDED[name])
    declared = [entity for entity in load(LAUNCH / name).entities if hasattr(entity, "description")]
    for entity in declared:
        entity.visit(context)
    assert {entity.name for entity in declared if entity.default is None} == set(NEEDED[name])
    for entity in declared:
        assert entity.description, entity.name
        assert len(entity.description) > 10, entity.name


@pytest.mark.parametrize("name", FILES)
def test_what_has_no_default_must_be_given(name):
    (needed,) = NEEDED[name]
    with pytest.raises(RuntimeError, match=f'argument "{needed}" was not provided'):
        start(name)


@pytest.mark.parametrize(
    ("name", "given", "complaint"),
    [
        (
            "scenario.launch.py",
            {"scenario": "v2v.yaml"},
            r"no scenario 'v2v.yaml'.*did you mean 'v2i.yaml'\?",
        ),
        ("scenario.launch.py", {"scenario": "v2i.yaml", "data": "nowhere"}, "nowhere"),
        ("scenario.launch.py", {"scenario": "v2i.yaml", "rate": "fast"}, "rate:=fast is not a number"),
        (
            "scenario.launch.py",
            {"scenario": "v2i.yaml", "rate": "-1"},
            "rate is -1.0, expected 0.001",
        ),
        ("replay.launch.py", {"bag": "nowhere"}, "nowhere"),
        ("replay.launch.py", {"bag": "b", "budget_bytes": "0"}, "budget_bytes is 0"),
        ("replay.launch.py", {"bag": "b", "pose": "/odom"}, "pose:=/odom: expected AGENT=TOPIC"),
        ("replay.launch.py", {"bag": "b", "frames": "2.5"}, "frames:=2.5 is not a whole number"),
        ("agent.launch.py", {"agent_id": "a", "params_file": "x.yaml"}, "params_file:=x.yaml: no such file"),
        (
            "fusion.launch.py",
            {"ego_id": "a", "fusion": "hybrid", "with_agent": "false"},
            "fusion:=hybrid goes with with_agent:=true",
        ),
    ],
)
def test_a_wrong_value_is_one_clear_error(name, given, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CosenseError, match=complaint):
        start(name, **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("scenario.launch.py", "rviz"),
        ("replay.launch.py", "mode"),
        ("agent.launch.py", "kind"),
        ("agent.launch.py", "registration"),
        ("fusion.launch.py", "registration"),
    ],
)
def test_a_value_that_is_none_of_the_choices_is_refused_by_ros(name, argument):
    with pytest.raises(RuntimeError, match=f'"{argument}" provided value "perhaps" is not valid'):
        start(name, **NEEDED[name], **{argument: "perhaps"})


def test_the_default_files_of_parameters_are_those_of_the_package():
    for name, argument, file in (
        ("agent.launch.py", "params_file", "agent.yaml"),
        ("fusion.launch.py", "params_file", "fusion.yaml"),
        ("fusion.launch.py", "agent_params_file", "agent.yaml"),
    ):
        declared = {entity.name: entity for entity in load(LAUNCH / name).entities if hasattr(entity, "name")}
        assert Path(declared[argument].default) == LAUNCH / "params" / file


def test_texts_that_look_like_numbers_stay_texts(tmp_path, params):
    """launch_ros writes parameters as YAML and reads them back."""
    (node,) = start("agent.launch.py", agent_id="-1", params_file="none")
    (parameters,) = node.parameters
    assert yaml.safe_load(yaml.dump(parameters))["agent_id"] == "-1"


@pytest.mark.parametrize("name", ["scenario.launch.py", "replay.launch.py"])
def test_what_is_not_installed_is_said_before_anything_starts(name, tmp_path, monkeypatch):
    """What launch finds missing when the first processes run leaves them behind."""
    monkeypatch.setenv("ROS_DISTRO", "humble")
    monkeypatch.chdir(tmp_path)
    cure = "rviz2 is not installed; sudo apt install ros-humble-rviz2, or rviz:=false"
    with stand_in(REPOSITORY), pytest.raises(CosenseError, match=cure):
        start(name, **NEEDED[name], rviz="true")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("as_path", [False, True])
def test_an_argument_that_does_not_exist_is_refused_with_the_nearest_that_does(name, as_path, monkeypatch):
    """ROS 2 takes any argument and hands it to whoever may want it."""
    (needed,) = NEEDED[name]
    file = [str(LAUNCH / name)] if as_path else ["cosense", name]
    monkeypatch.setattr("sys.argv", ["ros2", "launch", *file, f"{needed}:=x", f"{needed[:-1]}:=y"])
    with pytest.raises(CosenseError, match=f"{needed[:-1]}:=y, did you mean '{needed}'"):
        start(name, **NEEDED[name])


def test_arguments_of_a_file_that_includes_ours_are_its_own(monkeypatch):
    """They are on the command line as well, and look like ours with a mistake in them."""
    monkeypatch.setattr("sys.argv", ["ros2", "launch", "robot", "agent.launch.py", "agent:=x"])
    assert len(start("agent.launch.py", agent_id="unit", params_file="none")) == 1


EXECUTABLES = ("agent", "channel", "ego", "fusion", "player", "recorder")


@pytest.mark.parametrize("name", EXECUTABLES)
def test_ros2_run_finds_every_node(name):
    script = REPOSITORY / "scripts" / name
    assert os.access(script, os.X_OK)
    assert f"from cosense.nodes.{name} import main" in script.read_text()
    # However long the imports take: Ctrl-C is no traceback of theirs.
    assert script.read_text().index("SIG_DFL") < script.read_text().index("cosense.nodes")
    assert importlib.util.find_spec(f"cosense.nodes.{name}") is not None
