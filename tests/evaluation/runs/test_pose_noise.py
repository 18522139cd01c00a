"""Errors of poses with a name: who has them, how they go on, and what else they bring."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError
from cosense.evaluation.runs.pose_noise import BelievedPoses, PoseNoise
from cosense.evaluation.runs.runner import RunSettings, check_pose_error
from cosense.geometry.transforms import transform_from_planar
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import Objects
from tests.evaluation.cooperators import PERIOD_NS, drive, tiny_model

DAIR, CORRECTED = PoseNoise.named("dair"), PoseNoise.named("dair_corrected")


def moments(count, sequence="one"):
    """Return frames of two agents who measure at the same moments and see nothing."""
    nothing = np.zeros((0, 4), dtype=np.float32)
    return [
        CooperativeFrame(
            f"{sequence}/{number}",
            sequence,
            "ego",
            {
                name: AgentFrame(
                    name, "vehicle", number * PERIOD_NS, transform_from_planar(x + number, 50, 0.1), nothing
                )
                for name, x in (("ego", 100), ("near", 120))
            },
            Objects.empty(),
        )
        for number in range(count)
    ]


def errors_of(noise, frames, seed=0):
    """Return (F,2) by how much the other agent is off in the world."""
    poses = BelievedPoses(noise, seed)
    believed = [poses.of(frame, number)[1] for number, frame in enumerate(frames)]
    return np.array(
        [
            agent.T_world_agent[:2, 3] - frame.others[0].T_world_agent[:2, 3]
            for agent, frame in zip(believed, frames, strict=True)
        ]
    )


def test_as_measured_the_others_are_off_and_nobody_says_so() -> None:
    frame = moments(1)[0]
    ego, other = BelievedPoses(DAIR, seed=0).of(frame, 0)
    assert ego is frame.ego
    assert 0.0 < np.linalg.norm(errors_of(DAIR, [frame])) <= 1.56
    np.testing.assert_array_equal(other.pose_covariance, frame.others[0].pose_covariance)
    # How it moves is known from wheels and gyroscopes.
    np.testing.assert_array_equal(other.T_steady_agent, frame.others[0].T_world_agent)
    assert not DAIR.is_announced


def test_the_error_goes_on_slowly_and_belongs_to_sequence_and_seed() -> None:
    frames = moments(30)
    errors = errors_of(DAIR, frames)
    steps = np.linalg.norm(np.diff(errors, axis=0), axis=1)
    assert 0.15 < np.mean(steps < 1e-9) < 0.65
    assert np.median(steps) < 0.3
    np.testing.assert_array_equal(errors, errors_of(DAIR, frames))
    assert not np.allclose(errors, errors_of(DAIR, frames, seed=1))
    assert not np.allclose(errors, errors_of(DAIR, moments(30, sequence="two")))
    np.testing.assert_allclose(errors_of(CORRECTED, frames), 0.3 * errors, atol=1e-9)


def test_frames_farther_apart_are_as_many_steps_apart() -> None:
    """Kind: a walk of frames, which would be another one at another rate."""
    frames = moments(9)
    np.testing.assert_array_equal(errors_of(DAIR, frames[::4]), errors_of(DAIR, frames)[::4])


def test_time_offsets_are_drawn_where_the_data_have_none() -> None:
    frames = moments(40)
    poses = BelievedPoses(DAIR, seed=0)
    offsets_ms = np.array([(poses.of(f, 0)[1].stamp_ns - f.ego.stamp_ns) / 1e6 for f in frames[1:]])
    assert np.abs(offsets_ms).max() <= 30
    assert offsets_ms.std() == pytest.approx(17.5, abs=4)
    other = replace(frames[5].others[0], stamp_ns=frames[5].ego.stamp_ns + 7)
    apart = replace(frames[5], agents={"ego": frames[5].ego, other.agent_id: other})
    assert BelievedPoses(DAIR, seed=0).of(apart, 0)[1].stamp_ns == other.stamp_ns


def test_noise_of_the_literature_is_fresh_announced_and_late() -> None:
    literature = PoseNoise.named("literature")
    assert (literature.position_m, literature.heading_deg, literature.delay_ms) == (0.2, 0.2, 100.0)
    believed = BelievedPoses(literature, seed=0).of(moments(1)[0], 0)
    assert [agent.pose_covariance[0, 0] for agent in believed] == pytest.approx([0.04, 0.04])
    # Messages of a frame are there in the next one.
    model, frames = tiny_model(), drive(3)
    cooperation = RunSettings("late", None, literature, 0).start(model)
    results = [cooperation.step([f.ego, *f.others], number).result for number, f in enumerate(frames)]
    ages_ms = [[peer.age_ms for peer in result.peers] for result in results]
    assert ages_ms == [[], [pytest.approx(100)], [pytest.approx(100)]]


def test_an_unknown_error_is_refused_with_the_nearest() -> None:
    with pytest.raises(CosenseError, match="unknown pose error 'dare', did you mean 'dair'"):
        PoseNoise.named("dare")
    assert PoseNoise.named(None) == PoseNoise()


def test_an_error_between_agents_needs_another_agent() -> None:
    with pytest.raises(CosenseError, match="with fusion 'none' no pose is used; leave it out"):
        RunSettings("none", None, DAIR, 0)
    alone: Any = SimpleNamespace(path="mine", agents={"ego": "vehicle"})
    with pytest.raises(CosenseError, match="mine: pose error 'dair' is between agents, and there is one"):
        check_pose_error(alone, "dair")
    check_pose_error(alone, None)
