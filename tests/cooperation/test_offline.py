"""Sequences of agents that share features: what is remembered, who comes and goes, and every bad input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego
from cosense.cooperation.gate import AdmissionSettings
from cosense.cooperation.kinds import check_fusion
from cosense.cooperation.offline import Cooperation, cooperate
from cosense.cooperation.outcome import FusionResult
from cosense.cooperation.sender import Sender
from cosense.detectors.pillars import PillarDetector
from cosense.errors import CosenseError
from cosense.geometry.transforms import transform_from_planar
from cosense.messages.demand import MAX_DEMAND_BYTES
from cosense.messages.envelope import MessageError, PayloadKind, decode, encode
from cosense.messages.features import decode_features
from cosense.messages.reports import with_requests
from cosense.methods.model import Model
from cosense.sensing.detections import Detections, Source
from tests.cooperation.networks import (
    COSDH,
    LCV2I,
    MS,
    NO_POINTS,
    PATCHES,
    cooperative,
    frame,
    perceived,
    with_nan_pose,
)
from tests.detectors.networks import TINY

MODELS = {"patches": cooperative(PATCHES), "cosdh": cooperative(COSDH)}
PLACES = {"ego": (0.0, 0.0, 0.2), "unit": (6.0, 2.0, 2.0), "car": (-5.0, 3.0, -1.0), "van": (2.0, -4.0, 0.3)}
both_profiles = pytest.mark.parametrize("profile", ["patches", "cosdh"])
both_kinds = pytest.mark.parametrize("fusion", ["intermediate", "hybrid"])


def agents(*names: str, step: int = 0, **changes):
    """Return agents that drive; `changes` are those of all but the ego."""
    frames = []
    for index, name in enumerate(names):
        x, y, yaw = PLACES[name]
        pose = transform_from_planar(500 + x + 0.4 * step, y, yaw)
        frames.append(frame(name, pose, (1000 + 100 * step) * MS, seed=10 * step + index))
    return [frames[0], *(dataclasses.replace(other, **changes) for other in frames[1:])]


def assert_same(a: Detections, b: Detections) -> None:
    np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_allclose(a.scores, b.scores, atol=1e-6)
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.sources, b.sources)


def alone(profile: str, ego) -> Detections:
    return cooperate([ego], MODELS[profile], "none").detections


def sent(model: Model, agent, fusion: str = "hybrid") -> bytes | None:
    return Sender(agent.agent_id, model, fusion).message(perceived(model, agent), 0, None)


def fuse(model: Model, agent, *messages: bytes, **options) -> FusionResult:
    ego = Ego(model, "hybrid", **options)
    return ego.fuse(ego.view(perceived(model, agent), 0), [receive(data) for data in messages]).result


@both_profiles
@both_kinds
def test_an_ego_without_any_sender_sees_what_it_sees_alone(profile, fusion):
    run = Cooperation(MODELS[profile], fusion)
    for step in range(3):
        (ego,) = agents("ego", step=step)
        result = run.step([ego], step).result
        assert_same(result.detections, alone(profile, ego))
        assert result.peers == []
        assert result.bytes_per_sender == {}


@pytest.mark.parametrize("fusion", ["late", "hybrid"])
def test_graphs_are_messages_of_their_own(fusion):
    """They cost what they are long, and where they say nothing nobody's features are believed."""
    run = Cooperation(MODELS["patches"], fusion, registration="scene_graph")
    for step in range(2):
        team = agents("ego", "unit", "car", step=step)
        exchange = run.step(team, step)
        result = exchange.result
        assert [report.sender for report in result.peers] == ["unit", "car", "unit", "car"]
        assert [report.kind for report in result.peers[2:]] == ["SCENE_GRAPH"] * 2
        assert [report.used_for for report in result.peers[:2]] == ["boxes"] * 2
        assert [report.used_for for report in result.peers[2:]] == ["nothing"] * 2
        assert all("no pose from the graphs" in report.reason for report in result.peers[2:])
        for report in result.peers[2:]:
            (data,) = (
                data
                for sender, data in exchange.sent
                if sender == report.sender and decode(data).kind == PayloadKind.SCENE_GRAPH
            )
            assert report.bytes == len(data) == len(encode(decode(data)))
        sent_bytes = sum(len(data) for _, data in exchange.sent)
        assert sum(result.bytes_per_sender.values()) == sent_bytes + sum(result.request_bytes.values())


def test_for_icp_points_are_sent_beside_and_counted():
    plain, run = (Cooperation(MODELS["patches"], "hybrid", registration=kind) for kind in ("none", "icp"))
    team = agents("ego", "unit")
    without, exchange = plain.step(team, 0).result, run.step(team, 0)
    result, (_, data) = exchange.result, exchange.sent[1]
    assert decode(data).kind == PayloadKind.POINTS
    assert [report.bytes for report in result.peers] == [without.peers[0].bytes, len(data)]
    assert result.bytes_per_sender["unit"] - without.bytes_per_sender["unit"] == len(data)


def test_a_broken_graph_is_named():
    model = MODELS["patches"]
    ego, unit = agents("ego", "unit")
    sender = Sender("unit", model, "hybrid", registration="scene_graph")
    own = perceived(model, unit)
    graph = decode(sender.surroundings(own, 0))
    broken = encode(dataclasses.replace(graph, payload=b"\x01\x00\xff\xff"))
    result = fuse(model, ego, sender.message(own, 0, None), broken, registration="scene_graph")
    assert [report.used_for for report in result.peers] == ["boxes", "nothing"]
    assert len(result.peers[1].reason) > 10


@pytest.mark.parametrize(
    ("registration", "fusion", "message"),
    [
        ("scene_grph", "hybrid", "unknown registration 'scene_grph', did you mean 'scene_graph'"),
        ("scene_graph", "early", "with fusion 'early' no poses are corrected"),
        ("boxes", "none", "with fusion 'none' no poses are corrected"),
    ],
)
def test_a_registration_without_sense_is_refused(registration, fusion, message):
    with pytest.raises(CosenseError, match=message):
        Cooperation(MODELS["patches"], fusion, registration=registration)


@both_profiles
@both_kinds
def test_agents_come_and_go(profile, fusion):
    # Networks that have learned nothing agree in nothing.
    run = Cooperation(MODELS[profile], fusion, own_eyes=False)
    line_up = [
        ("ego",),
        ("ego", "unit"),
        ("ego", "unit", "car", "van"),
        ("ego", "van"),
        ("ego",),
        ("ego", "car"),
    ]
    for step, names in enumerate(line_up):
        present = agents(*names, step=step)
        result = run.step(present, step).result
        assert [report.sender for report in result.peers] == list(names[1:])
        assert [report.used_for for report in result.peers] == ["features"] * (len(names) - 1)
        assert set(result.bytes_per_sender) == set(names[1:])
        if len(names) == 1:
            assert_same(result.detections, alone(profile, present[0]))
        else:
            assert Source.FUSED in result.detections.sources
        assert (Source.LATE in result.detections.sources) <= (fusion == "hybrid")
        # Who takes part is asked by name as soon as there are several.
        assert set(result.request_bytes) == (set(names[1:]) if len(names) > 2 else {""})


@both_profiles
@both_kinds
def test_a_run_gives_the_same_each_time(profile, fusion):
    def results(is_seen_before: bool):
        run = Cooperation(MODELS[profile], fusion, budget_bytes=400)
        for step in range(3):
            present = agents("ego", "unit", "car", step=step)
            if is_seen_before:
                elsewhere = [dataclasses.replace(a, T_world_agent=np.eye(4)) for a in present]
                seen = [perceived(MODELS[profile], a) for a in elsewhere]
                views = [view.at_pose_of(a) for view, a in zip(seen, present, strict=True)]
                yield run.step_perceived(views, step).result
            else:
                yield run.step(present, step).result

    for once, again, known in zip(results(False), results(False), results(True), strict=True):
        assert once.peers == again.peers == known.peers
        assert once.bytes_per_sender == again.bytes_per_sender
        assert_same(once.detections, again.detections)
        assert_same(once.detections, known.detections)


def test_what_the_ego_wanted_a_frame_ago_is_what_is_sent():
    model = MODELS["patches"]
    run = Cooperation(model, "hybrid", budget_bytes=400, selection="supply_demand")
    first, second = agents("ego", "unit"), agents("ego", "unit", step=1)
    fresh = Cooperation(model, "hybrid", budget_bytes=400, selection="supply_demand")
    # An ego that sees everything wants nothing any more.
    busy = dataclasses.replace(first[0], points=np.tile(first[0].points, (50, 1)))
    ((_, before),) = run.step([busy, first[1]], 0).sent
    ((_, told),), ((_, untold),) = run.step(second, 1).sent, fresh.step(second, 1).sent
    assert len(before) <= 400
    specs = model.method.specs
    cells = [
        len(decode_features(decode(data).payload).layers(specs, (32, 64))[0].cells) for data in (told, untold)
    ]
    assert cells[0] < cells[1]


@both_profiles
@both_kinds
@pytest.mark.parametrize("budget", [108, 150, 700])
def test_a_budget_holds_for_every_message(profile, fusion, budget):
    run = Cooperation(MODELS[profile], fusion, budget_bytes=budget)
    result = run.step(agents("ego", "unit", "car"), 0).result
    assert all(report.bytes <= budget for report in result.peers)
    assert [report.used_for for report in result.peers] == ["features"] * 2


def test_a_budget_that_no_message_fits_names_the_smallest():
    with pytest.raises(CosenseError, match=r"budget of 107 bytes .* takes 108"):
        cooperate(agents("ego", "unit"), MODELS["patches"], "hybrid", budget_bytes=107)


def test_demands_are_counted_with_whom_they_are_for():
    model = MODELS["patches"]
    one = cooperate(agents("ego", "unit"), model, "hybrid")
    assert set(one.request_bytes) == {""}
    assert one.bytes_per_sender == {"unit": one.peers[0].bytes + one.request_bytes[""]}
    two = cooperate(agents("ego", "unit", "car"), model, "hybrid")
    assert set(two.request_bytes) == {"unit", "car"}
    for report in two.peers:
        asked = two.request_bytes[report.sender]
        assert 0 < asked <= MAX_DEMAND_BYTES
        assert two.bytes_per_sender[report.sender] == report.bytes + asked
    for kind in ("none", "late", "early"):
        assert cooperate(agents("ego", "unit"), model, kind).request_bytes == {}


def test_a_demand_for_everybody_is_shared_and_adds_up():
    peers = cooperate(agents("ego", "unit", "car", "van"), MODELS["patches"], "late").peers
    shares = with_requests(peers, {"": 100})
    own = {report.sender: report.bytes for report in peers}
    added = {name: shares[name] - own[name] for name in own}
    assert sum(added.values()) == 100
    assert sorted(added.values()) == [33, 33, 34]
    assert with_requests([], {"": 100}) == {}


BAD_INPUTS = {
    "a stamp in the future": ({"stamp_ns": 1200 * MS}, "nothing", "200 ms ahead, the limit is 100"),
    "half a second old": ({"stamp_ns": 500 * MS}, "boxes", "features are 500 ms old, the limit is 150"),
    "two seconds old": ({"stamp_ns": -1000 * MS}, "nothing", "2000 ms old, the limit is 1000"),
    "hardly knows where it is": (
        {"pose_covariance": np.diag([1.0, 1.0, 0.0])},
        "boxes",
        "poses are uncertain by 1.00 m, the limit for features is 0.2",
    ),
    "does not know where it is": (
        {"pose_covariance": np.diag([1e6, 1e6, 1.0])},
        "nothing",
        "poses are uncertain by 1000.22 m, the limit is 3",
    ),
    "an empty cloud": ({"points": NO_POINTS}, "features", ""),
    "under the name of the ego": ({"agent_id": "ego"}, "nothing", "the sender is the ego itself"),
    "very far away": ({"T_world_agent": transform_from_planar(1e7, 0.0, 0.0)}, "features", ""),
}


@both_profiles
@both_kinds
@pytest.mark.parametrize("case", BAD_INPUTS)
def test_every_bad_input_has_one_stated_outcome(profile, fusion, case):
    changes, used_for, reason = BAD_INPUTS[case]
    result = cooperate(agents("ego", "unit", **changes), MODELS[profile], fusion)
    (report,) = result.peers
    assert report.used_for == used_for
    assert reason in report.reason
    assert bool(reason) == bool(report.reason)
    assert np.isfinite(result.detections.boxes).all()
    if used_for == "nothing" or (used_for == "boxes" and fusion == "intermediate"):
        assert_same(result.detections, alone(profile, agents("ego")[0]))


@both_profiles
@both_kinds
def test_a_sender_that_is_too_far_away_changes_no_place(profile, fusion):
    far = agents("ego", "unit", T_world_agent=transform_from_planar(1e7, 0.0, 0.0))
    result = cooperate(far, MODELS[profile], fusion)
    near = result.detections[np.abs(result.detections.boxes[:, 0]) < 100]
    assert Source.LATE not in near.sources
    assert len(near) > 0


@both_profiles
@both_kinds
def test_an_ego_with_an_empty_cloud_is_helped(profile, fusion):
    ego, unit = agents("ego", "unit")
    blind = dataclasses.replace(ego, points=NO_POINTS)
    result = cooperate([blind, unit], MODELS[profile], fusion)
    assert [report.used_for for report in result.peers] == ["features"]
    assert len(alone(profile, blind)) == 0
    if fusion == "hybrid":
        assert len(result.detections) > 0
    empty = dataclasses.replace(unit, points=NO_POINTS)
    assert [r.used_for for r in cooperate([blind, empty], MODELS[profile], fusion).peers] == ["features"]


@both_profiles
def test_a_pose_that_is_no_number_is_refused_when_written_and_when_read(profile):
    broken = np.eye(4)
    broken[0, 3] = np.nan
    with pytest.raises(MessageError, match="is not finite"):
        cooperate(agents("ego", "unit", T_world_agent=broken), MODELS[profile], "hybrid")
    ego, unit = agents("ego", "unit")
    result = fuse(MODELS[profile], ego, with_nan_pose(sent(MODELS[profile], unit)))
    (report,) = result.peers
    assert (report.sender, report.used_for) == ("unknown", "nothing")
    assert "is not finite" in report.reason
    assert_same(result.detections, alone(profile, ego))


@both_profiles
def test_garbage_between_good_messages(profile):
    ego, *others = agents("ego", "unit", "car")
    good = [sent(MODELS[profile], other) for other in others]
    expected = fuse(MODELS[profile], ego, *good)
    result = fuse(MODELS[profile], ego, b"", good[0], good[0][:-5], bytes(500), good[1])
    assert [report.used_for for report in result.peers] == [
        "nothing",
        "features",
        "nothing",
        "nothing",
        "features",
    ]
    assert all(report.reason for report in result.peers if report.used_for == "nothing")
    assert_same(result.detections, expected.detections)


@both_profiles
def test_agents_that_run_another_model_or_grid_help_with_boxes(profile):
    larger = (PATCHES if profile == "patches" else COSDH).with_range(25.6, 12.8)
    strange = cooperative(larger, fingerprint=b"other!!!")
    ego, unit, car = agents("ego", "unit", "car")
    result = fuse(MODELS[profile], ego, sent(strange, unit), sent(MODELS[profile], car))
    assert [report.used_for for report in result.peers] == ["boxes", "features"]
    assert result.peers[0].reason.startswith("features are of model")
    only = fuse(MODELS[profile], ego, sent(strange, unit))
    assert [report.used_for for report in only.peers] == ["boxes"]
    assert len(only.detections) > len(alone(profile, ego)) / 2


def test_settings_and_gate_reach_the_receiver():
    late = agents("ego", "unit", stamp_ns=700 * MS)
    patient = Cooperation(MODELS["patches"], "hybrid", admission=AdmissionSettings(features_max_age_ms=300))
    assert [report.used_for for report in patient.step(late, 0).result.peers] == ["features"]
    assert [r.used_for for r in cooperate(late, MODELS["patches"], "hybrid").peers] == ["boxes"]


@both_kinds
def test_a_model_that_shares_no_features_says_so(fusion):
    plain = Model("plain", PillarDetector("plain", TINY, PillarDetector.build(TINY, 0)))
    with pytest.raises(
        CosenseError, match=f"fusion '{fusion}' needs a model that shares features, 'plain' does"
    ):
        Cooperation(plain, fusion)
    for kind in ("none", "late", "early"):
        check_fusion(kind, plain)


@both_profiles
def test_a_model_that_shares_features_can_still_do_everything_else(profile):
    for kind, used_for in (("none", []), ("late", ["boxes"]), ("early", ["points"])):
        result = cooperate(agents("ego", "unit"), MODELS[profile], kind)
        assert [report.used_for for report in result.peers] == used_for


def test_the_kind_of_a_message_follows_the_kind_of_fusion():
    _, unit = agents("ego", "unit")
    kinds = {
        "late": PayloadKind.OBJECTS,
        "early": PayloadKind.POINTS,
        "intermediate": PayloadKind.FEATURES,
        "hybrid": PayloadKind.FEATURES,
    }
    for fusion, kind in kinds.items():
        assert decode(sent(MODELS["patches"], unit, fusion)).kind == kind
    assert sent(MODELS["patches"], unit, "none") is None


def test_who_asks_is_told_why_the_features_are_what_they_are():
    model = cooperative(LCV2I)
    asking = Cooperation(model, "hybrid", budget_bytes=600, explains=True)
    steps = [asking.step(agents("ego", "unit", step=step), step) for step in range(2)]
    for step in steps:
        ((_, data),) = step.sent
        layers = decode_features(decode(data).payload).layers(model.method.specs, model.detector.grid.shape)
        assert np.flatnonzero(step.maps["unit"].sent).tolist() == sorted(layers[0].cells)
    first, second = (step.maps["unit"].wanted.all() for step in steps)
    assert first
    assert not second
    assert not Cooperation(model, "hybrid").step(agents("ego", "unit"), 0).maps
    assert not Cooperation(model, "late", explains=True).step(agents("ego", "unit"), 0).maps
