"""Whole runs: a detector with known answers, through real messages and files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cosense.trust
from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.evaluation.metrics.summary import summarise
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import FRAMES, METRICS, frame_result
from cosense.evaluation.runs.pose_noise import PoseNoise, with_pose_noise
from cosense.evaluation.runs.runner import RunState, evaluate
from cosense.geometry.transforms import transform_from_planar
from cosense.json_lines import read_lines
from cosense.messages.envelope import envelope_bytes
from cosense.messages.objects import BOX_BYTES, HEADER_BYTES
from cosense.sensing.frame import AgentFrame
from tests.evaluation.cooperators import drive, tiny_model
from tests.evaluation.scenes import Scenes, box, objects, point_is_car, two_agents

PROTOCOL = load_protocol("opencood")
ONE_BOX_BYTES = envelope_bytes("unit") + HEADER_BYTES + BOX_BYTES


def run(out: Path, dataset: Scenes | None = None, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"fusion": "late", "command": "cosense evaluate"} | changes
    return evaluate(
        dataset or Scenes([two_agents(i) for i in range(6)]), point_is_car(), PROTOCOL, out=out, **arguments
    )


def without_time(metrics: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metrics.items() if key not in ("wall_s", "ms_per_frame")}


def lines_without_time(out: Path) -> list[dict[str, Any]]:
    return [record | {"elapsed_ms": 0} for record in read_lines(out / FRAMES)]


@pytest.mark.parametrize(
    ("fusion", "recall", "precision"),
    # Nothing confirms the car of the unit, so that a stranger's ranks below the ego's six false alarms.
    [("none", 0.5, 0.5), ("late", 1.0, 0.5 + 0.5 * 12 / 18), ("early", 1.0, 1.0)],
)
def test_cooperation_finds_what_only_the_unit_sees(
    tmp_path: Path, fusion: str, recall: float, precision: float
) -> None:
    # The false alarms score below all others that the ego has: they cost nothing.
    metrics = run(tmp_path, fusion=fusion)
    assert metrics["ap"]["0.5"] == pytest.approx(precision)
    assert metrics["recall"]["car"] == {"num_ground_truth": 12, "0.3": recall, "0.5": recall, "0.7": recall}
    assert metrics["num_messages"] == (0 if fusion == "none" else 6)


def test_a_check_of_messages_decides_offline_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosense.trust, "__path__", [*cosense.trust.__path__, str(tmp_path)])
    (tmp_path / "nobody_for_test.py").write_text("def check(message, context):\n    return 'not today'\n")
    metrics = run(tmp_path / "run", trust=["nobody_for_test"])
    assert metrics["messages_used_for"]["nothing"] == 6
    assert metrics["trust"] == ["nobody_for_test"]
    assert run(tmp_path / "run", trust=["nobody_for_test"])["frames"] == 6
    with pytest.raises(CosenseError, match="another run"):
        run(tmp_path / "run")
    with pytest.raises(CosenseError, match="unknown trust 'anybody'"):
        run(tmp_path / "other", trust=["anybody"])


def test_bytes_are_those_of_the_encoded_messages(tmp_path: Path) -> None:
    assert run(tmp_path / "late")["bytes_per_frame"] == dict.fromkeys(("mean", "p50", "p95"), ONE_BOX_BYTES)
    assert run(tmp_path / "late")["bytes_total"] == 6 * ONE_BOX_BYTES
    assert run(tmp_path / "none", fusion="none")["bytes_total"] == 0


def test_metrics_say_everything_that_design_asks_for(tmp_path: Path) -> None:
    metrics = run(tmp_path, pose_noise=PoseNoise(0.1, 0.2), seed=3, budget_bytes=4000)
    assert json.loads((tmp_path / METRICS).read_text()) == metrics
    expected = {
        "protocol": "opencood",
        "protocol_hash": PROTOCOL.hash,
        "dataset": {
            "kind": "in-memory",
            "path": "scenes",
            "split": "val",
            "label_set": "simulated",
            "async_frames": 0,
            "frames": 6,
        },
        "frames": 6,
        "model": "point-is-car",
        "weights_sha256": "ab" * 32,
        "seed": 3,
        "pose_noise": {"position_m": 0.1, "heading_deg": 0.2, "is_announced": True, "preset": None},
        "budget_bytes": 4000,
        "fusion": "late",
        "command": "cosense evaluate",
    }
    assert {key: metrics[key] for key in expected} == expected
    assert metrics["versions"].keys() == {"cosense", "python", "numpy", "torch"}
    assert not list(tmp_path.glob("*.part"))


def test_lines_give_the_same_numbers_again(tmp_path: Path) -> None:
    metrics = run(tmp_path)
    results = [frame_result(record) for record in read_lines(tmp_path / FRAMES)]
    again = summarise(results, PROTOCOL)
    assert again == {key: metrics[key] for key in again}


def test_stopped_and_continued_equals_one_go(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")

    def stop_after_three(state: RunState) -> None:
        if state.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", progress=stop_after_three)
    frames = tmp_path / "parts" / FRAMES
    assert len(frames.read_text().splitlines()) == 3
    assert not (tmp_path / "parts" / METRICS).exists()
    # As a process that is killed in the middle of a write leaves it.
    with frames.open("a") as stream:
        stream.write('{"frame_id": "000003", "detections": {"boxes": [[1.0, 2.')
    seen: list[int] = []
    parts = run(tmp_path / "parts", progress=lambda state: seen.append(state.done))
    assert seen == [3, 4, 5, 6]
    assert without_time(parts) == without_time(whole)
    assert lines_without_time(tmp_path / "parts") == lines_without_time(tmp_path / "whole")


def test_noise_does_not_depend_on_where_a_run_was_stopped(tmp_path: Path) -> None:
    noisy: dict[str, Any] = {"pose_noise": PoseNoise(0.3, 0.5), "seed": 7}
    whole = run(tmp_path / "whole", **noisy)
    run(tmp_path / "parts", limit=2, **noisy)
    assert without_time(run(tmp_path / "parts", **noisy)) == without_time(whole)
    assert lines_without_time(tmp_path / "parts") == lines_without_time(tmp_path / "whole")
    run(tmp_path / "other", pose_noise=PoseNoise(0.3, 0.5), seed=8)
    assert lines_without_time(tmp_path / "other") != lines_without_time(tmp_path / "whole")


def test_a_noisy_pose_says_how_uncertain_it_is() -> None:
    frame = two_agents(3)
    known = np.diag([0.01, 0.04, 0.001])
    ego = dataclasses.replace(frame.ego, pose_covariance=known)
    noise = PoseNoise(0.3, 2.0)
    believed = with_pose_noise([ego, *frame.others], noise, seed=0, frame_index=1)
    added = np.diag([0.09, 0.09, np.deg2rad(2.0) ** 2])
    np.testing.assert_allclose(believed[0].pose_covariance, known + added)
    np.testing.assert_allclose(believed[1].pose_covariance, added)
    twice = with_pose_noise([ego, *frame.others], PoseNoise(0.6, 4.0), seed=0, frame_index=1)
    errors = [
        agents[1].T_world_agent[:2, 3] - frame.others[0].T_world_agent[:2, 3] for agents in (believed, twice)
    ]
    np.testing.assert_allclose(errors[1], 2 * errors[0])
    unannounced = with_pose_noise(
        [ego, *frame.others], PoseNoise(0.3, 2.0, is_announced=False), seed=0, frame_index=1
    )
    np.testing.assert_array_equal(unannounced[0].pose_covariance, known)
    for knowing, ignorant in zip(believed, unannounced, strict=True):
        np.testing.assert_array_equal(knowing.T_world_agent, ignorant.T_world_agent)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_agents_with_a_memory_go_on_as_if_nothing_had_happened(tmp_path: Path, stop: int) -> None:
    # The second sequence has the name of the first one: time goes back.
    frames: list[CooperativeFrame | Exception] = [*drive(4), *drive(3, seed=50)]
    for index, frame in enumerate(frames[4:], 4):
        frames[index] = dataclasses.replace(frame, frame_id=f"again/{index}")  # type: ignore[type-var]
    frames[2] = CosenseError("velodyne/000002.pcd: cut off")
    scenes, model = Scenes(frames), tiny_model()
    noisy = PoseNoise(0.1, 0.1)

    def hybrid(out: Path, **changes: Any) -> dict[str, Any]:
        return evaluate(
            scenes, model, PROTOCOL, fusion="hybrid", budget_bytes=320, out=out, pose_noise=noisy,
            skip_broken=True, **changes,
        )  # fmt: skip

    whole = hybrid(tmp_path / "whole")
    hybrid(tmp_path / "parts", limit=stop)
    assert without_time(hybrid(tmp_path / "parts")) == without_time(whole)
    assert lines_without_time(tmp_path / "parts") == lines_without_time(tmp_path / "whole")
    assert whole["messages_used_for"]["features"] == 6
    assert whole["selection"] is None
    run_note = json.loads((tmp_path / "whole" / "run.json").read_text())
    assert (run_note["fusion"], run_note["budget_bytes"]) == ("hybrid", 320)
    # Messages, demand included: with what the ego asked for on top of the budget.
    assert 320 < whole["bytes_per_frame"]["p50"] <= 320 + 250


def test_what_was_wanted_in_one_sequence_is_forgotten_in_the_next(tmp_path: Path) -> None:
    model = tiny_model()

    def lines(frames: list[CooperativeFrame], name: str) -> list[dict[str, Any]]:
        evaluate(
            Scenes(list(frames)), model, PROTOCOL, fusion="hybrid", budget_bytes=320, out=tmp_path / name
        )
        return [record["detections"] for record in read_lines(tmp_path / name / FRAMES)]

    first, second = drive(2), drive(2, sequence="two", seed=50)
    assert lines([*first, *second], "both") == lines(first, "first") + lines(second, "second")


def test_wrong_poses_cost_what_comes_from_the_unit_only(tmp_path: Path) -> None:
    clean, noisy = run(tmp_path / "clean"), run(tmp_path / "noisy", pose_noise=PoseNoise(50.0, 0.0))
    alone = run(tmp_path / "alone", fusion="none", pose_noise=PoseNoise(50.0, 0.0))
    assert clean["recall"]["car"]["0.5"] == 1.0
    assert noisy["recall"]["car"]["0.5"] == alone["recall"]["car"]["0.5"] == 0.5


def test_limit_counts_the_first_frames_and_may_grow_and_shrink(tmp_path: Path) -> None:
    assert run(tmp_path, limit=2)["frames"] == 2
    assert run(tmp_path, limit=4)["frames"] == 4
    assert run(tmp_path, limit=3)["frames"] == 3
    assert len(lines_without_time(tmp_path)) == 4
    assert run(tmp_path, limit=100)["frames"] == 6


def test_another_run_is_not_mixed_in(tmp_path: Path) -> None:
    run(tmp_path, limit=2)
    with pytest.raises(CosenseError, match=r"fusion 'late' there, 'none' here.*--out.*--restart"):
        run(tmp_path, fusion="none")
    assert len(lines_without_time(tmp_path)) == 2
    assert run(tmp_path, fusion="none", restart=True)["fusion"] == "none"
    assert len(lines_without_time(tmp_path)) == 6


def test_folder_without_description_is_another_run(tmp_path: Path) -> None:
    run(tmp_path, limit=2)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(CosenseError, match=r"run\.json is missing or broken"):
        run(tmp_path)


def test_data_that_changed_since_is_noticed(tmp_path: Path) -> None:
    run(tmp_path, limit=2)
    with pytest.raises(CosenseError, match="line 2 is frame '000001', the data set has another one there"):
        run(tmp_path, Scenes([two_agents(i) for i in (0, 2, 1, 3, 4, 5)]))


def test_broken_line_is_named(tmp_path: Path) -> None:
    run(tmp_path, limit=2)
    (tmp_path / FRAMES).write_text("{}}\n")
    with pytest.raises(CosenseError, match=r"frames.jsonl: line 1 is not JSON: .*; delete it and all below"):
        run(tmp_path)


def test_unreadable_frame_stops_the_run_and_keeps_the_rest(tmp_path: Path) -> None:
    frames: list[CooperativeFrame | Exception] = [two_agents(i) for i in range(4)]
    broken = [*frames[:2], CosenseError("velodyne/000002.pcd: cut off"), frames[3]]
    with pytest.raises(CosenseError, match=r"000002.pcd: cut off; .* keeps 2 frames: .*--skip-broken"):
        run(tmp_path, Scenes(broken))
    assert len(lines_without_time(tmp_path)) == 2
    # Repaired, the same command goes on.
    assert run(tmp_path, Scenes(frames))["frames"] == 4


def test_unreadable_frame_can_be_left_out(tmp_path: Path) -> None:
    broken = [two_agents(0), CosenseError("velodyne/000001.pcd: cut off"), two_agents(2)]
    metrics = run(tmp_path, Scenes(broken), skip_broken=True)
    assert (metrics["frames"], metrics["frames_skipped"], metrics["num_ground_truth"]) == (2, 1, 4)
    again = run(tmp_path, Scenes(broken), skip_broken=True)
    assert without_time(again) == without_time(metrics)


def test_messages_that_are_not_used_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = two_agents(20)
    late = dict(frame.agents)
    late["unit"] = AgentFrame("unit", "infrastructure", 0, late["unit"].T_world_agent, late["unit"].points)
    old = CooperativeFrame("old", "one", "ego", late, frame.ground_truth)
    metrics = run(tmp_path, Scenes([frame, old]))
    assert (metrics["num_messages"], metrics["num_messages_not_used"]) == (2, 1)
    assert metrics["messages_used_for"] == {"boxes": 1, "points": 0, "features": 0, "pose": 0, "nothing": 1}
    assert "1 of 2 messages were not used" in caplog.text
    assert "ms old" in lines_without_time(tmp_path)[1]["peers"][0]["reason"]


def test_graphs_that_say_nothing_are_no_messages_that_were_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = run(tmp_path, registration="scene_graph")
    assert (metrics["num_messages"], metrics["num_messages_not_used"]) == (6, 0)
    assert (metrics["messages_used_for"]["boxes"], metrics["messages_used_for"]["nothing"]) == (6, 6)
    assert "were not used" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fusion": "latte"}, "unknown fusion 'latte', did you mean 'late'"),
        ({"fusion": "none", "budget_bytes": 100}, "nobody sends anything"),
        ({"limit": 0}, "limit is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"budget_bytes": 20}, "budget of 20 bytes is too small for agent 'unit': an empty OBJECTS message"),
        ({"fusion": "early", "budget_bytes": 20}, "an empty POINTS message takes"),
        ({"selection": "random"}, "selection 'random', but with fusion 'late' nobody sends features"),
        ({"fusion": "hybrid", "selection": "rnked"}, "unknown selection 'rnked', did you mean 'ranked'"),
        ({"registration": "graph"}, "unknown registration 'graph'"),
        ({"registration": "boxes", "fusion": "early"}, "with fusion 'early' no poses are corrected"),
        ({"fusion": "hybrid"}, "needs a model that shares features, 'point-is-car' does not"),
    ],
)
def test_arguments_without_sense_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CosenseError, match=message):
        run(tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_out_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CosenseError, match="cannot be a folder"):
        run(tmp_path / "file")


def test_out_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(CosenseError, match="/proc/self: cannot be a folder for results"):
        run(Path("/proc/self"))


def test_points_are_those_of_the_agent_that_sees_an_object_best() -> None:
    T_world_ego, T_ego_unit = transform_from_planar(100, 50, 1.0), transform_from_planar(30, 0, np.pi)
    near_ego = np.array([[10, 0, -1, 0.5]] * 3 + [[10, 5, -1, 0.5]], dtype=np.float32)
    # The same object is 20 m ahead of the unit, which looks back.
    near_unit = np.array([[20, 0.1, -1, 0.5]] * 7 + [[-5, 0, -1, 0.5]], dtype=np.float32)
    agents = {
        "ego": AgentFrame("ego", "vehicle", 0, T_world_ego, near_ego),
        "unit": AgentFrame("unit", "infrastructure", 0, T_world_ego @ T_ego_unit, near_unit),
    }
    truth = objects([box(10), box(10, 5), box(35), box(-40)])
    frame = CooperativeFrame("0", "one", "ego", agents, truth)
    assert most_points_of_one_agent(frame).tolist() == [7, 1, 1, 0]
