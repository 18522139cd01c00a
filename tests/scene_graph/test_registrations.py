"""A registration says what agents send for it, and one to compare with is found by the name of its file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense import plugins
from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.envelope import Message, MessageError, PayloadKind, decode, encode
from cosense.messages.points import decode_points, encode_points
from cosense.messages.scene_graph import encode_scene_graph
from cosense.scene_graph.correction.relative_poses import register_pair
from cosense.scene_graph.register.result import Status
from cosense.scene_graph.registrations import (
    Cloud,
    payload_kind,
    read_surroundings,
    registration_names,
    thinned_frame,
)
from tests.cooperation.networks import frame
from tests.scene_graph.scenes import pair

HONEST = np.diag([0.4, 0.4, np.deg2rad(0.4)]) ** 2
REFUSES = """
from cosense.messages.envelope import PayloadKind
from cosense.scene_graph.register.result import RegistrationResult, Status

PAYLOAD = PayloadKind.SCENE_GRAPH


def register(a, b, prior):
    return RegistrationResult(Status.TOO_FEW, f"refuses {b.agent_id}")
"""


def a_graph():
    return replace(pair(np.random.default_rng(1), 8, 4)[1], agent_id="far", pose_covariance=HONEST)


def test_all_registrations_have_names():
    assert registration_names() == ("none", "scene_graph", "boxes", "gicp", "icp", "spectral")
    with pytest.raises(CosenseError, match="unknown registration 'spectre', did you mean 'spectral'"):
        payload_kind("spectre")


def test_a_file_in_a_folder_outside_of_the_package_is_a_registration(tmp_path, monkeypatch):
    folder = tmp_path / "scene_graph" / "baselines"
    folder.mkdir(parents=True)
    (folder / "refuses.py").write_text(REFUSES)
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path))
    assert "refuses" in registration_names()
    assert payload_kind("refuses") is PayloadKind.SCENE_GRAPH
    a, b, _ = pair(np.random.default_rng(0), 6, 2)
    result = register_pair("refuses", a, b)
    assert (result.status, result.reason) == (Status.TOO_FEW, "refuses b")


def test_icp_reads_points_and_everything_else_graphs():
    graph = a_graph()
    pose = (graph.agent_id, 0, 5, graph.T_world_agent, HONEST, bytes(8))
    of_graph = Message(PayloadKind.SCENE_GRAPH, *pose, encode_scene_graph(graph))
    points = np.arange(40, dtype=np.float32).reshape(10, 4) / 100
    of_points = Message(PayloadKind.POINTS, *pose, encode_points(points))
    cloud = read_surroundings(decode(encode(of_points)), "icp")
    assert isinstance(cloud, Cloud)
    assert (cloud.agent_id, cloud.stamp_ns, payload_kind("icp")) == ("far", 5, PayloadKind.POINTS)
    np.testing.assert_allclose(cloud.points[:, :3], points[:, :3], atol=0.006)
    assert len(read_surroundings(decode(encode(of_graph)), "boxes")) == len(graph)
    with pytest.raises(MessageError, match="carries SCENE_GRAPH, registration 'icp' uses POINTS"):
        read_surroundings(of_graph, "icp")
    with pytest.raises(MessageError, match="carries POINTS, registration 'scene_graph' uses SCENE_GRAPH"):
        read_surroundings(of_points, "scene_graph")


def test_what_icp_does_not_look_at_is_not_sent():
    agent = frame("unit", transform_from_planar(20.0, -6.0, -2.0), 5, seed=2)
    thin = thinned_frame(agent)
    assert 0 < len(thin.points) < len(agent.points)
    assert (thin.points.shape[1], thin.agent_id) == (4, "unit")
    assert len(decode_points(encode_points(thin.points))) == len(thin.points)
