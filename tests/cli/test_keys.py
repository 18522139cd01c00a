from __future__ import annotations

import stat

import pytest
from typer.testing import CliRunner

from cosense.cli.main import app
from cosense.errors import CosenseError
from cosense.trust.identity.keys import Signer
from cosense.trust.identity.roster import Roster

pytest.importorskip("cryptography", reason="signatures need the library cryptography")


def keys(*words: str) -> str:
    result = CliRunner().invoke(app, ["keys", *words], catch_exceptions=False, standalone_mode=False)
    if isinstance(result.exception, BaseException):
        raise result.exception
    return result.output


def test_keys_become_a_roster_in_which_one_is_revoked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "car: ed25519:" in keys("new", "car", "unit", "--role", "fusion", "--valid-to", "2999-12-31")
    assert stat.S_IMODE((tmp_path / "keys/car.key").stat().st_mode) == 0o600
    keys("roster", "keys/car.pub", "keys/unit.pub", "--out", "roster.yaml")
    roster = Roster.read(tmp_path / "roster.yaml")
    assert [(row.agent, row.role) for row in roster.agents] == [("car", "fusion"), ("unit", "fusion")]
    key = Signer.read(tmp_path / "keys/car.key").public_key
    assert roster.agents[0].public_key == key
    assert f"private key of {key}" in keys("show", "keys/car.key")
    shown = keys("roster", "roster.yaml", "--out", "roster.yaml", "--revoke", str(key), "--reason", "stolen")
    assert shown == keys("show", "roster.yaml").split("\n", 1)[1]
    car, unit = shown.splitlines()
    assert "its key is revoked since" in car
    assert car.endswith("(stolen)")
    assert unit.endswith("valid to 2999-12-31 00:00:00")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("knew", "car"), "keys knew: no such action, did you mean 'new'?"),
        (("new", "car", "--role", "boss"), "--role boss: known: agent, fusion"),
        (("new", "a" * 33), "agent has 33 bytes, expected 1 to 32"),
        (("roster", "x.pub"), "no --out"),
        (("roster", "x.pub", "--out", "there.yaml"), "there.yaml: is there already; name it among the files"),
        (("roster", "there.yaml", "--out", "there.yaml", "--revoke", "car"), "no row has the key 'car'"),
        (("show", "nowhere"), "nowhere: no such file"),
    ],
)
def test_wrong_words_end_with_one_line(tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    Roster().write(tmp_path / "there.yaml")
    with pytest.raises(CosenseError) as error:
        keys(*words)
    assert complaint in str(error.value)
