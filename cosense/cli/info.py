"""`cosense info`: shows what a data set holds and what it lacks, or what a message is and costs."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosense.cli.options import Columns, Labels, PairGap, Region, Split, takes_bag_options
from cosense.errors import CosenseError, counted, harmless

if TYPE_CHECKING:
    from cosense.data.bag import BagOptions
    from cosense.data.dataset import CooperativeFrame, Dataset, DatasetInfo
    from cosense.messages.envelope import Message

_LINES_SHOWN = 10


@takes_bag_options
def command(
    path: Annotated[
        Path, typer.Argument(help="Folder of the data set, a bag, a cloud, or a message.", show_default=False)
    ],
    *,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read every file; exit status 1 if one is missing or broken."),
    ] = False,
    split: Split = None,
    labels: Labels = None,
    columns: Columns = "",
    region: Region = "",
    pair_gap: PairGap = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with all missing files.")] = False,
    bag_options: BagOptions,
) -> None:
    """Show what a data set is: format, label set, frames of each split, agents, sensors, and what is missing.

    Of a message between agents in a file: kind, sender, what it holds, its bytes, and how many packets of a
    vehicle's radio it takes.

    Examples:

        cosense info results/demo/sequence --verify

        cosense info graph.bin
    """
    from cosense.data import open_dataset

    message = _message_content(path)
    if message is not None:
        if as_json:
            typer.echo(json.dumps(message, indent=1))
        else:
            _print_facts(
                {name.replace("_", " "): str(value) for name, value in message.items() if value != ""}
            )
        return
    with _collected_warnings() as warnings:
        dataset = open_dataset(
            path,
            split=split,
            labels=labels,
            bag=bag_options,
            columns=columns,
            region=region,
            pair_gap=pair_gap,
        )
        info = dataset.info(verify=verify)
        try:
            first, broken = _describe(dataset[0]), []
        except CosenseError as error:
            first, broken = {}, [str(error)]
    content = _content(dataset, info, first, broken, verify)
    said = (*content["notes"], *content["problems"])
    content["notes"] += [line for line in warnings if not line.endswith(said)]
    if as_json:
        typer.echo(json.dumps(content, indent=1))
    else:
        _print(content)
    if verify and content["problems"]:
        raise typer.Exit(1)


class _Warnings(logging.Handler):
    """Collects what is logged as a warning, each line once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        line = record.getMessage()
        if line not in self.lines:
            self.lines.append(line)


@contextmanager
def _collected_warnings() -> Iterator[list[str]]:
    """Collect warnings instead of printing them, unless something is refused."""
    collector, own = _Warnings(), logging.getLogger("cosense")
    own.addHandler(collector)
    try:
        yield collector.lines
    except CosenseError:
        for line in collector.lines:
            typer.echo(line, err=True)
        raise
    finally:
        own.removeHandler(collector)


def _message_content(path: Path) -> dict[str, Any] | None:
    """Return what is known of a message in a file, None where the file is no message.

    Raises:
        CosenseError: it begins like a message and cannot be read as one.
    """
    from cosense.messages.envelope import (
        MAGIC,
        MAX_MESSAGE_BYTES,
        PACKET_BYTES,
        decode,
        envelope_bytes,
        packets_of,
    )

    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return None
        data = MAGIC + file.read(MAX_MESSAGE_BYTES)
    try:
        message = decode(data)
        holds = _holds(message)
    except CosenseError as error:
        raise CosenseError(f"{path}: {error}") from error
    return {
        "kind": message.kind.name,
        "sender": message.sender,
        "sequence": message.sequence,
        "stamp_ns": message.stamp_ns,
        "holds": holds,
        "bytes": len(data),
        "envelope_bytes": envelope_bytes(message.sender),
        "payload_bytes": len(message.payload),
        "signature_bytes": len(message.signature),
        "packets": packets_of(len(data)),
        "packet_bytes": PACKET_BYTES,
    }


def _holds(message: Message) -> str:
    """Return what a message holds in words, "" where its kind says it all."""
    from cosense.messages.envelope import KINDS
    from cosense.messages.objects import ObjectsPayload
    from cosense.messages.scene_graph import NodeClass, SceneGraph

    content = KINDS[message.kind].decode(message)
    if isinstance(content, SceneGraph):
        classes = Counter(NodeClass(label).name.lower() for label in content.classes)
        return f"{counted(len(content), 'node')}: {_pairs(dict(classes.most_common()))}".rstrip(": ")
    if isinstance(content, ObjectsPayload):
        return counted(len(content.detections), "object")
    return counted(len(content), "point") if message.kind.name == "POINTS" else ""


def _describe(frame: CooperativeFrame) -> dict[str, Any]:
    """Return the number of points of each agent in a frame, and of objects of each class."""
    from cosense.sensing.objects import ObjectClass

    labels = Counter(ObjectClass(label).name.lower() for label in frame.ground_truth.labels)
    return {
        "frame": frame.frame_id,
        "points": {name: len(agent.points) for name, agent in frame.agents.items()},
        "objects": dict(labels.most_common()),
    }


def _content(
    dataset: Dataset, info: DatasetInfo, first: dict[str, Any], broken: list[str], verified: bool
) -> dict[str, Any]:
    """Return all that is known of the data set, in the order in which it is printed."""
    return {
        "format": info.kind,
        "path": str(info.path),
        "label_set": info.label_set,
        "split": dataset.split,
        "frames": len(dataset),
        "frames_per_split": info.frames_per_split,
        "agents": info.agents,
        "sensors": info.sensors,
        "first_frame": first,
        "notes": info.notes,
        "verified": verified,
        "problems": list(dict.fromkeys(info.problems + broken)),
        "missing": {item.folder: list(item.names) for item in info.missing},
    }


def _print(content: dict[str, Any]) -> None:
    """Print for people: one line for each fact, problems last."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    agents: dict[str, str] = content["agents"]
    facts = {
        "format": content["format"],
        "data set": content["path"],
        "labels": content["label_set"],
        "frames": f"{content['frames']} of split {content['split']}",
        "splits": _pairs(content["frames_per_split"]),
        "agents": ", ".join(name if name == kind else f"{name} ({kind})" for name, kind in agents.items()),
        "sensors": "; ".join(content["sensors"]),
    }
    if content["first_frame"]:
        first = content["first_frame"]
        facts["first frame"] = first["frame"]
        facts["  points"] = _pairs(first["points"])
        facts["  objects"] = _pairs(first["objects"]) or "none"
    _print_facts(facts)
    for note in content["notes"]:
        console.print(harmless(f"note: {note}"), markup=False)
    problems = content["problems"]
    for problem in problems[:_LINES_SHOWN]:
        console.print(harmless(f"problem: {problem}"), markup=False, style="red")
    if len(problems) > _LINES_SHOWN:
        console.print(f"{counted(len(problems) - _LINES_SHOWN, 'more problem')}; all of them with --json")
    if content["verified"] and not problems:
        console.print("verified: every file is there and can be read", style="green")


def _print_facts(facts: dict[str, str]) -> None:
    """Print a line for each fact."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    width = max(map(len, facts))
    for name, value in facts.items():
        console.print(Text(name.ljust(width), style="bold").append(f"  {harmless(value)}", style="not bold"))


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
