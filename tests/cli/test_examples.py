"""Every command line that the help, README.md and docs/ show is one that the program takes.

An example that fails is the first thing that a new user meets, so each is read with the options of its verb.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from cosense.cli.main import app
from cosense.runs.scenario import find_scenario
from tests.conftest import REPOSITORY

PROGRAM: Any = typer.main.get_command(app)
PAGES = [
    REPOSITORY / "README.md",
    *sorted(REPOSITORY.glob("docs/*.md")),
    *sorted(REPOSITORY.glob("models/*/*.md")),
]
# In a block of code, between backquotes (also over the end of a line), or after "Example:".
_IN_BLOCK = re.compile(r"^ *(?:\$ )?(cosense [a-z].*)$", re.MULTILINE)
_IN_TEXT = re.compile(r"`(cosense [a-z][^`]*)`")
_IN_HELP = re.compile(r"^(?:Example: | *)(cosense [a-z]+.*)$", re.MULTILINE)


def examples(text: str, *patterns: re.Pattern[str]) -> list[str]:
    """Return the command lines of a text, each on one line, without comments."""
    found = [match for pattern in patterns for match in pattern.findall(text)]
    return [re.sub(r"\s+", " ", line.partition(" #")[0]).strip() for line in found]


def of_help(verb: str) -> list[str]:
    return examples(PROGRAM.commands[verb].help, _IN_HELP)


def in_blocks(page: Path) -> list[str]:
    """Return the command lines in the blocks of code of a page."""
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return examples("\n".join(blocks).replace("\\\n", " "), _IN_BLOCK)


def in_text(page: Path) -> list[str]:
    """Return the command lines, or the beginnings of such, in the sentences and tables of a page."""
    return examples(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), _IN_TEXT)


def parsed(line: str, *, may_lack: bool = False) -> dict[str, Any]:
    """Return the values that a command line gives the parameters of its verb.

    Args:
        line: the command line.
        may_lack: whether it may lack what the verb needs, as where a sentence is about one option.
    """
    _, verb, *words = shlex.split(line)
    assert verb in PROGRAM.commands, line
    if "..." in words:
        return {}
    try:
        return dict(PROGRAM.commands[verb].make_context(verb, words).params)
    except Exception as error:
        if may_lack and type(error).__name__ in ("MissingParameter", "NoArgsIsHelpError"):
            return {}
        pytest.fail(f"{line}: {error}")


@pytest.mark.parametrize("verb", sorted(PROGRAM.commands))
def test_the_examples_of_a_verb_are_command_lines_that_it_takes(verb: str) -> None:
    """Options that were renamed, values that are out of bounds, words too many, files that do not ship."""
    lines = examples(PROGRAM.commands[verb].help, _IN_HELP)
    assert lines, f"`cosense {verb} --help` has no example"
    for line in lines:
        assert line.split()[1] == verb
        given = parsed(line)
        if verb == "run":
            assert find_scenario(given["scenario"])
        if verb == "train":
            assert (REPOSITORY / given["config"]).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_the_command_lines_of_a_page_are_ones_that_the_program_takes(page: Path) -> None:
    for line in in_blocks(page):
        parsed(line)
    for line in in_text(page):
        parsed(line, may_lack=True)


def test_the_pages_have_examples_of_every_verb() -> None:
    lines = [line for page in PAGES for line in in_blocks(page) + in_text(page)]
    assert len(lines) > 80
    assert {line.split()[1] for line in lines} == set(PROGRAM.commands)
