"""What a sender says of its surroundings beside its messages."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from cosense.messages.envelope import decode
from cosense.messages.scene_graph import NodeClass, decode_scene_graph, share_graph
from tests.cooperation.networks import MS
from tests.cooperation.test_sender import CARS, FEATURES, FRAME, sender
from tests.scene_graph.scenes import graph_of


@pytest.mark.parametrize(
    ("budget_bytes", "nodes"), [(None, 30), (2000, 30), (1000, 21), (660, 12), (640, None)]
)
def test_a_graph_counts_towards_the_budget_and_takes_half_of_it_at_most(budget_bytes, nodes):
    poles = np.random.default_rng(0).uniform(-30, 30, (30, 3))
    graph = graph_of([NodeClass.POLE] * 30, poles, agent_id="unit")
    own = SimpleNamespace(frame=FRAME, encoded=FEATURES["patches"], detections=CARS, scene_graph=graph)
    who = sender(registration="scene_graph", budget_bytes=budget_bytes)
    data, beside = who.message(own, 0, None), who.surroundings(own, 0)
    if nodes is None:
        assert beside is None
    else:
        assert len(decode_scene_graph(decode(beside))) == nodes
    if budget_bytes is not None:
        assert len(data) + len(beside or b"") <= budget_bytes


def test_a_graph_is_encoded_once_for_a_frame_and_anew_for_the_next(monkeypatch):
    made = []
    monkeypatch.setattr(
        "cosense.cooperation.sender.share_graph", lambda *a: made.append(a) or share_graph(*a)
    )
    graph = graph_of([NodeClass.POLE] * 30, np.zeros((30, 3)), agent_id="unit")
    own = SimpleNamespace(frame=FRAME, encoded=FEATURES["patches"], detections=CARS, scene_graph=graph)
    who = sender(registration="scene_graph", budget_bytes=2000)
    for sequence in range(2):
        who.message(own, sequence, None)
        beside = who.surroundings(own, sequence)
        assert (len(made), decode(beside).sequence) == (sequence + 1, sequence)


def test_with_a_budget_a_whole_graph_goes_out_twice_a_second_and_the_best_nodes_in_between():
    poles = np.random.default_rng(0).uniform(-30, 30, (45, 3))
    graph = graph_of([NodeClass.POLE] * 45, poles, agent_id="unit")

    def sent(budget_bytes: int | None, times_ms: list[int]) -> list[int]:
        who = sender(registration="scene_graph", budget_bytes=budget_bytes)
        counts = []
        for sequence, time_ms in enumerate(times_ms):
            at = dataclasses.replace(FRAME, stamp_ns=time_ms * MS)
            own = SimpleNamespace(frame=at, encoded=FEATURES["patches"], detections=CARS, scene_graph=graph)
            data, beside = who.message(own, sequence, None), who.surroundings(own, sequence)
            counts.append(len(decode_scene_graph(decode(beside))))
            assert budget_bytes is None or len(data) + len(beside) <= budget_bytes
        return counts

    # At 10 Hz each fifth, though clocks jitter; a recording that starts anew begins with a whole one.
    times_ms = [1000, 1101, 1199, 1300, 1401, 1498, 1600, 700, 800]
    assert sent(2000, times_ms) == [45, 30, 30, 30, 30, 45, 30, 45, 30]
    assert sent(2000, [1000, 2000, 3000]) == [45, 45, 45]
    # The ego's own messages have no budget: it compares others with all that it has.
    assert sent(None, times_ms) == [45] * len(times_ms)
