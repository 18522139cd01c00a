"""Where the folders that ship beside the package are, such as models/ and launch/."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path


def shipped_folders(name: str) -> list[Path]:
    """Return where something ships, e.g. "models": in the repository, ROS 2 workspaces, the prefix."""
    prefixes = [Path(p) for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    prefixes.append(Path(sysconfig.get_path("data")))
    folders = [Path(__file__).resolve().parents[1] / name]
    folders += [prefix / "share" / "cosense" / name for prefix in prefixes]
    return [folder for folder in folders if folder.is_dir()]
