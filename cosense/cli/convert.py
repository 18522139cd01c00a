"""`cosense convert`: writes any data set as a bag of ROS 2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cosense.cli.ctrl_c import stoppable
from cosense.cli.options import Beams, Columns, Labels, Limit, takes_bag_options
from cosense.errors import CosenseError, counted

if TYPE_CHECKING:
    from rich.console import Console

    from cosense.data.bag import BagOptions
    from cosense.data.dataset import CooperativeFrame, Dataset


@takes_bag_options
def command(
    dataset: Annotated[Path, typer.Argument(help="A data set, or another bag.", show_default=False)],
    out: Annotated[
        Path,
        typer.Argument(help="FILE.mcap, or a folder for an MCAP file and metadata.yaml.", show_default=False),
    ],
    *,
    split: Annotated[
        str | None, typer.Option(help="Write only this split.", show_default="all frames")
    ] = None,
    labels: Labels = None,
    columns: Columns = "",
    beams: Beams = "",
    cameras: Annotated[bool, typer.Option("--cameras", help="Also write images, as JPEG.")] = False,
    raw_images: Annotated[
        bool, typer.Option("--raw-images", help="Also write images, uncompressed.")
    ] = False,
    limit: Limit = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out unreadable frames.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a bag that exists already.")] = False,
    bag_options: BagOptions,
) -> None:
    """Write a data set as a bag of ROS 2: clouds, poses, images, transforms, ground truth, with real stamps.

    Each agent has a namespace of its own, with the topics of docs/live.md. Every verb that opens the data set
    also opens the bag.

    Example: cosense convert results/demo/sequence demo.mcap --cameras
    """
    from rich.console import Console

    from cosense.data import open_dataset
    from cosense.data.bag.writer import check_out, write_bag
    from cosense.progress import tracked

    console = Console()
    check_out(out, force=force)
    source = open_dataset(
        dataset,
        split=split or "all",
        labels=labels,
        cameras=cameras or raw_images,
        bag=bag_options,
        columns=columns,
        beams=beams,
    )
    images: Counter[str] = Counter()
    kept = (
        f"A bag gets its name only once it is complete, so there is no {out}: start again, or use --frames."
    )
    total = len(source) if limit is None else min(limit, len(source))
    with (
        stoppable(console, lambda: kept),
        tracked(range(total), total, "frames", console) as indices,
    ):
        count = write_bag(
            _frames(source, indices, skip_broken, images, console),
            out,
            label_set=source.label_set,
            raw_images=raw_images,
            force=force,
        )
    console.print(f"{counted(count, 'frame')} in {out}", soft_wrap=True, markup=False, highlight=False)
    lacking = [agent for agent, number in images.items() if not number]
    if (cameras or raw_images) and lacking:
        whose = "" if len(lacking) == len(images) else f" of {', '.join(lacking)}"
        console.print(f"note: {dataset} has no images{whose}: written without", soft_wrap=True, markup=False)


def _frames(
    dataset: Dataset, indices: Iterable[int], skip_broken: bool, images: Counter[str], console: Console
) -> Iterator[CooperativeFrame]:
    """Yield the frames, and count the images of each agent into `images`."""
    for index in indices:
        try:
            frame = dataset[index]
        except CosenseError as error:
            if not skip_broken:
                raise
            console.print(f"left out: {error}", soft_wrap=True, markup=False, style="yellow")
            continue
        images.update({agent_id: len(agent.cameras) for agent_id, agent in frame.agents.items()})
        yield frame
