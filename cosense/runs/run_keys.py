"""The keys with which the agents of a run sign: those that its scenario names, or some for this run alone."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

from cosense.errors import CosenseError
from cosense.runs.scenario import Scenario
from cosense.trust.base import TrustSettings
from cosense.trust.identity.keys import Signer, key_file
from cosense.trust.identity.roster import Member, Roster

# Folder, in that of the results, of keys that are made for a run.
RUN_KEYS = "run_keys"
_ROSTER = "roster.yaml"


def with_run_keys(scenario: Scenario, out: Path, only: Sequence[str] = ()) -> Scenario:
    """Return the scenario with the keys that `make_run_keys` will make, where it needs some and names none.

    Args:
        scenario: description of the run.
        out: folder for the results.
        only: agents of this machine, where several machines share a scenario; empty for all.

    Raises:
        CosenseError: other machines could not know these keys.
    """
    trust = scenario.trust
    if trust.identity == "off" or trust.roster is not None:
        return scenario
    if only:
        raise CosenseError("trust: agents on several machines need keys that all know: name roster and keys")
    folder = out.resolve() / RUN_KEYS
    return dataclasses.replace(
        scenario, trust=dataclasses.replace(trust, roster=folder / _ROSTER, keys=folder)
    )


def make_run_keys(scenario: Scenario) -> None:
    """Make a key for each agent of the run, in place of those of an earlier one."""
    trust = scenario.trust
    assert trust.keys is not None
    assert trust.roster is not None
    shutil.rmtree(trust.keys, ignore_errors=True)
    trust.keys.mkdir()
    rows = []
    for agent in scenario.agents:
        signer = Signer.generate()
        signer.write(key_file(trust.keys, agent.id))
        rows.append(Member(agent.id, str(signer.public_key)))
    Roster(tuple(rows)).write(trust.roster)


def check_keys(trust: TrustSettings, agent_ids: Sequence[str]) -> None:
    """Raise CosenseError where an agent has no key, or one that the roster gives to nobody of its name."""
    if trust.roster is None or trust.keys is None:
        return
    roster = Roster.read(trust.roster)
    for agent_id in agent_ids:
        path = key_file(trust.keys, agent_id)
        key = Signer.read(path).public_key
        if key not in [row.public_key for row in roster.agents if row.agent == agent_id]:
            raise CosenseError(
                f"{path}: {key.short} is no key of '{agent_id}' in {trust.roster}; "
                "`cosense keys roster` adds it"
            )
