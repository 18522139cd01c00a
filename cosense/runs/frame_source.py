"""Where the frames of a scenario come from: a data set, a bag, or the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cosense.data.bag.options import BagOptions
from cosense.data.dataset import CooperativeFrame, Dataset
from cosense.errors import CosenseError
from cosense.sensing.frame import AgentKind


@dataclass(frozen=True)
class SimulatedSource:
    """Frames that the player makes while it plays; see `cosense.simulation.simulate`."""

    family: str
    seed: int = 0
    vehicles: int = 1
    infrastructure: int = 1


@dataclass(frozen=True)
class FrameSource:
    """Where the frames come from: a data set on disk, or the simulator.

    Attributes:
        data: a data set or a bag; wins over `simulate`.
        split: of the data set, None for its default.
        labels: label set of the data set, None for its default.
        simulate: used where there is no `data`.
        cameras: also play images.
        bag: of a bag, what it does not say by itself.
    """

    data: Path | None = None
    split: str | None = None
    labels: str | None = None
    simulate: SimulatedSource | None = None
    cameras: bool = False
    bag: BagOptions = field(default_factory=BagOptions)


def open_source(source: FrameSource) -> Dataset:
    """Open the data set of a source that has one; of a bag every frame, with ground truth or without.

    Raises:
        CosenseError: it cannot be opened.
    """
    from cosense.data.recognise import is_bag, open_dataset

    assert source.data is not None
    split = source.split or ("all" if is_bag(source.data) else None)
    return open_dataset(
        source.data, split=split, labels=source.labels, cameras=source.cameras, bag=source.bag
    )


def frames_of(
    source: FrameSource, frames: int | None, dataset: Dataset | None = None
) -> Iterator[CooperativeFrame | CosenseError]:
    """Read or simulate frames one after the other; a frame that cannot be read yields its error.

    Args:
        source: where they come from.
        frames: how many, None for all.
        dataset: of the source, where it is open already.

    Raises:
        CosenseError: the data set cannot be opened, or the simulation does not exist.
    """
    if source.data is None:
        from cosense.simulation import simulate

        made = source.simulate
        assert made is not None
        assert frames is not None
        for simulated in simulate(
            made.family,
            made.seed,
            frames,
            vehicles=made.vehicles,
            infrastructure=made.infrastructure,
            cameras=source.cameras,
        ):
            yield simulated.frame
        return
    dataset = open_source(source) if dataset is None else dataset
    for index in range(len(dataset) if frames is None else min(frames, len(dataset))):
        try:
            yield dataset[index]
        except CosenseError as error:
            yield error


def agents_of(source: FrameSource) -> tuple[dict[str, AgentKind], str]:
    """Return the agents of the first frame that can be read with their kinds, and its ego."""
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
    from cosense.data.bag.dataset import BagDataset

    dataset = open_source(source)
    if isinstance(dataset, BagDataset):
        # Not everybody is heard when a recording starts.
        return dataset.agents, next(iter(dataset.agents))
    broken: CosenseError | None = None
    for frame in frames_of(source, None, dataset):
        if not isinstance(frame, CosenseError):
            return {agent_id: agent.kind for agent_id, agent in frame.agents.items()}, frame.ego_id
        broken = broken or frame
    raise broken or CosenseError(f"{source.data}: no frames to play")
