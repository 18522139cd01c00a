"""What a verb says when Ctrl-C stops it: what is kept, and how to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

# The status that a shell reports for a program that Ctrl-C has stopped.
INTERRUPTED = 130


@contextmanager
def stoppable(console: Console, kept: Callable[[], str]) -> Iterator[None]:
    """End the program with one line where Ctrl-C stops what is done in this block.

    Args:
        console: output for the line.
        kept: says what the verb has left behind, and how to go on; called when it has been stopped.
    """
    try:
        yield
    except KeyboardInterrupt:
        console.print(f"Stopped. {kept()}", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(INTERRUPTED) from None
