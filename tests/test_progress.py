"""Progress is seen on a terminal and in a pipe, and never before there is any."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from cosense import progress
from cosense.progress import ProgressDisplay


def shown(*, is_terminal: bool, counts_steps: bool = True) -> tuple[ProgressDisplay, io.StringIO]:
    """Return a display and what it writes to."""
    written = io.StringIO()
    console = Console(file=written, force_terminal=is_terminal, width=80)
    return ProgressDisplay(console, counts_steps=counts_steps), written


def test_a_pipe_gets_a_plain_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long work whose output goes to a file: somebody who looks into it sees how far it is."""
    now_s = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now_s[0])
    display, written = shown(is_terminal=False)
    share, of_share = shown(is_terminal=False, counts_steps=False)
    with display, share:
        counted, trained = display.add_task("", total=30), share.add_task("", total=1.0)
        for step in range(1, 31):
            now_s[0] += 1.0
            display.update(counted, completed=step, description=f"AP@0.5 {step / 100}")
            share.update(trained, completed=step / 30, description="loss 0.5")
    assert written.getvalue().splitlines() == [
        "10 of 30 AP@0.5 0.1",
        "20 of 30 AP@0.5 0.2",
        "30 of 30 AP@0.5 0.3",
    ]
    assert of_share.getvalue().splitlines() == ["33 % loss 0.5", "67 % loss 0.5", "100 % loss 0.5"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_nothing_is_shown_before_there_is_progress(is_terminal: bool) -> None:
    """An error in what comes first is not preceded by a bar at 0 of nothing."""
    display, written = shown(is_terminal=is_terminal)
    with display:
        display.add_task("", total=None)
    assert written.getvalue() == ""
    with display:
        display.update(display.add_task("", total=2), completed=1)
    assert ("1/2" in written.getvalue()) == is_terminal
