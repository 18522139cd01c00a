"""RViz and Foxglove are not on a test machine: what can be held is the form of their files and the topics."""

from __future__ import annotations

import json
from typing import Any

import yaml

from cosense import topics
from cosense.runs.layouts import (
    MAPS,
    SCENE,
    SHIPPED_AGENTS,
    SHIPPED_FOXGLOVE,
    SHIPPED_RVIZ,
    foxglove_layout,
    rviz_layout,
    write_layouts,
    write_shipped,
)
from cosense.runs.scenario import load_scenario, resolved
from cosense.viewer.colors import SOURCE_NAMES
from tests.conftest import REPOSITORY

AGENTS = ("vehicle", "4279", "unit")
EGO = "4279"
CAMERAS = {"vehicle": ["camera0", "camera3"], "unit": ["front"], "4279": []}


def rviz_displays(layout: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all displays, those of groups too."""
    displays = []
    for display in layout["Visualization Manager"]["Displays"]:
        displays += display["Displays"] if display["Class"] == "rviz_common/Group" else [display]
    return displays


def expected_topics(agents: tuple[str, ...], ego: str) -> set[str]:
    expected = {topics.MARKERS, topics.SCENE_GRAPH_MARKERS, topics.GROUND_TRUTH}
    for agent in agents:
        expected |= {topics.points_topic(agent), topics.markers_topic(agent)}
        if agent != ego:
            expected |= {topics.debug_map_topic(agent, name) for name in MAPS}
    return expected


def test_rviz_shows_every_topic_of_every_agent_once():
    displays = rviz_displays(rviz_layout(AGENTS, EGO, CAMERAS))
    shown = [display["Topic"]["Value"] for display in displays if "Topic" in display]
    assert len(shown) == len(set(shown))
    images = {topics.image_topic("vehicle", name) for name in ("camera0", "camera3")}
    images.add("/unit/front/image_raw")
    assert set(shown) == expected_topics(AGENTS, EGO) | images | {topics.BOXES}


def test_every_agent_has_its_group_and_what_costs_time_is_off():
    top = rviz_layout(AGENTS, EGO, CAMERAS)["Visualization Manager"]["Displays"]
    groups = {display["Name"]: display for display in top if display["Class"] == "rviz_common/Group"}
    assert list(groups) == ["vehicle", "4279 (ego)", "unit"]
    assert '"ego (ego)"' not in json.dumps(rviz_layout(["ego"], "ego", {}))
    for group in groups.values():
        on = {part["Class"] for part in group["Displays"] if part["Enabled"]}
        assert on == {"rviz_default_plugins/PointCloud2"}


def test_the_fused_boxes_can_be_switched_by_their_source():
    displays = rviz_displays(rviz_layout(AGENTS, EGO, CAMERAS))
    (fused,) = (d for d in displays if d.get("Topic", {}).get("Value") == topics.MARKERS)
    names = [f"4279: {name}" for name in (*SOURCE_NAMES.values(), "labels")]
    assert fused["Namespaces"] == dict.fromkeys(names, True)
    scene = foxglove_layout(AGENTS, EGO)["configById"][SCENE]
    assert list(scene["topics"][topics.MARKERS]["namespaces"]) == names


def test_displays_are_of_classes_that_package_xml_brings():
    known = {f"rviz_default_plugins/{name}" for name in ("Grid", "TF", "PointCloud2", "MarkerArray", "Map")}
    known |= {"rviz_default_plugins/Camera", "vision_msgs_rviz_plugins/Detection3DArray"}
    assert {display["Class"] for display in rviz_displays(rviz_layout(AGENTS, EGO, CAMERAS))} == known
    package = (REPOSITORY / "package.xml").read_text()
    assert "<exec_depend>rviz2</exec_depend>" in package
    assert "<exec_depend>vision_msgs_rviz_plugins</exec_depend>" in package


def test_the_ego_is_where_everything_is_drawn_and_the_grid_lies_beneath_it():
    manager = rviz_layout(AGENTS, EGO, CAMERAS)["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == "agent_4279/lidar"
    grid = manager["Displays"][0]
    assert (grid["Reference Frame"], grid["Offset"]["Z"]) == ("agent_4279/lidar", -1.8)
    layer = foxglove_layout(AGENTS, EGO)["configById"][SCENE]["layers"]["grid"]
    assert (layer["frameId"], layer["position"]) == ("agent_4279/lidar", [0, 0, -1.8])


def test_what_our_nodes_keep_is_asked_for_and_drivers_are_asked_for_no_more_than_they_offer():
    asked = {
        display["Topic"]["Value"]: display["Topic"]["Durability Policy"]
        for display in rviz_displays(rviz_layout(AGENTS, EGO, CAMERAS))
        if "Topic" in display
    }
    of_drivers = {topic for topic in asked if topic.endswith(("/points", "/image_raw"))}
    assert len(of_drivers) == 6
    for topic, durability in asked.items():
        assert durability == ("Volatile" if topic in of_drivers else "Transient Local")


def test_foxglove_shows_the_same_and_every_panel_has_its_place():
    layout = foxglove_layout(AGENTS, EGO)
    assert set(layout["configById"][SCENE]["topics"]) == expected_topics(AGENTS, EGO)

    def panels(node: Any) -> list[str]:
        if isinstance(node, str):
            return [node]
        assert node["direction"] in ("row", "column")
        assert 0 < node["splitPercentage"] < 100
        return [*panels(node["first"]), *panels(node["second"])]

    assert sorted(panels(layout["layout"])) == sorted(layout["configById"])
    kinds = {panel.split("!")[0] for panel in layout["configById"]}
    assert kinds == {"3D", "StateTransitions", "Plot", "DiagnosticSummary", "RawMessages"}


def test_foxglove_plots_what_the_nodes_publish():
    panels = foxglove_layout(AGENTS, EGO)["configById"]
    plotted = {
        path["value"] for name, panel in panels.items() if name.startswith("Plot!") for path in panel["paths"]
    }
    assert plotted == {
        "/agent_4279/fusion/debug/latency_ms.data",
        "/agent_4279/fusion/debug/processing_time_ms.data",
        "/agent_4279/agent/debug/processing_time_ms.data",
        "/vehicle/agent/debug/processing_time_ms.data",
        "/vehicle/agent/debug/tx_bytes.data",
        "/unit/agent/debug/processing_time_ms.data",
        "/unit/agent/debug/tx_bytes.data",
    }


def test_the_files_hold_the_layouts(tmp_path):
    write_layouts(AGENTS, EGO, CAMERAS, tmp_path / "view.rviz", tmp_path / "foxglove.json")
    assert yaml.safe_load((tmp_path / "view.rviz").read_text()) == rviz_layout(AGENTS, EGO, CAMERAS)
    assert json.loads((tmp_path / "foxglove.json").read_text()) == foxglove_layout(AGENTS, EGO)


def test_what_ships_is_what_would_be_written(tmp_path):
    """If this fails: python -m cosense.runs.layouts."""
    write_shipped(tmp_path)
    for name in (SHIPPED_RVIZ, SHIPPED_FOXGLOVE):
        assert (REPOSITORY / "rviz" / name).read_text() == (tmp_path / name).read_text()


def test_what_ships_shows_all_agents_of_the_shipped_scenarios():
    for path in (REPOSITORY / "launch" / "scenarios").glob("*.yaml"):
        agents = {agent.id for agent in resolved(load_scenario(path)).agents}
        assert agents <= set(SHIPPED_AGENTS), path
