"""Many settings over the same frames at once: one setting is one point of a curve.

Encoding a cloud costs most, so all settings go through the frames in lock-step and share the maps of each
cloud. Nothing else is shared: each setting has agents of its own, who remember what they would if they were
alone, and a sweep of one point gives what `evaluate` gives.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import get_args

import numpy as np

from cosense.config import to_mapping
from cosense.cooperation.offline import STAMP_TOLERANCE_NS, Cooperation, Exchange
from cosense.cooperation.perceived import Perceived, Perceiver
from cosense.data.dataset import CooperativeFrame, Dataset
from cosense.detectors.base import Detector
from cosense.errors import CosenseError
from cosense.evaluation.attacks import Liars
from cosense.evaluation.consensus import CONSENSUSES, Consensus
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.evaluation.metrics.summary import FrameScore, score
from cosense.evaluation.protocol import Protocol
from cosense.evaluation.run_files import result_of
from cosense.evaluation.runs.pose_noise import BelievedPoses, PoseNoise
from cosense.evaluation.runs.runner import check_labels
from cosense.evaluation.runs.sequences import goes_on, sequence_start
from cosense.evaluation.sweep.point import Point
from cosense.geometry.boxes import transform_boxes
from cosense.geometry.iou import bev_iou
from cosense.messages.envelope import PayloadKind, decode
from cosense.messages.features import decode_features
from cosense.messages.reports import UsedFor
from cosense.methods.model import Model
from cosense.model_folders import network_tensors
from cosense.sensing.frame import AgentFrame

_FLOAT32_BYTES = 4
# A made-up box is in the result if one of at least this score overlaps it by so much.
_ACCEPTED_SCORE, _SAME_IOU = 0.3, 0.15
# Wall time between two times that what is done is kept.
_KEEP_EVERY_S = 60.0


@dataclass(frozen=True)
class CountedFrame:
    """What is kept of one frame in one setting.

    Attributes:
        score: its boxes and bytes, for the numbers of the point.
        used_for: contribution of each message that arrived.
        num_sent: number of messages that were sent.
        elements: how many numbers each FEATURES message that was sent holds.
        trust: what became of liars and others, see `trust_counts`.
        fuse_ms: how long the ego took for what it received.
    """

    score: FrameScore
    used_for: tuple[UsedFor, ...] = ()
    num_sent: int = 0
    elements: tuple[int, ...] = ()
    trust: Mapping[str, int] = field(default_factory=dict)
    fuse_ms: float = float("nan")


@dataclass
class PointResult:
    """What came out of one setting.

    Attributes:
        point: the setting.
        frames: an entry for each frame that is done, None for those that do not count.
    """

    point: Point
    frames: list[CountedFrame | None] = field(default_factory=list)

    @property
    def counted(self) -> list[CountedFrame]:
        """The frames that count."""
        return [frame for frame in self.frames if frame is not None]

    @property
    def scores(self) -> list[FrameScore]:
        return [frame.score for frame in self.counted]

    @property
    def messages_used_for(self) -> Counter[UsedFor]:
        """Number of messages that arrived, by contribution."""
        uses: Counter[UsedFor] = Counter(dict.fromkeys(get_args(UsedFor), 0))
        for frame in self.counted:
            uses.update(frame.used_for)
        return uses

    @property
    def num_sent(self) -> int:
        return sum(frame.num_sent for frame in self.counted)

    @property
    def where2comm_log2(self) -> float | None:
        """The volume as Where2comm counts it: log2 of the bytes of the selected numbers as float32 alone.

        Hu et al., "Where2comm: Communication-Efficient Collaborative Perception via Spatial Confidence Maps",
        NeurIPS 2022. None where no features were sent.
        """
        elements = [number for frame in self.counted for number in frame.elements]
        mean = float(np.mean(elements)) if elements else 0.0
        return float(np.log2(mean * _FLOAT32_BYTES)) if mean else None


@dataclass(frozen=True)
class Survey:
    """What a data set holds, seen before anything is computed.

    Attributes:
        history_ns: time between the begin of its sequence and each frame.
        num_agents: number of agents in each frame.
        period_ns: usual time between two frames of a sequence; None where no frame follows another.
    """

    history_ns: list[int]
    num_agents: list[int]
    period_ns: int | None = None

    def counted(self, longest_delay_ms: float) -> list[bool]:
        """Return which frames count: those into whose sequence the longest delay reaches back.

        Raises:
            CosenseError: there is none.
        """
        counts = [history >= longest_delay_ms * 1e6 - STAMP_TOLERANCE_NS for history in self.history_ns]
        if not any(counts):
            raise CosenseError(
                f"delay of {longest_delay_ms:g} ms: no frame has so much of its sequence before it, the "
                f"longest sequence lasts {max(self.history_ns) / 1e6:.0f} ms; take longer sequences, or "
                "shorter delays with --values"
            )
        return counts

    def sequences(self, counted: Sequence[bool]) -> list[int]:
        """Return the number of the sequence of each frame that counts."""
        numbers = np.cumsum(np.array(self.history_ns) == 0)
        return [int(number) for number in numbers[np.array(counted)]]

    def applied_delay_ms(self, delay_ms: float) -> float:
        """Return how old messages with this delay are when they are fused: they wait for the next frame."""
        if not self.period_ns:
            return delay_ms
        periods = math.ceil((delay_ms * 1e6 - STAMP_TOLERANCE_NS) / self.period_ns)
        return max(0, periods) * self.period_ns / 1e6


def survey(dataset: Dataset, limit: int | None = None) -> Survey:
    """Look through a data set, or its first frames.

    Raises:
        CosenseError: a frame that cannot be read, no ground truth, or a limit below 1.
    """
    if limit is not None and limit < 1:
        raise CosenseError(f"limit is {limit}, expected at least 1 frame")
    check_labels(dataset)
    history_ns, num_agents = [], []
    previous: CooperativeFrame | None = None
    began_ns = 0
    for index in range(len(dataset) if limit is None else min(limit, len(dataset))):
        frame = dataset[index]
        if not goes_on(previous, frame):
            began_ns = frame.ego.stamp_ns
        history_ns.append(frame.ego.stamp_ns - began_ns)
        num_agents.append(len(frame.agents))
        previous = frame
    steps_ns = [after - before for before, after in pairwise(history_ns) if after > before]
    return Survey(history_ns, num_agents, int(np.median(steps_ns)) if steps_ns else None)


def sweep(
    dataset: Dataset,
    models: Mapping[str, Model],
    points: Sequence[Point],
    protocol: Protocol,
    counted: Sequence[bool],
    *,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
    earlier: Mapping[Point, PointResult] | None = None,
    keep: Callable[[Sequence[PointResult]], None] | None = None,
) -> list[PointResult]:
    """Run all settings over the first frames of a data set.

    What is counted is `lean(protocol)`. Settings that are partly done go on from there: their agents first
    see the frames again of the sequence in which they were stopped.

    Args:
        dataset: its frames in their order.
        models: models by the names that the points use.
        points: the settings.
        protocol: what is counted.
        counted: whether boxes and bytes of each frame count; in the other frames the agents only get to know
            each other.
        seed: seed of pose noise and radio.
        progress: function that is called after each frame with the number of frames that are done.
        earlier: what an earlier call has done of these settings, with all other arguments the same.
        keep: function that is called with the results now and then, and however the call ends.

    Returns:
        one result for each point, in their order.

    Raises:
        CosenseError: a frame cannot be read, no message fits a budget, or a model cannot do what a point
            asks of it.
    """
    counting = lean(protocol)
    results = [(earlier or {}).get(point) or PointResult(point) for point in points]
    todo = [result for result in results if len(result.frames) < len(counted)]
    if not todo:
        return results
    shared = SharedPerception({name: models[name] for name in {result.point.model for result in todo}})
    runs = [_Run(result, models[result.point.model], seed) for result in todo]
    poses = {noise: BelievedPoses(noise, seed) for noise in {result.point.noise for result in todo}}
    start = sequence_start(dataset, min(len(result.frames) for result in todo))
    previous: CooperativeFrame | None = None
    kept_s = time.monotonic()
    try:
        for index in range(start, len(counted)):
            frame = dataset[index]
            if not goes_on(previous, frame):
                shared.begin()
                for run in runs:
                    run.begin(frame)
            previous = frame
            _step(frame, index, runs, shared, counting, poses, counts=counted[index])
            if progress:
                progress(index + 1)
            if keep and time.monotonic() - kept_s > _KEEP_EVERY_S:
                keep(results)
                kept_s = time.monotonic()
    finally:
        if keep:
            keep(results)
    return results


def _step(
    frame: CooperativeFrame,
    index: int,
    runs: Sequence[_Run],
    shared: SharedPerception,
    counting: Protocol,
    poses: Mapping[PoseNoise, BelievedPoses],
    *,
    counts: bool,
) -> None:
    """Take all settings through one frame."""
    perceived = shared.perceive(frame)
    teams = {noise: believed.of(frame, index) for noise, believed in poses.items()}
    num_points = most_points_of_one_agent(frame) if counts else None
    for run in runs:
        point = run.result.point
        agents = nearest_agents(frame, teams[point.noise], point.agents)
        sights = perceived[point.model]
        exchange = run.step([sights[agent.agent_id].at_pose_of(agent) for agent in agents], index)
        if index < len(run.result.frames):
            continue
        if num_points is None:
            run.result.frames.append(None)
            continue
        outcome = result_of(
            frame, num_points, exchange.result.detections, exchange.bytes_per_sender, float("nan")
        )
        run.count(exchange, score(outcome, counting), frame)


def lean(protocol: Protocol) -> Protocol:
    """Return what a sweep counts of a protocol: its main kind of overlap, no bands."""
    return replace(protocol, bands={}, iou=protocol.iou[:1])


def nearest_agents(
    frame: CooperativeFrame, agents: Sequence[AgentFrame], count: int | None
) -> list[AgentFrame]:
    """Return the ego and the others that are nearest to it, `count` in all, in the order given."""
    if count is None or count >= len(agents):
        return list(agents)
    distance_m = {
        agent_id: float(np.linalg.norm(frame.T_ego_agent(agent_id)[:2, 3])) for agent_id in frame.agents
    }
    others = sorted((agent.agent_id for agent in agents[1:]), key=lambda agent_id: distance_m[agent_id])
    chosen = {agents[0].agent_id, *others[: count - 1]}
    return [agent for agent in agents if agent.agent_id in chosen]


class _Run:
    """One setting on its way through the frames."""

    def __init__(self, result: PointResult, model: Model, seed: int) -> None:
        self.result = result
        self._model = model
        self._seed = seed
        self._radio = result.point.radio(seed)

    def begin(self, frame: CooperativeFrame) -> None:
        """Start a sequence with its first frame: agents who remember nothing."""
        point = self.result.point
        liars = None
        if point.attack is not None:
            _, *nearest = nearest_agents(frame, [frame.ego, *frame.others], 1 + point.attackers)
            names = [agent.agent_id for agent in nearest]
            honest = [agent.agent_id for agent in frame.others if agent.agent_id not in names]
            seed = [self._seed, zlib.crc32(frame.sequence.encode())]
            liars = Liars(point.attack, names, seed, honest, self._model)
        self._liars = liars
        self._cooperation = Cooperation(
            self._model,
            point.fusion,
            budget_bytes=point.budget_bytes,
            selection=point.selection,
            registration=point.registration,
            radio=self._radio,
            own_eyes=point.defence in ("own_eyes", "full"),
            evidence=point.defence == "full",
            screen=Consensus(point.defence, self._seed) if point.defence in CONSENSUSES else None,
            spoil=None if liars is None else liars.spoiled,
        )

    def step(self, agents: Sequence[Perceived], index: int) -> Exchange:
        return self._cooperation.step_perceived(agents, index)

    def count(self, exchange: Exchange, frame_score: FrameScore, frame: CooperativeFrame) -> None:
        """Keep what a frame was like, all of it or, where Ctrl-C comes in between, nothing."""
        elements = [num_elements(data, self._model) for _, data in exchange.sent]
        self.result.frames.append(
            CountedFrame(
                frame_score,
                tuple(peer.used_for for peer in exchange.result.peers),
                len(exchange.sent),
                tuple(number for number in elements if number is not None),
                trust_counts(exchange, self._liars, frame),
                exchange.fuse_ms,
            )
        )


def trust_counts(exchange: Exchange, liars: Liars | None, frame: CooperativeFrame) -> dict[str, int]:
    """Return what became of the messages of one frame and of what was made up.

    Returns:
        "honest" and "lies" count messages, but scene graphs, by whether somebody lies under their name;
        "…_refused" those that were used for nothing, "…_doubted" those whose sender is doubted; "ghosts"
        count boxes that were made up, "ghosts_accepted" those that are in the result with a score above 0.3.
    """
    counts: Counter[str] = Counter()
    for peer in exchange.result.peers:
        if peer.kind == PayloadKind.SCENE_GRAPH.name:
            continue
        who = "honest" if liars is None or liars.is_honest(peer.sender) else "lies"
        counts[who] += 1
        counts[f"{who}_refused"] += peer.used_for == "nothing"
        counts[f"{who}_doubted"] += peer.verdict == "doubted"
    found = exchange.result.detections
    boxes = found.boxes[found.scores > _ACCEPTED_SCORE]
    if liars is not None:
        for name in frame.agents.keys() & set(liars.names):
            ghosts = transform_boxes(frame.T_ego_agent(name), liars.ghosts(name))
            counts["ghosts"] += len(ghosts)
            counts["ghosts_accepted"] += int((bev_iou(ghosts, boxes) > _SAME_IOU).any(axis=1).sum())
    return dict(counts)


def num_elements(data: bytes, model: Model) -> int | None:
    """Return how many numbers of features a message holds, K cells of C channels; None if of another kind."""
    message = decode(data)
    method = model.method
    if message.kind != PayloadKind.FEATURES or method is None:
        return None
    layers = decode_features(message.payload).layers(method.specs, method.detector.grid.shape)
    return sum(layer.values.size for layer in layers)


class SharedPerception:
    """The eyes of all agents in all settings: models built on the same network share its passes."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._detectors: dict[str, Detector] = {}
        self._key_of: dict[str, str] = {}
        for name, model in models.items():
            key = self._key_of[name] = network_hash(model.detector)
            self._detectors.setdefault(key, model.detector)
        self.begin()

    def begin(self) -> None:
        """Go on to another sequence: agents who remember nothing."""
        self._perceivers: dict[tuple[str, str], Perceiver] = {}

    def perceive(self, frame: CooperativeFrame) -> dict[str, dict[str, Perceived]]:
        """Go on to a frame: return what each agent sees, by model and agent."""
        seen = {
            key: {
                agent_id: self._perceivers.setdefault((key, agent_id), Perceiver(detector)).perceive(agent)
                for agent_id, agent in frame.agents.items()
            }
            for key, detector in self._detectors.items()
        }
        return {name: seen[key] for name, key in self._key_of.items()}


def network_hash(detector: Detector) -> str:
    """Return what two detectors share only if they see the same in a cloud."""
    identity = [type(detector).__qualname__, to_mapping(detector.config), str(detector.device)]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    for name, tensor in sorted(network_tensors(detector.network).items()):
        digest.update(name.encode())
        digest.update(tensor.float().numpy().tobytes())
    return digest.hexdigest()
