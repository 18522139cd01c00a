"""The parameters by which a node signs and knows others by their keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rclpy.node import Node

from cosense.errors import CosenseError
from cosense.nodes.ros import process
from cosense.trust.identity.keys import Signer
from cosense.trust.identity.membership import IDENTITY_POLICIES, Membership
from cosense.trust.identity.roster import Roster


class Trust:
    """Keys of a node.

    Attributes:
        policy: what becomes of what is not signed with the key of its name.
        membership: knows the keys of others; None where names are believed.
        signer: key of the node's own agent; None where it signs nothing.
    """

    def __init__(self, node: Node) -> None:
        """Declare the parameters.

        Raises:
            CosenseError: a file is missing or wrong.
        """
        self._node = node
        self.policy = process.choose(
            node,
            "trust.identity",
            IDENTITY_POLICIES,
            "messages that are not signed with the key of their name",
        )
        roster = process.declare(node, "trust.roster", "", "file that says whose keys are whose")
        key = process.declare(
            node, "trust.key", "", "file of the private key with which it signs; empty: it does not sign"
        )
        window_ms = process.declare(
            node,
            "trust.window_ms",
            10_000.0,
            "signed messages stamped further from the clock are not believed; 0: there is no such clock",
            low=0,
            high=60_000,
        )
        self.signer = Signer.read(Path(key)) if key else None
        self.membership: Membership | None = None
        self._path = Path(roster)
        self._read_ns = 0
        if self.policy == "off":
            return
        if not roster:
            raise CosenseError(
                f"parameter 'trust.roster' of node '{node.get_name()}' is not set, and trust.identity is "
                f"'{self.policy}': name the file that says whose keys are whose"
            )
        content = Roster.read(self._path)
        self._read_ns = self._path.stat().st_mtime_ns
        self.membership = Membership(content, enforced=self.policy == "enforce", window_ms=window_ms)

    def follow_roster(self) -> None:
        """Read the roster again where somebody has changed it; call it now and then.

        A file that is gone or wrong is reported and changes nothing.
        """
        if self.membership is None:
            return
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns == self._read_ns:
                return
            self._read_ns = changed_ns
            self.membership.roster = Roster.read(self._path)
        except (CosenseError, OSError) as error:
            self._node.get_logger().error(f"the roster stays as it was: {error}", throttle_duration_sec=10.0)
            return
        self._node.get_logger().info(f"{self._path} has changed and is read anew")

    def figures(self) -> dict[str, Any]:
        """Return what it says in the diagnostics."""
        if self.membership is None:
            return {}
        refused, last = self.membership.refused, self.membership.last_reason
        return {"identity": self.policy, "not by their keys": refused, "the last of them": last or "none"}
