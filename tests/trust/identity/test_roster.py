from __future__ import annotations

import datetime as dt

import pytest

from cosense.errors import CosenseError
from cosense.messages.envelope import PayloadKind
from cosense.trust.identity.roster import Member, Roster, joined

A, B = (f"ed25519:{digit * 64}" for digit in "ab")
NEW_YEAR_NS = 1_798_761_600 * 1_000_000_000
DAY_NS = 86_400 * 1_000_000_000


def read(tmp_path, text: str) -> Roster:
    path = tmp_path / "roster.yaml"
    path.write_text(text)
    return Roster.read(path)


def test_a_row_holds_from_its_first_moment_to_the_one_at_which_it_ends(tmp_path):
    roster = read(
        tmp_path,
        f"""
agents:
  - {{agent: car, key: "{A}", valid_from: 2027-01-01, valid_to: 2027-01-02T12:00:00Z}}
  - {{agent: car, key: "{B}", valid_from: 2027-01-02T13:00:00+01:00}}
  - {{agent: unit, key: "{A}", valid_from: 2027-02-01, role: fusion}}
revoked:
  - {{key: "{B}", since: 2027-01-05, reason: stolen}}
""",
    )
    assert roster.member("car", NEW_YEAR_NS).key == A
    assert roster.member("car", NEW_YEAR_NS + 3 * DAY_NS // 2 - 1).key == A
    assert roster.member("car", NEW_YEAR_NS + 3 * DAY_NS // 2).key == B
    unit = roster.member("unit", NEW_YEAR_NS + 31 * DAY_NS)
    assert unit.may_send(PayloadKind.DEMAND)
    assert not unit.may_send(PayloadKind.OBJECTS)
    for name, stamp_ns, reason in (
        ("limo", 0, "the name is not in the roster"),
        ("car", NEW_YEAR_NS - 1, "its row in the roster is not valid before 2027-01-01"),
        ("car", NEW_YEAR_NS + 4 * DAY_NS, r"its key is revoked since 2027-01-05 \(stolen\)"),
    ):
        with pytest.raises(CosenseError, match=reason):
            roster.member(name, stamp_ns)
    assert read(tmp_path, f'agents: [{{agent: car, key: "{A}"}}]').member("car", -1).role == "agent"


def test_an_expired_row_says_when_it_ended(tmp_path):
    roster = read(tmp_path, f'agents: [{{agent: car, key: "{A}", valid_to: 2027-01-01}}]')
    with pytest.raises(CosenseError, match="has expired, it was valid to 2027-01-01"):
        roster.member("car", NEW_YEAR_NS)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            f'agents: [{{agent: car, key: "{A}"}}, {{agent: car, key: "{B}"}}]',
            "'car' has two rows that are valid at",
        ),
        (
            f'agents: [{{agent: car, key: "{A}"}}, {{agent: limo, key: "{A}"}}]',
            "has two rows that are valid at once, agent car",
        ),
        ('agents: [{agent: car, key: "ed25519:12"}]', "expected ed25519: and 64 digits"),
        (f'agents: [{{agent: "c\\e[31mar", key: "{A}"}}]', "cannot be printed"),
        (
            f'agents: [{{agent: car, key: "{A}", valid_from: 2027-01-02, valid_to: 2027-01-02}}]',
            "is not after",
        ),
        (
            f'agents: [{{agent: car, key: "{A}", valid_from: soon}}]',
            "valid_from: expected datetime, got 'soon'",
        ),
        (f'agents: [{{agent: car, key: "{A}", role: boss}}]', "role: 'boss' is not allowed"),
        ("agents: {car: key}", "agents: expected a list"),
        ("revoked: [{key: me, since: 2027-01-01}]", "expected ed25519: and 64 digits"),
    ],
)
def test_a_wrong_roster_is_refused_with_its_place(tmp_path, text, complaint):
    with pytest.raises(CosenseError, match=complaint) as error:
        read(tmp_path, text)
    assert "roster.yaml" in str(error.value)


def test_what_is_written_reads_the_same(tmp_path):
    row = Member("car", A, "fusion", dt.date(2027, 1, 1), dt.datetime(2027, 1, 2, 3, tzinfo=dt.timezone.utc))
    roster = Roster((row,)).without(A, dt.datetime(2027, 1, 2), "sold")
    roster.write(tmp_path / "roster.yaml")
    assert Roster.read(tmp_path / "roster.yaml") == roster
    with pytest.raises(CosenseError, match="no row has the key"):
        roster.without(B, dt.datetime(2027, 1, 2))


def test_rosters_are_put_together_unless_they_contradict_each_other():
    car, unit = Member("car", A), Member("unit", B)
    assert joined([Roster((car,)), Roster((car, unit))]).agents == (car, unit)
    with pytest.raises(CosenseError, match="the rosters together: agent 'car' has two rows"):
        joined([Roster((car,)), Roster((Member("car", B),))])
