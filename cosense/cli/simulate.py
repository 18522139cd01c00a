"""`cosense simulate`: makes a data set of road scenes from a seed."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from cosense.cli.ctrl_c import stoppable
from cosense.errors import CosenseError, counted, nearest


class Layout(str, Enum):
    """Data set formats that can be written."""

    DAIR_V2X = "dair-v2x"
    OPV2V = "opv2v"


def command(
    out: Annotated[Path, typer.Option(help="Folder of the data set; new or empty.", show_default=False)],
    frames: Annotated[int, typer.Option(min=1, help="Number of frames, at 10 Hz.")] = 50,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first sequence; each further one takes the next seed.")
    ] = 0,
    layout: Annotated[Layout, typer.Option(help="Format of the data set.")] = Layout.DAIR_V2X,
    scene: Annotated[
        str,
        typer.Option(
            help="Families of scenes: crossing, parked_road, curved_road, car_park, residential, arterial, "
            "rural_road (from which the shipped models learn), t_junction, roundabout, underpass (which they "
            "have not seen); training, unseen or all for several."
        ),
    ] = "crossing",
    sequence_frames: Annotated[
        int | None,
        typer.Option(
            min=1, help="Frames in each sequence.", show_default="one sequence for each family of scenes"
        ),
    ] = None,
    agents: Annotated[
        str, typer.Option(help="Number of instrumented vehicles and of roadside units.")
    ] = "vehicle=1,infrastructure=1",
    split: Annotated[
        str | None,
        typer.Option(help="Split of all frames.", show_default="val; validate for the layout opv2v"),
    ] = None,
    lidar: Annotated[
        str,
        typer.Option(
            help="LiDARs of the agents: standard (those of DAIR-V2X, in fair weather), any (drawn from many "
            "makes, in any weather), unseen (likewise, of makes that training does not draw), or one make."
        ),
    ] = "standard",
    tilt: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=15,
            help="Roll and pitch of all LiDARs in degrees, each to either side.",
            show_default="drawn",
        ),
    ] = None,
    cameras: Annotated[bool, typer.Option("--cameras", help="Also render an image for each agent.")] = False,
) -> None:
    """Simulate what vehicles and roadside units measure together, and write it as a data set.

    The same command always writes the same bytes, on any number of cores: it uses all that it may. Several
    families of scenes take turns.

    Example: cosense simulate --out data/train --frames 200 --sequence-frames 20 --scene crossing,car_park
    """
    from rich.console import Console

    from cosense.progress import tracked
    from cosense.simulation.dair_v2x_writer import write_dair_v2x
    from cosense.simulation.opv2v_writer import write_opv2v
    from cosense.simulation.parallel import simulate_all

    vehicles, infrastructure = parse_agents(agents)
    if layout is Layout.DAIR_V2X and (vehicles, infrastructure) != (1, 1):
        raise CosenseError(
            f"--agents '{agents}': the layout dair-v2x holds vehicle=1,infrastructure=1; use --layout opv2v"
        )
    if split is not None and not re.fullmatch(r"[\w-]+", split):
        raise CosenseError(f"--split '{split}': expected letters, digits, '-' and '_' only")
    plan = plan_sequences(parse_families(scene), seed, frames, sequence_frames)
    console = Console()
    made = simulate_all(
        plan,
        vehicles=vehicles,
        infrastructure=infrastructure,
        cameras=cameras,
        lidar=lidar,
        tilt_deg=tilt,
    )
    source = {"scene": scene, "seed": seed, "frames": frames, "agents": agents, "cameras": cameras}
    source |= {"lidar": lidar, "tilt_deg": tilt}
    write = write_dair_v2x if layout is Layout.DAIR_V2X else write_opv2v
    with (
        stoppable(console, lambda: _left_behind(out)),
        tracked(made, frames, "frames", console) as shown,
    ):
        count = write(shown, out, source=source, **({} if split is None else {"split": split}))
    said = f"{out}: {counted(count, 'frame')} in {counted(len(plan), 'sequence')}"
    console.print(said, markup=False, soft_wrap=True)


def parse_agents(text: str) -> tuple[int, int]:
    """Read "vehicle=2,infrastructure=1" as (2, 1).

    A kind that is not named has no agents, except that there is always an ego.

    Raises:
        CosenseError: another kind of agent, or no number.
    """
    counts = {"vehicle": 1, "infrastructure": 0}
    for part in text.split(","):
        kind, _, count = part.strip().partition("=")
        if kind not in counts:
            raise CosenseError(f"--agents '{text}': unknown kind '{kind}', {nearest(kind, counts)}")
        if not re.fullmatch(r"\d{1,3}", count):
            raise CosenseError(f"--agents '{text}': expected {kind}=NUMBER")
        counts[kind] = int(count)
    return counts["vehicle"], counts["infrastructure"]


def parse_families(text: str) -> list[str]:
    """Read the families of scenes, separated by commas, or a word for several of them.

    Raises:
        CosenseError: there is no such family.
    """
    from cosense.simulation import FAMILIES, TRAINING_FAMILIES, UNSEEN_FAMILIES

    several = {"all": FAMILIES, "training": TRAINING_FAMILIES, "unseen": UNSEEN_FAMILIES}
    chosen: list[str] = []
    for name in (part.strip() for part in text.split(",")):
        if name not in (*FAMILIES, *several):
            raise CosenseError(f"--scene '{name}' is unknown, {nearest(name, (*FAMILIES, *several))}")
        chosen += several.get(name, (name,))
    return chosen


def plan_sequences(
    families: list[str], seed: int, frames: int, sequence_frames: int | None
) -> list[tuple[str, int, int]]:
    """Distribute frames over sequences; return family, seed and number of frames of each sequence."""
    each = sequence_frames or -(-frames // len(families))
    starts = range(0, frames, each)
    return [
        (families[number % len(families)], seed + number, min(each, frames - start))
        for number, start in enumerate(starts)
    ]


def _left_behind(out: Path) -> str:
    """Return what a stopped run has left behind, as a reader of the data set sees it."""
    from cosense.data import open_dataset

    try:
        frames = len(open_dataset(out))
    except CosenseError:
        return f"No frame was finished: {out} holds no data set, remove it or name another."
    return (
        f"{out} is a complete data set of the frames so far, {frames}; the same command with another --out "
        "makes all of them."
    )
