"""A scene graph that somebody else has made: what is read, and what is refused with its place in the file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.messages.scene_graph import MAX_NODES, NodeClass, transmitted
from cosense.scene_graph.graph_file import ground_height_of, read_graph
from tests.conftest import REPOSITORY

CAR = {"label": "car", "position": [10, 2, -1.1], "size": [4.5, 1.8, 1.6], "yaw": 0.1}
LAMP = {"label": "lamp post", "position": [5.0, -6.0, -1.9]}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and gives its path."""

    def write(content):
        path = tmp_path / "graph.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def test_nodes_are_read_with_their_defaults(write):
    moving = {**CAR, "velocity": [3, 0.5], "sigma_m": 0.1, "score": 0.5}
    graph, strange = read_graph(write({"agent": "unit", "stamp_ns": 7, "nodes": [CAR, LAMP, moving]}))
    assert (graph.agent_id, graph.stamp_ns, len(graph)) == ("unit", 7, 3)
    assert graph.classes.tolist() == [NodeClass.VEHICLE, NodeClass.POLE, NodeClass.VEHICLE]
    assert graph.ids.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(graph.positions[0], CAR["position"])
    np.testing.assert_array_equal(graph.sizes, [CAR["size"], [0, 0, 0], CAR["size"]])
    np.testing.assert_array_equal(graph.yaws, [0.1, np.nan, 0.1])
    np.testing.assert_array_equal(graph.velocities, [[np.nan, np.nan], [0, 0], [3, 0.5]])
    np.testing.assert_array_equal(graph.sigmas_m, [0.3, 0.3, 0.1])
    np.testing.assert_array_equal(graph.scores, [1, 1, 0.5])
    assert not strange


def test_the_example_of_the_manual_is_one(write):
    page = (REPOSITORY / "docs" / "registration.md").read_text()
    graph, strange = read_graph(write(page.split("```json\n")[1].split("```")[0]))
    assert graph.classes.tolist() == [NodeClass.VEHICLE, NodeClass.POLE, NodeClass.WALL]
    assert not strange


def test_labels_that_nobody_knows_are_counted(write):
    nodes = [CAR, *({"label": "dragon", "position": [x, 0, 0]} for x in range(3))]
    graph, strange = read_graph(write({"nodes": nodes}))
    assert strange == {"dragon": 3}
    assert graph.classes.tolist() == [NodeClass.VEHICLE, *[NodeClass.UNKNOWN] * 3]


def test_a_graph_may_be_empty(write):
    graph, _ = read_graph(write({"nodes": []}))
    assert len(graph) == 0
    assert graph.positions.shape == (0, 3)
    assert ground_height_of(graph) == 0


def test_the_ground_is_where_things_stand(write):
    graph, _ = read_graph(write({"nodes": [CAR, LAMP, {**CAR, "position": [0, 9, 40]}]}))
    assert ground_height_of(graph) == pytest.approx(-1.9)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not readable as a scene graph in JSON"),
        ("[" * 100_000, "not readable as a scene graph in JSON"),
        ([], "expected a mapping"),
        ({}, "missing key 'nodes'"),
        ({"nodes": {}}, "nodes: expected a list"),
        ({"nodes": [], "edges": []}, "unknown key 'edges'"),
        ({"nodes": [LAMP, {"label": "car"}]}, "nodes[1]: missing key 'position'"),
        ({"nodes": [{**LAMP, "positon": 1}]}, "nodes[0]: unknown key 'positon', did you mean 'position'?"),
        ({"nodes": [{**LAMP, "position": [1, 2]}]}, "nodes[0]: position: expected 3 values, got 2"),
        ({"nodes": [{**LAMP, "label": 3}]}, "nodes[0]: label: expected str"),
        ({"nodes": [{**LAMP, "position": [1, 2, float("nan")]}]}, "nodes[0]: position is"),
        ('{"nodes": [{"label": "car", "position": [1e999, 0, 0]}]}', "nodes[0]: position is"),
        ({"nodes": [{**LAMP, "position": [10**400, 0, 0]}]}, "not readable as a scene graph"),
        ({"nodes": [{**CAR, "size": [-1, 1, 1]}]}, "nodes[0]: size is"),
        (
            {"nodes": [LAMP, {"label": "car", "position": [1, 2, 3]}]},
            "nodes[1]: a vehicle ('car') needs its size",
        ),
        ({"nodes": [{**LAMP, "sigma_m": 0}]}, "nodes[0]: sigma_m is 0"),
        ({"nodes": [{**LAMP, "score": 1.5}]}, "nodes[0]: score is 1.5"),
        ({"nodes": [{**LAMP, "yaw": "north"}]}, "nodes[0]: yaw: expected float"),
        ({"nodes": [LAMP, {**LAMP, "position": [1e200, 0, 0]}]}, "nodes[1]: position is (1e+200, 0.0, 0.0)"),
        ({"nodes": [{**LAMP, "position": [0, -327.68, 0]}]}, "expected numbers within 327.67 m"),
        ({"nodes": [LAMP] * 1025}, "nodes: there are 1025, the limit is 1024"),
        ({"nodes": [], "agent": "a" * 300}, "agent has 300 bytes, the limit is 32"),
        ({"nodes": [], "agent": "two\nlines"}, "agent 'two\\nlines' has characters that cannot be printed"),
        ({"nodes": [], "stamp_ns": 10**30}, "stamp_ns is 1000000000000000000000000000000, expected 0 to"),
        ({"nodes": [], "stamp_ns": -1}, "stamp_ns is -1, expected 0 to"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(write, content, told):
    path = write(content)
    with pytest.raises(CosenseError) as error:
        read_graph(path)
    assert told in str(error.value)
    assert str(path) in str(error.value)


def test_what_just_fits_a_message_is_read(write):
    far = {**LAMP, "position": [327.67, -327.67, 0]}
    graph, _ = read_graph(write({"nodes": [far] * 1024, "agent": "a" * 32, "stamp_ns": (1 << 63) - 1}))
    assert len(transmitted(graph, MAX_NODES)[0]) == 1024


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CosenseError, match="no such file"):
        read_graph(tmp_path / "nowhere.json")
