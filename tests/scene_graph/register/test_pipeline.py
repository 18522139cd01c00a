"""Register scenes whose pose is known; refuse those that have none, in bounded time and with a reason."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.errors import CosenseError
from cosense.geometry.transforms import invert, transform_from_planar, transform_points, yaw_of
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.register import search
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import Prior, Status, planar
from tests.scene_graph.scenes import errors, graph_of, pair, seen, shuffled, strangers, things

POLES = (NodeClass.POLE,)
SECOND_NS = 1_000_000_000


@pytest.mark.parametrize("seed", range(5))
def test_without_noise_the_pose_is_exact(seed):
    a, b, T = pair(np.random.default_rng(seed), 8, 6, sigma_m=0.0)
    result = register_graphs(a, b)
    assert result.status is Status.REGISTERED
    np.testing.assert_allclose(result.T_a_b, T, atol=1e-9)
    i, j = result.inliers.T
    np.testing.assert_allclose(a.positions[i], transform_points(T, b.positions[j]), atol=1e-9)


def test_one_place_is_the_identity_and_no_failure():
    a, _, _ = pair(np.random.default_rng(0), 8, 6)
    result = register_graphs(a, a)
    assert result.registered
    np.testing.assert_allclose(result.T_a_b, np.eye(4), atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_the_nodes_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    a, b, _ = pair(rng, 6, 5)
    shuffled_a, order_a = shuffled(rng, a)
    shuffled_b, order_b = shuffled(rng, b)
    one, other = register_graphs(a, b), register_graphs(shuffled_a, shuffled_b)
    assert (one.status, one.reason, one.margin) == (other.status, other.reason, other.margin)
    back = np.stack([order_a[other.inliers[:, 0]], order_b[other.inliers[:, 1]]], axis=1)
    assert sorted(map(tuple, back)) == sorted(map(tuple, one.inliers))
    if one.registered:
        assert np.array_equal(one.T_a_b, other.T_a_b)
        assert np.array_equal(one.covariance, other.covariance)


def test_five_of_fifteen_are_enough():
    right = wrong = 0
    for seed in range(40):
        a, b, T = pair(np.random.default_rng(seed), 5, 10, sigma_m=0.2)
        result = register_graphs(a, b)
        if result.registered:
            metres, degrees = errors(result.T_a_b, T)
            right += metres <= 1 and degrees <= 1
            wrong += metres > 2 or degrees > 3
    assert right >= 34
    assert wrong == 0


@pytest.mark.parametrize("street", [False, True])
def test_the_error_is_what_the_covariance_says(street):
    squares = []
    for seed in range(40):
        a, b, T = pair(np.random.default_rng(seed), 10, 5, sigma_m=0.2, street=street)
        result = register_graphs(a, b)
        if result.registered:
            error = planar(result.T_a_b) - planar(T)
            error[2] = yaw_of(result.T_a_b @ invert(T))
            squares.append(error @ np.linalg.solve(result.covariance, error))
    assert len(squares) >= 30
    # Three degrees of freedom; headings of the scene are a little better than assumed.
    assert 1.0 < np.mean(squares) < 4.5


@pytest.mark.parametrize("street", [False, True])
@pytest.mark.parametrize("count", [8, 15])
def test_places_with_nothing_in_common_are_refused(count, street):
    """Two hundred pairs, a hundred for each kind of scene: none passes."""
    for seed in range(50):
        result = register_graphs(*strangers(np.random.default_rng(seed), count, street=street))
        assert not result.registered, (seed, result)
        assert result.T_a_b is None
        assert result.covariance is None
        assert result.reason


@pytest.mark.parametrize("street", [False, True])
def test_a_street_of_poles_is_not_taken_for_another(street):
    for seed in range(25):
        assert not register_graphs(
            *strangers(np.random.default_rng(seed), 25, classes=POLES, street=street)
        ).registered


@pytest.mark.parametrize("classes", [POLES, (NodeClass.POLE, NodeClass.PERSON, NodeClass.VEHICLE)])
def test_a_mirror_image_is_refused(classes):
    for seed in range(10):
        kinds, positions, yaws = things(np.random.default_rng(seed), 14, classes=classes)
        yaws = np.where(kinds == NodeClass.VEHICLE, yaws, np.nan)
        a = graph_of(kinds, positions, yaws, sigma_m=0.1)
        b = graph_of(kinds, positions * [1, -1, 1], -yaws, sigma_m=0.1)
        assert not register_graphs(a, b).registered


def test_things_of_one_class_register():
    a, b, T = pair(np.random.default_rng(3), 12, 4, sigma_m=0.1, classes=POLES)
    assert register_graphs(a, b).registered
    assert errors(register_graphs(a, b).T_a_b, T)[0] < 0.3


def test_what_chance_gives_elsewhere_makes_nothing_ambiguous(monkeypatch):
    kinds = (NodeClass.POLE, NodeClass.VEHICLE)
    a, b, T = pair(np.random.default_rng(26), 5, 8, sigma_m=0.1, classes=kinds, street=True)
    assert errors(register_graphs(a, b).T_a_b, T)[0] < 0.3
    monkeypatch.setattr(search, "_MAX_FALSE_ALARMS_OF_RIVAL", np.inf)
    monkeypatch.setattr(search, "CLEARLY", 0.0)
    assert register_graphs(a, b).status is Status.AMBIGUOUS


def test_a_scene_that_looks_alike_turned_by_half_a_turn_is_ambiguous():
    rng = np.random.default_rng(0)
    half = rng.uniform(-25, 25, (7, 2))
    positions = np.column_stack([np.vstack([half, -half]), np.zeros(14)])
    a = graph_of([NodeClass.POLE] * 14, positions, sigma_m=0.1)
    result = register_graphs(a, a)
    assert result.status is Status.AMBIGUOUS
    assert result.margin == 0
    # Where the prior knows the direction there is no doubt.
    assert register_graphs(a, a, Prior(np.eye(4), np.diag([4.0, 4.0, 0.03]))).registered


def test_a_grid_is_refused():
    x, y = np.meshgrid(np.arange(6) * 8.0, np.arange(5) * 8.0)
    grid = graph_of([NodeClass.POLE] * 30, np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3))
    assert not register_graphs(grid, grid).registered


def test_things_on_a_line_are_refused():
    x = np.array([0, 7, 11, 24, 31, 37, 52, 57.0])
    kinds = [NodeClass.POLE, NodeClass.PERSON, NodeClass.TRUNK, NodeClass.VEHICLE] * 2
    line = graph_of(kinds, np.stack([x, 0.1 * (x % 3), 0 * x], axis=1), sigma_m=0.1)
    result = register_graphs(line, line)
    assert result.status is Status.COLLINEAR
    assert len(result.inliers) == 8


def test_things_detected_twice_count_once():
    a, b, _ = pair(np.random.default_rng(5), 3, 6, sigma_m=0.05)

    def doubled(graph):
        rows = ("classes", "positions", "sizes", "yaws", "velocities", "sigmas_m", "scores")
        twice = {name: np.repeat(getattr(graph, name), 3, axis=0) for name in rows}
        twice["positions"] = twice["positions"] + np.tile(
            [[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]], (len(graph), 1)
        )
        return replace(graph, ids=np.arange(3 * len(graph)), **twice)

    assert not register_graphs(doubled(a), doubled(b)).registered


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_too_few_things(count):
    kinds, positions, _ = things(np.random.default_rng(0), 10)
    full, few = graph_of(kinds, positions), graph_of(kinds[:count], positions[:count])
    for result in (register_graphs(few, full), register_graphs(full, few), register_graphs(few, few)):
        assert result.status is Status.TOO_FEW
        assert f"{count} " in result.reason


def test_different_kinds_of_things_are_no_candidates():
    _, positions, _ = things(np.random.default_rng(0), 10)
    result = register_graphs(
        graph_of([NodeClass.POLE] * 10, positions), graph_of([NodeClass.PERSON] * 10, positions)
    )
    assert result.status is Status.NO_CANDIDATES


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e300, 1e9])
def test_impossible_values_are_left_out(bad):
    a, b, T = pair(np.random.default_rng(0), 8, 6, sigma_m=0.1)
    broken = {
        name: getattr(a, name).copy() for name in ("positions", "sizes", "yaws", "velocities", "sigmas_m")
    }
    broken["positions"][0] = bad
    broken["sizes"][1] = broken["yaws"][2] = broken["velocities"][3] = broken["sigmas_m"][4] = bad
    result = register_graphs(replace(a, **broken), b)
    assert result.registered
    assert 0 not in result.inliers[:, 0]
    assert errors(result.T_a_b, T)[0] < 0.5
    everything = replace(a, positions=np.full_like(a.positions, bad))
    assert register_graphs(everything, b).status is Status.TOO_FEW


def test_classes_of_the_future_are_left_out():
    a, b, _ = pair(np.random.default_rng(0), 8, 6, sigma_m=0.1)
    assert register_graphs(replace(a, classes=a.classes + 1000), b).status is Status.TOO_FEW


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.sampled_from([1e-3, 1.0, 100.0, 1e6]))
def test_any_graph_gets_a_status(seed, count, scale):
    rng = np.random.default_rng(seed)

    def anything():
        values = rng.choice([0.0, 1.0, -1.0, np.nan, np.inf, scale], (count, 11)) * scale
        kinds = rng.integers(-1, 9, count)
        graph = graph_of(np.clip(kinds, 0, 7), values[:, :3])
        return replace(
            graph, classes=kinds, sizes=values[:, 3:6], yaws=values[:, 6], velocities=values[:, 7:9],
            sigmas_m=values[:, 9], scores=values[:, 10],
        )  # fmt: skip

    result = register_graphs(anything(), anything())
    assert result.reason
    assert result.registered == (result.T_a_b is not None)


def hostile(name):
    rng = np.random.default_rng(0)
    if name == "10 000 things":
        return graph_of(rng.integers(0, 8, 10_000), rng.uniform(-200, 200, (10_000, 3)) * [1, 1, 0.01])
    if name == "grid of one class":
        x, y = np.meshgrid(np.arange(20) * 5.0, np.arange(20) * 5.0)
        return graph_of([NodeClass.POLE] * 400, np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3))
    if name == "one place":
        return graph_of([NodeClass.POLE] * 200, np.zeros((200, 3)))
    if name == "crowd":
        return graph_of([NodeClass.PERSON] * 40, rng.uniform(-5, 5, (40, 3)) * [1, 1, 0], sigma_m=0.5)
    places = rng.uniform(-20, 20, (10, 3)) * [1, 1, 0]
    return graph_of([NodeClass.POLE] * 100, np.repeat(places, 10, axis=0) + rng.normal(0, 0.2, (100, 3)))


@pytest.mark.parametrize(
    "name", ["10 000 things", "grid of one class", "one place", "things detected ten times"]
)
def test_hostile_graphs_take_bounded_time(name):
    graph = hostile(name)
    register_graphs(graph, graph)
    took = []
    for _ in range(3):
        start = time.process_time()
        register_graphs(graph, graph)
        took.append(time.process_time() - start)
    # The budget is 100 ms on an idle core (benchmarks/registration.py); this machine may do something else.
    assert min(took) < 0.4


def moved(graph, stamp_ns, speed=10.0):
    """Return the graph as it is at `stamp_ns` where everything drives at `speed` along the world's x."""
    turn = invert(graph.T_world_agent)[:3, :3]
    velocity = turn @ [speed, 0, 0]
    positions = graph.positions + velocity * stamp_ns / SECOND_NS
    velocities = np.tile(velocity[:2], (len(graph), 1))
    return replace(graph, positions=positions, velocities=velocities, stamp_ns=stamp_ns)


def test_what_moves_is_taken_to_one_time():
    kinds = (NodeClass.VEHICLE, NodeClass.PERSON, NodeClass.RIDER)
    a, b, T = pair(np.random.default_rng(1), 10, 4, sigma_m=0.05, classes=kinds)
    late = moved(b, 400_000_000)
    for result in (register_graphs(moved(a, 0), late), register_graphs(late, moved(a, 0))):
        assert result.registered
    assert errors(register_graphs(moved(a, 0), late).T_a_b, T)[0] < 0.4
    assert not register_graphs(moved(a, 0), replace(late, stamp_ns=0)).registered or (
        errors(register_graphs(moved(a, 0), replace(late, stamp_ns=0)).T_a_b, T)[0] > 3
    )


def test_old_graphs_keep_what_stands_and_lose_what_moves():
    a, b, T = pair(np.random.default_rng(2), 10, 3, sigma_m=0.1, classes=(NodeClass.POLE, NodeClass.WALL))
    assert errors(register_graphs(a, replace(b, stamp_ns=60 * SECOND_NS)).T_a_b, T)[0] < 0.4
    a, b, _ = pair(np.random.default_rng(2), 10, 3, sigma_m=0.1, classes=(NodeClass.VEHICLE,))
    result = register_graphs(a, replace(b, stamp_ns=2 * SECOND_NS))
    assert result.status is Status.STALE
    assert "2.0 s" in result.reason


def test_a_prior_finds_what_is_too_little_alone():
    alone = with_prior = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        a, b, T = pair(rng, 4, 8, sigma_m=0.1, street=True)
        off = T @ transform_from_planar(*rng.normal(0, 1, 2), rng.normal(0, np.deg2rad(1)))
        result = register_graphs(a, b, Prior(off, np.diag([1.0, 1.0, np.deg2rad(1) ** 2])))
        alone += register_graphs(a, b).registered
        if result.registered:
            with_prior += errors(result.T_a_b, T)[0] < 1
    assert with_prior > alone
    assert with_prior >= 10


@pytest.mark.parametrize("off_m", [0.0, 6.0, 40.0])
def test_a_prior_is_a_claim_and_the_pose_with_most_support_wins(off_m):
    """However far off the prior is: what agrees elsewhere counts, and the reason says how far that is."""
    for seed in range(6):
        a, b, T = pair(np.random.default_rng(seed), 10, 4, sigma_m=0.1)
        direction = seed * np.pi / 3
        far = transform_from_planar(off_m * np.cos(direction), off_m * np.sin(direction), 0.0) @ T
        result = register_graphs(a, b, Prior(far, np.diag([0.5, 0.5, 0.001])))
        assert errors(result.T_a_b, T)[0] < 0.3
        assert ("m from the prior" in result.reason) == (off_m > 0)


def test_a_prior_that_the_graphs_contradict_in_several_ways_is_gated():
    """Lamps on both sides of a road fit wherever lamp meets lamp, and nowhere between."""
    x = np.repeat(np.arange(10) * 25.0, 2)
    lamps = graph_of([NodeClass.POLE] * 20, np.stack([x, np.tile([-8.0, 8.0], 10), 0 * x], axis=1))
    result = register_graphs(lamps, lamps, Prior(transform_from_planar(12, 0, 0), np.diag([1, 1, 0.001])))
    assert result.status is Status.GATED
    assert "12.0 m from the prior, near which 0 matches agree" in result.reason


def test_the_prior_between_two_agents_has_both_covariances():
    rng = np.random.default_rng(0)
    T_world_a, T_world_b = transform_from_planar(3, 4, 0.7), transform_from_planar(20, -10, -2.0)
    covariance_a, covariance_b = np.diag([0.04, 0.01, 1e-4]), np.diag([0.02, 0.09, 4e-4])
    empty = [NodeClass.POLE], np.zeros((1, 3))
    a = graph_of(*empty, T_world_agent=T_world_a, pose_covariance=covariance_a)
    b = graph_of(*empty, T_world_agent=T_world_b, pose_covariance=covariance_b)
    prior = Prior.between(a, b)
    samples = []
    for _ in range(4000):
        of_a, of_b = (
            rng.normal(0, np.sqrt(np.diag(covariance_a))),
            rng.normal(0, np.sqrt(np.diag(covariance_b))),
        )
        noisy = invert(transform_from_planar(*(planar(T_world_a) + of_a))) @ transform_from_planar(
            *(planar(T_world_b) + of_b)
        )
        samples.append(planar(noisy) - planar(prior.T_a_b))
    np.testing.assert_allclose(prior.covariance, np.cov(np.transpose(samples)), atol=0.006)


@pytest.mark.parametrize(
    ("T", "covariance", "named"),
    [
        (np.eye(3), np.eye(3), "T_a_b"),
        (np.full((4, 4), np.nan), np.eye(3), "T_a_b"),
        (np.eye(4), np.eye(6), "covariance"),
        (np.eye(4), -np.eye(3), "negative"),
    ],
)
def test_a_prior_that_is_none_is_named(T, covariance, named):
    with pytest.raises(CosenseError, match=named):
        Prior(T, covariance)


def test_descriptors_of_the_graphs_are_used_where_both_have_them():
    """Sixty poles a side are too many pairs to look at: what the agents say about them decides which ones."""
    rng = np.random.default_rng(0)
    kinds, positions, yaws = things(rng, 60, classes=POLES, extent_m=60)
    T_world_b = transform_from_planar(5, 5, 2.0)
    a = seen(rng, (kinds, positions, yaws), np.eye(4), 0.0, "a")
    b = seen(rng, (kinds, positions, yaws), T_world_b, 0.0, "b")
    words = rng.normal(0, 1, (60, 16))
    words /= np.linalg.norm(words, axis=1, keepdims=True)

    def named(graph, T):
        nearest = np.linalg.norm(transform_points(T, graph.positions)[:, None] - positions, axis=2).argmin(
            axis=1
        )
        return replace(graph, descriptors=words[nearest].astype(np.float32))

    assert len(register_graphs(named(a, np.eye(4)), named(b, T_world_b)).inliers) == 60
    assert register_graphs(named(a, np.eye(4)), b).registered


@pytest.mark.parametrize("count", [6, 10, 20])
def test_views_of_a_regular_row_are_ambiguous_also_where_they_overlap_best(count):
    """Two agents may see as many lamps each from different places: the views coincide, the places do not."""
    x = np.repeat(np.arange(count // 2) * 25.0, 2)
    lamps = graph_of([NodeClass.POLE] * count, np.stack([x, np.tile([-8.0, 8.0], count // 2), 0 * x], axis=1))
    assert register_graphs(lamps, lamps).status in (Status.AMBIGUOUS, Status.TOO_FEW)


def test_a_grid_that_is_too_large_to_look_at_every_pair_is_ambiguous():
    grid = hostile("grid of one class")
    result = register_graphs(grid, grid)
    assert result.status is Status.AMBIGUOUS
    assert len(result.inliers) - result.margin > 100


def car_park(rng, occupancy, poles):
    """Return classes, positions and headings of cars on six rows of thirty stalls, and of poles."""
    x, y = np.meshgrid(np.arange(-15, 15) * 2.6, np.array([-26, -16, -5, 5, 16, 26.0]))
    stalls = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3)
    stalls = stalls[rng.random(len(stalls)) < occupancy]
    stalls[:, :2] += rng.normal(0, 0.15, (len(stalls), 2))
    kinds = np.repeat([NodeClass.VEHICLE, NodeClass.POLE], [len(stalls), poles])
    places = rng.uniform(-35, 35, (poles, 3)) * [1, 1, 0]
    return kinds, np.vstack([stalls, places]), np.full(len(kinds), np.pi / 2)


@pytest.mark.parametrize(("occupancy", "poles", "least"), [(0.5, 8, 5), (0.8, 8, 0), (1.0, 0, 0)])
def test_a_car_park_is_never_put_one_stall_off(occupancy, poles, least):
    """Empty stalls tell one shift from another; where every stall is taken it is refused or right."""
    right = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        kinds, positions, yaws = car_park(rng, occupancy, poles)
        graphs, poses = [], []
        for _ in range(2):
            poses.append(transform_from_planar(*rng.uniform(-10, 10, 2), rng.uniform(-np.pi, np.pi)))
            near = np.hypot(*(positions[:, :2] - poses[-1][:2, 3]).T) < 30
            graphs.append(seen(rng, (kinds[near], positions[near], yaws[near]), poses[-1], 0.1, "x"))
        result = register_graphs(*graphs)
        if result.registered:
            assert errors(result.T_a_b, invert(poses[0]) @ poses[1])[0] < 0.5
            right += 1
    assert right >= least
