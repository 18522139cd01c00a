"""Many settings at once: each gives what it gives alone, on the same frames."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosense.cooperation.offline import Cooperation
from cosense.cooperation.radio import Radio, RadioSettings
from cosense.detectors.pillars import PillarDetector
from cosense.errors import CosenseError
from cosense.evaluation.metrics.scoring import Outcome, pool, pooled_average_precision
from cosense.evaluation.metrics.summary import FrameScore, draws_of, resample
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import FRAMES
from cosense.evaluation.runs.pose_noise import PoseNoise
from cosense.evaluation.runs.runner import evaluate
from cosense.evaluation.sweep.lockstep import (
    CountedFrame,
    PointResult,
    SharedPerception,
    nearest_agents,
    survey,
    sweep,
)
from cosense.evaluation.sweep.point import Point
from cosense.evaluation.sweep.results import CSV, JSON, sweep_content, write_sweep
from cosense.json_lines import read_lines
from cosense.methods.model import Model
from cosense.scene_graph.extract.builder import SceneGraphBuilder
from tests.evaluation.cooperators import PLACES_M, drive, tiny_model
from tests.evaluation.scenes import Scenes

PROTOCOL = load_protocol("simulated")
ALONE = Point("tiny", "none")


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


@pytest.fixture(scope="module")
def scenes() -> Scenes:
    """Two sequences of four frames."""
    return Scenes([*drive(4), *drive(4, sequence="two", seed=50)])


def run(scenes: Scenes, model: Model, *points: Point, **options: Any) -> list[PointResult]:
    counted = options.pop("counted", [True] * len(scenes))
    return sweep(scenes, {"tiny": model}, points, PROTOCOL, counted, **options)


def content(scenes: Scenes, model: Model, results: list[PointResult], seed: int = 0) -> dict[str, Any]:
    sequences = [int(frame.sequence == "two") for frame in scenes][: len(results[0].scores)]
    return sweep_content(
        results,
        scenes,
        {"tiny": model},
        PROTOCOL,
        curve="budget",
        seed=seed,
        command="cosense sweep",
        sequences=sequences,
    )


@pytest.mark.parametrize(
    "point",
    [
        Point("tiny", "none"),
        Point("tiny", "late"),
        Point("tiny", "early"),
        Point("tiny", "hybrid", budget_bytes=400),
        Point("tiny", "hybrid", selection="random", budget_bytes=300, pose_noise=0.2),
        Point("tiny", "intermediate"),
        Point("tiny", "hybrid", budget_bytes=400, pose_noise=0.2, registration="scene_graph"),
        Point("tiny", "late", registration="boxes"),
    ],
)
def test_a_point_gives_what_evaluate_gives(
    scenes: Scenes, model: Model, tmp_path: Path, point: Point
) -> None:
    # Among other points, which must leave no trace in it.
    others = [
        ALONE,
        Point("tiny", "hybrid", loss=0.5),
        Point("tiny", "late", delay_ms=100, registration="scene_graph"),
    ]
    results = run(scenes, model, *others, point, seed=3)
    found = content(scenes, model, results)["points"][-1]
    metrics = evaluate(
        scenes,
        model,
        PROTOCOL,
        fusion=point.fusion,
        out=tmp_path,
        budget_bytes=point.budget_bytes,
        selection=point.selection,
        registration=point.registration,
        pose_noise=PoseNoise(point.pose_noise, point.pose_noise),
        seed=3,
    )
    assert metrics["num_detections"] > 0
    for key in ("ap", "recall", "bytes_per_frame", "bytes_total", "messages_used_for", "num_detections"):
        assert found[key] == metrics[key], key
    frames = list(read_lines(tmp_path / FRAMES))
    assert [score.bytes_per_sender for score in results[-1].scores] == [
        frame["bytes_per_sender"] for frame in frames
    ]


def test_the_same_sweep_gives_the_same_files(scenes: Scenes, model: Model, tmp_path: Path) -> None:
    points = [ALONE, Point("tiny", "hybrid", budget_bytes=300, pose_noise=0.3, delay_ms=100, loss=0.5)]
    for name in ("a", "b"):
        results = run(scenes, model, *points, seed=5)
        write_sweep(content(scenes, model, results), tmp_path / name)
    for name in (CSV, JSON):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    written = json.loads((tmp_path / "a" / JSON).read_text())
    assert written["models"]["tiny"]["weights_sha256"] == model.detector.weights_sha256
    assert written["protocol_hash"] == PROTOCOL.hash
    header, *rows = (tmp_path / "a" / CSV).read_text().splitlines()
    assert header.startswith(
        "model,fusion,selection,budget_bytes,pose_noise,delay_ms,loss,agents,registration,"
    )
    assert len(rows) == len(points)


def test_without_any_message_hybrid_is_the_ego_alone(scenes: Scenes, model: Model) -> None:
    results = run(scenes, model, ALONE, Point("tiny", "hybrid", loss=1.0), Point("tiny", "hybrid"))
    alone, lost, whole = content(scenes, model, results)["points"]
    assert (lost["ap"], lost["recall"]) == (alone["ap"], alone["recall"])
    assert (lost["difference"], lost["difference_interval"]) == (0.0, [0.0, 0.0])
    assert lost["difference_intervals"] == {key: [0.0, 0.0] for key in lost["ap"]}, "at every threshold"
    assert whole["ap"] != alone["ap"]
    # What was sent counts, whether it has arrived or not.
    assert lost["num_messages_sent"] == whole["num_messages_sent"] == len(scenes)
    assert sum(lost["messages_used_for"].values()) == 0
    assert lost["bytes_per_frame"]["mean"] > 300


def test_every_delay_counts_the_same_frames(scenes: Scenes, model: Model) -> None:
    counted = survey(scenes).counted(200)
    assert survey(scenes).sequences(counted) == [1, 1, 2, 2]
    assert counted == [False, False, True, True] * 2
    points = [ALONE, *(Point("tiny", "hybrid", delay_ms=delay) for delay in (0, 100, 200))]
    results = run(scenes, model, *points, counted=counted)
    assert [len(result.scores) for result in results] == [4] * 4
    assert len({result.num_sent for result in results[1:]}) == 1
    # At 200 ms features are too old, boxes are not.
    assert [result.messages_used_for["features"] for result in results] == [0, 4, 4, 0]
    assert results[3].messages_used_for["boxes"] == 4


def test_a_delay_longer_than_all_sequences_is_refused(scenes: Scenes) -> None:
    with pytest.raises(CosenseError, match=r"delay of 500 ms: .*longest sequence lasts 300 ms.*--values"):
        survey(scenes).counted(500)
    with pytest.raises(CosenseError, match="limit is 0"):
        survey(scenes, limit=0)


@pytest.mark.parametrize("delay_ms", [0, 100, 250])
def test_messages_arrive_late_and_only_once_they_are_old_enough(model: Model, delay_ms: float) -> None:
    cooperation = Cooperation(model, "hybrid", radio=RadioSettings(delay_ms=delay_ms))
    periods = -(-delay_ms // 100)
    for index, frame in enumerate(drive(5)):
        exchange = cooperation.step(list(frame.agents.values()), index)
        ages = [peer.age_ms for peer in exchange.result.peers]
        assert ages == ([] if index < periods else [100 * periods])
        assert [sender for sender, _ in exchange.sent] == ["near"]


def test_where_a_message_is_lost_the_one_before_is_fused_again(model: Model) -> None:
    settings = RadioSettings(loss=0.5, seed=2)
    cooperation = Cooperation(model, "hybrid", radio=settings)
    ages, expected, newest = [], [], None
    for index, frame in enumerate(drive(8)):
        exchange = cooperation.step(list(frame.agents.values()), index)
        ages.append([peer.age_ms for peer in exchange.result.peers])
        newest = newest if is_lost(settings, index) else index
        expected.append([] if newest is None else [100 * (index - newest)])
        assert [sender for sender, _ in exchange.sent] == ["near"]
    assert ages == expected
    assert len({tuple(of_frame) for of_frame in ages}) > 2


def is_lost(settings: RadioSettings, index: int) -> bool:
    """Say whether the message of this frame gets lost, on a link that carries nothing else."""
    delivery = Radio(settings).transmit("near", "ego", "message", 1, 0, frame_index=index)
    return delivery.at_ns is None


@pytest.mark.parametrize("delay_ms", [0, 100])
def test_a_graph_may_get_lost_alone_and_counts_either_way(model: Model, delay_ms: float) -> None:
    settings = RadioSettings(delay_ms=delay_ms, loss=0.5, seed=2)
    plain = Cooperation(model, "hybrid", radio=settings)
    cooperation = Cooperation(model, "hybrid", radio=settings, registration="scene_graph")
    ages_ms = set()
    for index, frame in enumerate(drive(12)):
        agents = list(frame.agents.values())
        without, exchange = plain.step(agents, index), cooperation.step(agents, index)
        features = [peer for peer in exchange.result.peers if peer.kind == "FEATURES"]
        graphs = [peer for peer in exchange.result.peers if peer.kind == "SCENE_GRAPH"]
        assert [peer.age_ms for peer in features] == [peer.age_ms for peer in without.result.peers]
        ages_ms |= {(a.age_ms, b.age_ms) for a in features for b in graphs}
        assert [sender for sender, _ in exchange.sent] == ["near", "near"]
        asked = sum(exchange.result.request_bytes.values())
        assert exchange.bytes_per_sender["near"] == sum(len(data) for _, data in exchange.sent) + asked
    # The newest of both are of one frame, or either is the older one.
    assert {np.sign(a - b) for a, b in ages_ms} == {-1, 0, 1}


def test_graphs_of_a_sweep_are_built_once_a_cloud(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    update = SceneGraphBuilder.update
    monkeypatch.setattr(
        SceneGraphBuilder,
        "update",
        lambda self, frame, found: (built.append(frame.agent_id), update(self, frame, found))[1],
    )
    points = [
        Point("tiny", "hybrid", pose_noise=noise, registration="scene_graph") for noise in (0.0, 0.2, 0.4)
    ]
    run(Scenes(drive(2)), model, *points)
    assert sorted(built) == ["ego", "ego", "near", "near"]


def test_a_slow_link_delivers_late_and_drops_what_would_wait_too_long(model: Model) -> None:
    # 600 bytes take two periods, so that the queue is soon full; every second message gets through.
    ages = ages_ms(model, Point("tiny", "hybrid", rate_bytes_per_s=3000), count=16)
    assert ages[:3] == [[], [], [200.0]]
    assert {age for of_frame in ages[8:] for age in of_frame} == {400.0, 500.0}
    fast = ages_ms(model, Point("tiny", "hybrid", rate_bytes_per_s=10**9))
    assert fast == [[0.0]] * len(fast)


def test_the_bytes_of_graphs_count_towards_the_rate(model: Model) -> None:
    # Enough for the features of each frame, not for its graph too.
    point = Point("tiny", "hybrid", rate_bytes_per_s=6500)
    plain = ages_ms(model, point)
    with_graphs = ages_ms(model, dataclasses.replace(point, registration="scene_graph"))
    assert max(age for of_frame in plain for age in of_frame) == 100
    assert max(age for of_frame in with_graphs for age in of_frame) == 200


def test_who_is_out_of_range_is_not_received(model: Model) -> None:
    distance_m = np.linalg.norm(PLACES_M["near"][:2])
    near, far = (
        ages_ms(model, Point("tiny", "hybrid", range_m=distance_m + more_m)) for more_m in (0.5, -0.5)
    )
    assert near == [[0.0]] * len(near)
    assert far == [[]] * len(far)


def test_bursts_take_messages_in_a_row(model: Model) -> None:
    """As many as losses one by one, so that the oldest message that is fused is older."""

    def oldest_ms(point: Point) -> float:
        return max(age for of_frame in ages_ms(model, point, count=40) for age in of_frame)

    assert oldest_ms(Point("tiny", "late", loss=0.3, burst=8)) > oldest_ms(Point("tiny", "late", loss=0.3))


def ages_ms(model: Model, point: Point, count: int = 8) -> list[list[float]]:
    """Return the ages of the messages that the ego has in each frame of a sequence."""
    cooperation = Cooperation(model, point.fusion, radio=point.radio(seed=1), registration=point.registration)
    exchanges = [
        cooperation.step(list(frame.agents.values()), index) for index, frame in enumerate(drive(count))
    ]
    return [[peer.age_ms for peer in exchange.result.peers] for exchange in exchanges]


def test_a_sender_that_hears_nothing_keeps_what_it_knew(model: Model) -> None:
    """Whoever never hears what the ego wants sends as if everything was wanted."""
    frames = drive(3)
    sent = []
    for loss in (0.0, 1.0):
        cooperation = Cooperation(model, "hybrid", radio=RadioSettings(loss=loss))
        sent.append([cooperation.step(list(f.agents.values()), i).sent for i, f in enumerate(frames)])
    heard, deaf = sent
    assert heard[0] == deaf[0]
    assert heard[1] != deaf[1]


def test_the_nearest_agents_come_first(model: Model) -> None:
    frame = drive(1, agents=("ego", "far", "near"))[0]
    agents = list(frame.agents.values())

    def names(count: int | None) -> list[str]:
        return [agent.agent_id for agent in nearest_agents(frame, agents, count)]

    assert names(1) == ["ego"]
    assert names(2) == ["ego", "near"]
    assert names(3) == names(None) == names(9) == ["ego", "far", "near"]
    scenes = Scenes([frame])
    alone, one = run(scenes, model, ALONE, Point("tiny", "hybrid", agents=1))
    assert one.scores[0].bytes_per_sender == {}
    assert alone.num_sent == one.num_sent == 0


def test_papers_count_the_numbers_of_the_selected_cells(model: Model) -> None:
    nothing = FrameScore({}, 0, {}, {}, 0.0)
    frames = [CountedFrame(nothing, elements=(64,)), None, CountedFrame(nothing, elements=(192,))]
    assert PointResult(ALONE, frames).where2comm_log2 == 9.0
    assert PointResult(ALONE).where2comm_log2 is None
    scenes = Scenes(drive(1))
    late, hybrid = run(scenes, model, Point("tiny", "late"), Point("tiny", "hybrid"))
    assert late.where2comm_log2 is None
    # Without a limit every patch (8 x 16) and every cell of the floor (4 x 8) is sent.
    assert [frame.elements for frame in hybrid.counted] == [(8 * 16 * 4 + 4 * 8 * 4,)]


def test_a_network_runs_once_for_all_models_that_are_built_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = drive(1)[0]
    models = {
        "a": tiny_model("a", seed=1, sharing_seed=2),
        "b": tiny_model("b", seed=1, sharing_seed=3),
        "c": tiny_model("c", seed=4),
    }
    shared = SharedPerception(models)
    runs: list[str] = []
    encode = PillarDetector.encode
    monkeypatch.setattr(
        PillarDetector, "encode", lambda self, frame: (runs.append(self.name), encode(self, frame))[1]
    )
    seen = shared.perceive(frame)
    for of_model in seen.values():
        for sight in of_model.values():
            assert sight.at_pose_of(frame.ego).detections is sight.detections
    assert runs == ["a", "a", "c", "c"]
    assert seen["a"]["near"] is seen["b"]["near"]
    detector = models["a"].detector
    sight = seen["a"]["ego"]
    np.testing.assert_array_equal(sight.detections.boxes, detector.detect(sight.frame).boxes)


def test_a_draw_with_a_frame_twice_counts_it_twice() -> None:
    random = np.random.default_rng(0)
    outcomes = [_random_outcome(random) for _ in range(6)]
    draws = draws_of([0] * 6, seed=1)
    assert (draws.sum(axis=1) == 6).all()
    resampled = resample(outcomes, draws)
    for draw, ap in list(zip(draws, resampled.average_precisions, strict=True))[:20]:
        drawn = [outcome for outcome, times in zip(outcomes, draw, strict=True) for _ in range(times)]
        assert ap == pytest.approx(pooled_average_precision(pool(drawn), PROTOCOL))
    assert resampled.difference_interval(resampled) == (0.0, 0.0)
    once = np.ones((1, 6), dtype=np.int64)
    unranked = resample(outcomes, once, global_sort=False).average_precisions
    assert unranked == pytest.approx(
        pooled_average_precision(pool(outcomes), load_protocol("opencood_unsorted"))
    )
    # Far fewer false alarms are better in every draw.
    better = resample([_without_false_alarms(outcome) for outcome in outcomes], draws)
    low, high = better.difference_interval(resampled)
    assert 0 < low < high


def test_whole_sequences_are_drawn_and_say_how_sure_a_figure_is() -> None:
    """Kind: frames of one place are alike, and a figure of three places looks as sure as one of thirty."""
    random = np.random.default_rng(0)
    draws = draws_of([3, 3, 7, 7, 7, 9], seed=1)
    assert (draws[:, [0, 2, 2, 5]] == draws[:, [1, 3, 4, 5]]).all()
    assert (draws[:, [0, 2, 5]].sum(axis=1) == 3).all()
    places = [_random_outcome(random) for _ in range(3)]
    alike = resample([outcome for outcome in places for _ in range(10)], draws_of(range(30), seed=1))
    in_blocks = resample(
        [outcome for outcome in places for _ in range(10)], draws_of(np.repeat([0, 1, 2], 10), seed=1)
    )
    assert in_blocks.deviation > 2 * alike.deviation > 0


def _random_outcome(random: np.random.Generator) -> Outcome:
    is_found = random.random(8) < 0.6
    hits = np.concatenate([np.ones(is_found.sum(), bool), np.zeros(7, bool)])
    random.shuffle(hits)
    scores = np.sort(random.random(len(hits)))[::-1].astype(np.float32)
    return Outcome(scores, hits, np.zeros(8, np.int64), np.full(8, 4.0), is_found, *np.full((4, 8), np.nan))


def _without_false_alarms(outcome: Outcome) -> Outcome:
    hits = outcome.is_true_positive
    return dataclasses.replace(outcome, scores=outcome.scores[hits], is_true_positive=hits[hits])
