"""Files with one JSON object a line: read while they are written, or after a program was killed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from cosense.errors import CosenseError
from cosense.json_lines import LineWriter, read_lines


def write(path: Path, *values: dict) -> None:
    with closing(LineWriter(path)) as writer:
        for value in values:
            writer.write(value)


def test_every_bit_of_a_number_is_kept(tmp_path: Path) -> None:
    values = {"a": 0.1 + 0.2, "b": [1_626_155_123_000_000_001, -0.0], "c": "Weiß"}
    write(tmp_path / "x.jsonl", values)
    assert list(read_lines(tmp_path / "x.jsonl")) == [values]


def test_a_line_can_be_read_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with closing(LineWriter(tmp_path / "x.jsonl")) as writer:
        writer.write({"a": 1})
        assert list(read_lines(tmp_path / "x.jsonl")) == [{"a": 1}]


def test_writing_goes_on_where_an_earlier_run_ended(tmp_path: Path) -> None:
    write(tmp_path / "x.jsonl", {"a": 1})
    write(tmp_path / "x.jsonl", {"a": 2})
    assert list(read_lines(tmp_path / "x.jsonl")) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("cut", ['{"a": 2, ', "\xff"])
def test_a_last_line_that_was_not_finished_is_left_out(tmp_path: Path, cut: str) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n' + cut, encoding="latin-1")
    assert list(read_lines(tmp_path / "x.jsonl")) == [{"a": 1}]


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(CosenseError, match=r"x\.jsonl: line 2 is not JSON: .*; delete it and all below"):
        list(read_lines(tmp_path / "x.jsonl"))


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    with pytest.raises(CosenseError, match=r"nowhere\.jsonl: no such file"):
        list(read_lines(tmp_path / "nowhere.jsonl"))
    with pytest.raises(CosenseError, match="cannot be read"):
        list(read_lines(tmp_path))
    with pytest.raises(CosenseError, match=r"x\.jsonl: cannot be written"):
        LineWriter(tmp_path / "missing folder" / "x.jsonl")


def test_a_full_disk_is_one_error_that_names_the_file() -> None:
    with (
        closing(LineWriter(Path("/dev/full"))) as writer,
        pytest.raises(CosenseError, match="/dev/full: cannot be written: No space left on device; the lines"),
    ):
        writer.write({"a": 1})
