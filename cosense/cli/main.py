"""The `cosense` program: each module of this folder that defines `command` is a verb, named like the module.

`command` is a function with typer annotations; its docstring is the help. A class `Command` beside it, where
there is one, reads the words of its command line. It imports what is heavy inside the
function, so that `cosense --help` answers at once. Verbs may also lie outside of the package (plugins.py).
"""

from __future__ import annotations

import inspect
import re
import signal
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

import cosense
import cosense.cli
from cosense import plugins
from cosense.cli.ctrl_c import INTERRUPTED, stoppable
from cosense.errors import CosenseError, harmless

# Words on the command line that are no option, or a value that an option does not take.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

_NO_RESULT = "There is no result yet; give the same command again."

app = typer.Typer(
    name="cosense",
    help="Collaborative perception on ROS 2: agents share only what the others cannot see.",
    no_args_is_help=True,
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
        f"[bold red]error:[/] {escape(harmless(message))}", markup=True, highlight=False, soft_wrap=True
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
            help_text = _in_paragraphs(module.command)
            # What a verb does not say itself when it is stopped, while it imports or reads for example.
            command = stoppable(Console(stderr=True), lambda: _NO_RESULT)(module.command)
            app.command(name, cls=getattr(module, "Command", None), help=help_text)(command)


def _in_paragraphs(command: Callable[..., None]) -> str:
    """Return the docstring with one line for each paragraph and item, which any width of a terminal wraps."""
    return re.sub(r"(?<!\n)\n(?!\n|- )\s*", " ", inspect.getdoc(command) or "")


def _refusal(message: str) -> Callable[[], None]:
    """Return a verb that only says why it cannot be used."""

    def command() -> None:
        raise CosenseError(message)

    return command


_add_verbs()


def main() -> None:
    """Run the program.

    Bad options, bad input and errors of the file system end with one line on stderr and status 2, Ctrl-C with
    status 130.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        # From now on there is something to end in order.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = app(args=sys.argv[1:] or ["--help"], prog_name="cosense", standalone_mode=False)
    except _UsageError as error:
        _refuse(_usage(error))
    except CosenseError as error:
        _refuse(str(error))
    except (KeyboardInterrupt, typer.Abort):
        Console(stderr=True).print("Stopped.")
        sys.exit(INTERRUPTED)
    except OSError as error:
        if not error.strerror:
            raise
        _refuse(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    # A number where a verb has ended with a status of its own.
    sys.exit(status if isinstance(status, int) else 0)


def _usage(error: Any) -> str:
    """Return what is wrong with the words on the command line, as one line with the verb to ask for help."""
    message = " ".join(error.format_message().split())
    options = getattr(getattr(error, "param", None), "opts", ())
    for word, following in pairwise([*sys.argv, ""]):
        name, equals, value = word.partition("=")
        if name in options:
            message = message.replace(f"'{name}'", f"'{name} {value if equals else following}'", 1)
    verb = error.ctx.command_path if error.ctx else "cosense"
    return f"{message} (see `{verb} --help`)"


if __name__ == "__main__":
    main()
