"""The baselines find a pose from a good prior, and say so where they cannot."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.geometry.transforms import invert, transform_from_planar, transform_points
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.baselines import boxes, icp, spectral
from cosense.scene_graph.baselines.spectral import leading_eigenvector
from cosense.scene_graph.register.result import Prior, Status
from cosense.scene_graph.registrations import Cloud, baseline
from tests.scene_graph.scenes import errors, graph_of, pair

COVARIANCE = np.diag([0.25, 0.25, 1e-3])


@pytest.mark.parametrize("method", [spectral.register, boxes.register])
def test_a_good_prior_is_made_better(method):
    before, after = [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        a, b, T = pair(rng, 12, 0, sigma_m=0.1, apart_m=6.0)
        off = T @ transform_from_planar(*rng.normal(0, 0.3, 2), rng.normal(0, 0.01))
        result = method(a, b, Prior(off, COVARIANCE))
        if result.registered:
            before.append(errors(off, T)[0])
            after.append(errors(result.T_a_b, T)[0])
    assert len(after) >= 8
    assert np.median(after) < 0.5 * np.median(before)


@pytest.mark.parametrize("method", [spectral.register, boxes.register])
def test_what_cannot_match_is_a_status(method):
    prior = Prior(np.eye(4), COVARIANCE)
    places = np.random.default_rng(0).uniform(-20, 20, (4, 3))
    poles, people = graph_of([NodeClass.POLE] * 4, places), graph_of([NodeClass.PERSON] * 4, places)
    empty = graph_of([], [])
    for other in (people, empty):
        result = method(poles, other, prior)
        assert result.status is Status.NO_CANDIDATES
        assert result.T_a_b is None
    two = graph_of([NodeClass.POLE] * 2, places[:2])
    assert method(two, two, prior).status is Status.TOO_FEW


def test_boxes_that_the_prior_puts_apart_are_not_matched():
    a, b, T = pair(np.random.default_rng(0), 12, 0, sigma_m=0.1, apart_m=6.0)
    assert not boxes.register(a, b, Prior(transform_from_planar(3, 0, 0) @ T, COVARIANCE)).registered


def test_the_leading_eigenvector_is_that_of_the_matrix():
    matrix = np.random.default_rng(0).random((20, 20))
    matrix = matrix + matrix.T
    values, vectors = np.linalg.eigh(matrix)
    np.testing.assert_allclose(leading_eigenvector(matrix), np.abs(vectors[:, values.argmax()]), atol=1e-6)


def yard(rng):
    """Return points of the ground, three walls and some poles of a yard."""
    ground = np.column_stack([rng.uniform(-30, 30, (6000, 2)), np.zeros(6000)])
    walls = [
        np.column_stack([rng.uniform(-30, 30, 2000), np.full(2000, 18.0), rng.uniform(0, 4, 2000)]),
        np.column_stack([np.full(1000, 30.0), rng.uniform(-20, 18, 1000), rng.uniform(0, 4, 1000)]),
        np.column_stack([rng.uniform(-30, -5, 800), np.full(800, -14.0), rng.uniform(0, 3, 800)]),
    ]
    return np.vstack([ground, *walls]) + rng.normal(0, 0.02, (9800, 3))


def test_icp_finds_a_pose_a_metre_off():
    rng = np.random.default_rng(0)
    T = transform_from_planar(4, 2, 0.5, 0.2)
    cloud_a, cloud_b = yard(rng), transform_points(invert(T), yard(rng))
    result = icp.icp(cloud_a, cloud_b, T @ transform_from_planar(0.8, -0.6, 0.03, 0.1))
    metres, degrees = errors(result.T_a_b, T)
    assert metres < 0.05
    assert degrees < 0.1
    assert abs(result.T_a_b[2, 3] - T[2, 3]) < 0.02
    assert result.overlap > 0.7
    assert result.rmse_m < 0.1


def test_icp_without_overlap_says_so():
    cloud = yard(np.random.default_rng(0))
    assert icp.icp(cloud, cloud, transform_from_planar(500, 0, 0)).T_a_b is None
    assert icp.icp(cloud, cloud[:10], np.eye(4)).T_a_b is None
    assert icp.icp(np.full((100, 3), np.nan), cloud, np.eye(4)).T_a_b is None


def cloud_of(points, name):
    return Cloud(name, 0, np.eye(4), np.zeros((3, 3)), points)


@pytest.fixture(params=["icp", "gicp"])
def by_clouds(request):
    """Return what registers two clouds."""
    if request.param == "gicp":
        pytest.importorskip("small_gicp", reason="small_gicp is not installed: pip install small_gicp")
    return baseline(request.param)


def test_clouds_are_registered_with_a_covariance_or_a_status(by_clouds):
    squares = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        T = transform_from_planar(4, 2, 0.5, 0.2)
        a, b = cloud_of(yard(rng), "a"), cloud_of(transform_points(invert(T), yard(rng)), "b")
        prior = Prior(T @ transform_from_planar(*rng.normal(0, 0.4, 2), rng.normal(0, 0.01)), COVARIANCE)
        result = by_clouds(a, b, prior)
        assert result.registered
        off = (result.T_a_b - T)[:2, 3]
        assert np.hypot(*off) < 0.1
        squares.append(off @ np.linalg.solve(result.covariance[:2, :2], off))
    assert np.mean(squares) < 5
    far = by_clouds(a, b, Prior(transform_from_planar(500, 0, 0), COVARIANCE))
    assert (far.status, far.T_a_b) == (Status.TOO_FEW, None)
    assert "overlap by 0 %" in far.reason


def test_a_library_that_is_missing_is_named_with_the_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "small_gicp", None)
    cloud = cloud_of(np.zeros((3, 3)), "a")
    with pytest.raises(CosenseError, match=r"needs small_gicp .*pip install 'cosense\[small_gicp\]'"):
        baseline("gicp")(cloud, cloud, Prior(np.eye(4), COVARIANCE))


def test_bare_ground_does_not_tell_where_one_stands(by_clouds):
    rng = np.random.default_rng(0)
    a, b = (np.column_stack([rng.uniform(-30, 30, (6000, 2)), rng.normal(0, 0.02, 6000)]) for _ in range(2))
    result = by_clouds(cloud_of(a, "a"), cloud_of(b, "b"), Prior(np.eye(4), COVARIANCE))
    assert result.status is Status.HIGH_COVARIANCE
