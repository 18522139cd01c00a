"""Checks of ROS 2: rclpy, its middleware, domain and discovery, message and launch packages."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from cosense.runs.doctor.finding import Finding

_WHEELS = "pip install 'cosense[ros]'"
_NEEDED_MESSAGES = (
    *("builtin_interfaces", "rcl_interfaces", "rosgraph_msgs", "std_msgs", "sensor_msgs", "geometry_msgs"),
    *("nav_msgs", "visualization_msgs", "diagnostic_msgs"),
)
# What is missing without them.
_OPTIONAL_MESSAGES = {
    "tf2_msgs": "no live /tf (the recorder still writes it from the poses)",
    "vision_msgs": "no /detections/boxes as Detection3DArray (/detections and /markers say the same)",
}
_LAUNCH = ("launch.actions", "launch_ros.actions", "ament_index_python.packages")
_RANGES = ("LOCALHOST", "SUBNET", "OFF", "SYSTEM_DEFAULT")
_MAX_DOMAIN = 232
# Above it, the ports of a domain lie among those that Linux hands out to clients.
_LAST_CALM_DOMAIN = 101


def check_rclpy(environment: Mapping[str, str]) -> list[Finding]:
    """Say where rclpy comes from: the wheels or a ROS 2 installation.

    Args:
        environment: variables of the process.
    """
    distribution = environment.get("ROS_DISTRO")
    spec = importlib.util.find_spec("rclpy")
    if spec is None or spec.origin is None:
        cure = f"source a ROS 2 installation (source /opt/ros/jazzy/setup.bash), or {_WHEELS}"
        return [Finding("rclpy", "fail", "not installed: no live runs; all else works without it", cure)]
    folder = Path(spec.origin).parent
    try:
        importlib.import_module("rclpy")
    except Exception as error:
        cure = "use the Python that this ROS 2 was built for, or install the wheels again"
        return [Finding("rclpy", "fail", f"{folder} cannot be imported: {error}", cure)]
    if is_sourced(folder, environment):
        return [
            Finding("rclpy", "ok", f"from the ROS 2 installation '{distribution or 'unknown'}', {folder}")
        ]
    if distribution is not None:
        cure = (
            f"{_WHEELS} is for machines without ROS 2: pip uninstall the ros-* wheels from this environment"
        )
        found = f"ROS 2 '{distribution}' is sourced, but rclpy comes from the wheels in {folder}"
        return [Finding("rclpy", "warn", found, cure)]
    return [Finding("rclpy", "ok", f"from the wheels in {folder}")]


def is_sourced(folder: Path, environment: Mapping[str, str]) -> bool:
    """Return whether a Python package lies in a ROS 2 installation or workspace that is sourced."""
    prefixes = environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return any(Path(prefix) in folder.parents for prefix in prefixes if prefix)


def check_rmw(environment: Mapping[str, str]) -> list[Finding]:
    """Say which middleware carries the messages."""
    wanted = environment.get("RMW_IMPLEMENTATION")
    try:
        identifier = importlib.import_module("rclpy").get_rmw_implementation_identifier()
    except ImportError:
        return []
    except Exception as error:
        cure = f"install {wanted}, or unset RMW_IMPLEMENTATION"
        return [Finding("RMW", "fail", f"RMW_IMPLEMENTATION={wanted} cannot be used: {error}", cure)]
    if not identifier.startswith("rmw_fastrtps"):
        cure = (
            "give it socket buffers for clouds of 1 MB yourself: what cosense sets is for Fast DDS, "
            "FASTDDS_BUILTIN_TRANSPORTS and cosense/runs/fastdds*.xml"
        )
        return [Finding("RMW", "warn", identifier, cure)]
    own = [
        name
        for name in ("FASTDDS_BUILTIN_TRANSPORTS", "FASTRTPS_DEFAULT_PROFILES_FILE")
        if name in environment
    ]
    found = f"{identifier}, with your {' and '.join(own)}" if own else f"{identifier}, as cosense sets it up"
    return [Finding("RMW", "ok", found)]


def check_domain(environment: Mapping[str, str]) -> list[Finding]:
    """Check ROS_DOMAIN_ID."""
    text = environment.get("ROS_DOMAIN_ID")
    if not text:
        found = "ROS_DOMAIN_ID is not set: `cosense run` takes a free domain, single nodes are in domain 0"
        return [Finding("domain", "ok", found)]
    if not text.isdecimal() or int(text) > _MAX_DOMAIN:
        cure = f"export ROS_DOMAIN_ID=<0 to {_LAST_CALM_DOMAIN}>"
        return [Finding("domain", "fail", f"ROS_DOMAIN_ID={text} is no domain", cure)]
    if int(text) > _LAST_CALM_DOMAIN:
        cure = f"take one up to {_LAST_CALM_DOMAIN}: other programs may hold the ports of this one"
        return [Finding("domain", "warn", f"ROS_DOMAIN_ID={text}", cure)]
    return [Finding("domain", "ok", f"ROS_DOMAIN_ID={text}")]


def check_discovery_range(environment: Mapping[str, str]) -> list[Finding]:
    """Say who is found: this machine alone or the whole network."""
    if environment.get("ROS_DISTRO") == "humble":
        is_local = environment.get("ROS_LOCALHOST_ONLY") == "1"
        where = "this machine" if is_local else "the network (`cosense run`: this machine)"
        return [Finding("discovery", "ok", f"{where}, by ROS_LOCALHOST_ONLY")]
    variable = "ROS_AUTOMATIC_DISCOVERY_RANGE"
    text = environment.get(variable)
    if text is None:
        cure = f"for agents on several machines: export {variable}=SUBNET"
        found = f"{variable} is not set: `cosense run` keeps to this machine, single nodes reach the subnet"
        return [Finding("discovery", "ok", found, cure)]
    if text not in _RANGES:
        cure = f"export {variable}=LOCALHOST, or SUBNET for agents on several machines"
        return [Finding("discovery", "fail", f"{variable}={text} is none of {', '.join(_RANGES)}", cure)]
    if text == "OFF":
        cure = f"unset {variable}, or export {variable}=LOCALHOST"
        return [Finding("discovery", "fail", f"{variable}=OFF: processes never find each other", cure)]
    return [Finding("discovery", "ok", f"{variable}={text}")]


def check_messages(environment: Mapping[str, str]) -> list[Finding]:
    """Look for the message packages that are needed and those that are used where they are there."""
    if importlib.util.find_spec("rclpy") is None:
        return []
    findings = []
    distribution = environment.get("ROS_DISTRO")
    missing = [name for name in _NEEDED_MESSAGES if not _is_there(f"{name}.msg")]
    if missing:
        cure = _apt(missing, distribution) if distribution else f"{_WHEELS} installs them"
        findings.append(Finding("messages", "fail", f"not installed: {', '.join(missing)}", cure))
    else:
        findings.append(Finding("messages", "ok", f"all {len(_NEEDED_MESSAGES)} that are needed"))
    for name, loss in _OPTIONAL_MESSAGES.items():
        if _is_there(f"{name}.msg"):
            findings.append(Finding("messages", "ok", f"{name}: installed"))
        elif distribution:
            findings.append(Finding("messages", "warn", f"no {name}: {loss}", _apt([name], distribution)))
        else:
            findings.append(Finding("messages", "ok", f"no {name}, which the wheels do not have: {loss}"))
    return findings


def check_launch(environment: Mapping[str, str]) -> list[Finding]:
    """Look for the packages behind `ros2 launch`."""
    if importlib.util.find_spec("rclpy") is None:
        return []
    missing = [name.split(".")[0] for name in _LAUNCH if not _is_there(name)]
    if not missing:
        return [Finding("ros2 launch", "ok", "installed")]
    distribution = environment.get("ROS_DISTRO")
    found = f"no {', '.join(missing)}"
    if distribution:
        return [Finding("ros2 launch", "warn", found, _apt(["launch_ros", "ros2launch"], distribution))]
    return [
        Finding("ros2 launch", "ok", f"{found}: needs a ROS 2 installation; `cosense run` starts the same")
    ]


def _apt(packages: list[str], distribution: str) -> str:
    names = " ".join(f"ros-{distribution}-{name.replace('_', '-')}" for name in packages)
    return f"sudo apt install {names}"


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False
