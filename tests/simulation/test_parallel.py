"""Many sequences at once, with the same frames in the same order on any number of processes."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.errors import CosenseError
from cosense.simulation import parallel, simulate
from cosense.simulation.parallel import simulate_all


def test_two_processes_make_the_frames_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_MOST_FRAMES", 1)
    made = list(simulate_all([("underpass", 4, 2)], workers=2))
    for one, other in zip(made, simulate("underpass", 4, 2), strict=True):
        assert (one.frame.frame_id, one.offset_m) == (other.frame.frame_id, other.offset_m)
        np.testing.assert_array_equal(one.frame.ground_truth.boxes, other.frame.ground_truth.boxes)
        for name, agent in one.frame.agents.items():
            assert agent.points.tobytes() == other.frame.agents[name].points.tobytes()
            assert agent.T_world_agent.tobytes() == other.frame.agents[name].T_world_agent.tobytes()


def test_a_long_sequence_is_cut_into_pieces_of_about_equal_length() -> None:
    assert parallel._pieces("crossing", 3, 25) == [("crossing", 3, 25, 0)]
    pieces = parallel._pieces("crossing", 3, 60)
    assert pieces == [("crossing", 3, 20, 0), ("crossing", 3, 20, 20), ("crossing", 3, 20, 40)]


def test_what_cannot_be_simulated_is_said_before_the_first_frame() -> None:
    with pytest.raises(CosenseError, match="vehicles=9"):
        simulate_all([("underpass", 4, 1), ("underpass", 5, 1)], vehicles=9)
