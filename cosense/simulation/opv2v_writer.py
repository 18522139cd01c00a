"""Writes simulated frames as a tree of OPV2V or V2XSet, with any number of vehicles and roadside units.

Files are `split/sequence/agent/stamp.{pcd,yaml}` and `stamp_camera0.png`, left-handed like CARLA
(data/carla.py). Vehicles become agents 1, 2, ... (the ego is 1), roadside units -1, -2, ..., and all other
objects get numbers above 100.

The layout has one moment for all agents and no position error: frames are numbered in ticks of 50 ms, poses
are the true ones (`predicted_ego_pos` has the error), and an object has one pose, that of the ground truth if
it has one. Ground truth that is in no agent's labels is stored with those of the ego. Objects that are not
vehicles are stored beside `vehicles`, so that other readers do not take them for cars.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from cosense.data.carla import extrinsic_from_T_camera_agent, mirrored, pose_from_matrix
from cosense.data.dair_labels import TYPE_OF_CLASS
from cosense.data.opv2v import NON_VEHICLES
from cosense.data.provenance import MARK
from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, invert, transform_from, transform_from_planar
from cosense.sensing.cloud_formats.pcd import write_pcd
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import VEHICLES, ObjectClass, Objects
from cosense.simulation.stage import SimulatedFrame
from cosense.simulation.tree import write_image, write_tree

_TICKS_PER_FRAME = 2
_FIRST_OBJECT = 101
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1]
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class _Label:
    """One object: class, pose of its centre in the world, and size (l, w, h) in metres."""

    label: ObjectClass
    T_world_object: Matrix
    size: list[float]


def write_opv2v(
    frames: Iterable[SimulatedFrame],
    out: Path,
    *,
    split: str = "validate",
    source: Mapping[str, Any] | None = None,
) -> int:
    """Write frames, with one frame in memory at a time.

    Args:
        frames: the frames in order, sequence by sequence.
        out: root of the tree; new or empty.
        split: folder of all sequences.
        source: arguments from which the frames were made (families, seed, ...), for `cosense.json`.

    Returns:
        The number of frames.

    Raises:
        CosenseError: `out` is not empty, or the ego of a frame is no vehicle.
    """
    return write_tree(_Opv2vTree(out, split), frames, source or {})


class _Opv2vTree:
    """The tree that is being written, and the numbers of the sequence at hand."""

    layout = "opv2v"

    def __init__(self, out: Path, split: str) -> None:
        self.out = out
        self._split = split
        self._sequence: str | None = None
        self._frames = 0
        self._numbers: dict[str, int] = {}

    def start(self) -> None:
        (self.out / self._split).mkdir(exist_ok=True)

    def add(self, simulated: SimulatedFrame) -> None:
        frame = simulated.frame
        if frame.ego.kind != "vehicle":
            raise CosenseError(f"frame {frame.frame_id}: the ego is {frame.ego.kind}, OPV2V's is a vehicle")
        folder = self.out / self._split / frame.sequence
        if frame.sequence != self._sequence:
            if folder.exists():
                raise CosenseError(f"{folder}: frames of sequence {frame.sequence} do not follow each other")
            self._sequence, self._frames = frame.sequence, 0
            self._numbers = _number_agents([frame.ego, *frame.others])
        stamp = f"{self._frames * _TICKS_PER_FRAME:06d}"
        # The ego's files come last, because readers take their presence for a complete frame.
        labels = _labels_by_agent(simulated)
        for agent in [*frame.others, frame.ego]:
            self._write_agent(agent, labels[agent.agent_id], folder, stamp, simulated.offset_m)
        self._frames += 1

    def finish(self) -> None:
        """Write the protocol of each scenario, which readers of OPV2V expect."""
        for folder in sorted((self.out / self._split).iterdir()):
            (folder / "data_protocol.yaml").write_text(f"description: {MARK}\n")

    def _write_agent(
        self,
        agent: AgentFrame,
        labels: dict[str, _Label],
        folder: Path,
        stamp: str,
        offset_m: tuple[float, float],
    ) -> None:
        if agent.agent_id not in self._numbers:
            raise CosenseError(f"{folder}: agent {agent.agent_id} is not in the first frame of its sequence")
        folder = folder / str(self._numbers[agent.agent_id])
        folder.mkdir(parents=True, exist_ok=True)
        mirrored_points = agent.points * np.array([1, -1, 1, 1], dtype=np.float32)
        write_pcd(folder / f"{stamp}.pcd", mirrored_points, rings=agent.rings, comment=MARK)
        pose = pose_from_matrix(mirrored(agent.T_world_agent))
        is_unit = agent.kind == "infrastructure"
        dx, dy = offset_m if is_unit else (0.0, 0.0)
        content: dict[str, Any] = {
            "RSU": is_unit,
            "lidar_pose": pose,
            "true_ego_pos": pose,
            "predicted_ego_pos": [pose[0] - dx, pose[1] + dy, *pose[2:]],
            "ego_speed": 0.0,
            "plan_trajectory": [],
            "vehicles": {},
            NON_VEHICLES: {},
        }
        for name, item in labels.items():
            group = "vehicles" if item.label in VEHICLES else NON_VEHICLES
            number = self._numbers.setdefault(name, _FIRST_OBJECT + len(self._numbers))
            content[group][number] = _entry(item)
        for index, camera in enumerate(agent.cameras):
            write_image(camera.image, folder / f"{stamp}_camera{index}.png", _PNG)
            extrinsic = extrinsic_from_T_camera_agent(camera.T_camera_agent)
            content[f"camera{index}"] = {
                "cords": pose_from_matrix(mirrored(agent.T_world_agent) @ invert(extrinsic)),
                "extrinsic": extrinsic.tolist(),
                "intrinsic": camera.K.tolist(),
            }
        (folder / f"{stamp}.yaml").write_text(yaml.dump(content, Dumper=_DUMPER))


def _number_agents(agents: list[AgentFrame]) -> dict[str, int]:
    """Return the folder number of each agent; the ego comes first and gets 1."""
    numbers: dict[str, int] = {}
    for agent in agents:
        sign = -1 if agent.kind == "infrastructure" else 1
        numbers[agent.agent_id] = sign * (1 + sum(value * sign > 0 for value in numbers.values()))
    return numbers


def _labels_by_agent(simulated: SimulatedFrame) -> dict[str, dict[str, _Label]]:
    """Return the labels for the file of each agent, by the id of the object."""
    frame = simulated.frame
    truth = _labels(frame.ground_truth, frame.ego.T_world_agent)
    own = {
        agent_id: _labels(agent.objects, agent.T_world_agent) if agent.objects is not None else {}
        for agent_id, agent in frame.agents.items()
    }
    nobodys = truth.keys() - {name for labels in own.values() for name in labels}
    by_agent = {
        agent_id: {name: truth.get(name, label) for name, label in labels.items()}
        for agent_id, labels in own.items()
    }
    by_agent[frame.ego_id] |= {name: label for name, label in truth.items() if name in nobodys}
    return by_agent


def _labels(objects: Objects, T_world_frame: Matrix) -> dict[str, _Label]:
    labels = {}
    for (x, y, z, *size, yaw), label, name in zip(
        objects.boxes.tolist(), objects.labels, objects.ids, strict=True
    ):
        T_world_object = T_world_frame @ transform_from_planar(x, y, yaw, z)
        labels[str(name)] = _Label(ObjectClass(label), T_world_object, size)
    return labels


def _entry(item: _Label) -> dict[str, Any]:
    """Return an object as OPV2V stores it: `location` on the ground, the centre above it, half sizes."""
    length, width, height = item.size
    bottom = item.T_world_object @ transform_from(np.eye(3), [0, 0, -height / 2])
    pose = pose_from_matrix(mirrored(bottom))
    return {
        "angle": pose[3:],
        "center": [0.0, 0.0, height / 2],
        "extent": [length / 2, width / 2, height / 2],
        "location": pose[:3],
        "obj_type": TYPE_OF_CLASS[item.label],
        "speed": 0.0,
    }
