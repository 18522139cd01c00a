"""The program in the process of the test: one of its own would spend seconds importing and prove no more."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys

import pytest

from cosense.cli.main import main


def run_here(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `cosense` in the process of the test and return what a process of its own would have given."""
    status: int | str | None = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as said,
        contextlib.redirect_stderr(io.StringIO()) as complained,
    ):
        patch.setattr(sys, "argv", ["cosense", *arguments])
        try:
            main()
        except SystemExit as end:
            status = end.code
    return subprocess.CompletedProcess(
        list(arguments), int(status or 0), said.getvalue(), complained.getvalue()
    )
