"""What two agents see alike: `python benchmarks/scene_graph.py FAMILY FIRST LAST [FRAMES]`.

For each seed a vehicle and a roadside unit look at one scene of the simulation, with the boxes of
`cosense-lite`. A node of one agent is in common view where the other one could see a car at its place, both
within 60 m. It is repeated when the other one has a node of the same kind within 0.5 m after the true pose.
Poles and trunks count as one kind: a vehicle near a tree does not see its crown. With FRAMES > 1 the graphs
are those of a `SceneGraphBuilder` after so many frames. Times are processor time of one thread.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from cosense.geometry.transforms import invert, transform_points
from cosense.messages.scene_graph import NodeClass, SceneGraph
from cosense.methods.model import load_model
from cosense.scene_graph.extract.builder import SceneGraphBuilder
from cosense.sensing.levelling import LevelFrame, levelled
from cosense.sensing.visibility import visible_places
from cosense.simulation import simulate

KINDS = {
    "vehicle": (NodeClass.VEHICLE,),
    "person, rider": (NodeClass.PERSON, NodeClass.RIDER),
    "pole, trunk": (NodeClass.POLE, NodeClass.TRUNK),
    "corner": (NodeClass.CORNER,),
    "wall": (NodeClass.WALL,),
}
WITHIN_M, REACH_M = 0.5, 60.0


def errors_of(
    seen: NDArray[np.float64], other: NDArray[np.float64], T_other_seen: NDArray, view: LevelFrame
) -> NDArray[np.float64]:
    """Return for each node in common view the distance to the other agent's nearest, at most inf."""
    places = transform_points(T_other_seen, seen)
    near = (np.hypot(*seen[:, :2].T) < REACH_M) & (np.hypot(*places[:, :2].T) < REACH_M)
    places = places[near]
    places = places[visible_places(view.points, view.ground, places[:, :2])]
    if not len(other):
        return np.full(len(places), np.inf)
    return np.asarray(cKDTree(other[:, :2]).query(places[:, :2])[0])


def main(family: str, first: int, last: int, frames: int) -> None:
    """Print a line for each kind of node."""
    detector = load_model("cosense-lite").detector
    found: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    times_ms: dict[str, list[float]] = defaultdict(list)
    nodes: dict[str, list[int]] = defaultdict(list)
    for seed in range(first, last + 1):
        builders = {name: SceneGraphBuilder() for name in ("vehicle", "infrastructure")}
        graphs: dict[str, SceneGraph] = {}
        for simulated in simulate(family, seed, frames):
            agents = {name: levelled(agent) for name, agent in simulated.frame.agents.items()}
            for name, agent in agents.items():
                detections = detector.detect(agent)
                start = time.thread_time()
                graphs[name] = builders[name].update(agent, detections)
                times_ms[name].append((time.thread_time() - start) * 1e3)
        for one, other in (("vehicle", "infrastructure"), ("infrastructure", "vehicle")):
            view = agents[other]
            T = invert(view.T_world_agent) @ agents[one].T_world_agent
            nodes[one].append(len(graphs[one]))
            for kind, classes in KINDS.items():
                mine, theirs = (
                    graph.positions[np.isin(graph.classes, classes)] for graph in (graphs[one], graphs[other])
                )
                found[f"{kind}, {one} to {other}"].append(errors_of(mine, theirs, T, view))
    print(f"{family}, seeds {first} to {last}, frame {frames}")
    for name, parts in found.items():
        errors = np.concatenate(parts)
        repeated = errors[errors <= WITHIN_M]
        share = len(repeated) / max(len(errors), 1)
        median = f"{np.median(repeated):.2f} m" if len(repeated) else "-"
        print(f"{name:40} {len(errors):4} in common view, repeated {share:5.0%}, median {median}")
    for name in nodes:
        median_ms = np.median(times_ms[name])
        print(f"{name:15} {np.median(nodes[name]):4.0f} nodes, {median_ms:5.1f} ms a frame (median)")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 1)
