"""The `cosense` program: each module of this folder that defines `command` is a verb, named like the module.

`command` is a function with typer annotations; its docstring is the help. It imports what is heavy inside the
function, so that `cosense --help` answers at once. Verbs may also lie outside of the package (plugins.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

import typer
from rich.console import Console
from rich.markup import escape

import cosense
import cosense.cli
from cosense import plugins
from cosense.errors import CosenseError

app = typer.Typer(
    name="cosense",
    help="Collaborative perception on ROS 2: agents share only what the others cannot see.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cosense {cosense.__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    pass


def _refuse(message: str) -> NoReturn:
    Console(stderr=True).print(
        f"[bold red]error:[/] {escape(message)}", markup=True, highlight=False, soft_wrap=True
    )
    sys.exit(2)


def _add_verbs() -> None:
    """Add every verb; one that cannot be imported says so when it is called, and the others work."""
    try:
        names = plugins.names(cosense.cli)
    except CosenseError as error:
        _refuse(str(error))
    for name in names:
        if name == "main":
            continue
        try:
            module = plugins.load(cosense.cli, name)
        except CosenseError as error:
            app.command(name, help=f"Cannot be used: {escape(str(error))}")(_refusal(str(error)))
            continue
        if hasattr(module, "command"):
            app.command(name)(module.command)


def _refusal(message: str) -> Callable[[], None]:
    """Return a verb that only says why it cannot be used."""

    def command() -> None:
        raise CosenseError(message)

    return command


_add_verbs()


def main() -> None:
    """Run the program; bad input and errors of the file system end with one line on stderr and status 2."""
    try:
        app()
    except CosenseError as error:
        _refuse(str(error))
    except OSError as error:
        if not error.strerror:
            raise
        _refuse(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)


if __name__ == "__main__":
    main()
