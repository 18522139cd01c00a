"""Vehicles that take part and have no label: a box around one is no false alarm, whoever says what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cosense.data import open_dataset
from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError
from cosense.evaluation.metrics.matching import NOT_MATCHED
from cosense.evaluation.metrics.participants import as_places
from cosense.evaluation.metrics.scoring import NOT_COUNTED, PARTICIPANT, verdict_of
from cosense.evaluation.metrics.summary import summarise
from cosense.evaluation.protocol import Protocol, load_protocol
from cosense.evaluation.run_files import FRAMES, frame_result
from cosense.evaluation.runs.pose_noise import PoseNoise
from cosense.evaluation.runs.runner import evaluate
from cosense.evaluation.tables import result_view
from cosense.geometry.transforms import transform_from_planar
from cosense.json_lines import read_lines
from cosense.sensing.detections import Detections
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import ObjectClass, Objects
from tests.evaluation.scenes import Scenes, box, detections, objects, point_is_car, result, two_agents
from tests.evaluation.test_tables import printed

NEITHER = load_protocol("opencood_participants")
AS_LABELLED = load_protocol("opencood")
EGO, OTHER = (0.0, 0.0), (30.0, 5.0)


def found(
    detected: Detections, truth: Objects, protocol: Protocol, places: list[tuple[float, float]]
) -> list[int]:
    counts = np.full(len(truth), 100)
    return verdict_of(detected, truth, counts, protocol, as_places(places)).found.tolist()


def test_a_box_around_a_vehicle_that_takes_part_counts_neither_way() -> None:
    """Kind: a sender without a label is found and taken for a false alarm."""
    detected, truth = detections([box(10), box(30.5, 5.3), box(50)], [0.9, 0.8, 0.7]), objects([box(10)])
    assert found(detected, truth, AS_LABELLED, [EGO, OTHER]) == [0, NOT_MATCHED, NOT_MATCHED]
    assert found(detected, truth, NEITHER, [EGO, OTHER]) == [0, PARTICIPANT, NOT_MATCHED]
    numbers = {
        protocol.name: summarise([result(detected, truth, participants=[EGO, OTHER])], protocol)
        for protocol in (AS_LABELLED, NEITHER)
    }
    assert [numbers[name]["num_detections"] for name in ("opencood", "opencood_participants")] == [3, 2]
    assert [numbers[name]["num_ground_truth"] for name in ("opencood", "opencood_participants")] == [1, 1]
    for name, count_as in ("opencood", "false alarms"), ("opencood_participants", "nothing"):
        assert numbers[name]["detections_on_participants"] == {"number": 1, "count_as": count_as}


@pytest.mark.parametrize(
    ("detected", "label", "expected"),
    [
        (box(30, 5, size=(12.0, 2.5, 3.0), z=0), ObjectClass.CAR, NOT_COUNTED),  # above 6 m, as any other
        (box(30, 5), ObjectClass.VAN, PARTICIPANT),
        (box(30, 5, yaw=1.2), ObjectClass.CAR, PARTICIPANT),
        (box(32.7, 5), ObjectClass.CAR, PARTICIPANT),  # the sensor is 0.45 m behind the box
        (box(33.1, 5), ObjectClass.CAR, NOT_MATCHED),
        (box(30, 6.6), ObjectClass.CAR, NOT_MATCHED),  # beside it
        (box(24, 5), ObjectClass.CAR, NOT_MATCHED),  # a trailer is an object of its own
    ],
)
def test_only_a_box_around_the_sensor_is_of_its_vehicle(
    detected: list[float], label: ObjectClass, expected: int
) -> None:
    """Kind: what belongs to a participant, and what is only near it: a trailer, a neighbour."""
    assert found(detections([detected], [0.9], [label]), Objects.empty(), NEITHER, [EGO, OTHER]) == [expected]


def test_a_pedestrian_where_a_vehicle_is_stays_a_false_alarm() -> None:
    """Kind: as above, of another class."""
    protocol = replace(load_protocol("simulated"), participant_margin_m=0.5)
    here = detections([box(30, 5, size=(0.6, 0.6, 1.7))], [0.9], [ObjectClass.PEDESTRIAN])
    assert found(here, Objects.empty(), protocol, [EGO, OTHER]) == [NOT_MATCHED]


@pytest.mark.parametrize("identity", ["7", "other"])
def test_a_participant_with_a_label_is_an_object_like_any_other(identity: str) -> None:
    """Kind: labelled and taking part: found, missed and found twice as everybody else; ids say nothing."""
    labelled = replace(objects([box(30, 5)]), ids=np.array([identity]))
    twice = detections([box(30, 5), box(30.4, 7.1)], [0.9, 0.8])
    assert found(twice, labelled, NEITHER, [EGO, OTHER]) == [0, NOT_MATCHED]
    off = detections([box(31.8, 5.4)], [0.9])
    assert found(off, labelled, NEITHER, [EGO, OTHER]) == [NOT_MATCHED]
    verdict = verdict_of(off, labelled, np.array([100]), NEITHER, as_places([EGO, OTHER]))
    assert verdict.is_missed.tolist() == [True]


def test_a_label_with_the_number_of_a_participant_but_elsewhere_is_another_vehicle() -> None:
    """Kind: V2V4Real numbers agents and objects from 0, each by itself."""
    elsewhere = replace(objects([box(60, 0)]), ids=np.array(["1"]))
    assert found(detections([box(30, 5)], [0.9]), elsewhere, NEITHER, [EGO, OTHER]) == [PARTICIPANT]


def test_the_ego_is_not_asked_to_find_itself() -> None:
    """Kind: labels from a simulator or a mast that have the ego among them."""
    truth = objects([box(0.3, 0.1), box(10)])
    detected = detections([box(10)], [0.9])
    for protocol, places, objects_to_find in (
        (NEITHER, [EGO, OTHER], 1),
        (NEITHER, [OTHER], 2),  # the ego is a mast, and a car stands below it
        (AS_LABELLED, [EGO, OTHER], 2),
    ):
        summary = summarise([result(detected, truth, participants=places)], protocol)
        assert summary["num_ground_truth"] == objects_to_find, (protocol.name, places)


def test_a_participant_out_of_range_is_shown_and_changes_no_number() -> None:
    """Kind: a participant that the protocol does not reach."""
    far = (30.0, 60.0)
    detected = detections([box(30, 60)], [0.9])
    assert found(detected, Objects.empty(), NEITHER, [EGO, far]) == [PARTICIPANT]
    summary = summarise([result(detected, Objects.empty(), participants=[EGO, far])], NEITHER)
    assert (summary["num_detections"], summary["detections_on_participants"]["number"]) == (0, 0)


def test_masts_are_no_participants_and_vehicles_without_a_cloud_are() -> None:
    """Kind: who takes part: agents with a body on the road, also one that measured nothing at that moment."""
    frame = two_agents(3)
    T_world_ego = frame.ego.T_world_agent
    lost = replace(frame, absent={"lost": T_world_ego @ transform_from_planar(30.0, 5.0, 1.0)})
    assert list(frame.participants) == ["ego"]
    assert list(lost.participants) == ["ego", "lost"]
    np.testing.assert_allclose(list(lost.participants.values()), [EGO, OTHER], atol=1e-9)
    mast = replace(frame, ego_id="unit")
    assert list(mast.participants) == ["ego"]
    np.testing.assert_allclose(mast.participants["ego"], (20.0, 0.0), atol=1e-9)


def seen_sender() -> CooperativeFrame:
    """Return a frame in which the ego sees a car that sends, and a false alarm 6 m behind that."""
    seen = np.array([[30.0, 5.0, -1.0, 0.9], [24.0, 5.0, -1.0, 0.8]], dtype=np.float32)
    T_world_ego = transform_from_planar(100.0, 50.0, 0.4)
    T_world_other = T_world_ego @ transform_from_planar(*OTHER, 2.0)
    agents = {
        "ego": AgentFrame("ego", "vehicle", 0, T_world_ego, seen),
        "other": AgentFrame("other", "vehicle", 0, T_world_other, np.zeros((0, 4), np.float32)),
    }
    return CooperativeFrame("0", "one", "ego", agents, objects([box(10)]))


@pytest.mark.parametrize("fusion", ["none", "late"])
def test_where_participants_are_comes_from_the_data_and_not_from_messages(
    tmp_path: Path, fusion: str
) -> None:
    """Kind: a sender that lies, or errs, about its place, or is not heard at all.

    With an error of 6 m it claims to be where the false alarm is, and is not.
    """
    metrics = evaluate(
        Scenes([seen_sender()]),
        point_is_car(),
        NEITHER,
        fusion=fusion,
        out=tmp_path,
        pose_noise=PoseNoise(6.0, 30.0),
    )
    (record,) = read_lines(tmp_path / FRAMES)
    np.testing.assert_allclose(frame_result(record).participants, [EGO, OTHER], atol=1e-9)
    assert (metrics["num_detections"], metrics["detections_on_participants"]["number"]) == (1, 1)


def test_the_result_says_what_was_left_out_and_what_counts_as_false_alarm(tmp_path: Path) -> None:
    """Kind: a rule that changes a number in silence."""
    for name, words in (
        ("opencood_participants", "the protocol counts them as nothing"),
        ("opencood", "the protocol counts them as false alarms"),
    ):
        protocol = load_protocol(name)
        metrics = evaluate(
            Scenes([seen_sender()]), point_is_car(), protocol, fusion="none", out=tmp_path / name
        )
        said = printed(result_view(metrics, protocol))
        assert f"1 box on cooperating vehicles without a label: {words}." in said


def test_results_under_the_older_protocol_are_told_apart(tmp_path: Path) -> None:
    """Kind: frames of one protocol continued under another."""
    frames, model = Scenes([seen_sender()]), point_is_car()
    evaluate(frames, model, AS_LABELLED, fusion="none", out=tmp_path)
    with pytest.raises(CosenseError, match="protocol 'opencood' there, 'opencood_participants' here"):
        evaluate(frames, model, NEITHER, fusion="none", out=tmp_path)


def test_a_protocol_without_the_rule_keeps_the_hash_that_it_had_before() -> None:
    """Kind: a frozen protocol: no field that is added later changes what was published under it."""
    assert (AS_LABELLED.hash, AS_LABELLED.participant_margin_m) == ("152acf716563", None)
    assert replace(AS_LABELLED, participant_margin_m=0.5).hash != AS_LABELLED.hash
    same = replace(
        NEITHER, name=AS_LABELLED.name, description=AS_LABELLED.description, participant_margin_m=None
    )
    assert same == AS_LABELLED
    with pytest.raises(ValueError, match="participant_margin_m is -1"):
        replace(NEITHER, participant_margin_m=-1.0)


def test_both_senders_of_the_v2xset_frame_have_no_label(shared_data: Path) -> None:
    """Kind: the frame that was reported: boxes on 4288 and 4297 are senders, 4297 out of range."""
    frame = open_dataset(shared_data / "v2xset_frame")[0]
    places = frame.participants
    assert list(places) == ["4279", "4288", "4297"]
    boxes = detections([box(x, y, yaw=0.1) for x, y in places.values()], [0.9, 0.8, 0.7])
    assert found(boxes, frame.ground_truth, NEITHER, list(places.values())) == [PARTICIPANT] * 3
    expected = [NOT_MATCHED, NOT_MATCHED, NOT_COUNTED]
    assert found(boxes, frame.ground_truth, AS_LABELLED, list(places.values())) == expected
