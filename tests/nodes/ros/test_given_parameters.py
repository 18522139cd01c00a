"""What is given to a process and read by none of its nodes: ROS 2 passes over it in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: pip install 'cosense[ros]'")

from cosense.errors import CosenseError
from cosense.nodes.parameter_files import NODES
from cosense.nodes.ros.given_parameters import check_given
from tests.conftest import REPOSITORY


def check(*words: str, nodes=("agent",)) -> list[str]:
    return check_given(["program", "--ros-args", *words], nodes)


def file(folder: Path, text: str) -> tuple[str, str]:
    """Return the words that hand over a file of parameters."""
    (folder / "mine.yaml").write_text(text)
    return "--params-file", str(folder / "mine.yaml")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-p", "bugdet_bytes:=3"], "-p bugdet_bytes:=3: unknown .* did you mean 'budget_bytes'"),
        (["--param", "agnet_id:=x"], "did you mean 'agent_id'"),
        (["-p", "timeout_ms:=3.0"], "unknown parameter 'timeout_ms', it is one of node 'fusion'"),
        (["-p", "agent:budget:=3"], "did you mean 'budget_bytes'"),
        (["-p", "agnet:budget_bytes:=3"], "no node 'agnet' here, did you mean 'agent'"),
        (["-r", "__node:=one", "-p", "agent:budget_bytes:=3"], "no node 'agent' here"),
        (["--params-file", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ],
)
def test_a_mistake_on_the_command_line_is_refused(words, complaint):
    with pytest.raises(CosenseError, match=complaint):
        check(*words)


@pytest.mark.parametrize("section", ["/**", "/**/agent", "/*/agent", "/unit/agent", "unit: {agent"])
def test_a_mistake_in_a_file_is_refused_wherever_it_stands(tmp_path, section):
    end = "}" * section.count("{")
    words = file(tmp_path, f"{section}: {{ros__parameters: {{bugdet_bytes: 3}}}}{end}\n")
    with pytest.raises(CosenseError, match=r"mine.yaml: .*'bugdet_bytes', did you mean 'budget_bytes'"):
        check("-r", "__ns:=/unit", *words)


def test_a_group_is_part_of_the_name(tmp_path):
    words = file(tmp_path, "/**:\n  ros__parameters:\n    admission: {max_age_ms: 3.0, max_ages: 2}\n")
    with pytest.raises(CosenseError, match=r"'admission.max_ages', did you mean 'admission.max_age_ms'"):
        check(*words, nodes=("fusion",))


@pytest.mark.parametrize(
    "words",
    [
        ["-p", "agent_id:=x", "-p", "use_sim_time:=true", "-r", "agent_id:=x", "--log-level", "debug"],
        ["-p", "agent:budget_bytes:=3", "-p", "timeout_ms:=3.0"],
        ["-r", "agent:__node:=one", "-p", "one:budget_bytes:=3"],
        ["--", "-p", "anything:=1"],
    ],
)
def test_what_exists_is_taken_by_any_node_of_the_process(words):
    assert check(*words, nodes=("agent", "fusion")) == []


def test_one_file_may_serve_all_nodes_of_the_package(tmp_path):
    """A section for nodes of any name holds for those that have the parameter."""
    text = "/**: {ros__parameters: {budget_bytes: 3, timeout_ms: 2.0, qos_overrides: {/tf: {depth: 1}}}}\n"
    assert check(*file(tmp_path, text + "/other/robot: {ros__parameters: {wheels: 4}}\n")) == []


def test_a_file_that_has_nothing_for_anybody_here_is_a_warning(tmp_path):
    words = file(tmp_path, "/**/agnet: {ros__parameters: {budget_bytes: 3}}\n")
    (warning,) = check("-r", "__ns:=/unit", *words)
    assert warning.endswith("mine.yaml: nothing in it is for /unit/agent, it has /**/agnet")


@pytest.mark.parametrize("text", ["agent: {budget_bytes: 3}", "- 3", "agent: 7"])
def test_a_file_without_the_key_of_ros_is_refused(tmp_path, text):
    with pytest.raises(
        CosenseError, match="expected the names of nodes, below each of them 'ros__parameters:'"
    ):
        check(*file(tmp_path, text))


@pytest.mark.parametrize("name", NODES)
def test_the_shipped_files_are_accepted_by_their_nodes(name):
    shipped = REPOSITORY / "launch" / "params" / f"{name}.yaml"
    assert check("--params-file", str(shipped), nodes=(name,)) == []
