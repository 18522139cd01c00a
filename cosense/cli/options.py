"""Options that several verbs have: which part of the data, how agents cooperate, what a bag does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cosense.data.bag import BagOptions

Split = Annotated[
    str | None, typer.Option(help="Only this split of the data set; without it all.", show_default=False)
]
Labels = Annotated[
    str | None, typer.Option(help="Label set; without it the one in place.", show_default=False)
]
Limit = Annotated[int | None, typer.Option(help="Only the first frames.", show_default=False)]
Fusion = Annotated[
    str | None,
    typer.Option(
        help="none (the ego alone), late (boxes), early (points), intermediate (features) or hybrid "
        "(features and boxes). Without it: hybrid for a model that shares features, else late.",
        show_default=False,
    ),
]
Budget = Annotated[int | None, typer.Option(help="Limit of each message in bytes.", show_default=False)]

_PANEL = "Bags, where topics are not found by themselves"

Points = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AGENT=TOPIC",
        help="LiDAR of an agent; with it, only the agents that are named. May be repeated.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Pose = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AGENT=TOPIC",
        help="Poses or odometry of an agent, or AGENT=tf for the transforms. May be repeated.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Ego = Annotated[
    str | None,
    typer.Option(help="Agent whose view counts.", show_default=False, rich_help_panel=_PANEL),
]
World = Annotated[
    str | None,
    typer.Option(help="Frame of the poses from transforms.", show_default=False, rich_help_panel=_PANEL),
]
GroundTruth = Annotated[
    str | None,
    typer.Option(metavar="TOPIC", help="Labels.", show_default=False, rich_help_panel=_PANEL),
]
Tolerance = Annotated[
    float,
    typer.Option(
        min=0.0,
        help="Milliseconds between clouds, poses, images and labels that belong together.",
        rich_help_panel=_PANEL,
    ),
]


def bag_options(
    points: list[str] | None,
    pose: list[str] | None,
    ego: str | None,
    world: str | None,
    ground_truth: str | None,
    tolerance_ms: float,
) -> BagOptions:
    """Return what was given.

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
    )
