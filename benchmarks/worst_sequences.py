"""In which sequences is cooperation worse than the ego alone, and what does the registration say there?

    python benchmarks/worst_sequences.py [FAMILY ...]

A mean over many places hides the one place at which a wrong pose does harm. For each of a few fresh places of
a family: AP of the ego alone, of hybrid fusion with poses as sent, and with registration, each message of at
most 2 kB, with poses as wrong as between the agents of DAIR-V2X and with errors of each frame that nobody
announces. Beside that how many frames were fused by features, and the commonest reason why not.

--places, --frames and --model make it small or other.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from timing import write

from cosense.cooperation.kinds import FusionKind
from cosense.cooperation.offline import Cooperation
from cosense.cooperation.perceived import Perceiver
from cosense.data.dataset import CooperativeFrame
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.evaluation.metrics.summary import FrameScore, score, summarise_scores
from cosense.evaluation.protocol import load_protocol
from cosense.evaluation.runs.pose_noise import BelievedPoses, PoseNoise
from cosense.evaluation.sweep.lockstep import lean, result_of
from cosense.messages.reports import PeerReport
from cosense.methods.model import Model, load_model
from cosense.simulation import simulate

FIRST_SEED = 930_000
BUDGET_BYTES = 2000
FAMILIES = ("crossing", "t_junction", "underpass")
ERRORS = {
    "as measured": PoseNoise.named("dair"),
    "0.6 m each frame": PoseNoise(0.6, 0.6, is_announced=False),
}
SETTINGS: tuple[tuple[str, FusionKind, str], ...] = (
    ("ego", "none", "none"),
    ("hybrid", "hybrid", "none"),
    ("registered", "hybrid", "scene_graph"),
)
# Points of AP@0.5 below the ego alone from which on a sequence counts as harmed.
HARMED = 1.0


def sequence_row(
    job: str, frames: Sequence[CooperativeFrame], noise: PoseNoise, model: Model
) -> dict[str, Any]:
    """Return the figures of one sequence under one error of poses."""
    protocol = lean(load_protocol("simulated_riders"))
    poses = BelievedPoses(noise, 0)
    eyes = {name: Perceiver(model.detector) for name in frames[0].agents}
    teams = {
        name: Cooperation(
            model,
            fusion,
            registration=registration,
            budget_bytes=None if fusion == "none" else BUDGET_BYTES,
        )
        for name, fusion, registration in SETTINGS
    }
    scores: dict[str, list[FrameScore]] = {name: [] for name in teams}
    reports: list[PeerReport] = []
    for number, frame in enumerate(frames):
        seen = {name: eyes[name].perceive(agent) for name, agent in frame.agents.items()}
        agents = [seen[agent.agent_id].at_pose_of(agent) for agent in poses.of(frame, number)]
        points = most_points_of_one_agent(frame)
        for name, team in teams.items():
            exchange = team.step_perceived(agents, number)
            found = exchange.result.detections
            outcome = result_of(frame, points, found, exchange.bytes_per_sender, float("nan"))
            scores[name].append(score(outcome, protocol))
            if name == "registered":
                reports += exchange.result.peers
    row: dict[str, Any] = {"job": job, "frames": len(frames)}
    for name, counted in scores.items():
        ap = summarise_scores(counted, protocol)["ap"]
        row[name] = " / ".join(f"{100 * ap[iou]:.1f}" for iou in ("0.5", "0.7"))
        row[f"_{name}"] = 100 * ap["0.5"]
    row["by_features"] = sum(report.used_for == "features" for report in reports)
    reasons = Counter(re.sub(r"\d[\d.]*", "#", report.reason) for report in reports if report.reason)
    row["why_not"] = "; ".join(f"{count}x {reason}" for reason, count in reasons.most_common(1))
    row["harmed"] = "yes" if row["_registered"] < row["_ego"] - HARMED else ""
    return {key: value for key, value in row.items() if not key.startswith("_")}


def main() -> None:
    """Simulate, cooperate, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--places", type=int, default=4)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--model", default="cosense-lite")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(given.model)
    rows = []
    for family in given.families:
        for seed in range(FIRST_SEED, FIRST_SEED + given.places):
            frames = [simulated.frame for simulated in simulate(family, seed, given.frames)]
            for name, noise in ERRORS.items():
                rows.append(sequence_row(f"{family} {seed}, {name}", frames, noise, model))
                print(rows[-1], flush=True)
    write("worst_sequences", rows, "simulated by cosense")


if __name__ == "__main__":
    main()
