"""A vehicle and a roadside unit find each other: `python benchmarks/scene_graph_pairs.py`.

T-junctions of seeds that nothing was trained or tuned on (settings were chosen on crossings, parked and
curved roads), boxes of cosense-lite (never ground truth), the unit's graph as it comes out of a message.
"1 frame" is `build`, more frames are a `SceneGraphBuilder`. What of a graph the other agent has too: a node
of the same kind within 1 m under the true pose. What of it the other agent could see: a car at the node's
place would have been hit, within 60 m of both. Pairs count by the smaller number of both directions. "wrong"
are poses that were accepted and are off by more than the limits of the row. Times are wall times on one
thread; that of 40 x 40 nodes is the least processor time of five. Keeps its figures beside the weights of the
product profile and puts them into docs/registration.md.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from registration_tables import keep
from timing import measure_processor, write

from cosense.detectors.base import Detector
from cosense.geometry.transforms import Matrix, invert, transform_from_planar, transform_points, yaw_of
from cosense.messages.envelope import PACKET_BYTES
from cosense.messages.scene_graph import SceneGraph, transmitted
from cosense.methods.model import load_model
from cosense.scene_graph.baselines import boxes, spectral
from cosense.scene_graph.baselines.icp import icp
from cosense.scene_graph.extract.builder import SceneGraphBuilder, build
from cosense.scene_graph.nodes import GROUP_OF
from cosense.scene_graph.register.pipeline import register_graphs
from cosense.scene_graph.register.result import Prior, RegistrationResult, Status
from cosense.sensing.levelling import LevelFrame, levelled
from cosense.sensing.visibility import visible_places
from cosense.simulation import simulate

FAMILY, FIRST_SEED, PLACES = "t_junction", 560_200, 100
FRAMES = 5
STRANGERS = 2000
AT_ALL, WITH_PRIOR = (1.0, 1.0), (0.3, 0.5)  # metres and degrees within which a pose is right
OFF_M, OFF_DEGREES = 2.0, 2.0
SAME_M, REACH_M = 1.0, 60.0
LIMIT_MS, LIMIT_BYTES, TIMED_NODES = 30, PACKET_BYTES, 40


@dataclass(frozen=True)
class Pair:
    """A vehicle (a) and a unit (b) at one moment.

    Attributes:
        graph_a, own_b: graphs as both have made them.
        graph_b: graph of b as a has read it.
        agent_a, agent_b: frames with the clouds.
        message_bytes: length of b's message.
        shared, visible: number of nodes that both have, and that both could see, see above.
    """

    graph_a: SceneGraph
    own_b: SceneGraph
    graph_b: SceneGraph
    agent_a: LevelFrame
    agent_b: LevelFrame
    message_bytes: int
    shared: int
    visible: int

    @property
    def T_a_b(self) -> Matrix:
        return invert(self.agent_a.T_world_agent) @ self.agent_b.T_world_agent


def pair_of(agents: tuple[LevelFrame, LevelFrame], graphs: tuple[SceneGraph, SceneGraph]) -> Pair:
    """Send the second graph and count what both have."""
    graph_b, message_bytes = transmitted(graphs[1])
    T_a_b = invert(agents[0].T_world_agent) @ agents[1].T_world_agent
    of_a, of_b = graphs[0].positions[:, :2], transform_points(T_a_b, graph_b.positions)[:, :2]
    far = np.linalg.norm(of_a[:, None] - of_b[None], axis=2) > SAME_M
    far |= GROUP_OF[graphs[0].classes][:, None] != GROUP_OF[graph_b.classes][None]
    shared = min((~far).any(axis=1).sum(), (~far).any(axis=0).sum())
    visible = visible_to_both(agents, (graphs[0], graph_b))
    return Pair(*graphs, graph_b, *agents, message_bytes, int(shared), visible)


def visible_to_both(agents: tuple[LevelFrame, LevelFrame], graphs: tuple[SceneGraph, SceneGraph]) -> int:
    """Return how many nodes of either graph the other agent could see, the smaller number."""
    T_a_b = invert(agents[0].T_world_agent) @ agents[1].T_world_agent
    of_a, of_b = (graph.positions for graph in graphs)
    a_at_b, b_at_a = transform_points(invert(T_a_b), of_a), transform_points(T_a_b, of_b)
    return min(
        _in_view(of_a[:, :2], a_at_b[:, :2], agents[1]), _in_view(of_b[:, :2], b_at_a[:, :2], agents[0])
    )


def _in_view(mine: np.ndarray, theirs: np.ndarray, other: LevelFrame) -> int:
    """Return how many places (N,2), in the own and the other's frame, the other one could see."""
    near = (np.hypot(*mine.T) < REACH_M) & (np.hypot(*theirs.T) < REACH_M)
    return int(visible_places(other.points, other.ground, theirs[near]).sum())


def pairs_of(seed: int, detector: Detector) -> tuple[Pair, Pair]:
    """Return the pair of the first frame of a place, and that of the last with what was seen before."""
    builders = SceneGraphBuilder(), SceneGraphBuilder()
    for number, simulated in enumerate(simulate(FAMILY, seed, FRAMES)):
        a, b = (levelled(simulated.frame.agents[name]) for name in ("vehicle", "infrastructure"))
        found = detector.detect(a), detector.detect(b)
        graphs = builders[0].update(a, found[0]), builders[1].update(b, found[1])
        if number == 0:
            first = pair_of((a, b), (build(a, found[0]), build(b, found[1])))
    return first, pair_of((a, b), graphs)


def errors_of(T: Matrix, T_true: Matrix) -> tuple[float, float]:
    """Return metres and degrees, seen from above."""
    off = invert(T_true) @ T
    return float(np.hypot(*off[:2, 3])), abs(float(np.rad2deg(yaw_of(off))))


def row(
    job: str,
    pairs: list[Pair],
    results: Iterable[RegistrationResult],
    limits: tuple[float, float],
    asked: str = "",
) -> dict[str, Any]:
    """Return how many were right, wrong and refused, with the errors of those that were accepted."""
    refused: Counter[str] = Counter()
    errors, times = [], []
    for pair, result in zip(pairs, results, strict=True):
        times.append(result.time_ms)
        if result.T_a_b is None:
            refused[result.status.value] += 1
        else:
            errors.append(errors_of(result.T_a_b, pair.T_a_b))
    right = sum(metres <= limits[0] and degrees <= limits[1] for metres, degrees in errors)
    median, most = np.percentile(errors, [50, 90], axis=0) if errors else ([None, None], [None, None])
    return {
        "job": job,
        "asked": asked,
        "pairs": len(pairs),
        "right": right,
        "right_percent": 100 * right / len(pairs) if pairs else None,
        "wrong": len(errors) - right,
        "refused": ", ".join(f"{count} {status}" for status, count in refused.most_common()) or "0",
        "median_m": median[0],
        "median_degrees": median[1],
        "p90_m": most[0],
        "p90_degrees": most[1],
        "median_ms": float(np.median(times)) if times else None,
    }


def rows_without_prior(pairs: list[Pair], frames: str) -> list[dict[str, Any]]:
    """Return a row for each number of common objects."""
    results = [register_graphs(pair.graph_a, pair.graph_b) for pair in pairs]
    rows = []
    for name, counts in (
        ("both could see", [pair.visible for pair in pairs]),
        ("both have", [pair.shared for pair in pairs]),
    ):
        for least, asked in ((0, "median 0.2 m, 0.3°"), (5, "80 % right"), (8, "95 % right")):
            chosen = [index for index, count in enumerate(counts) if count >= least]
            if least == 0 and name == "both have":
                continue
            which = f"at least {least} nodes that {name}" if least else "all pairs"
            rows.append(
                row(
                    f"no prior, {frames}: {which}",
                    [pairs[index] for index in chosen],
                    [results[index] for index in chosen],
                    AT_ALL,
                    asked,
                )
            )
    return rows


def icp_row(pairs: list[Pair], frames: str) -> dict[str, Any]:
    """Return what ICP of the whole clouds makes of the poses that were accepted, and the bytes of a cloud."""
    results = []
    for pair in pairs:
        result = register_graphs(pair.graph_a, pair.graph_b)
        if result.T_a_b is not None:
            start = time.perf_counter()
            T = icp(pair.agent_a.points, pair.agent_b.points, result.T_a_b, start_m=1.0).T_a_b
            spent_ms = result.time_ms + (time.perf_counter() - start) * 1e3
            result = replace(result, T_a_b=T, time_ms=spent_ms)
        results.append(result)
    sent = [pair.message_bytes + pair.agent_b.points[:, :3].nbytes for pair in pairs]
    job = f"no prior, {frames}: all pairs, then ICP of the clouds"
    return {**row(job, pairs, results, AT_ALL), "median_bytes": float(np.median(sent))}


def priors_of(pairs: list[Pair]) -> list[Prior]:
    """Return a prior for each pair, off by `OFF_M` in some direction and `OFF_DEGREES` to either side."""
    rng = np.random.default_rng(0)
    covariance = np.diag([OFF_M, OFF_M, np.deg2rad(OFF_DEGREES)]) ** 2
    priors = []
    for pair in pairs:
        direction, side = rng.uniform(-np.pi, np.pi), rng.choice([-1, 1])
        T = pair.T_a_b @ transform_from_planar(0, 0, side * np.deg2rad(OFF_DEGREES))
        T[:2, 3] += OFF_M * np.array([np.cos(direction), np.sin(direction)])
        priors.append(Prior(T, covariance))
    return priors


def register_clouds(pair: Pair, prior: Prior) -> RegistrationResult:
    """Return what ICP of the whole clouds says; it believes itself wherever it ends."""
    start = time.perf_counter()
    T_a_b = icp(pair.agent_a.points, pair.agent_b.points, prior.T_a_b).T_a_b
    status = Status.TOO_FEW if T_a_b is None else Status.REGISTERED
    return RegistrationResult(status, "", T_a_b, time_ms=(time.perf_counter() - start) * 1e3)


METHODS: dict[str, Callable[[Pair, Prior], RegistrationResult]] = {
    "scene graphs": lambda pair, prior: register_graphs(pair.graph_a, pair.graph_b, prior),
    "spectral (VIPS)": lambda pair, prior: spectral.register(pair.graph_a, pair.graph_b, prior),
    "box pose graph (CoAlign)": lambda pair, prior: boxes.register(pair.graph_a, pair.graph_b, prior),
    "ICP of the clouds": register_clouds,
}


def row_with_prior(pairs: list[Pair], frames: str, method: str) -> dict[str, Any]:
    """Return what a method makes of a prior that is off."""
    results = [METHODS[method](pair, prior) for pair, prior in zip(pairs, priors_of(pairs), strict=True)]
    job = f"prior off {OFF_M:g} m, {OFF_DEGREES:g} degrees, {frames}: {method}"
    return row(job, pairs, results, WITH_PRIOR, "90 % right or refused")


def strangers_row(pairs: list[Pair], frames: str) -> dict[str, Any]:
    """Return how often the vehicle of one place is put to the unit of another one."""
    places = len(pairs)
    different = [(i, (i + step) % places) for step in range(1, places) for i in range(places)]
    results = [register_graphs(pairs[i].graph_a, pairs[j].graph_b) for i, j in different[:STRANGERS]]
    refused = Counter(result.status.value for result in results if not result.registered)
    return {
        "job": f"no prior, {frames}: different places",
        "asked": "0.5 % wrong",
        "pairs": len(results),
        "wrong": sum(result.registered for result in results),
        "refused": ", ".join(f"{count} {status}" for status, count in refused.most_common()),
        "median_ms": float(np.median([result.time_ms for result in results])),
    }


def time_row(pairs: list[Pair], detector: Detector) -> dict[str, Any]:
    """Return how long an agent takes for a graph of its own and to register it with one that came."""
    spent = []
    for pair in pairs:
        a, b = (transmitted(graph, TIMED_NODES)[0] for graph in (pair.graph_a, pair.own_b))
        if min(len(a), len(b)) == TIMED_NODES:
            found = detector.detect(pair.agent_a)
            build_ms = measure_processor(lambda p=pair, d=found: build(p.agent_a, d))
            spent.append((build_ms, measure_processor(lambda one=a, other=b: register_graphs(one, other))))
    build_ms, register_ms = np.median(spent, axis=0)
    both = np.sum(spent, axis=1)
    return {
        "job": f"{TIMED_NODES} x {TIMED_NODES} nodes: build, describe, match and register",
        "asked": f"{LIMIT_MS} ms",
        "pairs": len(spent),
        "build_ms": float(build_ms),
        "register_ms": float(register_ms),
        "median_ms": float(np.median(both)),
        "p90_ms": float(np.percentile(both, 90)),
    }


def graphs_row(pairs: list[Pair], frames: str) -> dict[str, Any]:
    """Return how many nodes there are, and the bytes of a message."""
    sizes = [len(graph) for pair in pairs for graph in (pair.graph_a, pair.own_b)]
    sent_bytes = [transmitted(graph)[1] for pair in pairs for graph in (pair.graph_a, pair.own_b)]
    return {
        "job": f"graphs, {frames}",
        "asked": f"{LIMIT_BYTES} B at most",
        "pairs": len(pairs),
        "median_nodes": float(np.median(sizes)),
        "median_bytes": float(np.median([pair.message_bytes for pair in pairs])),
        "largest_bytes": max(sent_bytes),
    }


def main() -> None:
    """Simulate, register, write."""
    torch.set_num_threads(1)
    detector = load_model("cosense-lite").detector
    places = [pairs_of(FIRST_SEED + index, detector) for index in range(PLACES)]
    both = [[place[index] for place in places] for index in range(2)]
    rows = []
    for pairs, frames in zip(both, ("1 frame", f"{FRAMES} frames"), strict=True):
        rows.append(graphs_row(pairs, frames))
        rows += rows_without_prior(pairs, frames)
        rows.append(strangers_row(pairs, frames))
        rows += [row_with_prior(pairs, frames, method) for method in METHODS]
    rows.append(icp_row(both[0], "1 frame"))
    rows.append(time_row([*both[0], *both[1]], detector))
    keep(write("scene_graph_pairs", rows))


if __name__ == "__main__":
    main()
