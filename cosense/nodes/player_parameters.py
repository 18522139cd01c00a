"""The parameters of the player: where frames come from, how fast they are played, whose clock is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rclpy.node import Node

from cosense.config import from_mapping
from cosense.data.bag import BagOptions
from cosense.errors import CosenseError
from cosense.evaluation.runs.pose_noise import PoseNoise
from cosense.nodes.ros import process
from cosense.runs.frame_source import FrameSource, SimulatedSource
from cosense.runs.scenario import PLAYER_BOUNDS, AgentSpec, PlayerSettings


def declare_bounded(node: Node, name: str, description: str) -> float:
    """Declare one of the numbers of `PlayerSettings`."""
    low, high = PLAYER_BOUNDS[name]
    default = getattr(PlayerSettings(), name)
    return float(process.declare(node, name, default, description, low=low, high=high))


def declare_skews_ns(node: Node, agents: Sequence[str]) -> dict[str, int]:
    """Declare by how much clocks are wrong.

    Raises:
        CosenseError: not numbers, or of somebody who is not played.
    """
    skews_ms = process.declare_json(
        node, "clock_skews_ms", "JSON object: by agent, by how many milliseconds its clock is ahead"
    )
    for agent, skew_ms in skews_ms.items():
        if agent not in agents or not isinstance(skew_ms, (int, float)):
            raise CosenseError(
                f"parameter 'clock_skews_ms' of node 'player': '{agent}': {skew_ms!r}, expected "
                f"milliseconds for one of {', '.join(agents)}"
            )
    return {agent: int(skew_ms * 1e6) for agent, skew_ms in skews_ms.items()}


def declare_pose_errors(node: Node, agents: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """Declare by how much poses are wrong: x, y in the world in metres, heading in degrees.

    Raises:
        CosenseError: not three numbers, or of somebody who is not played.
    """
    errors = process.declare_json(
        node,
        "pose_errors",
        "JSON object: by agent, [x, y, heading] by which its pose is wrong, metres, degrees",
    )
    for agent, error in errors.items():
        is_error = (
            isinstance(error, list)
            and len(error) == 3
            and all(isinstance(number, (int, float)) for number in error)
        )
        if agent not in agents or not is_error:
            raise CosenseError(
                f"parameter 'pose_errors' of node 'player': '{agent}': {error!r}, expected "
                f"[x, y, heading] in metres and degrees for one of {', '.join(agents)}"
            )
    return {agent: tuple(error) for agent, error in errors.items()}


def declare_lost(node: Node, agents: Sequence[str]) -> dict[str, dict[str, tuple[int, int]]]:
    """Declare in which frames sensors send nothing: first and last, counted from 1, by agent and sensor.

    Raises:
        CosenseError: that of somebody who is not played, or no such sensor.
    """
    lost = process.declare_json(
        node, "lost", "JSON object: by agent, {lidar|camera|all: [first, last]} frame without it"
    )
    for agent, sensors in lost.items():
        if agent not in agents or not isinstance(sensors, dict):
            raise CosenseError(
                f"parameter 'lost' of node 'player': '{agent}': {sensors!r}, expected sensors of one of "
                f"{', '.join(agents)}"
            )
    where = "parameter 'lost' of node 'player'"
    return {
        agent: from_mapping(AgentSpec, {"id": agent, "lost": sensors}, where).lost
        for agent, sensors in lost.items()
    }


def declare_pose_error(node: Node) -> PoseNoise:
    """Declare the error of the poses of all but the ego, by its name.

    Raises:
        CosenseError: there is no such error.
    """
    about = "error of the poses of all but the ego: literature, dair, dair_corrected; empty for none"
    return PoseNoise.named(process.declare(node, "pose_error", "", about) or None)


def declare_source(node: Node) -> FrameSource:
    """Declare where the frames come from."""
    data = process.declare(node, "data", "", "a data set or a bag; empty to simulate")
    split = process.declare(node, "split", "", "split of the data set; empty for its default")
    labels = process.declare(node, "labels", "", "label set of the data set; empty for its default")
    cameras = process.declare(node, "cameras", False, "also play images")
    bag = process.declare_json(node, "bag", "JSON object: what a bag does not say by itself, see BagOptions")
    columns = process.declare(node, "columns", "", "of .bin and .npy clouds, as 'x y z i'; empty: by values")
    region = process.declare(node, "region", "", "where labels beside clouds cover everything, as '-38,38'")
    pair_gap = process.declare(node, "pair_gap", "", "frames of a drive as two agents, '20' or '20m' apart")
    tilt_deg = process.declare(
        node, "simulate.tilt_deg", -1.0, "of every sensor; -1: each as it is drawn", low=-1
    )
    beams = process.declare(node, "beams", "", "to which LiDARs of vehicles are reduced, as '16,product'")
    simulate = SimulatedSource(
        family=process.declare(node, "simulate.family", "crossing", "kind of scene"),
        seed=process.declare(node, "simulate.seed", 0, "of the scene", low=0, high=2**31),
        vehicles=process.declare(node, "simulate.vehicles", 1, "that measure", low=1, high=16),
        infrastructure=process.declare(node, "simulate.infrastructure", 1, "roadside units", low=0, high=16),
        lidar=process.declare(
            node, "simulate.lidar", "standard", "of every agent: standard, any, unseen, a make"
        ),
        tilt_deg=None if tilt_deg < 0 else tilt_deg,
    )
    if data:
        return FrameSource(
            data=Path(data),
            split=split or None,
            labels=labels or None,
            cameras=cameras,
            bag=from_mapping(BagOptions, bag, "parameter 'bag'"),
            columns=columns,
            region=region,
            pair_gap=pair_gap,
            beams=beams,
        )
    return FrameSource(simulate=simulate, cameras=cameras, beams=beams)
