from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from cosense.messages.envelope import PayloadKind, decode, encode
from cosense.messages.features import truncate
from cosense.trust.identity.membership import Membership
from tests.messages.test_signatures import features
from tests.trust.identity.signing import Signers

pytest.importorskip("cryptography", reason="signatures need the library cryptography")

S = 1_000_000_000
SIGNERS = Signers("car", "unit", "thief")
ROSTER = SIGNERS.roster()


def judged(membership: Membership, data: bytes, clock_ns: int = 0) -> tuple[str, bool]:
    return membership.judge(data, decode(data), clock_ns)


def unsigned(data: bytes) -> bytes:
    return encode(dataclasses.replace(decode(data), signature=b""))


def test_a_message_passes_once():
    membership = Membership(ROSTER)
    data = SIGNERS.message("car", 3, 3 * S)
    assert judged(membership, data) == ("", True)
    assert judged(membership, data) == ("number 3 with this stamp came before: it is replayed", False)
    assert judged(membership, SIGNERS.message("car", 3, 4 * S)) == (
        "number 3 came before with another stamp",
        False,
    )
    assert judged(membership, SIGNERS.message("car", 4, 4 * S)) == ("", True)
    # Each kind counts for itself, and so does each agent.
    assert judged(membership, SIGNERS.message("car", 4, 4 * S, kind=PayloadKind.DEMAND)) == ("", True)
    assert judged(membership, SIGNERS.message("unit", 4, 4 * S)) == ("", True)
    assert membership.refused == 2
    assert membership.last_reason == "under the name 'car': number 3 came before with another stamp"


def test_who_has_not_the_key_of_a_name_does_not_speak_under_it():
    membership = Membership(ROSTER)
    key = SIGNERS.by_name["car"].public_key.short
    foreign = SIGNERS.message("car", 3, 3 * S, key_of="thief")
    assert judged(membership, foreign) == (
        f"its signature is not by {key}, the key of the name in the roster",
        False,
    )
    assert judged(membership, unsigned(foreign)) == ("it is not signed", False)
    # What was refused leaves nothing behind.
    assert judged(membership, SIGNERS.message("car", 3, 3 * S)) == ("", True)
    stranger = Signers("limo").message("limo", 3, 3 * S)
    assert judged(membership, stranger) == ("the name is not in the roster", False)


def test_stamps_and_rows_are_judged_by_time():
    membership = Membership(SIGNERS.roster(valid_to=dt.datetime(2027, 1, 1)), window_ms=2000)
    end_ns = 1_798_761_600 * S
    for stamp_ns, reason in (
        (end_ns - 10 * S, "its stamp is 9000 ms behind the clock, the limit is 2000: it is replayed"),
        (end_ns - S, ""),
        (end_ns, "its row in the roster has expired, it was valid to 2027-01-01"),
    ):
        found, may_be_read = judged(membership, SIGNERS.message("car", 1, stamp_ns), end_ns - S)
        assert found.startswith(reason)
        assert may_be_read == (not reason)
    membership.roster = SIGNERS.roster()
    ahead = judged(membership, SIGNERS.message("car", 2, end_ns + 60 * S), end_ns)
    assert ahead == ("its stamp is 60000 ms ahead of the clock, the limit is 2000: a clock is wrong", False)


def test_who_only_requests_tells_nothing():
    membership = Membership(SIGNERS.roster(role="fusion"))
    assert judged(membership, SIGNERS.message("car", 1, S, kind=PayloadKind.DEMAND)) == ("", True)
    assert judged(membership, SIGNERS.message("car", 1, S)) == (
        "its role is 'fusion', which sends no OBJECTS",
        False,
    )


def test_a_message_that_was_cut_on_its_way_passes():
    whole = SIGNERS.by_name["unit"].sign(features())
    assert judged(Membership(ROSTER), whole) == ("", True)
    assert judged(Membership(ROSTER), truncate(whole, len(whole) - 100)) == ("", True)
    cut = decode(truncate(whole, len(whole) - 100))
    longer = encode(dataclasses.replace(cut, payload=decode(whole).payload))
    assert not judged(Membership(ROSTER), longer)[1]


def test_a_warning_lets_through_all_but_those_who_pretend_to_be_somebody_known():
    membership = Membership(ROSTER, enforced=False)
    limo = Signers("limo").message("limo", 3, 3 * S)
    foreign = SIGNERS.message("car", 3, 3 * S, key_of="thief")
    own = SIGNERS.message("car", 3, 3 * S)
    assert judged(membership, limo) == ("the name is not in the roster", True)
    assert judged(membership, foreign)[1]
    assert judged(membership, own) == ("", True)
    assert not judged(membership, SIGNERS.message("car", 4, 4 * S, key_of="thief"))[1]
    assert not judged(membership, unsigned(SIGNERS.message("car", 4, 4 * S)))[1]
    # Somebody's own message is used all the same.
    assert judged(membership, own) == ("number 3 with this stamp came before: it is replayed", True)
