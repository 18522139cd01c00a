"""Trees in the layout of OPV2V: which scenarios they hold, who takes part in them, and when."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosense.data.files import Listing
from cosense.sensing.frame import AgentKind

_AGENT = re.compile(r"-?\d+")
CLOUD = re.compile(r"(\d+)\.pcd")
_FRAME_FILE = re.compile(r"(\d+)\.(pcd|yaml)")


@dataclass(frozen=True)
class Scenario:
    """A folder of agents that drove together.

    Attributes:
        name: name of the folder.
        split: name of the split that the scenario belongs to.
        folder: path of the folder.
        agents: folder names of the agents, the ego first.
        stamps: file names without suffix of the frames that can be used.
    """

    name: str
    split: str
    folder: Path
    agents: tuple[str, ...]
    stamps: tuple[str, ...]


def find_scenarios(root: Path, listing: Listing) -> dict[str, list[Path]]:
    """Return the scenario folders of each split below `root`; "all" where the tree has no level of splits."""
    if _is_scenario(root, listing):
        return {"all": [root]}
    found: dict[str, list[Path]] = {}
    for child in _folders(root):
        if _is_scenario(child, listing):
            found.setdefault("all", []).append(child)
            continue
        scenarios = [folder for folder in _folders(child) if _is_scenario(folder, listing)]
        if scenarios:
            found[child.name] = scenarios
    return found


def kind_of_agent(agent: str) -> AgentKind:
    return "infrastructure" if agent.startswith("-") else "vehicle"


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir())


def _is_scenario(folder: Path, listing: Listing) -> bool:
    return any(
        _AGENT.fullmatch(name) and any(map(CLOUD.fullmatch, listing.names(folder / name)))
        for name in listing.names(folder)
    )


def read_scenario(folder: Path, split: str, listing: Listing) -> Scenario:
    """Return a scenario with the stamps for which the ego has a cloud and labels."""
    agents = sorted(
        (n for n in listing.names(folder) if _AGENT.fullmatch(n) and listing.names(folder / n)), key=int
    )
    vehicles = [agent for agent in agents if kind_of_agent(agent) == "vehicle"]
    units = [agent for agent in agents if kind_of_agent(agent) == "infrastructure"]
    stamps: list[str] = []
    if vehicles:
        names = listing.names(folder / vehicles[0])
        clouds = [match[1] for match in map(CLOUD.fullmatch, names) if match]
        stamps = sorted((stamp for stamp in clouds if f"{stamp}.yaml" in names), key=int)
    return Scenario(folder.name, split, folder, (*vehicles, *units), tuple(stamps))


def all_stamps(scenario: Scenario, listing: Listing) -> set[str]:
    """Return the stamps for which any agent has any file."""
    names = (name for agent in scenario.agents for name in listing.names(scenario.folder / agent))
    return {match[1] for match in map(_FRAME_FILE.fullmatch, names) if match}


def roles_of(scenarios: list[Scenario]) -> dict[str, str]:
    """Return the agents of a single scenario, else how many of each kind the scenarios have."""
    if len(scenarios) == 1:
        return {agent: kind_of_agent(agent) for agent in scenarios[0].agents}
    roles: dict[str, str] = {}
    kinds: tuple[AgentKind, ...] = ("vehicle", "infrastructure")
    for kind in kinds:
        counts = [sum(kind_of_agent(agent) == kind for agent in s.agents) for s in scenarios]
        if max(counts, default=0):
            roles[f"{min(counts)} to {max(counts)} a scenario"] = kind
    return roles


def is_present(folder: Path, stamp: str, listing: Listing) -> bool:
    """Return whether an agent has both files of a moment, with content."""
    return all(listing.has(folder / f"{stamp}{ending}") for ending in (".pcd", ".yaml"))


def find_halves(scenario: Scenario, listing: Listing) -> Iterator[Path]:
    """Yield a file of each agent and moment for which it has not both with content."""
    for agent in scenario.agents:
        folder = scenario.folder / agent
        names = listing.names(folder) | listing.empty(folder)
        stamps = {match[1] for match in map(_FRAME_FILE.fullmatch, names) if match}
        for stamp in sorted(stamps):
            if not is_present(folder, stamp, listing):
                yield folder / min(names & {f"{stamp}.pcd", f"{stamp}.yaml"})
