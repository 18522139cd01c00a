"""A live run is counted like an offline one; a frame that was never fused is not forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cosense.cooperation.offline import cooperate
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.run_files import FusedFrame
from cosense.evaluation.runs.live_metrics import entries_by_frame, evaluate_live
from cosense.evaluation.runs.runner import evaluate
from cosense.evaluation.tables import comparison
from tests.evaluation.scenes import Scenes, point_is_car, two_agents

PROTOCOL = load_protocol("opencood")


@pytest.fixture
def dataset() -> Scenes:
    return Scenes([two_agents(index) for index in range(3)])


def entries(dataset: Scenes) -> list[FusedFrame]:
    """What the fusion node writes down when nothing goes wrong."""
    written = []
    for number in range(len(dataset)):
        frame = dataset[number]
        result = cooperate([frame.ego, *frame.others], point_is_car(), "late", sequence=number)
        written.append(FusedFrame(frame.ego.stamp_ns, result, [], 12.5, "EGO", ""))
    return written


def live(dataset: Scenes, journal: list[FusedFrame]) -> dict[str, Any]:
    return evaluate_live(dataset, journal, point_is_car(), PROTOCOL, frames=3, command="cosense demo")


def test_numbers_are_those_of_the_same_boxes_offline(dataset, tmp_path) -> None:
    counted = live(dataset, entries(dataset))
    offline = evaluate(dataset, point_is_car(), PROTOCOL, fusion="late", out=tmp_path)
    for key in ("ap", "recall", "bytes_per_frame", "frames", "protocol_hash", "weights_sha256"):
        assert counted[key] == offline[key]
    assert counted["ms_per_frame"]["p50"] == 12.5
    assert (counted["frames_not_fused"], counted["command"]) == (0, "cosense demo")


def test_frame_that_was_not_fused_counts_as_nothing_found(dataset) -> None:
    all_fused, one_lost = live(dataset, entries(dataset)), live(dataset, entries(dataset)[1:])
    assert one_lost["frames_not_fused"] == 1
    assert one_lost["num_ground_truth"] == all_fused["num_ground_truth"]
    assert one_lost["ap"]["0.5"] < all_fused["ap"]["0.5"]


def test_frame_that_was_not_fused_took_no_time(dataset) -> None:
    assert live(dataset, entries(dataset)[1:])["ms_per_frame"]["mean"] == 12.5


def test_stamps_that_come_again_in_the_next_sequence_are_told_apart(dataset) -> None:
    first, second, third = entries(dataset)
    again = [replace(entry, stamp_ns=entry.stamp_ns) for entry in (first, second, third)]
    stamps_ns = [entry.stamp_ns for entry in (first, second, third)] * 2
    # The first frame of the first sequence and the last one of the second were never fused.
    found = entries_by_frame(stamps_ns, [second, third, *again[:2]])
    assert [id(entry) for entry in found] == [id(e) for e in (None, second, third, *again[:2], None)]


def test_time_of_a_live_run_is_not_compared_with_an_offline_one(dataset, tmp_path) -> None:
    offline = evaluate(dataset, point_is_car(), PROTOCOL, fusion="none", out=tmp_path)
    counted = live(dataset, entries(dataset))
    headings = [list(comparison(runs)[1].headings) for runs in ([offline], [offline, counted])]
    assert ["ms/frame" in of_table for of_table in headings] == [True, False]
