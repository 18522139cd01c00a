from __future__ import annotations

import base64
import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cosense.cooperation.outcome import FusionResult
from cosense.evaluation.protocol import load_protocol
from cosense.messages.reports import PeerReport
from cosense.sensing.detections import Detections, Source
from cosense.sensing.levelling import levelled
from cosense.viewer.annotations import seen_by
from cosense.viewer.pack import ReportFrame, pack_frame, pack_grid, pack_points, pack_runs
from tests.viewer.scenes import false_alarm, found, street

FRAME = street()
PROTOCOL = load_protocol("simulated")
GRID = pack_grid((-100.0, -40.0, 130.0, 40.0))


def runs_of(text: str) -> np.ndarray:
    runs = np.frombuffer(base64.b64decode(text), "<u2")
    return np.repeat(runs >> 14, runs & 0x3FFF)


def centimetres_of(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<i2").reshape(-1, 2)


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20)), elements=st.integers(0, 3)))
def test_runs_give_the_map_back(values: np.ndarray) -> None:
    assert runs_of(pack_runs(values)).tolist() == values.ravel().tolist()


def test_a_run_longer_than_fourteen_bits_is_cut() -> None:
    values = np.repeat([2, 1, 3], [40_000, 0x3FFF, 2 * 0x3FFF])[None]
    assert (runs_of(pack_runs(values)) == values[0]).all()


def test_points_keep_their_place_to_a_centimetre_and_their_height_to_ten() -> None:
    xy = np.array([[1.234, -99.996], [-139.5, 59.9], [0.0, 0.0]])
    packed, heights = pack_points(xy, np.array([0.31, 1.99, -2.0]), 10)
    back = centimetres_of(packed) / 100
    order = np.argsort(xy[:, 0])
    assert np.abs(back - xy[order]).max() <= 0.005 + 1e-9
    assert list(base64.b64decode(heights)) == [19, 0, 3]


def test_of_points_above_each_other_the_highest_stays() -> None:
    xy = np.array([[5.01, 5.01], [5.02, 5.03], [5.04, 5.02], [7.0, 7.0]])
    packed, heights = pack_points(xy, np.array([0.1, 2.0, 1.0, 0.5]), 10)
    assert centimetres_of(packed).tolist() == [[502, 503], [700, 700]]
    assert list(base64.b64decode(heights)) == [20, 5]


def test_many_points_are_thinned_evenly() -> None:
    xy = np.column_stack([np.arange(1000) * 0.25, np.zeros(1000)])
    packed, heights = pack_points(xy, np.ones(1000), 100)
    x = centimetres_of(packed)[:, 0] / 100
    assert len(x) == len(base64.b64decode(heights)) == 100
    assert np.diff(x).min() > 2.2
    assert np.diff(x).max() < 2.8


def test_a_frame_is_packed_whole() -> None:
    detections = Detections.concatenate([found(FRAME, [2]), found(FRAME, [6], Source.LATE)])
    peers = [PeerReport("mast", 412, "boxes"), PeerReport("late", 99, "nothing", "230 ms old")]
    page = ReportFrame(FRAME, FusionResult(detections, peers, {"": 40}), found(FRAME, [2]))
    packed = json.loads(json.dumps(pack_frame(page, GRID, 5000, PROTOCOL)))
    ego, mast = packed["agents"]
    assert (ego["ego"], ego["kind"], ego["points"]) == (True, "vehicle", len(FRAME.ego.points))
    assert mast["pose"] == pytest.approx([42.0, 15.5, np.deg2rad(-135)], abs=1e-3)
    assert mast["field"] == pytest.approx([np.deg2rad(300), np.deg2rad(120)], abs=0.1)
    assert sum(len(centimetres_of(agent["xy"])) for agent in packed["agents"]) <= 5000
    assert packed["truth"][7]["box"] == pytest.approx([62.0, 7.0, 9.0, 2.5, -np.pi], abs=1e-3)
    by_source = {detection["source"]: detection for detection in packed["detections"]}
    assert (by_source["ego"]["truth"], by_source["late"]["truth"]) == (2, 6)
    assert by_source["late"]["label"] == "car"
    assert [detection["truth"] for detection in packed["alone"]] == [2]
    assert packed["bytes"] == {"late": 119, "mast": 432}, "with what each was asked"
    assert packed["peers"][1] == {
        "sender": "late",
        "bytes": 99,
        "used_for": "nothing",
        "reason": "230 ms old",
    }


def test_what_is_seen_is_packed_as_ego_others_nobody() -> None:
    packed = pack_frame(ReportFrame(FRAME), GRID, 5000, PROTOCOL)
    by_ego, by_mast = seen_by(FRAME, [levelled(agent) for agent in FRAME.agents.values()], GRID)
    values = runs_of(packed["seen"]).reshape(GRID.shape)
    assert ((values == 2) == by_ego).all()
    assert ((values == 1) == (by_mast & ~by_ego)).all()


def test_points_outside_the_map_are_left_out() -> None:
    far = np.array([[141.0, 0, 0, 1], [0, 51.0, 0, 1], [400.0, 0, 0, 1], [10.0, 0, 0, 1]], np.float32)
    agents = {"vehicle": dataclasses.replace(FRAME.ego, points=far)}
    packed = pack_frame(ReportFrame(dataclasses.replace(FRAME, agents=agents)), GRID, 100, PROTOCOL)
    assert centimetres_of(packed["agents"][0]["xy"]).tolist() == [[1000, 0]]
    assert packed["agents"][0]["points"] == 4


def test_the_map_reaches_a_margin_beyond_the_view_and_no_farther_than_int16() -> None:
    assert GRID.range_m == (-110.0, -50.0, 0.0, 140.0, 50.0, 0.0)
    assert pack_grid((-400.0, -40.0, 400.0, 40.0)).range_m[::3] == (-320.0, 320.0)


def test_a_false_alarm_has_no_truth_and_what_is_not_counted_neither() -> None:
    """Kind: what the protocol leaves out, as a car that nobody sees, counts neither way."""
    ego_only = dataclasses.replace(FRAME, agents={"vehicle": FRAME.ego})
    detections = Detections.concatenate([false_alarm(), found(ego_only, [6])])
    packed = pack_frame(ReportFrame(ego_only, FusionResult(detections, [])), GRID, 100, PROTOCOL)
    assert [detection["truth"] for detection in packed["detections"]] == [-1, -2]
    assert [packed["truth"][index]["counted"] for index in (0, 6)] == [True, False]
