from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego
from cosense.cooperation.kinds import FusionKind
from cosense.cooperation.sender import Sender, check_budget
from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.demand import DemandMap, encode_demand
from cosense.messages.envelope import MessageError, PayloadKind, decode, envelope_bytes
from cosense.messages.features import cuts, decode_features, truncate
from cosense.messages.objects import decode_objects, slopes_of
from cosense.messages.points import decode_points
from cosense.methods.selection.base import selection_names
from cosense.sensing.detections import Detections
from cosense.sensing.grid import BevGrid
from cosense.sensing.ground import GroundSurface
from cosense.sensing.levelling import LevelFrame
from tests.cooperation.networks import (
    CONFIGS,
    MS,
    NO_POINTS,
    PATCHES,
    Given,
    cooperative,
    detections,
    frame,
    message,
    objects_message,
    perceived,
)

SHAPE = (32, 64)
POSE = transform_from_planar(20.0, -3.0, 0.7)
# An empty message of "unit".
SMALLEST = 108
MODELS = {name: cooperative(config) for name, config in CONFIGS.items()}
FRAME = frame("unit", POSE, 5000 * MS)
FEATURES = {name: model.detector.encode(FRAME) for name, model in MODELS.items()}
CARS = detections([[x, -4.0, -1.0, 4.0, 1.9, 1.5, 0.2] for x in (-9.0, -3.0, 3.0, 9.0)], [0.5, 0.9, 0.6, 0.7])


def sender(profile: str = "patches", fusion: FusionKind = "hybrid", **options: Any) -> Sender:
    return Sender("unit", MODELS[profile], fusion, **options)


def send(who: Sender, profile: str = "patches", found: Detections = CARS, at=FRAME, sequence=0) -> bytes:
    return who.message(Given(at, FEATURES[profile], found), sequence, who.request)


def read(data: bytes, profile: str = "patches"):
    payload = decode_features(decode(data).payload)
    layers = payload.layers(MODELS[profile].method.specs, SHAPE)
    return SimpleNamespace(boxes=payload.boxes, layers=layers)


def demand(wanted: np.ndarray, addressee: str = "", stamp_ns: int = FRAME.stamp_ns, pose=POSE) -> bytes:
    """Return the DEMAND message of an ego: (4,8) cells of 3.2 m over the range of the tiny models."""
    grid = BevGrid((-12.8, -6.4, 0.0, 12.8, 6.4, 1.0), 3.2)
    payload = encode_demand(DemandMap(addressee, stamp_ns, pose, grid, wanted), 1000)
    return message(frame("ego", pose, stamp_ns, points=NO_POINTS), PayloadKind.DEMAND, payload)


LEFT_HALF = np.zeros((4, 8), dtype=bool)
LEFT_HALF[:, :4] = True


@settings(max_examples=60)
@given(
    st.integers(130, 700) | st.integers(130, 6000) | st.integers(130, 1 << 20),
    st.sampled_from(list(MODELS)),
    st.sampled_from([None, *selection_names()]),
    st.booleans(),
    st.integers(0, 60),
)
def test_no_budget_is_ever_exceeded(budget, profile, selection, with_boxes, box_count):
    boxes = np.tile(CARS.boxes[:1], (box_count, 1))
    boxes[:, 0] = np.arange(box_count) / 4
    found = detections(boxes, np.full(box_count, 0.5))
    fusion = "hybrid" if with_boxes else "intermediate"
    who = sender(profile, fusion, budget_bytes=budget, selection=selection)
    data = send(who, profile, found)
    assert len(data) <= budget
    payload = read(data, profile)
    assert len(payload.boxes) == (min(box_count, (budget - SMALLEST) // 13) if with_boxes else 0)


@pytest.mark.parametrize("profile", MODELS)
def test_a_larger_budget_never_says_less(profile):
    told = []
    for budget in (108, 121, 160, 200, 400, 800, 1600, 10_000, None):
        payload = read(send(sender(profile, budget_bytes=budget), profile), profile)
        told.append((len(payload.boxes), sum(len(layer.cells) for layer in payload.layers)))
    assert told == sorted(told)
    assert told[0] == (0, 0)
    assert told[-1][0] == 4
    assert told[-1][1] == {"patches": 160, "cosdh": 672, "lcv2i": 128}[profile]


def test_a_budget_below_an_empty_message_names_the_smallest():
    with pytest.raises(
        CosenseError, match=r"budget of 107 bytes .* 'unit': an empty FEATURES message takes 108"
    ):
        sender(budget_bytes=107)
    check_budget("unit", PayloadKind.FEATURES, None)
    assert len(send(sender(budget_bytes=108))) == SMALLEST


def test_a_change_of_the_budget_takes_effect_on_the_next_message():
    who = sender()
    whole = len(send(who))
    who.budget_bytes = 300
    assert 250 < len(send(who, sequence=1)) <= 300 < whole
    who.budget_bytes = 90
    with pytest.raises(CosenseError, match=r"budget of 90 bytes .* takes 108"):
        send(who, sequence=2)
    who.budget_bytes = None
    assert len(send(who, sequence=3)) == whole


def test_the_envelope_says_who_when_where_and_by_which_model():
    envelope = decode(send(sender(), sequence=2**32 + 7))
    assert (envelope.kind, envelope.sender, envelope.sequence) == (PayloadKind.FEATURES, "unit", 7)
    assert (envelope.stamp_ns, envelope.fingerprint) == (FRAME.stamp_ns, b"12345678")
    np.testing.assert_allclose(envelope.T_world_agent, POSE, atol=1e-6)


@pytest.mark.parametrize("profile", MODELS)
@pytest.mark.parametrize("selection", [None, "random"])
def test_the_same_input_gives_the_same_bytes(profile, selection):
    once, again = (send(sender(profile, selection=selection, budget_bytes=500), profile) for _ in range(2))
    assert once == again


def test_random_draws_anew_for_every_frame_and_agent():
    who = sender(selection="random", budget_bytes=300)
    payloads = [decode(send(who, sequence=sequence)).payload for sequence in (0, 1, 0)]
    assert payloads[0] == payloads[2] != payloads[1]
    other = Sender("car", MODELS["patches"], "hybrid", selection="random")
    other.budget_bytes = 300
    assert decode(send(other)).payload != payloads[0]


def test_boxes_go_by_score_as_long_as_nobody_says_what_is_wanted():
    scores = read(send(sender())).boxes.detections.scores
    np.testing.assert_allclose(scores, [0.9, 0.7, 0.6, 0.5], atol=0.003)


def test_boxes_that_are_wanted_go_first_and_others_for_half_their_score():
    who = sender()
    # The ego stands where the sender does and misses the half behind: cars at x = -9 and -3.
    who.receive_request(demand(LEFT_HALF))
    boxes = read(send(who)).boxes.detections.boxes
    assert boxes[:, 0].tolist() == [-3.0, -9.0, 9.0, 3.0]


def test_cells_that_are_wanted_are_ranked_first():
    who = sender(selection="supply_demand")
    who.receive_request(demand(LEFT_HALF))
    cells = read(send(who)).layers[0].cells
    assert sorted(cells) == [cell for cell in range(8 * 16) if cell % 16 < 8]


def test_the_ranking_goes_by_what_a_patch_is_worth_to_who_wants_it():
    model = cooperative(PATCHES)
    # All that this network has learned: a patch is worth more to an ego that wants it.
    model.method.encoder.value[-1].bias.data[:] = torch.tensor([0.0, 100.0, 0.0, 100.0])
    ranked = Sender("unit", model, "hybrid", budget_bytes=300)
    before = read(send(ranked)).layers[0].cells
    ranked.receive_request(demand(LEFT_HALF))
    after = read(send(ranked)).layers[0].cells
    assert 0 < np.mean(before % 16 < 8) < 1
    assert (after % 16 < 8).all()


def test_the_demand_lies_in_the_world_not_in_the_sender():
    who = sender(selection="supply_demand")
    # The ego stands 6.4 m behind and looks the other way; of its left half the sender sees its own front.
    ego = POSE @ transform_from_planar(-6.4, 0.0, np.pi)
    who.receive_request(demand(LEFT_HALF, pose=ego))
    cells = read(send(who)).layers[0].cells
    columns = {int(cell) % 16 for cell in cells}
    # x_sender = -6.4 - x_ego, and x_ego in (-12.8, 0): x_sender from -6.4 to 6.4.
    assert columns == set(range(4, 12))


@pytest.mark.parametrize(
    ("addressee", "is_heard"), [("", True), ("unit", True), ("car", False), ("uni", False)]
)
def test_a_demand_is_heard_only_by_its_addressee(addressee, is_heard):
    who, unasked = sender(), sender()
    who.receive_request(demand(LEFT_HALF, addressee))
    assert (send(who) != send(unasked)) == is_heard


def test_a_demand_for_somebody_else_does_not_replace_ones_own():
    who, told = sender(), sender()
    for each in (who, told):
        each.receive_request(demand(LEFT_HALF, "unit"))
    who.receive_request(demand(~LEFT_HALF, "car"))
    assert send(who) == send(told)
    who.receive_request(demand(~LEFT_HALF, "unit"))
    assert send(who) != send(told)


@pytest.mark.parametrize(
    ("age_ms", "is_heard"),
    [(0, True), (1000, True), (1001, False), (-100, True), (-101, False), (-5000, False)],
)
def test_a_demand_that_is_old_or_from_the_future_asks_for_everything(age_ms, is_heard):
    who, unasked = sender(), sender()
    who.receive_request(demand(LEFT_HALF, stamp_ns=FRAME.stamp_ns - age_ms * MS))
    assert (send(who) != send(unasked)) == is_heard


def test_what_is_no_demand_is_refused_and_changes_nothing():
    who = sender()
    with pytest.raises(MessageError, match="carries OBJECTS, expected DEMAND"):
        who.receive_request(objects_message(FRAME, CARS))
    with pytest.raises(MessageError, match="CRC"):
        who.receive_request(demand(LEFT_HALF)[:-1])
    assert send(who) == send(sender())


def test_without_boxes_there_is_more_room_for_features():
    alone, both = (
        read(send(sender(fusion=fusion, budget_bytes=300))) for fusion in ("intermediate", "hybrid")
    )
    assert (len(alone.boxes), len(both.boxes)) == (0, 4)
    assert len(alone.layers[0].cells) > len(both.layers[0].cells)


def test_boxes_tell_how_fast_they_move():
    who = sender()
    for step in range(4):
        found = dataclasses.replace(CARS, boxes=CARS.boxes + np.array([0.8 * step, 0, 0, 0, 0, 0, 0]))
        at = dataclasses.replace(FRAME, stamp_ns=FRAME.stamp_ns + step * 100 * MS)
        velocities = read(send(who, found=found, at=at, sequence=step)).boxes.velocities_mps
        assert np.isnan(velocities).all() == (step == 0)
    # 8 m/s along x of the sender, of which a car that is turned by 0.2 has this part along its axis.
    expected = 8 * np.cos(0.2) * np.array([np.cos(0.2), np.sin(0.2)])
    np.testing.assert_allclose(velocities, np.tile(expected, (4, 1)), atol=0.13)


@pytest.mark.parametrize("profile", MODELS)
def test_an_empty_cloud_is_a_message_too(profile):
    empty = dataclasses.replace(FRAME, points=NO_POINTS)
    data = sender(profile).message(perceived(MODELS[profile], empty), 0, None)
    assert len(read(data, profile).boxes) == 0


@pytest.mark.parametrize("profile", MODELS)
def test_no_selected_cell_is_a_message_of_boxes(profile):
    who = sender(profile, selection="supply_demand", budget_bytes=250)
    who.receive_request(demand(np.zeros((4, 8), dtype=bool)))
    payload = read(send(who, profile), profile)
    assert len(payload.boxes) == 4
    sparse = [
        layer
        for layer, spec in zip(payload.layers, MODELS[profile].method.specs, strict=True)
        if not spec.dense
    ]
    assert [len(layer.cells) for layer in sparse] == [0] * len(sparse)


@pytest.mark.parametrize("profile", MODELS)
def test_cut_anywhere_a_message_still_fuses(profile):
    model = MODELS[profile]
    ego = Ego(model, "hybrid")
    own = ego.view(perceived(model, frame("ego", POSE, FRAME.stamp_ns, seed=1)), 0)
    whole = send(sender(profile), profile)
    places = cuts(decode(whole).payload)
    assert len(places) >= 8
    told = []
    for place in places:
        shorter = truncate(whole, envelope_bytes("unit") + place)
        result = ego.fuse(own, [receive(shorter)]).result
        (report,) = result.peers
        assert (report.used_for, report.reason, report.bytes) == ("features", "", 104 + place)
        assert np.isfinite(result.detections.boxes).all()
        told.append(result.detections)
    complete = ego.fuse(own, [receive(whole)]).result.detections
    np.testing.assert_array_equal(told[-1].boxes, complete.boxes)


@pytest.mark.parametrize("profile", MODELS)
def test_a_message_is_explained_by_maps(profile):
    who = sender(profile, budget_bytes=500)
    who.receive_request(demand(LEFT_HALF))
    data = send(who, profile)
    maps = who.explain(Given(FRAME, FEATURES[profile], CARS), who.request, data)
    stride = 2 if profile == "cosdh" else 4
    assert (maps.difference is not None) == (profile == "lcv2i")
    if maps.difference is not None:
        assert maps.difference.shape == maps.supply.shape
        assert 0.0 <= maps.difference.min() < maps.difference.max() == 1.0
    assert maps.grid.shape == maps.supply.shape == maps.wanted.shape == (32 // stride, 64 // stride)
    assert set(np.flatnonzero(maps.sent)) == set(read(data, profile).layers[0].cells)
    assert maps.wanted[:, : 32 // stride].all()
    assert not maps.wanted[:, 32 // stride :].any()


def test_a_pose_that_is_no_number_is_never_sent():
    broken = POSE.copy()
    broken[0, 3] = np.nan
    who = sender()
    with pytest.raises(MessageError, match=r"translation .* is not finite"):
        send(who, at=dataclasses.replace(FRAME, T_world_agent=broken))
    later = dataclasses.replace(FRAME, stamp_ns=FRAME.stamp_ns + 100 * MS)
    # Nor does it confuse what comes after.
    assert len(read(send(who, at=later)).boxes) == 4


def test_sending_leaves_torch_as_it_was():
    state = torch.get_rng_state()
    send(sender(selection="random"))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()


def cloud_of(points: int = 500) -> LevelFrame:
    cloud = np.random.default_rng(0).uniform(-50, 50, (points, 4)).astype(np.float32)
    cloud[:, 3] = 0.5
    return LevelFrame(
        "unit",
        "infrastructure",
        1234,
        transform_from_planar(5, 6, 0.5),
        cloud,
        ground=GroundSurface.level(0.0),
        slopes=(0.02, -0.01),
    )


def boxes(count: int) -> Detections:
    found = np.tile([1.0, 2.0, 0.0, 4.0, 2.0, 1.5, 0.0], (count, 1))
    found[:, 0] = np.arange(count)
    scores = np.linspace(0.1, 0.9, count).astype(np.float32)
    return Detections(found, scores, np.zeros(count, np.int64), np.zeros(count, np.uint8))


def write(fusion: FusionKind, count: int, sequence: int, budget_bytes: int | None = None) -> bytes:
    """Return the message of `count` boxes or of 500 points; its detector is not asked."""
    model = SimpleNamespace(name="none", method=None, detector=SimpleNamespace(fingerprint=b"12345678"))
    sender = Sender("unit", model, fusion, budget_bytes=budget_bytes)
    return sender.message(Given(cloud_of(), None, boxes(count)), sequence, None)


def boxes_message(count: int, sequence: int, budget_bytes: int | None = None) -> bytes:
    return write("late", count, sequence, budget_bytes)


def test_objects_carry_pose_stamp_and_fingerprint():
    message = decode(boxes_message(3, 9))
    assert (message.sender, message.sequence, message.stamp_ns) == ("unit", 9, 1234)
    assert message.fingerprint == b"12345678"
    np.testing.assert_allclose(message.T_world_agent, cloud_of().T_world_agent, atol=1e-6)
    assert decode_objects(message.payload).boxes[:, 0].tolist() == [2, 1, 0]
    assert slopes_of(message.payload) == (0.02, -0.01)


def test_the_sequence_wraps():
    data = boxes_message(1, 2**32 + 3)
    assert decode(data).sequence == 3


@given(st.integers(110, 2000))
def test_objects_fill_the_budget_with_the_best(budget):
    data = boxes_message(50, 0, budget)
    read = decode_objects(decode(data).payload)
    expected = min(50, (budget - 110) // 17)
    assert len(data) == 110 + 17 * expected <= budget
    assert read.boxes[:, 0].tolist() == list(range(49, 49 - expected, -1))


@settings(max_examples=30)
@given(st.integers(109, 6000))
def test_points_are_thinned_evenly_into_the_budget(budget):
    data = write("early", 1, 0, budget)
    sent = decode_points(decode(data).payload)
    assert len(data) <= budget
    # Random coordinates do not compress: what is missing is at most a few points.
    assert len(sent) >= min(500, (budget - 109) / 7 * 0.9 - 3)
    if len(sent) > 1:
        source = [int(np.argmin(np.abs(cloud_of().points[:, :3] - xyz).sum(1))) for xyz in sent[:, :3]]
        assert max(np.diff(source)) <= np.ceil(500 / len(sent))


@pytest.mark.parametrize(("fusion", "smallest"), [("late", 110), ("early", 109)])
def test_a_budget_below_an_empty_message_of_boxes_or_points_names_the_smallest(fusion, smallest):
    with pytest.raises(CosenseError, match=f"budget of {smallest - 1} bytes .* takes {smallest}"):
        write(fusion, 1, 0, smallest - 1)
    assert len(write(fusion, 1, 0, smallest)) == smallest
