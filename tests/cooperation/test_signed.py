"""Messages that are signed, from the sender to the fusion: budgets, forged names, seats and requests."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from cosense.cooperation.admission import receive
from cosense.cooperation.ego import Ego, OwnView
from cosense.cooperation.synchroniser import Collection, Synchroniser
from cosense.errors import CosenseError
from cosense.messages.demand import MAX_DEMAND_BYTES
from cosense.messages.envelope import MessageError, PayloadKind, decode
from cosense.messages.reports import UNKNOWN
from cosense.messages.scene_graph import NodeClass
from cosense.trust.identity.membership import Membership
from tests.cooperation.pair import FEATURES, MODELS, NOW, OWN, from_unit, fuse_with
from tests.cooperation.synchronised import MS, SETTINGS, WINDOW
from tests.cooperation.test_sender import CARS, FRAME, send, sender
from tests.cooperation.test_sender import FEATURES as SENDER_FEATURES
from tests.scene_graph.scenes import graph_of
from tests.trust.identity.signing import Signers

pytest.importorskip("cryptography", reason="signatures need the library cryptography")

SIGNERS = Signers("ego", "unit", "car", "thief")
KEYS = SIGNERS.by_name


def collected(synchroniser: Synchroniser) -> Collection:
    """Return the moment 1000 ms of the ego as it is closed."""
    synchroniser.add_ego(SIGNERS.message("ego", 1, 1000 * MS), 0)
    (moment,) = synchroniser.ready(200 * MS)
    return moment


def test_a_forged_message_does_not_displace_the_honest_one_and_takes_no_seat():
    synchroniser = Synchroniser(["unit"], SETTINGS, WINDOW, membership=Membership(SIGNERS.roster()))
    honest = SIGNERS.message("unit", 5, 1000 * MS)
    forged = SIGNERS.message("unit", 5, 1000 * MS, key_of="thief", payload=bytes(2) + b"\x01" * 4)
    synchroniser.add(forged, NOW)
    synchroniser.add(honest, NOW)
    synchroniser.add(honest, NOW)
    for number in range(WINDOW.max_senders):
        name = f"made_up_{number}"
        synchroniser.add(Signers(name).message(name, 0, 1000 * MS), NOW)
    synchroniser.add(SIGNERS.message("car", 9, 1000 * MS), NOW)
    moment = collected(synchroniser)
    used = [item.message.sender for item in moment.received if item.message is not None]
    assert used == ["unit", "car"]
    assert moment.received[0].message.payload == decode(honest).payload
    assert set(synchroniser.traffic) == {"unit", "car"}
    refused = [item.fault for item in moment.received if item.message is None]
    assert refused[:2] == [
        "under the name 'unit': its signature is not by "
        f"{KEYS['unit'].public_key.short}, the key of the name in the roster",
        "under the name 'unit': number 5 with this stamp came before: it is replayed",
    ]
    assert refused[2:] == [
        f"under the name 'made_up_{number}': the name is not in the roster"
        for number in range(WINDOW.max_senders)
    ]
    reports = Ego(None, "late").fuse(OwnView(moment.own), moment.received).result.peers
    assert [report.sender for report in reports if report.used_for == "nothing"] == [UNKNOWN] * len(refused)


def test_the_egos_own_messages_have_the_egos_key():
    synchroniser = Synchroniser([], SETTINGS, WINDOW, membership=Membership(SIGNERS.roster()))
    with pytest.raises(MessageError, match="under the name 'ego': its signature is not by"):
        synchroniser.add_ego(SIGNERS.message("ego", 0, 0, key_of="thief"), 0)
    assert synchroniser.ready(0) == []


def test_a_warning_stands_in_the_report_of_a_message_that_is_used():
    data = from_unit("patches")
    model, own = MODELS["patches"], OwnView(decode(OWN), FEATURES["patches"])
    received = [receive(data, Membership(SIGNERS.roster(), enforced=False))]
    (report,) = Ego(model, "hybrid", own_eyes=False).fuse(own, received).result.peers
    assert (report.used_for, report.reason) == ("features", "it is not signed")


@pytest.mark.parametrize("budget_bytes", [173, 400, 2000, None])
def test_signatures_are_within_the_budget(budget_bytes):
    poles = np.random.default_rng(0).uniform(-30, 30, (90, 3))
    graph = graph_of([NodeClass.POLE] * 90, poles, agent_id="unit")
    own = SimpleNamespace(frame=FRAME, encoded=SENDER_FEATURES["patches"], detections=CARS, scene_graph=graph)
    who = sender(registration="scene_graph", budget_bytes=budget_bytes, signer=KEYS["unit"])
    data, beside = who.message(own, 0, None), who.surroundings(own, 0)
    if budget_bytes is not None:
        assert len(data) + len(beside or b"") <= budget_bytes
    if beside is not None:
        assert len(beside) <= 1398
    membership = Membership(SIGNERS.roster())
    for sent in filter(None, (data, beside)):
        assert receive(sent, membership).message is not None


def test_a_budget_for_an_empty_message_has_room_for_its_signature():
    sender(budget_bytes=173, signer=KEYS["unit"])
    with pytest.raises(CosenseError, match="an empty FEATURES message takes 173 bytes"):
        sender(budget_bytes=172, signer=KEYS["unit"])


def test_requests_are_signed_within_their_limit_and_only_those_of_members_count():
    (request,) = fuse_with(
        MODELS["patches"], features=FEATURES["patches"], signer=KEYS["ego"]
    ).requests.values()
    assert len(request) <= MAX_DEMAND_BYTES
    who = sender(membership=Membership(SIGNERS.roster()))
    assert who.receive_request(request)
    asked = who.request
    forged = SIGNERS.message(
        "ego", 99, NOW, key_of="thief", kind=PayloadKind.DEMAND, payload=decode(request).payload
    )
    for data, complaint in (
        (request, "is replayed"),
        (forged, "its signature is not by"),
        (fuse_with(MODELS["patches"], features=FEATURES["patches"]).requests[""], "came before"),
    ):
        with pytest.raises(MessageError, match=complaint):
            who.receive_request(data)
    assert who.request is asked
    assert send(who)
