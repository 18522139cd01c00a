"""A pose is corrected where graphs and covariances agree, and made uncertain where they contradict it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego, OwnView
from cosense.cooperation.outcome import FusionResult
from cosense.geometry.transforms import displaced, invert, transform_from_planar
from cosense.messages.envelope import Message, PayloadKind, decode, encode
from cosense.messages.objects import encode_objects
from cosense.messages.scene_graph import NodeClass, encode_scene_graph
from cosense.scene_graph.correction.pose_correction import PoseCorrection, as_sent
from cosense.sensing.detections import Detections
from tests.cooperation.networks import objects_message
from tests.cooperation.pair import EGO, FEATURES, MODELS, NOW, OWN, T_WORLD_EGO, T_WORLD_UNIT, from_unit, fuse
from tests.scene_graph.scenes import errors, graph_of, seen, things

MS = 1_000_000
WORLD = things(np.random.default_rng(3), 14)
# In the world of the tests' agents.
WORLD = (WORLD[0], WORLD[1] + [1000.0, 2000.0, 2.0], WORLD[2])
NOTHING = tuple(part[:0] for part in WORLD)
HONEST = np.diag([0.4, 0.4, np.deg2rad(0.8)]) ** 2
SURE = np.diag([0.02, 0.02, np.deg2rad(0.05)]) ** 2
OFF_HALF_A_METRE = (0.3, -0.4, np.deg2rad(1.0))
OFF_METRES = (3.0, -2.0, np.deg2rad(3.0))


def graph(name, T_true, error=(0, 0, 0), covariance=SURE, stamp_ns=NOW, world=WORLD, sigma_m=0.03):
    made = seen(np.random.default_rng(len(name)), world, T_true, sigma_m, name)
    return replace(
        made, T_world_agent=displaced(T_true, error), pose_covariance=covariance, stamp_ns=stamp_ns
    )


def envelope(of, kind=PayloadKind.SCENE_GRAPH, payload=None):
    return Message(
        kind,
        of.agent_id,
        0,
        of.stamp_ns,
        of.T_world_agent,
        of.pose_covariance,
        bytes(8),
        encode_scene_graph(of) if payload is None else payload,
    )


def read(message):
    """Return a message as it is received."""
    return decode(encode(message))


NO_BOXES = encode_objects(Detections.empty(), (0.0, 0.0))


def step(correction, of_unit, of_ego=None):
    """Let the ego hear a graph; returns how the unit's message of that moment is placed, and the refusal."""
    of_ego = graph("ego", T_WORLD_EGO, stamp_ns=of_unit.stamp_ns) if of_ego is None else of_ego
    (refusal,) = correction.update(of_ego, [read(envelope(of_unit))])
    sent = decode(encode(envelope(of_unit, PayloadKind.OBJECTS, NO_BOXES)))
    return correction.place(sent, envelope(of_ego, PayloadKind.OBJECTS, NO_BOXES)), refusal


def off(placed, T_world_ego=T_WORLD_EGO):
    """Return by how much a sender is misplaced, seen from the ego: metres, degrees."""
    return errors(invert(T_world_ego) @ placed.message.T_world_agent, invert(T_WORLD_EGO) @ T_WORLD_UNIT)


@pytest.mark.parametrize("registration", ["scene_graph", "boxes", "spectral"])
def test_a_pose_off_by_half_a_metre_is_corrected_and_less_uncertain(registration):
    placed, refusal = step(
        PoseCorrection(registration), graph("unit", T_WORLD_UNIT, OFF_HALF_A_METRE, HONEST)
    )
    metres, degrees = off(placed)
    assert metres < 0.1
    assert degrees < 0.2
    assert (refusal, placed.objection) == ("", "")
    assert np.diag(placed.message.pose_covariance)[:2].max() < 0.1**2
    assert not placed.ego_covariance.any()


def test_the_error_of_the_ego_does_not_matter():
    """Both are wrong: the sender is put where it is seen from where the ego believes to be."""
    ego = graph("ego", T_WORLD_EGO, (0.4, 0.3, np.deg2rad(-0.6)), HONEST)
    placed, _ = step(
        PoseCorrection("scene_graph"), graph("unit", T_WORLD_UNIT, OFF_HALF_A_METRE, HONEST), ego
    )
    metres, degrees = off(placed, ego.T_world_agent)
    assert metres < 0.1
    assert degrees < 0.2


def test_a_certain_pose_that_was_confirmed_stays_as_it_is():
    """With a covariance of zero and no error beyond what detectors differ by: at last to the last bit."""
    correction, exact = PoseCorrection("scene_graph"), np.zeros((3, 3))
    for k in range(10):
        unit = graph("unit", T_WORLD_UNIT, covariance=exact, stamp_ns=NOW + k * 100 * MS)
        ego = graph("ego", T_WORLD_EGO, covariance=exact, stamp_ns=unit.stamp_ns)
        placed, refusal = step(correction, unit, ego)
        assert refusal == ""
        assert off(placed)[0] < 0.1
        assert (np.trace(placed.message.pose_covariance) > 0) == (k < 5)
    np.testing.assert_array_equal(placed.message.T_world_agent, decode(encode(envelope(unit))).T_world_agent)


def test_a_sent_pose_that_the_graphs_contradict_becomes_uncertain():
    unit = graph("unit", T_WORLD_UNIT, OFF_METRES, SURE)
    placed, refusal = step(PoseCorrection("scene_graph"), unit)
    assert refusal == ""
    assert (
        "graphs disagree with the sent pose beyond its covariance: by 3.60 m and 3.00 deg" in placed.objection
    )
    # Where it says, but as uncertain as it is wrong.
    np.testing.assert_array_equal(placed.message.T_world_agent, decode(encode(envelope(unit))).T_world_agent)
    assert np.trace(placed.message.pose_covariance[:2, :2]) == pytest.approx(13, rel=0.05)


def test_what_lasts_is_believed_at_last_and_remembered_without_a_graph():
    correction = PoseCorrection("scene_graph")
    for k in range(2):
        placed, _ = step(correction, graph("unit", T_WORLD_UNIT, OFF_METRES, SURE, NOW + k * 100 * MS))
    assert placed.objection == ""
    assert off(placed)[0] < 0.1
    blind = graph("unit", T_WORLD_UNIT, OFF_METRES, SURE, NOW + 200 * MS, NOTHING)
    placed, refusal = step(correction, blind)
    assert "too_few" in refusal
    assert off(placed)[0] < 0.1
    late, _ = step(correction, replace(blind, stamp_ns=NOW + 9000 * MS))
    assert off(late)[0] == pytest.approx(np.hypot(3, 2), abs=0.01)


def test_what_was_wrong_before_does_not_move_an_honest_pose():
    """Errors that announce themselves and are drawn anew are no lasting error."""
    correction, rng = PoseCorrection("scene_graph"), np.random.default_rng(0)
    for k in range(6):
        error = rng.normal(0, np.sqrt(np.diag(HONEST)))
        placed, _ = step(correction, graph("unit", T_WORLD_UNIT, error, HONEST, NOW + k * 100 * MS))
        assert off(placed)[0] < 0.1
    blind = graph("unit", T_WORLD_UNIT, OFF_HALF_A_METRE, HONEST, NOW + 600 * MS, NOTHING)
    placed, _ = step(correction, blind)
    np.testing.assert_allclose(
        placed.message.T_world_agent, decode(encode(envelope(blind))).T_world_agent, atol=0.1
    )


def test_a_sender_with_unannounced_errors_is_corrected_from_the_first_frame_on():
    """Errors drawn anew in each frame that no covariance announces."""
    correction, rng = PoseCorrection("scene_graph"), np.random.default_rng(1)
    for k in range(8):
        error = rng.normal(0, [0.6, 0.6, np.deg2rad(0.5)])
        placed, _ = step(correction, graph("unit", T_WORLD_UNIT, error, SURE, NOW + k * 100 * MS))
        assert placed.objection == ""
        assert off(placed)[0] < 0.1
    # What comes without a graph is no longer as certain as it says.
    blind = graph("unit", T_WORLD_UNIT, (0.1, 0.0, 0.0), SURE, NOW + 800 * MS, NOTHING)
    placed, _ = step(correction, blind)
    assert np.trace(placed.message.pose_covariance[:2, :2]) > 2 * 0.2**2


def test_a_pose_that_nobody_could_check_is_as_uncertain_as_poses_are_in_the_field():
    correction = PoseCorrection("scene_graph")
    unit = graph("unit", T_WORLD_UNIT, world=NOTHING)
    placed, refusal = step(correction, unit)
    assert "too_few" in refusal
    np.testing.assert_array_equal(placed.message.T_world_agent, decode(encode(envelope(unit))).T_world_agent)
    assert 0.4 < np.sqrt(np.trace(placed.message.pose_covariance[:2, :2]) / 2) < 0.7


def few(count):
    """Return the first poles and vehicles of the world."""
    rows = np.flatnonzero(np.isin(WORLD[0], [NodeClass.POLE, NodeClass.VEHICLE]))[:count]
    return tuple(part[rows] for part in WORLD)


def test_two_things_that_both_see_move_the_pose_though_they_are_too_few_for_a_registration():
    correction = PoseCorrection("scene_graph")
    for k in range(4):
        stamp_ns = NOW + k * 100 * MS
        unit = graph("unit", T_WORLD_UNIT, (0.5, -0.6, 0.0), SURE, stamp_ns, few(2))
        placed, _ = step(correction, unit)
        assert not correction.registrations["unit"].result.registered
    assert off(placed)[0] < 0.3
    sigma_m = np.sqrt(np.trace(placed.message.pose_covariance[:2, :2]) / 2)
    assert 0.2 < sigma_m < 0.35


def test_the_boxes_of_a_message_without_a_graph_say_where_its_sender_is():
    boxes = things(np.random.default_rng(3), 5, classes=(NodeClass.VEHICLE,))
    world = (boxes[0], boxes[1] + [1000.0, 2000.0, 2.0], boxes[2])
    ego, unit = (
        graph("ego", T_WORLD_EGO, world=world),
        graph("unit", T_WORLD_UNIT, (0.5, -0.6, 0.0), SURE, world=world),
    )
    correction = PoseCorrection("scene_graph")
    correction.update(ego, [])
    rows = np.column_stack([unit.positions, unit.sizes, unit.yaws])
    found = Detections(rows, np.ones(5, np.float32), np.zeros(5, np.int64), np.zeros(5, np.uint8))
    payload = encode_objects(found, (0.0, 0.0))
    placed = correction.place(
        read(envelope(unit, PayloadKind.OBJECTS, payload)), envelope(ego, PayloadKind.OBJECTS, NO_BOXES)
    )
    assert off(placed)[0] < 0.2
    assert np.sqrt(np.trace(placed.message.pose_covariance[:2, :2]) / 2) < 0.2


def test_an_error_of_many_metres_still_leaves_poses_that_help_to_register():
    correction = PoseCorrection("scene_graph")
    for k, error in enumerate([(9.0, -5.0, np.deg2rad(8.0)), (-2.0, 3.0, np.deg2rad(-4.0))]):
        placed, _ = step(correction, graph("unit", T_WORLD_UNIT, error, SURE, NOW + k * 100 * MS))
    assert placed.objection == ""
    assert off(placed)[0] < 0.1


def test_a_sender_that_is_contradicted_without_a_better_pose_is_mistrusted_too():
    """The ego sees two rows of poles that the unit may stand at, and the unit says that it stands between."""
    xs, ys = np.arange(8) * 7.0 + np.arange(8) ** 2 * 0.3, np.where(np.arange(8) % 3 == 0, 4.0, -3.0)
    row = np.column_stack([xs, ys, np.zeros(8)])
    poles = [NodeClass.POLE] * 16
    same = {"stamp_ns": NOW, "sigma_m": 0.05, "pose_covariance": SURE}
    ego = graph_of(poles, np.concatenate([row, row + np.array([0.0, 60.0, 0.0])]), agent_id="ego", **same)
    T = transform_from_planar(0.0, 30.0, 0.0)
    unit = graph_of(poles[:8], row, agent_id="unit", T_world_agent=T, **same)
    placed, refusal = step(PoseCorrection("scene_graph"), unit, ego)
    assert refusal == ""
    assert "the graphs disagree with the sent pose: ambiguous: 8 matches for one pose" in placed.objection
    np.testing.assert_array_equal(placed.message.T_world_agent, T)
    assert np.sqrt(placed.message.pose_covariance[0, 0]) > 2


def test_registrations_of_the_frame_are_there_to_be_shown():
    correction = PoseCorrection("scene_graph")
    unit = graph("unit", T_WORLD_UNIT)
    step(correction, unit)
    ((name, registered),) = correction.registrations.items()
    assert (name, len(registered.surroundings), registered.surroundings.stamp_ns) == ("unit", len(unit), NOW)
    assert registered.result.registered
    assert len(registered.result.inliers) > 5
    step(correction, graph("unit", T_WORLD_UNIT, world=NOTHING))
    assert not correction.registrations["unit"].result.registered
    correction.update(graph("ego", T_WORLD_EGO), [])
    assert correction.registrations == {}


def test_without_any_idea_of_the_pose_a_first_registration_is_not_used():
    lost = np.diag([1e5, 1e5, 10.0])
    correction = PoseCorrection("scene_graph")
    far = (300.0, 40.0, 2.0)
    first, refusal = step(correction, graph("unit", T_WORLD_UNIT, far, lost))
    assert off(first)[0] > 100
    assert "nothing to compare it with" in refusal
    second, refusal = step(correction, graph("unit", T_WORLD_UNIT, far, lost, NOW + 100 * MS))
    assert refusal == ""
    assert off(second)[0] < 0.1


def test_every_graph_has_its_report():
    unit, ego = graph("unit", T_WORLD_UNIT), graph("ego", T_WORLD_EGO)
    good = encode(envelope(unit))
    liar = encode(envelope(replace(unit, agent_id="liar", pose_covariance=np.ones((3, 3)) - 0.5 * np.eye(3))))
    broken = encode(replace(envelope(unit), sender="broken", payload=b"\x01"))
    messages = [good[:-3], from_unit("patches"), good, good, encode(envelope(ego)), liar, broken]
    reports = fused_with(ego, *messages).peers
    assert [report.bytes for report in reports] == [len(data) for data in messages]
    assert [report.used_for for report in reports[:5]] == [
        "nothing",
        "features",
        "pose",
        "nothing",
        "nothing",
    ]
    assert reports[0].sender == "unknown"
    assert "has sent another message" in reports[3].reason
    assert "the sender is the ego itself" in reports[4].reason
    assert reports[5].sender == "liar"
    assert (reports[6].used_for, reports[6].kind) == ("nothing", "SCENE_GRAPH")


def test_without_a_graph_of_its_own_the_ego_says_so():
    good = encode(envelope(graph("unit", T_WORLD_UNIT)))
    (report,) = fused_with(None, good).peers
    assert (report.used_for, report.reason) == ("nothing", "the ego has no scene graph of its own")


def test_more_graphs_than_senders_are_allowed_are_refused():
    made = graph("u", T_WORLD_UNIT)
    crowd = [encode(envelope(replace(made, agent_id=f"{number}"))) for number in range(18)]
    reports = fused_with(graph("ego", T_WORLD_EGO, world=NOTHING), *crowd).peers
    assert [report.reason for report in reports[16:]] == ["more than 16 senders"] * 2
    assert not any("senders" in report.reason for report in reports[:16])


@pytest.mark.parametrize("variance", [1e14, 1e16, 1e30])
def test_no_covariance_ends_the_fusion(variance):
    for heading in np.linspace(-3, 3, 7):
        T_ego = displaced(T_WORLD_EGO, [0, 0, heading])
        for covariance in (np.full((3, 3), variance), np.diag([0.0, 0.0, variance])):
            unit = graph("unit", T_WORLD_UNIT, OFF_METRES, covariance)
            for correction in (PoseCorrection("scene_graph"), PoseCorrection("boxes")):
                for stamp_ns in (NOW, NOW + 100 * MS):
                    placed, _ = step(
                        correction, replace(unit, stamp_ns=stamp_ns), graph("ego", T_ego, stamp_ns=stamp_ns)
                    )
                    assert np.isfinite(placed.message.T_world_agent).all()


def test_a_message_from_elsewhere_than_its_graph_is_not_believed():
    correction = PoseCorrection("scene_graph")
    of_ego, of_unit = graph("ego", T_WORLD_EGO), graph("unit", T_WORLD_UNIT)
    correction.update(of_ego, [read(envelope(of_unit))])
    elsewhere = replace(of_unit, T_world_agent=displaced(T_WORLD_UNIT, [3.0, 0.0, 0.0]))
    placed = correction.place(
        decode(encode(envelope(elsewhere, PayloadKind.OBJECTS, NO_BOXES))),
        envelope(of_ego, PayloadKind.OBJECTS, NO_BOXES),
    )
    assert placed.objection == "its graph and its message of one moment give it two poses"
    assert placed.message.pose_covariance[0, 0] >= 9.0


def test_what_one_other_says_of_a_sender_that_the_ego_does_not_see_moves_it_nowhere():
    half = np.arange(len(WORLD[0])) % 2 == 0
    seen_by_ego, seen_by_victim = (tuple(part[rows] for part in WORLD) for rows in (half, ~half))
    shift = np.array([1.5, 2.0, 0.0])
    lies = (WORLD[0], WORLD[1] + shift * ~half[:, None], WORLD[2])
    correction = PoseCorrection("scene_graph")
    for number in range(4):
        stamp_ns = NOW + number * 100 * MS
        ego = graph("ego", T_WORLD_EGO, stamp_ns=stamp_ns, world=seen_by_ego)
        liar = graph("liar", T_WORLD_EGO, stamp_ns=stamp_ns, world=lies)
        victim = graph("unit", T_WORLD_UNIT, stamp_ns=stamp_ns, world=seen_by_victim)
        correction.update(ego, [read(envelope(one)) for one in (liar, victim)])
        assert correction.registrations["unit"].result.registered
        placed = correction.place(
            decode(encode(envelope(victim, PayloadKind.OBJECTS, NO_BOXES))),
            envelope(ego, PayloadKind.OBJECTS, NO_BOXES),
        )
        assert off(placed)[0] < 0.1
        assert "disagree" in placed.objection


def test_peers_are_forgotten():
    correction, ego = PoseCorrection("scene_graph"), graph("ego", T_WORLD_EGO)
    for number in range(20):
        correction.update(ego, [read(envelope(replace(graph("unit", T_WORLD_UNIT), agent_id=f"{number}")))])
    assert len(correction._known) == 16


def fused_with(own, *messages: bytes, fusion="hybrid") -> FusionResult:
    """Return what an ego with this graph of its own makes of messages."""
    ego = Ego(MODELS["patches"], fusion, registration="scene_graph")
    return ego.fuse(
        OwnView(decode(OWN), FEATURES["patches"], own), [receive(data) for data in messages]
    ).result


def with_graph(error, covariance, *messages: bytes, fusion="hybrid") -> FusionResult:
    """Return the same where the graph of the unit comes with its messages."""
    of_unit = encode(envelope(graph("unit", T_WORLD_UNIT, error, covariance)))
    return fused_with(graph("ego", T_WORLD_EGO), *messages, of_unit, fusion=fusion)


def test_features_are_used_again_once_the_pose_is_corrected():
    wrong = from_unit(
        "patches", T_world_agent=displaced(T_WORLD_UNIT, OFF_HALF_A_METRE), pose_covariance=HONEST
    )
    before = fuse("patches", wrong)
    after = with_graph(OFF_HALF_A_METRE, HONEST, wrong)
    assert [before.peers[0].used_for, after.peers[0].used_for] == ["boxes", "features"]
    assert after.peers[0].reason == ""


def test_a_mistrusted_sender_may_send_boxes_or_nothing_and_its_report_says_why():
    for error, used_for in (((2.6, 0.0, 0.0), "boxes"), ((9.0, 0.0, 0.0), "nothing")):
        wrong = from_unit("patches", T_world_agent=displaced(T_WORLD_UNIT, error), pose_covariance=SURE)
        report = with_graph(error, SURE, wrong).peers[0]
        assert report.used_for == used_for
        assert "the graphs disagree" in report.reason
    assert fuse("patches", wrong).peers[0].used_for == "features"


def test_late_boxes_move_with_the_pose_and_are_left_out_where_the_graphs_contradict_it():
    detections = MODELS["patches"].detector.decode(FEATURES["patches"])
    unit = replace(EGO, agent_id="unit", T_world_agent=T_WORLD_UNIT)

    def message(error, covariance) -> bytes:
        agent = replace(unit, T_world_agent=displaced(T_WORLD_UNIT, error), pose_covariance=covariance)
        return objects_message(agent, detections)

    def fused(error, covariance) -> FusionResult:
        return with_graph(error, covariance, message(error, covariance), fusion="late")

    true = fused((0, 0, 0), HONEST)
    corrected = fused(OFF_HALF_A_METRE, HONEST)
    assert len(corrected.detections) == len(true.detections)
    np.testing.assert_allclose(corrected.detections.boxes, true.detections.boxes, atol=0.2)
    contradicted = fused(OFF_METRES, SURE)
    np.testing.assert_array_equal(
        contradicted.detections.boxes, fuse("patches", fusion="late").detections.boxes
    )
    assert contradicted.peers[0].used_for == "nothing"
    assert "the graphs disagree" in contradicted.peers[0].reason


def test_as_sent_is_what_was_sent():
    message, ego = decode(from_unit("patches")), decode(OWN)
    placed = as_sent(message, ego)
    assert (placed.message, placed.objection) == (message, "")
    assert placed.ego_covariance is ego.pose_covariance
