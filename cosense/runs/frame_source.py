"""Where the frames of a scenario come from: a data set, a bag, or the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cosense.data.bag import BagOptions
from cosense.data.dataset import CooperativeFrame, Dataset
from cosense.data.fewer_beams_dataset import LiveFewerBeams
from cosense.errors import CosenseError
from cosense.sensing.beams.fewer import FewerBeams
from cosense.sensing.frame import AgentKind


@dataclass(frozen=True)
class SimulatedSource:
    """Frames that the player makes while it plays; see `cosense.simulation.simulate`."""

    family: str
    seed: int = 0
    vehicles: int = 1
    infrastructure: int = 1
    lidar: str = "standard"
    tilt_deg: float | None = None


@dataclass(frozen=True)
class FrameSource:
    """Where the frames come from: a data set on disk, or the simulator.

    Attributes:
        data: a data set or a bag; wins over `simulate`.
        split: part of the data set, None for its default.
        labels: label set of the data set, None for its default.
        simulate: scene to simulate where there is no `data`.
        cameras: play images too.
        bag: topics and frames that a bag does not reveal by itself.
        columns: names of the columns of clouds without a header, as "x y z intensity ring".
        region: where the labels beside clouds cover everything, as "-38,38".
        pair_gap: distance of two frames of a drive that are taken as two agents, as "20" or "20m"; empty for
            none.
        beams: number of beams to which the LiDARs of vehicles are reduced, as "16" or "16,product"; empty for
            none.
    """

    data: Path | None = None
    split: str | None = None
    labels: str | None = None
    simulate: SimulatedSource | None = None
    cameras: bool = False
    bag: BagOptions = field(default_factory=BagOptions)
    columns: str = ""
    region: str = ""
    pair_gap: str = ""
    beams: str | int = ""

    def __post_init__(self) -> None:
        if self.beams != "":
            try:
                FewerBeams.parse(self.beams)
            except CosenseError as error:
                raise ValueError(str(error)) from None


def open_source(source: FrameSource) -> Dataset:
    """Open the data set of a source that has one: every frame, with ground truth or without.

    Raises:
        CosenseError: it cannot be opened.
    """
    from cosense.data import open_dataset

    assert source.data is not None
    return open_dataset(
        source.data,
        split=source.split or "all",
        labels=source.labels,
        cameras=source.cameras,
        bag=source.bag,
        columns=source.columns,
        region=source.region,
        pair_gap=source.pair_gap,
        beams=str(source.beams),
    )


def frames_of(
    source: FrameSource, frames: int | None, dataset: Dataset | None = None
) -> Iterator[CooperativeFrame | CosenseError]:
    """Read or simulate frames one after the other; a frame that cannot be read yields its error.

    Args:
        source: origin of the frames.
        frames: number of frames, None for all.
        dataset: data set of the source, where it is open already.

    Raises:
        CosenseError: the data set cannot be opened, or the simulation does not exist.
    """
    if source.data is None:
        from cosense.simulation import simulate

        made = source.simulate
        assert made is not None
        assert frames is not None
        reduce = LiveFewerBeams(FewerBeams.parse(source.beams)) if source.beams != "" else None
        for simulated in simulate(
            made.family,
            made.seed,
            frames,
            vehicles=made.vehicles,
            infrastructure=made.infrastructure,
            lidar=made.lidar,
            tilt_deg=made.tilt_deg,
            cameras=source.cameras,
        ):
            yield simulated.frame if reduce is None else reduce(simulated.frame)
        return
    dataset = open_source(source) if dataset is None else dataset
    for index in range(len(dataset) if frames is None else min(frames, len(dataset))):
        try:
            yield dataset[index]
        except CosenseError as error:
            yield error


def cameras_of(source: FrameSource) -> dict[str, dict[str, list[float]]]:
    """Return the cameras of each agent in the first frame that can be read.

    Returns:
        the 16 numbers of `T_camera_agent`, row by row, by agent and camera.
    """
    for frame in frames_of(source, 1 if source.data is None else None):
        if not isinstance(frame, CosenseError):
            return {
                agent.agent_id: {c.name: c.T_camera_agent.reshape(-1).tolist() for c in agent.cameras}
                for agent in frame.agents.values()
            }
    return {}


def camera_names_of(source: FrameSource) -> dict[str, list[str]]:
    """Return the names of the cameras of each agent whose images are wanted, see `cameras_of`."""
    if not source.cameras:
        return {}
    if source.data is None:
        from cosense.simulation.stage import CAMERA

        # Known without the work of simulating a frame.
        return {agent_id: [CAMERA] for agent_id in agents_of(source)[0]}
    return {agent_id: list(cameras) for agent_id, cameras in cameras_of(source).items()}


def agents_of(source: FrameSource) -> tuple[dict[str, AgentKind], str]:
    """Return the kinds of the agents that take part, and the ego."""
    if source.data is None and source.simulate is not None:
        # Known without the work of simulating a frame.
        counts: dict[AgentKind, int] = {
            "vehicle": source.simulate.vehicles,
            "infrastructure": source.simulate.infrastructure,
        }
        simulated = {
            kind if number == 1 else f"{kind}_{number}": kind
            for kind, count in counts.items()
            for number in range(1, count + 1)
        }
        return simulated, "vehicle"
    agents = open_source(source).agents
    return agents, next(iter(agents))
