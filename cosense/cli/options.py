"""Options that several verbs have: what a bag does not say by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cosense.data.bag_options import BagOptions

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
    from cosense.data.bag_options import BagOptions, by_agent

    return BagOptions(
        points=by_agent(",".join(points or ()), "--points "),
        pose=by_agent(",".join(pose or ()), "--pose "),
        ego=ego,
        world=world,
        ground_truth=ground_truth,
        tolerance_ms=tolerance_ms,
    )
