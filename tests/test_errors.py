from __future__ import annotations

import os
from pathlib import Path

import pytest

from cosense.data import open_dataset
from cosense.errors import CosenseError, counted, harmless, parse_json, read_file, shown
from cosense.runs.scenario import find_scenario


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [
        (1, "frame", "1 frame"),
        (2, "frame", "2 frames"),
        (0, "box", "0 boxes"),
        (2, "match", "2 matches"),
        (3, "entry", "3 entries"),
        (2, "way", "2 ways"),
        (1, "listed pair", "1 listed pair"),
        (2, "listed pair", "2 listed pairs"),
    ],
)
def test_one_is_singular_and_everything_else_plural(number, noun, expected):
    """Kind: "1 frames could not be read"."""
    assert counted(number, noun) == expected


def test_devices_and_pipes_are_not_waited_for(tmp_path):
    """Kind: a file of a data set that is a link to /dev/zero."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "link", Path("/dev/null")):
        with pytest.raises(CosenseError, match=f"{path}: is no file but a device or a pipe"):
            read_file(path)
        with pytest.raises(CosenseError, match=f"{path}: is no file but a device or a pipe"):
            open_dataset(path)
        with pytest.raises(CosenseError, match=f"{path}: is no file but a device or a pipe"):
            find_scenario(path)


def test_json_that_is_nested_too_deeply_is_no_json():
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json("[" * 100_000)


def test_names_do_not_paint_the_terminal():
    assert (
        harmless("agent '\x1b[31mred\x07' of\ntwo lines, ü") == "agent '\\x1b[31mred\\x07' of\ntwo lines, ü"
    )


def test_values_are_short_in_messages():
    deep: list = [0] * 9
    for _ in range(40):
        deep = [deep] * 9
    assert len(shown(deep)) < 1000
    assert shown([1, "two", {"three": 3.0}]) == "[1, 'two', {'three': 3.0}]"
    assert "\n" not in shown("a\nb")
