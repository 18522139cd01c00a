"""Options that several verbs share: which part of the data, how agents cooperate, which topics of a bag."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cosense.data.bag import BagOptions

Split = Annotated[
    str | None, typer.Option(help="Use only this split of the data set.", show_default="all frames")
]
Labels = Annotated[
    str | None, typer.Option(help="Label set to use.", show_default="the one that is in place")
]
# All verbs say --frames; --limit is the earlier word of those that had another one.
Limit = Annotated[
    int | None,
    typer.Option("--frames", "--limit", min=1, help="Use only the first frames.", show_default="all"),
]
Fusion = Annotated[
    str | None,
    typer.Option(
        help="none (the ego alone), late (boxes), early (points), intermediate (features) or hybrid "
        "(features and boxes).",
        show_default="hybrid for a model that shares features, else late",
    ),
]
Budget = Annotated[
    int | None,
    typer.Option(min=1, help="What an agent may send in a frame, in bytes.", show_default="no limit"),
]

ProtocolName = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="dair_v2x_official, opencood, opencood_participants, opencood_unsorted, real_frames, "
        "real_pairs, simulated, or your own file.yaml. Without it: simulated for data simulated by cosense, "
        "real_frames for clouds with labels beside them (real_pairs for pairs of them), else "
        "opencood_participants.",
        show_default=False,
    ),
]
Region = Annotated[
    str,
    typer.Option(
        metavar="DEGREES",
        help="Where the labels beside clouds cover everything, as --region=-38,38, or all.",
        show_default="as region.yaml says, else as the labels show",
    ),
]
PairGap = Annotated[
    str,
    typer.Option(
        metavar="FRAMES",
        help="Take two frames of a drive with poses, so far apart, as two agents: in numbers, as 20, or in "
        "metres, as 20m.",
        show_default="one agent",
    ),
]
PoseError = Annotated[
    str | None,
    typer.Option(
        "--pose-error",
        metavar="NAME",
        help="Error of the poses between the agents: literature (0.2 m, 0.2 degrees and 100 ms), dair (as "
        "measured on DAIR-V2X, unannounced) or dair_corrected.",
        show_default="none",
    ),
]
Columns = Annotated[
    str,
    typer.Option(
        metavar="NAMES",
        help='Columns of .bin and .npy clouds, as "x y z intensity ring".',
        show_default="told by their values",
    ),
]
Beams = Annotated[
    str,
    typer.Option(
        metavar="BEAMS",
        help="Reduce the LiDARs of vehicles to so many beams: 16 evenly spread ones, 16,product those of a "
        "16-beam LiDAR, 16,azimuth/2 with half the points each, 16,all those of roadside units too; 0 for "
        "no LiDAR at all.",
        show_default="all beams",
    ),
]
Images = Annotated[
    str,
    typer.Option(
        metavar="WORDS",
        help="For models that take images: none (lost), cameras that are off by 0.5 degrees and 5 cm (off), "
        "images of the next frame or of the one before (later, earlier), without knowing how the agent moves "
        "until then (unmoved). As lost, or later,unmoved.",
        show_default="as they are",
    ),
]

_PANEL = "Topics of a bag, where they are not found automatically"


def _option(help: str, **settings: Any) -> Any:
    return typer.Option(help=help, show_default=False, rich_help_panel=_PANEL, **settings)


def read_bag_options(
    points: Annotated[
        list[str] | None,
        _option(
            "LiDAR topic of an agent. May be repeated; only the agents named here then take part.",
            metavar="AGENT=TOPIC",
        ),
    ] = None,
    pose: Annotated[
        list[str] | None,
        _option(
            "Pose or odometry topic of an agent, AGENT=TOPIC@FRAME to say whose pose it is, or AGENT=tf for "
            "the transforms. May be repeated.",
            metavar="AGENT=TOPIC",
        ),
    ] = None,
    ego: Annotated[str | None, _option("Agent whose view is evaluated.")] = None,
    world: Annotated[str | None, _option("Frame in which all agents are placed.")] = None,
    ground_truth: Annotated[str | None, _option("Topic of the labels.", metavar="TOPIC")] = None,
    tolerance_ms: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Largest time in milliseconds between clouds of two agents, images and labels of a frame.",
            rich_help_panel=_PANEL,
        ),
    ] = 50.0,
    pose_gap_ms: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Largest time in milliseconds between two poses for the way between them to be known.",
            rich_help_panel=_PANEL,
        ),
    ] = 1100.0,
) -> BagOptions:
    """Return the options of a bag from those of the command line.

    Raises:
        CosenseError: a word is not AGENT=TOPIC, or an agent is named twice.
    """
    from cosense.data.bag import BagOptions, by_agent

    return BagOptions(
        points=by_agent(",".join(points or ()), "--points "),
        pose=by_agent(",".join(pose or ()), "--pose "),
        ego=ego,
        world=world,
        ground_truth=ground_truth,
        tolerance_ms=tolerance_ms,
        pose_gap_ms=pose_gap_ms,
    )


def takes_bag_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Decorate a verb that has a parameter `bag_options`: its own options are those of `read_bag_options`."""
    own, added = _parameters(verb), _parameters(read_bag_options)
    del own["bag_options"]

    @functools.wraps(verb)
    def command(**given: Any) -> None:
        bag_options = read_bag_options(**{name: given.pop(name) for name in added if name in given})
        verb(**given, bag_options=bag_options)

    # What typer reads; the annotations of the verb, which `wraps` has copied, name `bag_options`.
    command.__signature__ = inspect.Signature([*own.values(), *added.values()])  # type: ignore[attr-defined]
    command.__annotations__ = {}
    return command


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function as keywords, with annotations that are evaluated."""
    hints = typing.get_type_hints(function, localns={"BagOptions": object}, include_extras=True)
    return {
        name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
        for name, parameter in inspect.signature(function).parameters.items()
    }
