"""How much of the gain of true poses is left where poses are wrong, and where is the ego alone better?

    python benchmarks/worst_sequences.py [FAMILY ...]

A mean over many places hides the one place at which a wrong pose does harm. For a few fresh places of each
family: AP@0.5 and AP@0.7 of the ego alone, of hybrid fusion with true poses, and of hybrid fusion with
registration where poses are as wrong as between the agents of DAIR-V2X, or have errors of each frame that
nobody announces. Each message has at most 2 kB. `gain` is the share of what true poses gain over the ego
alone, counted over all frames of a family; `worst` is the sequence in which most is lost against the ego
alone, in points. Beside that how many messages were fused by their features, and the commonest reason why
not.

--places, --frames, --errors and --model make it small or other.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from timing import write

from cosense.cooperation.offline import Cooperation
from cosense.cooperation.perceived import Perceiver
from cosense.data.dataset import CooperativeFrame
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.evaluation.metrics.summary import FrameScore, score, summarise_scores
from cosense.evaluation.protocol import Protocol, load_protocol
from cosense.evaluation.runs.pose_noise import BelievedPoses, PoseNoise
from cosense.evaluation.sweep.lockstep import lean, result_of
from cosense.messages.reports import PeerReport
from cosense.methods.model import Model, load_model
from cosense.simulation import FAMILIES, simulate

FIRST_SEED = 930_000
BUDGET_BYTES = 2000
ERRORS = {
    "as measured": PoseNoise.named("dair"),
    **{f"{m:g} m each frame": PoseNoise(m, m, is_announced=False) for m in (0.2, 0.6, 1.0)},
}
ALONE, TRUE = "ego alone", "true poses"


@dataclass
class Judged:
    """One sequence, or several: the scores of each frame by what was done, and what was made of messages."""

    scores: dict[str, list[FrameScore]] = field(default_factory=lambda: defaultdict(list))
    reports: dict[str, list[PeerReport]] = field(default_factory=lambda: defaultdict(list))

    def add(self, other: Judged) -> None:
        """Take in another sequence."""
        for name, scores in other.scores.items():
            self.scores[name] += scores
            self.reports[name] += other.reports[name]

    def ap(self, name: str, protocol: Protocol) -> NDArray[np.float64]:
        """Return AP@0.5 and AP@0.7 in percent."""
        ap = summarise_scores(self.scores[name], protocol)["ap"]
        return 100 * np.array([ap["0.5"], ap["0.7"]])


def judged(
    frames: Sequence[CooperativeFrame], errors: Mapping[str, PoseNoise], model: Model, protocol: Protocol
) -> Judged:
    """Let the agents of one sequence cooperate in every way."""
    hybrid = {"fusion": "hybrid", "budget_bytes": BUDGET_BYTES}
    teams = {
        ALONE: Cooperation(model, "none", registration="none"),
        TRUE: Cooperation(model, registration="none", **hybrid),
        **{name: Cooperation(model, registration="scene_graph", **hybrid) for name in errors},
    }
    poses = {name: BelievedPoses(errors.get(name, PoseNoise()), 0) for name in teams}
    eyes = {name: Perceiver(model.detector) for name in frames[0].agents}
    result = Judged()
    for number, frame in enumerate(frames):
        seen = {name: eyes[name].perceive(agent) for name, agent in frame.agents.items()}
        points = most_points_of_one_agent(frame)
        for name, team in teams.items():
            agents = [seen[agent.agent_id].at_pose_of(agent) for agent in poses[name].of(frame, number)]
            exchange = team.step_perceived(agents, number)
            found = exchange.result.detections
            outcome = result_of(frame, points, found, exchange.bytes_per_sender, float("nan"))
            result.scores[name].append(score(outcome, protocol))
            result.reports[name] += [one for one in exchange.result.peers if one.kind != "SCENE_GRAPH"]
    return result


def family_row(job: str, error: str, places: Mapping[str, Judged], protocol: Protocol) -> dict[str, Any]:
    """Return the figures of several sequences, by their names, under one error of poses."""
    together = Judged()
    lost = {}
    for name, place in places.items():
        together.add(place)
        lost[name] = place.ap(error, protocol) - place.ap(ALONE, protocol)
    alone, true, registered = (together.ap(name, protocol) for name in (ALONE, TRUE, error))
    reports = together.reports[error]
    reasons = Counter(re.sub(r"\d[\d.]*", "#", report.reason) for report in reports if report.reason)
    row = {
        "job": f"{job}, {error}",
        "frames": len(together.scores[error]),
        ALONE: _both(alone),
        TRUE: _both(true),
        "registered": _both(registered),
        "gain %": " / ".join(
            f"{100 * share:.0f}" if gained > 0 else ""
            for share, gained in zip((registered - alone) / (true - alone), true - alone, strict=True)
        ),
        "by_features": f"{sum(report.used_for == 'features' for report in reports)} of {len(reports)}",
        "why_not": "; ".join(f"{count}x {reason}" for reason, count in reasons.most_common(1)),
    }
    for index, iou in enumerate(("0.5", "0.7")):
        name = min(lost, key=lambda one: lost[one][index])
        row[f"worst @{iou}"] = f"{lost[name][index]:+.1f} ({name})"
    return row


def _both(ap: NDArray[np.float64]) -> str:
    return " / ".join(f"{one:.1f}" for one in ap)


def main() -> None:
    """Simulate, cooperate, write."""
    parser = argparse.ArgumentParser()
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    parser.add_argument("--places", type=int, default=20)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--errors", nargs="*", default=list(ERRORS), choices=ERRORS)
    parser.add_argument("--model", default="cosense-lite")
    given = parser.parse_args()
    torch.set_num_threads(1)
    model, protocol = load_model(given.model), lean(load_protocol("simulated_riders"))
    errors = {name: ERRORS[name] for name in given.errors}
    rows, everything = [], {}
    for family in given.families:
        places = {}
        for seed in range(FIRST_SEED, FIRST_SEED + given.places):
            frames = [simulated.frame for simulated in simulate(family, seed, given.frames)]
            places[f"{family} {seed}"] = judged(frames, errors, model, protocol)
        everything |= places
        rows += [family_row(family, name, places, protocol) for name in errors]
        print(*rows[-len(errors) :], sep="\n", flush=True)
    rows += [family_row("all", name, everything, protocol) for name in errors]
    write("worst_sequences", rows)


if __name__ == "__main__":
    main()
