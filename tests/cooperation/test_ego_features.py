from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cosense.cooperation.admission import read_features
from cosense.cooperation.gate import AdmissionSettings
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.transforms import invert, transform_from_planar
from cosense.messages.demand import decode_demand
from cosense.messages.envelope import MessageError, PayloadKind, decode
from cosense.messages.features import decode_features, encode_features
from cosense.messages.late_boxes import LateBoxes
from cosense.methods.calibration import Calibration
from cosense.methods.model import Model
from cosense.scene_graph.correction.pose_correction import as_sent
from cosense.sensing.detections import Detections, Source
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import ObjectClass
from tests.cooperation.networks import (
    CONFIGS,
    COSDH,
    MS,
    NO_POINTS,
    PATCHES,
    cooperative,
    detections,
    features_message,
    frame,
    message,
    objects_message,
    with_nan_pose,
)
from tests.cooperation.pair import (
    ALONE,
    EGO,
    FEATURES,
    MODELS,
    NOW,
    OWN,
    T_EGO_UNIT,
    T_WORLD_EGO,
    UNIT,
    assert_same,
    differ,
    each_profile,
    from_unit,
    fuse,
    fuse_with,
    late_only,
)


@pytest.fixture
def modest() -> Model:
    """The product profile with a fused head that adds nothing of its own."""
    model = cooperative(PATCHES)
    for head in (model.method.fusion.classes, model.method.fusion.boxes):
        head.weight.data.zero_()
        head.bias.data.zero_()
    return model


def seen(model: Model, agent: AgentFrame) -> dict:
    """Return what an ego sees itself, as `fuse_with` takes it."""
    features = model.detector.encode(agent)
    return {"features": features, "own": objects_message(agent, model.detector.decode(features))}


@each_profile
def test_without_a_message_the_ego_has_its_own_boxes(profile):
    assert len(ALONE) > 5
    result = fuse(profile)
    assert_same(result.detections, ALONE)
    assert result.peers == []


GARBAGE = {
    "nothing": (b"", "message has 0 bytes"),
    "noise": (bytes(range(256)), "magic is"),
    "cut": (OWN[:-3], "CRC"),
    "pose is no number": (with_nan_pose(from_unit("patches")), "is not finite and within"),
    "future": (from_unit("patches", stamp_ns=NOW + 101 * MS), "101 ms ahead, the limit is 100"),
    "old": (from_unit("patches", stamp_ns=NOW - 1001 * MS), "1001 ms old, the limit is 1000"),
    "unsure": (from_unit("patches", pose_covariance=np.eye(3)), "poses are uncertain by 21.24 m"),
    "ego": (from_unit("patches", agent=EGO), "the sender is the ego itself"),
    "points": (
        message(UNIT, PayloadKind.POINTS, b""),
        "carries POINTS, this fusion uses FEATURES and OBJECTS",
    ),
    "empty payload": (message(UNIT, PayloadKind.FEATURES, b""), "features have 0 bytes"),
    "noisy payload": (message(UNIT, PayloadKind.FEATURES, bytes(4) + b"\x07\x09noise"), "chunk of layer 7"),
}


@each_profile
@pytest.mark.parametrize("kind", GARBAGE)
def test_with_nothing_usable_the_ego_has_its_own_boxes_and_says_why(profile, kind):
    data, reason = GARBAGE[kind]
    result = fuse(profile, data)
    assert_same(result.detections, ALONE)
    (report,) = result.peers
    assert (report.used_for, report.bytes) == ("nothing", len(data))
    assert reason in report.reason


@each_profile
@pytest.mark.parametrize("kind", GARBAGE)
def test_what_is_unusable_does_not_touch_what_is(profile, kind):
    good = from_unit(profile, agent=dataclasses.replace(UNIT, agent_id="good"))
    result = fuse(profile, GARBAGE[kind][0], good)
    assert [report.used_for for report in result.peers] == ["nothing", "features"]
    assert_same(result.detections, fuse(profile, good).detections)


@settings(max_examples=25)
@given(st.data())
def test_bytes_of_others_never_raise(data):
    whole = bytearray(from_unit("patches"))
    payload = bytearray(decode(bytes(whole)).payload)
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    # With a checksum that fits: what a faulty or malicious sender can write.
    result = fuse("patches", message(UNIT, PayloadKind.FEATURES, bytes(payload)))
    assert np.isfinite(result.detections.boxes).all()
    assert np.isfinite(result.detections.scores).all()
    assert result.peers[0].used_for in ("features", "nothing")


@each_profile
def test_features_change_what_the_ego_says(profile):
    result = fuse(profile, from_unit(profile))
    assert differ(result.detections, ALONE)
    # CoSDH replaces the ego's own boxes by the fused ones, the others merge them with these.
    assert (Source.EGO in result.detections.sources) <= (profile != "cosdh")
    assert Source.FUSED in result.detections.sources
    (report,) = result.peers
    assert (report.sender, report.used_for, report.reason, report.age_ms) == ("unit", "features", "", 0.0)


@each_profile
def test_intermediate_fusion_merges_no_boxes(profile):
    only = fuse(profile, from_unit(profile), fusion="intermediate").detections
    assert set(only.sources.tolist()) == {Source.FUSED}
    both = fuse(profile, from_unit(profile)).detections
    assert Source.LATE in both.sources


@each_profile
def test_the_same_messages_give_the_same_boxes_in_whichever_order(profile):
    messages = [
        from_unit(profile, agent=frame(f"u{i}", T_WORLD_EGO @ transform_from_planar(4 * i, -3, i), NOW, i))
        for i in range(3)
    ]
    for fusion in ("hybrid", "intermediate"):
        once, again, reversed_order = (
            fuse(profile, *order, fusion=fusion).detections for order in (messages, messages, messages[::-1])
        )
        assert_same(again, once)
        # Of equal scores of two senders the first one given goes first.
        np.testing.assert_allclose(reversed_order.scores, once.scores, atol=1e-6)
        by_place = [found.boxes[np.lexsort(found.boxes.T.round(3))] for found in (reversed_order, once)]
        np.testing.assert_allclose(*by_place, atol=1e-3)


@each_profile
def test_five_senders_all_take_part(profile):
    messages = [
        from_unit(profile, agent=frame(f"u{i}", T_WORLD_EGO @ transform_from_planar(5 * i - 9, 2, i), NOW, i))
        for i in range(5)
    ]
    result, requests = fuse_with(MODELS[profile], *messages, features=FEATURES[profile])
    assert [report.used_for for report in result.peers] == ["features"] * 5
    assert differ(result.detections, fuse(profile, *messages[:4]).detections)
    assert set(requests) == {f"u{i}" for i in range(5)}


@each_profile
@pytest.mark.parametrize("fusion", ["hybrid", "intermediate"])
def test_of_another_model_or_grid_only_the_boxes_are_used(profile, fusion):
    larger = CONFIGS[profile].with_range(25.6, 12.8)
    other = cooperative(larger, fingerprint=b"other!!!", seed=3)
    told = features_message(other, UNIT, found=detections([[4.0, -3.0, -1.0, 4, 2, 1.5, 0]], [0.95]))
    result = fuse(profile, told, fusion=fusion)
    (report,) = result.peers
    assert report.used_for == "boxes"
    assert report.reason == "features are of model 6f74686572212121, this is 3132333435363738"
    if fusion == "intermediate":
        assert_same(result.detections, ALONE)
    else:
        expected = transform_boxes(T_EGO_UNIT, np.array([[4.0, -3.0, -1.0, 4, 2, 1.5, 0]]))
        distance = np.linalg.norm(result.detections.boxes[:, :2] - expected[0, :2], axis=1)
        assert distance.min() < 0.3


@each_profile
def test_two_senders_of_which_one_runs_another_model(profile):
    other = cooperative(CONFIGS[profile], fingerprint=b"other!!!", seed=3)
    messages = [from_unit(profile), features_message(other, dataclasses.replace(UNIT, agent_id="stranger"))]
    assert [report.used_for for report in fuse(profile, *messages).peers] == ["features", "boxes"]


@each_profile
def test_empty_clouds_on_either_side(profile):
    model = MODELS[profile]
    silent = from_unit(profile, points=NO_POINTS)
    result = fuse(profile, silent)
    assert [report.used_for for report in result.peers] == ["features"]
    assert np.isfinite(result.detections.boxes).all()

    blind = frame("ego", T_WORLD_EGO, NOW, points=NO_POINTS)
    sees = {"features": model.detector.encode(blind), "own": objects_message(blind, Detections.empty())}
    alone, requests = fuse_with(model, **sees)
    assert len(alone.detections) == 0
    assert len(fuse_with(model, from_unit(profile), **sees).result.detections) > 0
    assert [r.used_for for r in fuse_with(model, silent, **sees).result.peers] == ["features"]
    # An ego that sees nothing wants everything.
    assert decode_demand(decode(requests[""]).payload, T_WORLD_EGO, NOW).wanted.all()


def test_a_car_that_only_the_unit_sees_is_where_it_says(modest):
    car = detections([[5.3, -2.1, -0.4, 4.4, 1.8, 1.5, 0.7]], [0.9])
    blind = frame("ego", T_WORLD_EGO, NOW, points=NO_POINTS)
    found = fuse_with(modest, late_only(car), **seen(modest, blind)).result.detections
    assert len(found) == 1
    np.testing.assert_allclose(found.boxes[0, :3], car.boxes[0, :3], atol=0.03)
    np.testing.assert_allclose(found.boxes[0, 3:6], car.boxes[0, 3:6], rtol=0.01)
    assert found.boxes[0, 6] == pytest.approx(0.7, abs=0.015)
    assert float(found.scores[0]) == pytest.approx(0.9, abs=0.01)


def test_patches_are_placed_and_turned_by_the_poses_and_move_with_what_they_show(monkeypatch):
    """What reaches the evidence network, cell by cell."""
    model = cooperative(PATCHES)
    detector, method = model.detector, model.method
    asked = []
    plain = method.fusion.evidence_of
    monkeypatch.setattr(method.fusion, "evidence_of", lambda *args: asked.append(args) or plain(*args))
    velocity = np.array([[6.0, -3.0]])
    # In the frame of the unit.
    car = LateBoxes(detections([[3.0, -2.0, -1.0, 4.0, 2.0, 1.5, -0.46]], [0.9]), velocity)
    agent = dataclasses.replace(UNIT, stamp_ns=NOW - 100 * MS)
    specs = method.specs
    sections = method.offer(
        detector.encode(agent),
        lambda stride: torch.ones(32 // stride, 64 // stride, dtype=torch.bool),
        None,
        seed=0,
        with_boxes=True,
    )
    payload = encode_features(-1.9, car, sections, specs, 1 << 16)
    data = message(agent, PayloadKind.FEATURES, payload)
    fuse_with(model, data, features=FEATURES["patches"])
    ((patches, floor, yaw, grid),) = asked
    assert yaw == pytest.approx(2.0, abs=1e-6)
    assert grid.cell_m == pytest.approx(1.6)
    sent = decode_features(payload).layers(specs, (32, 64))
    for cells, layer, stride in ((patches, sent[0], 4), (floor, sent[1], 8)):
        np.testing.assert_array_equal(cells.values, layer.values)
        centres = detector.grid.coarser(stride).centres().reshape(-1, 2)[layer.cells]
        offset = centres - (3.0, -2.0)
        along = offset @ (np.cos(-0.46), np.sin(-0.46))
        across = offset @ (-np.sin(-0.46), np.cos(-0.46))
        near = (np.abs(along) < 2.8) & (np.abs(across) < 1.8)
        assert 0 < near.sum() < len(near)
        by_now = centres + np.where(near[:, None], velocity * 0.1, 0.0)
        expected = by_now @ T_EGO_UNIT[:2, :2].T + T_EGO_UNIT[:2, 3]
        np.testing.assert_allclose(cells.xy_m, expected, atol=0.03)


def test_a_car_that_moved_since_is_where_it_is_by_now(modest):
    car = detections([[3.0, -2.1, -0.4, 4.4, 1.8, 1.5, 0.0]], [0.9])
    velocity = invert(T_EGO_UNIT)[:2, :2] @ np.array([8.0, 0.0])
    for age_ms, is_precise in ((120, True), (400, False)):
        data = late_only(car, velocity[None], age_ms)
        blind = frame("ego", T_WORLD_EGO, NOW, points=NO_POINTS)
        result = fuse_with(modest, data, **seen(modest, blind)).result
        assert [report.used_for for report in result.peers] == ["features" if is_precise else "boxes"]
        (box,) = result.detections.boxes
        assert box[0] == pytest.approx(3.0 + 8.0 * age_ms / 1e3, abs=0.1)
        assert box[1] == pytest.approx(-2.1, abs=0.1)
        # Older boxes count less.
        assert float(result.detections.scores[0]) <= 0.9 + 0.002


def test_boxes_that_are_too_old_for_the_fused_head_are_merged_behind():
    far = detections([[11.0, 5.0, -0.4, 4.0, 1.8, 1.5, 0.0]], [0.9])
    result = fuse("patches", late_only(far, np.zeros((1, 2)), age_ms=400))
    late = result.detections[result.detections.sources == Source.LATE]
    np.testing.assert_allclose(late.boxes[:, :2], [[11.0, 5.0]], atol=0.02)
    others = result.detections[result.detections.sources != Source.LATE]
    assert_same(others, ALONE)
    assert result.peers[0].reason == "features are 400 ms old, the limit is 150"


def test_late_boxes_count_as_much_as_they_are_likely_to_lie_where_they_say():
    far = detections([[11.0, 5.0, -0.4, 4.0, 1.8, 1.5, 0.0]], [0.9])
    for age_ms in (400, 900):
        data = late_only(far, age_ms=age_ms)
        found = fuse("patches", data).detections
        other, _, _ = read_features(
            decode(data),
            age_ms,
            decode(OWN),
            as_sent,
            1.0,
            MODELS["patches"].method.specs,
            (32, 64),
            AdmissionSettings(),
        )
        assert other.worth[0] < 0.7
        late = found[found.sources == Source.LATE]
        np.testing.assert_allclose(late.scores, 0.9 * other.worth, atol=0.003)


def test_scores_are_calibrated_by_their_source():
    curves = Calibration({"ego": {"cyclist": (1.0, -1.0)}, "fused": {"car": (1.0, 2.0)}})
    model = cooperative(PATCHES, calibration=curves)
    alone = fuse_with(model, features=FEATURES["patches"]).result.detections
    expected = curves.apply(ALONE)
    # One suppression over all follows: what is left is a part of it.
    assert set(alone.scores.tolist()) <= set(expected.scores.tolist())
    assert alone.scores.tolist() == sorted(alone.scores.tolist(), reverse=True)
    plain = fuse("patches", from_unit("patches")).detections
    fused = fuse_with(model, from_unit("patches"), features=FEATURES["patches"]).result.detections
    cars = fused[(fused.labels == ObjectClass.CAR) & (fused.sources == Source.FUSED)]
    before = plain[(plain.labels == ObjectClass.CAR) & (plain.sources == Source.FUSED)]
    assert len(cars)
    assert cars.scores.max() > before.scores.max(initial=0.0)


def test_the_gate_is_a_setting():
    strict = AdmissionSettings(features_max_age_ms=10, boxes_max_age_ms=20)
    for age_ms, used_for in ((5, "features"), (15, "boxes"), (25, "nothing")):
        data = from_unit("patches", stamp_ns=NOW - age_ms * MS)
        assert fuse("patches", data, admission=strict).peers[0].used_for == used_for
    few = AdmissionSettings(max_senders=1)
    second = from_unit("patches", agent=dataclasses.replace(UNIT, agent_id="second"))
    peers = fuse("patches", from_unit("patches"), second, admission=few).peers
    assert [report.reason for report in peers] == ["", "more than 1 sender"]


def test_the_egos_body_is_no_obstacle():
    body = detections([[0.1, 0.0, -1.0, 4.6, 1.9, 1.6, 0.0]], [0.99])
    own = objects_message(EGO, body)
    assert len(fuse("patches", own=own).detections) == 0
    assert_same(fuse("patches", late_only(body, age_ms=400)).detections, ALONE)


@each_profile
def test_a_broken_message_of_the_ego_itself_is_an_error(profile):
    with pytest.raises(MessageError, match="the ego's own message carries FEATURES, expected OBJECTS"):
        fuse(profile, own=from_unit(profile))


def cosdh(**changes) -> Model:
    return cooperative(COSDH.with_sharing(**changes))


def test_what_was_not_sent_is_not_there_after_decoding():
    """No decoder footprint: masks are laid at the sender and again on what was decoded."""
    detector, method = MODELS["cosdh"].detector, MODELS["cosdh"].method
    agent = dataclasses.replace(UNIT, T_world_agent=T_WORLD_EGO)
    data = features_message(MODELS["cosdh"], agent, budget_bytes=700)
    settings = AdmissionSettings()
    other, _, _ = read_features(
        decode(data), 0.0, decode(OWN), as_sent, 1.0, method.specs, (32, 64), settings
    )
    read = decode_features(decode(data).payload).layers(method.specs, (32, 64))
    latents = method.codecs.encode([level[None] for level in detector.encode(agent).levels])
    masked = []
    for latent, layer in zip(latents, read, strict=True):
        mask = torch.zeros(latent.shape[2] * latent.shape[3])
        mask[torch.from_numpy(layer.cells)] = 1.0
        masked.append((latent.half().float(), mask.view(latent.shape[2:])))
    decoders = [codec.decoder for codec in method.codecs.codecs]
    decoded = [decoder(latent * mask) for decoder, (latent, mask) in zip(decoders, masked, strict=True)]
    levels = method._decoded_levels(other)
    assert any(0 < float(mask.mean()) < 1 for _, mask in masked)
    for level, expected, (_, mask) in zip(levels, decoded, masked, strict=True):
        torch.testing.assert_close(level, (expected * mask)[0], atol=1e-3, rtol=1e-3)
        assert not level[:, mask == 0].abs().gt(1e-3).any()


def test_whole_levels_side_by_side_are_the_maximum_of_both():
    """Without a codec and at one place fusion is what it says in one line of the paper."""
    model = cosdh(codec=False)
    detector = model.detector
    other = detector.encode(UNIT)
    own = FEATURES["cosdh"]
    agent = dataclasses.replace(UNIT, T_world_agent=T_WORLD_EGO)
    data = features_message(model, agent)
    # Everything is supplied at a threshold of one percent.
    assert len(decode_features(decode(data).payload).layers(model.method.specs, (32, 64))[0].cells) == 512
    fused = [torch.maximum(a, b.half().float()) for a, b in zip(own.levels, other.levels, strict=True)]
    expected = detector.decode(detector.decide(fused, own.point_counts, own.ground))
    result = fuse_with(model, data, features=own, fusion="intermediate").result.detections
    np.testing.assert_allclose(result.boxes[:, :2], expected.boxes[: len(result), :2], atol=0.02)
    np.testing.assert_allclose(result.scores, expected.scores[: len(result)], atol=0.005)


@pytest.mark.parametrize("change", [{"fusion": "attention"}, {"codec": False}])
def test_every_choice_of_the_faithful_profile_makes_a_difference(change):
    model = cosdh(**change)
    data = features_message(model, UNIT)
    fused = fuse_with(model, data, features=FEATURES["cosdh"], fusion="intermediate")
    changed = fused.result.detections
    plain = fuse("cosdh", from_unit("cosdh"), fusion="intermediate").detections
    assert differ(changed, plain)


def test_late_boxes_of_the_faithful_profile_are_cut_and_lowered_by_a_constant():
    found = detections([[10.0, 5.0, -0.4, 4, 1.8, 1.5, 0], [11.0, -5.0, -0.4, 4, 1.8, 1.5, 0]], [0.6, 0.09])
    agent = frame("unit", T_WORLD_EGO, NOW, points=NO_POINTS)
    result = fuse("cosdh", objects_message(agent, found))
    late = result.detections[result.detections.sources == Source.LATE]
    np.testing.assert_allclose(late.boxes[:, :2], [[10.0, 5.0]], atol=0.02)
    np.testing.assert_allclose(late.scores, [0.6 * 0.8], atol=1e-4)
