from __future__ import annotations

import os
import subprocess
import sys

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
    with pytest.raises(CosenseError, match="unknown trust 'bass', known: evidence, identity"):
        plugins.load(room, "bass")


def test_a_module_that_cannot_be_imported_is_named_with_its_line(room, tmp_path, monkeypatch):
    (tmp_path / "trust").mkdir()
    (tmp_path / "trust" / "misspelt_for_test.py").write_text("x = 1\ndef check(message, context)\n")
    (tmp_path / "trust" / "needs_more_for_test.py").write_text("\nimport no_such_library\n")
    (tmp_path / "trust" / "empty_for_test.py").write_text("")
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path))
    with pytest.raises(CosenseError, match=r"misspelt_for_test.py:2: SyntaxError"):
        plugins.load(room, "misspelt_for_test")
    with pytest.raises(CosenseError, match=r"needs_more_for_test.py:2: ModuleNotFoundError"):
        plugins.load(room, "needs_more_for_test")
    empty = plugins.load(room, "empty_for_test")
    with pytest.raises(CosenseError, match=r"empty_for_test.py: has no function 'check'"):
        plugins.function(empty, "check")
    with pytest.raises(CosenseError, match=r"empty_for_test.py: PAYLOAD is None, expected a str"):
        plugins.constant(empty, "PAYLOAD", str)


def test_a_folder_that_is_not_there_is_an_error(room, tmp_path, monkeypatch):
    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(CosenseError, match=r"COSENSE_PLUGINS names .*nowhere, which is no folder"):
        plugins.names(room)


def test_a_verb_that_cannot_be_imported_leaves_the_others_alone(tmp_path):
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "broken_for_test.py").write_text("import no_such_library\n")
    environment = os.environ | {plugins.VARIABLE: str(tmp_path)}
    command = [sys.executable, "-m", "cosense.cli.main"]
    assert subprocess.run([*command, "--help"], env=environment, capture_output=True).returncode == 0
    broken = subprocess.run([*command, "broken_for_test"], env=environment, capture_output=True, text=True)
    assert broken.returncode == 2
    assert broken.stderr.startswith("error:")
    assert "broken_for_test.py:1: ModuleNotFoundError" in broken.stderr
