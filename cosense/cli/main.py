"""The `cosense` program: each module of this folder that defines `command` is a verb, named like the module.

`command` is a function with typer annotations; its docstring is the help. It imports what is heavy inside the
function, so that `cosense --help` answers at once. Verbs may also lie outside of the package (plugins.py).
"""

from __future__ import annotations

import sys
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


for _name in plugins.names(cosense.cli):
    if _name != "main" and hasattr(_module := plugins.load(cosense.cli, _name), "command"):
        app.command(_name)(_module.command)


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


def _refuse(message: str) -> NoReturn:
    Console(stderr=True).print(
        f"[bold red]error:[/] {escape(message)}", markup=True, highlight=False, soft_wrap=True
    )
    sys.exit(2)


if __name__ == "__main__":
    main()
