"""`cosense keys`: makes the keys with which agents sign, and the roster that says whose they are."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cosense.errors import CosenseError, harmless, nearest

if TYPE_CHECKING:
    from cosense.trust.identity.roster import Member, Role, Roster

_ACTIONS = ("new", "roster", "show")
_PUBLIC_SUFFIX = ".pub"
_DATE_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"]


def command(
    action: Annotated[str, typer.Argument(help="new, roster or show.", show_default=False)],
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAMES",
            help="new: names of agents. roster: public key files and rosters. show: any of these files, "
            "private keys too.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="new: folder of the keys, else keys. roster: the file.", show_default=False),
    ] = None,
    role: Annotated[
        str, typer.Option(help="new: agent, or fusion, which may request and tells nothing.")
    ] = "agent",
    valid_from: Annotated[
        dt.datetime | None,
        typer.Option(formats=_DATE_FORMATS, help="new: first moment, UTC.", show_default=False),
    ] = None,
    valid_to: Annotated[
        dt.datetime | None,
        typer.Option(
            formats=_DATE_FORMATS, help="new: from when on it is not valid any more, UTC.", show_default=False
        ),
    ] = None,
    revoke: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="roster: key that no longer counts from now on.", show_default=False
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="roster: why it is revoked.", show_default=False)] = "",
) -> None:
    """Make and show the keys with which agents sign what they send, and the roster of them.

    `new` writes for each agent a private key AGENT.key, which stays on its machine and which nobody else may
    read, and AGENT.pub, its row of the roster. `roster` puts rows together into the file that every agent
    gets. `show` says whose keys are in files, and whether they are valid now.

    Examples:

        cosense keys new vehicle infrastructure --valid-to 2027-12-31

        cosense keys roster keys/vehicle.pub keys/infrastructure.pub --out keys/roster.yaml

        cosense keys roster keys/roster.yaml --out keys/roster.yaml --revoke ed25519:... --reason stolen

        cosense keys show keys/roster.yaml
    """
    if action not in _ACTIONS:
        raise CosenseError(f"keys {action}: no such action, {nearest(action, _ACTIONS)}")
    if action == "new":
        _new(names, out or Path("keys"), role, valid_from, valid_to)
    elif action == "roster":
        _roster([Path(name) for name in names], out, revoke, reason)
    else:
        for name in names:
            _show(Path(name))


def _new(
    agents: list[str], folder: Path, role: str, valid_from: dt.datetime | None, valid_to: dt.datetime | None
) -> None:
    """Write the two files of each agent."""
    from typing import get_args

    from cosense.trust.identity.keys import Signer, key_file
    from cosense.trust.identity.roster import Member, Role, Roster

    if role not in get_args(Role):
        raise CosenseError(f"--role {role}: {nearest(role, get_args(Role))}")
    folder.mkdir(parents=True, exist_ok=True)
    for agent in agents:
        signer, path = Signer.generate(), key_file(folder, agent)
        try:
            row = Member(agent, str(signer.public_key), cast("Role", role), valid_from, valid_to)
        except ValueError as error:
            raise CosenseError(str(error)) from None
        signer.write(path)
        public = path.with_suffix(_PUBLIC_SUFFIX)
        Roster((row,)).write(public)
        typer.echo(f"{agent}: {row.public_key.short}, private {path}, public {public}")


def _roster(paths: list[Path], out: Path | None, revoke: str | None, reason: str) -> None:
    """Write the rows of all files into one."""
    from cosense.trust.identity.roster import Roster, joined

    if out is None:
        raise CosenseError("keys roster: no --out; name the file of the roster")
    if out.exists() and out.resolve() not in [path.resolve() for path in paths]:
        raise CosenseError(f"--out {out}: is there already; name it among the files to add to it")
    roster = joined([Roster.read(path) for path in paths])
    if revoke is not None:
        roster = roster.without(revoke, dt.datetime.now(dt.timezone.utc).replace(microsecond=0), reason)
    roster.write(out)
    _print_rows(roster)


def _show(path: Path) -> None:
    """Print what a file holds."""
    from cosense.errors import read_file
    from cosense.trust.identity.keys import Signer
    from cosense.trust.identity.roster import Roster

    if read_file(path).lstrip().startswith(b"-----BEGIN"):
        typer.echo(f"{path}: private key of {Signer.read(path).public_key}")
        return
    typer.echo(f"{path}:")
    _print_rows(Roster.read(path))


def _print_rows(roster: Roster) -> None:
    now_ns = int(dt.datetime.now(dt.timezone.utc).timestamp()) * 1_000_000_000
    for row in roster.agents:
        typer.echo(harmless(f"  {row.agent}  {row.role}  {row.key}  {_state(roster, row, now_ns)}"))


def _state(roster: Roster, row: Member, now_ns: int) -> str:
    """Return whether a row is valid."""
    objection = roster.objection(row, now_ns)
    if objection:
        return objection
    return "valid" if row.valid_to is None else f"valid to {row.valid_to}"
