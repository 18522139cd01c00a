"""The program itself: help, version, and one line for bad input."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

import cosense
from cosense.cli.main import app
from tests.cli.program import run_here
from tests.conftest import REPOSITORY


def run_cosense(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cosense.cli.main", *arguments], capture_output=True, text=True, timeout=200
    )


def test_version_is_the_package_version() -> None:
    result = run_cosense("--version")
    assert result.stdout.split() == ["cosense", cosense.__version__]


def test_help_lists_every_verb() -> None:
    result = run_cosense("--help")
    assert result.returncode == 0
    for verb in ("demo", "evaluate", "info", "run", "simulate", "train", "view"):
        assert verb in result.stdout


@pytest.mark.parametrize(
    "verb", ["convert", "demo", "evaluate", "replay", "run", "simulate", "sweep", "view"]
)
def test_a_number_of_frames_is_asked_for_in_one_word(verb: str) -> None:
    """Kind: two words for one thing. --limit of earlier releases is still understood where it was."""
    (command,) = [one for name, one in get_command(app).commands.items() if name == verb]
    options = {word for parameter in command.params for word in parameter.opts}
    assert "--frames" in options
    assert ("--limit" in options) == (verb in ("convert", "evaluate", "sweep"))


def test_a_shell_completes_verbs_and_options(monkeypatch: pytest.MonkeyPatch) -> None:
    for words, expected in (("cosense comp", "compare"), ("cosense compare --prot", "--protocol")):
        monkeypatch.setenv("_COSENSE_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert run_here().stdout.split() == [expected]


def test_help_does_not_load_heavy_libraries() -> None:
    script = (
        "import sys, cosense.cli.main; print([m for m in ('torch', 'cv2', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=200)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize(
    ("run", "arguments"),
    [(run_cosense, ("info", "/nowhere")), (run_here, ("evaluate", "--data", "/nowhere"))],
)
def test_bad_input_is_one_line_and_status_2(
    run: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...]
) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "/nowhere" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_made_is_one_line_and_status_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run_here("demo", "--frames", "1", "--out", str(tmp_path / "file"))
    assert result.returncode == 2
    assert f"{tmp_path / 'file'}" in result.stderr
    assert "Not a directory" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evaluate", "--data", "x", "--budget", "-5"), "'--budget -5': "),
        (("evaluate", "--data", "x", "--budget=0"), "'--budget 0': "),
        (("sweep", "delay", "--data", "x", "--limit", "0"), "'--limit 0': "),
        (("simulate", "--out", "x", "--frames", "many"), "'--frames many': "),
        (("run", "v2i", "--rate", "0"), "'--rate 0': "),
        (("replay", "x", "--rate", "0"), "'--rate 0': "),
        (("evaluate",), "'--data'"),
        (("evalute", "--data", "x"), "'evaluate'"),
        (("info", "x", "--verfy"), "--verify"),
    ],
)
def test_a_word_that_makes_no_sense_is_one_line_with_option_and_value(
    arguments: tuple[str, ...], said: str
) -> None:
    """What the parser of the command line refuses looks like what a verb refuses."""
    result = run_here(*arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("error: ")
    assert f"see `cosense {arguments[0]} --help`" in result.stderr or arguments[0] == "evalute"


def test_ctrl_c_before_a_verb_has_begun_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind: a stop in silence. Reading a data set may take long, and a verb has nothing to keep then."""

    def stopped(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cosense.data.open_dataset", stopped)
    result = run_here("info", "anything")
    assert result.returncode == 130
    assert result.stderr == "Stopped. There is no result yet; give the same command again.\n"


def test_help_is_wrapped_by_the_terminal_alone() -> None:
    """Kind: lines that break where the source breaks, and once more where the terminal ends."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    register, sweep = ((commands[name].help or "").split("\n") for name in ("register", "sweep"))
    (whole,) = [line for line in register if line.startswith("Clouds are")]
    assert "holds the nodes" in whole
    assert whole.endswith("that is the answer, or there is none.")
    (item,) = [line for line in sweep if line.startswith("- rate:")]
    assert item.endswith("2000, 5000, 10000, 20000, 50000, 200000, 500000")


@pytest.mark.parametrize("room", ["cosense.cli", "cosense.nodes"])
@pytest.mark.parametrize("before", ["default_int_handler", "SIG_IGN"])
def test_ctrl_c_while_a_program_is_imported_is_no_traceback(room, before):
    """Imports take seconds; in the background of a script, where it is ignored, Ctrl-C stays ignored."""
    lines = (
        f"import signal, sys; signal.signal(signal.SIGINT, signal.{before}); sys.argv[0] = '-m'",
        f"import {room}",
        "print(signal.getsignal(signal.SIGINT).name)",
    )
    found = subprocess.run(
        [sys.executable, "-c", "; ".join(lines)], cwd=REPOSITORY, capture_output=True, check=True, text=True
    )
    assert found.stdout.strip() == ("SIG_IGN" if before == "SIG_IGN" else "SIG_DFL")
