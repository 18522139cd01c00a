from __future__ import annotations

import pytest

import cosense.trust
from cosense import plugins
from cosense.errors import CosenseError


@pytest.fixture
def room(monkeypatch):
    monkeypatch.setattr(cosense.trust, "__path__", list(cosense.trust.__path__))
    return cosense.trust


def test_a_folder_outside_of_the_package_adds_to_a_room(room, tmp_path, monkeypatch):
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "strict_for_test.py").write_text("def check(message, context):\n    return 'no'\n")
    assert "strict_for_test" not in plugins.names(room)
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path))
    assert "strict_for_test" in plugins.names(room)
    assert plugins.load(room, "strict_for_test").check(None, None) == "no"


def test_an_unknown_name_is_an_error_that_names_the_nearest(room):
    with pytest.raises(CosenseError, match="unknown trust 'bass', known: none"):
        plugins.load(room, "bass")
