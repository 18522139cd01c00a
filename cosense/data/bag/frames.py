"""Which messages of a bag make up its frames.

Where the bag says it (bag_record.py), as it says. Elsewhere each cloud of the ego is a frame, with the cloud
of every other agent that was measured nearest to it, within the tolerance; a gap of more than a second, or
stamps that go back, start another sequence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cosense.data.bag.file import Entry
from cosense.data.bag.frame_record import FrameRecord
from cosense.data.bag.index import BagIndex
from cosense.data.bag.timeline import Moment, with_turns
from cosense.data.bag.topics import ego_of
from cosense.data.dataset import NO_LABELS
from cosense.topics import FRAME, points_topic

_LONGEST_GAP_NS = 1_000_000_000


@dataclass(frozen=True)
class BagFrame:
    """The messages of one frame.

    Attributes:
        frame_id, sequence: as in `CooperativeFrame`.
        clouds: by agent, the ego first.
        labels: the ground truth, None where there is none of that moment.
        record: what the bag says about the frame.
    """

    frame_id: str
    sequence: str
    clouds: dict[str, Entry]
    labels: Entry | None
    record: FrameRecord | None

    @property
    def ego_id(self) -> str:
        return next(iter(self.clouds))


def frames_of(index: BagIndex) -> tuple[list[BagFrame], list[str]]:
    """Return the frames in the order of the recording, and what of the bag they leave out, one line each."""
    notes: list[str] = []
    egos = {record.ego_id for record, _ in index.records}
    wanted = index.options.ego
    is_as_recorded = not index.options.points and (wanted is None or egos == {wanted})
    frames = list((_recorded if egos and is_as_recorded else _joined)(index, notes))
    unlabelled = sum(frame.labels is None for frame in frames)
    seen = {agent_id for frame in frames for agent_id in frame.clouds}
    if frames and len(seen) < len(index.agents):
        notes.append(
            f"in no frame: {', '.join(sorted(set(index.agents) - seen))}; no cloud with a pose within "
            f"{index.options.tolerance_ms:g} ms of one of the ego"
        )
    if index.ground_truth is not None and unlabelled:
        notes.append(f"{unlabelled} frames have no ground truth of that moment in {index.ground_truth}")
    return frames, notes


def _recorded(index: BagIndex, notes: list[str]) -> Iterator[BagFrame]:
    lost = 0
    passes: Counter[str] = Counter()
    moments = _moments(index)
    for record, _ in index.records:
        clouds = {}
        for agent_id in sorted(record.agents, key=lambda name: name != record.ego_id):
            cloud = index.nearest(points_topic(agent_id), next(moments[agent_id]), 0)
            if cloud is not None and index.pose(agent_id, cloud) is not None:
                clouds[agent_id] = cloud
        lost += len(record.agents) - len(clouds)
        if record.ego_id in clouds:
            # A bag that was recorded in a loop has every frame several times.
            passes[record.frame_id] += 1
            again = f"#{passes[record.frame_id]}" if passes[record.frame_id] > 1 else ""
            is_labelled = record.label_set != NO_LABELS
            labels = _labels(index, clouds[record.ego_id]) if is_labelled else None
            yield BagFrame(record.frame_id + again, record.sequence, clouds, labels, record)
    if lost:
        notes.append(f"{lost} clouds that {FRAME} names, or their poses, are not in the bag")


def _moments(index: BagIndex) -> dict[str, Iterator[Moment]]:
    """Return for each agent when it measured what the records name, in their order."""
    named: dict[str, list[Moment]] = {}
    for record, log_ns in index.records:
        for agent_id, agent in record.agents.items():
            named.setdefault(agent_id, []).append(Moment(agent.stamp_ns, log_ns))
    return {agent_id: iter(with_turns(moments)) for agent_id, moments in named.items()}


def _joined(index: BagIndex, notes: list[str]) -> Iterator[BagFrame]:
    ego_id = index.options.ego or ego_of(index.agents)
    sequence = 0
    previous_ns: int | None = None
    without_pose: Counter[str] = Counter()
    for cloud in index.recorded(index.agents[ego_id].points):
        if index.pose(ego_id, cloud) is None:
            without_pose[ego_id] += 1
            continue
        if previous_ns is not None and not 0 <= cloud.stamp_ns - previous_ns <= _LONGEST_GAP_NS:
            sequence += 1
        previous_ns = cloud.stamp_ns
        clouds = {ego_id: cloud}
        for agent_id, agent in index.agents.items():
            other = index.nearest(agent.points, cloud.moment, index.tolerance_ns)
            if agent_id == ego_id or other is None:
                continue
            if index.pose(agent_id, other) is None:
                without_pose[agent_id] += 1
            else:
                clouds[agent_id] = other
        name = f"{sequence:03d}"
        labels = _labels(index, cloud)
        yield BagFrame(f"{name}/{cloud.stamp_ns}", name, clouds, labels, None)
    notes.extend(
        f"{count} clouds of '{agent_id}' have no valid pose within {index.options.tolerance_ms:g} ms "
        "and are not used"
        for agent_id, count in without_pose.items()
    )


def _labels(index: BagIndex, cloud: Entry) -> Entry | None:
    if index.ground_truth is None:
        return None
    return index.nearest(index.ground_truth, cloud.moment, index.tolerance_ns)
