"""What the ego asks for: DEMAND messages of the receiver."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.cooperation.requests import write_requests
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import invert, transform_from_planar
from cosense.messages.demand import MAX_DEMAND_BYTES, decode_demand
from cosense.messages.envelope import MAX_PAYLOAD_BYTES, PayloadKind, decode
from cosense.methods.model import Model
from tests.cooperation.networks import (
    NO_POINTS,
    PATCHES,
    cooperative,
    detections,
    frame,
    objects_message,
)
from tests.cooperation.pair import (
    FEATURES,
    MODELS,
    NOW,
    OWN,
    T_WORLD_EGO,
    UNIT,
    each_profile,
    from_unit,
    fuse_with,
)


def demanded(data: bytes):
    told = decode(data)
    assert told.kind == PayloadKind.DEMAND
    return decode_demand(told.payload, told.T_world_agent, told.stamp_ns)


@each_profile
@pytest.mark.parametrize("senders", [0, 1])
def test_one_demand_for_everybody_as_long_as_there_is_one_sender(profile, senders):
    messages = [from_unit(profile)][:senders]
    demands = fuse_with(MODELS[profile], *messages, features=FEATURES[profile]).requests
    assert list(demands) == [""]
    demand = demanded(demands[""])
    assert (demand.addressee, demand.stamp_ns) == ("", NOW)
    np.testing.assert_allclose(demand.T_world_ego, T_WORLD_EGO, atol=1e-6)
    asked = MODELS[profile].method.request(FEATURES[profile])
    np.testing.assert_array_equal(demand.wanted, asked.wanted)
    assert demand.grid.cell_m == pytest.approx(asked.grid.cell_m)
    assert len(demands[""]) <= (MAX_DEMAND_BYTES if profile == "patches" else MAX_PAYLOAD_BYTES)


@settings(max_examples=25)
@given(st.integers(0, 100), st.floats(0, 1))
def test_a_demand_of_the_product_profile_never_exceeds_its_limit(seed, share):
    model = large()
    grid = model.detector.grid
    counts = np.random.default_rng(seed).random(grid.shape) < share
    features = dataclasses.replace(
        FEATURES["patches"], grid=grid, point_counts=torch.from_numpy(counts.astype(np.int64))
    )
    asked = model.method.request(features)
    for data in write_requests(decode(OWN), asked, []).values():
        assert len(data) <= MAX_DEMAND_BYTES
        wanted = demanded(data)
        # It may ask for too much, never for too little.
        exact = asked.wanted
        coarser = round(wanted.grid.cell_m / asked.grid.cell_m)
        written = np.kron(wanted.wanted, np.ones((coarser, coarser), bool))
        assert written[: exact.shape[0], : exact.shape[1]][exact].all()


_LARGE: list[Model] = []


def large() -> Model:
    """Return a model with a map as large as the shipped ones, made once."""
    if not _LARGE:
        _LARGE.append(cooperative(PATCHES.with_range(102.4, 51.2).with_sharing(wanted_below_points=32)))
    return _LARGE[0]


def test_several_senders_are_each_told_what_is_still_missing():
    near = detections([[5.0, -4.0, -0.4, 4, 1.8, 1.5, 0]], [0.9])
    # Both see it; "right" stands beside it.
    left = frame("left", T_WORLD_EGO @ transform_from_planar(-10.0, 5.0, 0.0), NOW, points=NO_POINTS)
    right = frame("right", T_WORLD_EGO @ transform_from_planar(5.0, -6.0, 1.0), NOW, points=NO_POINTS)
    messages = []
    for agent in (left, right):
        boxes = transform_boxes(invert(agent.T_world_agent) @ T_WORLD_EGO, near.boxes)
        messages.append(objects_message(agent, dataclasses.replace(near, boxes=boxes)))
    blind = dataclasses.replace(
        FEATURES["patches"], point_counts=torch.zeros_like(FEATURES["patches"].point_counts)
    )
    _, requests = fuse_with(MODELS["patches"], *messages, features=blind)
    demands = {name: demanded(data) for name, data in requests.items()}
    assert set(demands) == {"left", "right"}
    assert all(demand.addressee == name for name, demand in demands.items())
    assert demands["right"].wanted.all()
    # x 5 m, y -4 m: row 0, column 5 of 3.2 m cells.
    assert np.argwhere(~demands["left"].wanted).tolist() == [[0, 5]]


def test_a_sender_that_left_is_not_asked_any_more():
    second = from_unit("patches", agent=dataclasses.replace(UNIT, agent_id="second"))
    features = FEATURES["patches"]
    both = fuse_with(MODELS["patches"], from_unit("patches"), second, features=features)
    assert set(both.requests) == {"unit", "second"}
    assert set(fuse_with(MODELS["patches"], second, features=features).requests) == {""}
