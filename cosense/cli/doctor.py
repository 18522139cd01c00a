"""`cosense doctor`: checks what is installed and whether it works, and says how to cure each finding."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cosense.runs.doctor import Finding

_STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def command(
    results: Annotated[Path, typer.Option(help="Folder where results will be written.")] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check what a live run needs: libraries, ROS 2, sockets, DDS between two processes, weights, disk.

    Each finding comes with its cure. The exit status is 1 if something necessary does not work.

    Example: cosense doctor
    """
    from rich.console import Console

    from cosense.runs.doctor import examine

    waiting = Console(stderr=True)
    with waiting.status("looking") as status:
        findings = examine(results, lambda what: status.update(f"looking at {what}"))
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
    else:
        _print(findings)
    if any(finding.level == "fail" for finding in findings):
        raise typer.Exit(1)


def _print(findings: list[Finding]) -> None:
    """Print for people: one line for each finding, with its cure below."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        level = Text(f"{finding.level:<4}", style=_STYLES[finding.level])
        console.print(level, Text(f" {finding.name:<{width}}", style="bold"), Text(f" {finding.found}"))
        if finding.cure:
            console.print(Text(f"{'':<{width + 8}}→ {finding.cure}", style="dim"))
    counts = {level: sum(finding.level == level for finding in findings) for level in _STYLES}
    console.print(", ".join(f"{number} {level}" for level, number in counts.items()))
