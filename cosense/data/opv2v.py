"""OPV2V, V2XSet and V2V4Real: trees of `[split/]scenario/agent/stamp.{pcd,yaml}`.

Some of them also have images, `stamp_camera0.png` to `stamp_camera3.png`.

OPV2V (Xu et al., ICRA 2022) and V2XSet (Xu et al., ECCV 2022) come from CARLA: points, poses and labels are
left-handed there and right-handed here (see carla.py); labels are given in the world; file names count
simulation ticks of 50 ms. A negative agent id is a roadside unit. V2V4Real (Xu et al., CVPR 2023) is real:
its poses are 4x4 matrices, everything is right-handed, labels are given in the LiDAR frame of the agent that
has them, and `ass_id` says which labels of two agents are one object; files are numbered at 10 Hz.

The ego is the vehicle with the lowest id. The ground truth of a frame is the union of the labels of all its
agents, without the ego itself. An agent takes part in the moments for which it has both files.

Others use the layout too, so it alone does not say what made a scenario: see provenance.py.

The "intensity" of CARLA's LiDAR is a function of the range alone and says nothing of the material: it is read
as 0. Trees in this layout that our own simulator has written have intensities of the material, and keep them.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cosense.data.carla import T_camera_agent_from_extrinsic, matrix_from_pose, mirrored
from cosense.data.dair_labels import CLASS_OF_TYPE
from cosense.data.dataset import CooperativeFrame, Dataset, DatasetInfo, Provenance, kind_of
from cosense.data.files import Listing, Unreadable, broken_files, missing_files, read_image, read_yaml
from cosense.data.opv2v_index import (
    CLOUD,
    Scenario,
    all_stamps,
    find_halves,
    find_scenarios,
    is_present,
    kind_of_agent,
    read_scenario,
    roles_of,
)
from cosense.data.provenance import SIMULATED, SIMULATOR, is_simulated_tree, simulator_of_scenario
from cosense.errors import CosenseError, counted, nearest
from cosense.geometry.boxes import as_boxes
from cosense.geometry.transforms import Matrix, invert, transform_from, yaw_of
from cosense.sensing.cloud import SensorClouds, spread
from cosense.sensing.cloud_formats.pcd import read_raw_pcd
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.objects import ObjectClass, Objects

_log = logging.getLogger(__name__)

LAYOUT = "[split/]scenario/agent/*.pcd (OPV2V, V2XSet, V2V4Real)"

TICK_NS = 50_000_000
# Key beside `vehicles` in trees that cosense writes: other programs take everything in `vehicles` for a car.
NON_VEHICLES = "cosense_non_vehicles"
V2V4REAL_PERIOD_NS = 100_000_000

_NO_INTENSITY = "intensities are 0: those of CARLA depend on the range alone and say nothing of the material"
_IMAGE = re.compile(r"(\d+)_(camera\d+)\.png")
_CLASS_OF_TYPE = CLASS_OF_TYPE | {
    "policecar": ObjectClass.CAR,
    "pickup": ObjectClass.CAR,
    "concretetruck": ObjectClass.TRUCK,
    "longvehicle": ObjectClass.TRUCK,
    "bicycle": ObjectClass.CYCLIST,
    "scooter": ObjectClass.CYCLIST,
    "motorcycle": ObjectClass.MOTORCYCLIST,
}


@dataclass(frozen=True)
class _Labelled:
    """A labelled object: pose of its centre, size (l, w, h) in metres, class."""

    T_world_object: Matrix
    size: NDArray[np.float64]
    label: ObjectClass


def recognises(path: Path) -> type[Dataset] | None:
    """Return the reader of this module for a tree, a split or a scenario in the layout of OPV2V."""
    return Opv2vDataset if path.is_dir() and find_scenarios(path, Listing()) else None


class Opv2vDataset(Dataset):
    """One tree in the layout of OPV2V; see the module.

    Args:
        path: root of the tree, or the folder of one split or scenario.
        split: folder name of a split; None or "all" opens every one.
        labels: None, or the name of the one label set that the tree has.
        cameras: also read the images, of the cameras that have any.

    Raises:
        CosenseError: unknown split or label set, no frames, or two scenarios with one name.
    """

    def __init__(
        self, path: Path, *, split: str | None = None, labels: str | None = None, cameras: bool = False
    ) -> None:
        self.path = path
        self.split = split or "all"
        split = None if split == "all" else split
        self._cameras = cameras
        self._listing = Listing()
        self._lidars: dict[Path, SensorClouds] = {}
        by_split = find_scenarios(path, self._listing)
        if not by_split:
            raise CosenseError(f"{path}: no folder scenario/agent with .pcd and .yaml files")
        if split is not None and split not in by_split:
            raise CosenseError(f"{path}: unknown split '{split}', {nearest(split, by_split)}")
        self._by_split = {
            name: [read_scenario(folder, name, self._listing) for folder in folders]
            for name, folders in by_split.items()
        }
        self._scenarios = [
            s for name, found in self._by_split.items() if split in (None, name) for s in found
        ]
        names = [scenario.name for scenario in self._scenarios]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CosenseError(f"{path}: scenario '{twice[0]}' is in two splits; choose one with split=")
        self._frames = [(scenario, stamp) for scenario in self._scenarios for stamp in scenario.stamps]
        if not self._frames:
            raise CosenseError(f"{path}: split '{self.split}' has no frame with a vehicle's .pcd and .yaml")
        self._right_handed = _have_matrix_poses(self._frames)
        layout = "v2v4real" if self._right_handed else "opv2v"
        self._provenances = {
            s.folder: Provenance(self._simulator(s), (layout,)) for s in self._scenarios if s.stamps
        }
        self.kind = kind_of(self._provenances.values())
        is_ours = {made.simulator == SIMULATOR for made in self._provenances.values()}
        if True in is_ours:
            # An unfinished tree says so at its root; this may be one of its splits or scenarios.
            for folder in (path, *path.resolve().parents[:2]):
                is_simulated_tree(folder)
        self.label_set = SIMULATED if is_ours == {True} else "original"
        if labels not in (None, self.label_set):
            raise CosenseError(
                f"{path}: has no label set '{labels}', {nearest(str(labels), [self.label_set])}"
            )
        halves = [half for scenario in self._scenarios for half in find_halves(scenario, self._listing)]
        egos = {scenario.folder / scenario.agents[0] for scenario in self._scenarios}
        lost = sum(half.parent in egos for half in halves)
        self._left_out = ""
        if halves:
            self._left_out = (
                f"{counted(len(halves), 'time')} an agent is left out of a moment because .pcd or .yaml is "
                f"missing or empty, first beside {halves[0]}"
            )
            if lost:
                self._left_out += f"; {counted(lost, 'moment')} without the ego not used"
            _log.warning("%s: %s", path, self._left_out)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> CooperativeFrame:
        scenario, stamp = self._frames[index]
        present = [
            name for name in scenario.agents if is_present(scenario.folder / name, stamp, self._listing)
        ]
        ego_id = present[0]
        agents: dict[str, AgentFrame] = {}
        labelled: dict[str, _Labelled] = {}
        for name in present:
            agents[name], own = self._read_agent(scenario.folder / name, stamp, is_ego=name == ego_id)
            labelled = own | labelled
        if not self._right_handed:
            labelled.pop(ego_id, None)
        ground_truth = _as_objects(labelled, invert(agents[ego_id].T_world_agent))
        return CooperativeFrame(
            f"{scenario.name}/{stamp}",
            scenario.name,
            ego_id,
            agents,
            ground_truth,
            provenance=self._provenances[scenario.folder],
            absent=self._absent(scenario, stamp, agents),
        )

    def info(self, *, verify: bool = False) -> DatasetInfo:
        """See `Dataset.info`."""
        problems = [
            f"{scenario.folder}: no vehicle with a .pcd and .yaml, not used"
            for scenario in self._scenarios
            if not scenario.stamps
        ]
        missing = []
        if verify:
            wanted = list(self._all_files())
            missing = missing_files(self.path, wanted, self._listing)
            with_images = copy.copy(self)
            with_images._cameras = True
            problems += [str(item) for item in missing]
            problems += broken_files(with_images, wanted, self._listing)
        has_intensity = all(map(self._has_intensity, self._provenances))
        notes = [] if has_intensity else [_NO_INTENSITY]
        scenario = self._frames[0][0]
        notes += [note for name in scenario.agents for note in self._lidar(scenario.folder / name).notes]
        notes += [self._left_out] if self._left_out else []
        return DatasetInfo(
            kind=self.kind,
            path=self.path,
            label_set=self.label_set,
            frames_per_split={
                name: sum(len(s.stamps) for s in found) for name, found in self._by_split.items()
            },
            agents=roles_of(self._scenarios),
            sensors=self._sensors(self._scenarios),
            problems=problems,
            notes=notes,
            missing=missing,
        )

    def _lidar(self, folder: Path) -> SensorClouds:
        """Return what is known of the clouds of an agent in a scenario, after looking at some of them."""
        if folder not in self._lidars:
            clouds = sorted(name for name in self._listing.names(folder) if CLOUD.fullmatch(name))
            recorded = spread([folder / name for name in clouds], read_raw_pcd)
            # Our own simulator writes intensities from 0 to 1, and those of CARLA are not read.
            name = f"{folder.parent.name}/{folder.name}"
            self._lidars[folder] = SensorClouds(name, recorded if self._right_handed else None)
        return self._lidars[folder]

    def _simulator(self, scenario: Scenario) -> str:
        """Return what simulated a scenario; empty where it was recorded, or where nothing says it."""
        simulator = simulator_of_scenario(scenario.folder, scenario.agents, scenario.stamps[0])
        return "" if self._right_handed and simulator != SIMULATOR else simulator

    def _has_intensity(self, scenario: Path) -> bool:
        return self._right_handed or self._provenances[scenario].simulator == SIMULATOR

    def _absent(self, scenario: Scenario, stamp: str, agents: Mapping[str, AgentFrame]) -> dict[str, Matrix]:
        """Return T_world_agent of the vehicles that have no cloud of a moment, but a file with their pose."""
        found = {}
        for name in scenario.agents:
            path = scenario.folder / name / f"{stamp}.yaml"
            if name in agents or kind_of_agent(name) != "vehicle" or not self._listing.has(path):
                continue
            try:
                found[name] = self._pose(read_yaml(path)["lidar_pose"])
            except (CosenseError, KeyError, TypeError, ValueError):
                continue
        return found

    def _pose(self, lidar_pose: Any) -> Matrix:
        """Return T_world_agent (4,4).

        Raises:
            ValueError: the numbers are not a pose.
        """
        if self._right_handed:
            T_world_agent = np.asarray(lidar_pose, dtype=np.float64).reshape(4, 4)
        else:
            T_world_agent = mirrored(matrix_from_pose(lidar_pose))
        if not np.all(np.isfinite(T_world_agent)):
            raise ValueError(f"lidar_pose is {lidar_pose}")
        return T_world_agent

    def _all_files(self) -> Iterator[Path]:
        """Yield the files that every agent should have of each moment for which any agent has one."""
        for scenario in self._scenarios:
            stamps = all_stamps(scenario, self._listing)
            for agent in scenario.agents:
                for ending in (".pcd", ".yaml", *self._image_endings(scenario, agent)):
                    yield from (scenario.folder / agent / f"{stamp}{ending}" for stamp in stamps)

    def _sensors(self, scenarios: list[Scenario]) -> list[str]:
        images = {ending for s in scenarios for agent in s.agents for ending in self._image_endings(s, agent)}
        return ["LiDAR of every agent"] + ([f"{counted(len(images), 'camera')} an agent"] if images else [])

    def _image_endings(self, scenario: Scenario, agent: str) -> set[str]:
        """Return the endings of an agent's image files, over all frames, e.g. {"_camera0.png"}."""
        names = self._listing.names(scenario.folder / agent)
        return {f"_{match[2]}.png" for match in map(_IMAGE.fullmatch, names) if match}

    def _read_agent(
        self, folder: Path, stamp: str, *, is_ego: bool
    ) -> tuple[AgentFrame, dict[str, _Labelled]]:
        """Return the measurements of an agent, and its labelled objects by id."""
        path = folder / f"{stamp}.yaml"
        content = read_yaml(path)
        for key in ("lidar_pose", "vehicles"):
            if not isinstance(content, Mapping) or key not in content:
                raise CosenseError(f"{path}: has no '{key}'; the file is cut off or of another data set")
            if isinstance(content[key], Unreadable):
                raise CosenseError(f"{path}: '{key}' is an object {content[key].tag}; write plain numbers")
        cloud = read_raw_pcd(folder / f"{stamp}.pcd")
        if not self._has_intensity(folder.parent):
            cloud = replace(cloud, intensity=None, remarks=())
        scan = self._lidar(folder).read(cloud)
        points = scan.points
        stamp_ns = int(stamp) * (V2V4REAL_PERIOD_NS if self._right_handed else TICK_NS)
        try:
            T_world_agent = self._pose(content["lidar_pose"])
            if not self._right_handed:
                points = points * np.array([1, -1, 1, 1], dtype=np.float32)
            vehicles = (content.get("vehicles") or {}) | (content.get(NON_VEHICLES) or {})
            labelled = self._labelled(vehicles, folder.name, T_world_agent, is_ego)
            images = self._listing.names(folder) if self._cameras else frozenset()
            cameras = _read_cameras(content, folder, stamp, stamp_ns, images)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CosenseError(
                f"{path}: not as OPV2V writes it, or cut off: {error!r}; download the file again"
            ) from None
        frame = AgentFrame(
            agent_id=folder.name,
            kind=kind_of_agent(folder.name),
            stamp_ns=stamp_ns,
            T_world_agent=T_world_agent,
            points=points,
            cameras=cameras,
            objects=_as_objects(labelled, invert(T_world_agent)),
            rings=scan.rings,
        )
        return frame, labelled

    def _labelled(
        self, vehicles: Mapping[Any, Any], agent: str, T_world_agent: Matrix, is_ego: bool
    ) -> dict[str, _Labelled]:
        """Return the labelled objects of one agent by id."""
        found = {}
        for key, vehicle in vehicles.items():
            label = _CLASS_OF_TYPE.get(str(vehicle.get("obj_type", "car")).lower())
            size = 2 * np.asarray(vehicle["extent"], dtype=np.float64)
            if label is None or not np.all(size > 0):
                continue
            T = matrix_from_pose([*vehicle["location"], *vehicle["angle"]])
            T = T @ transform_from(np.eye(3), vehicle["center"])
            T = T_world_agent @ T if self._right_handed else mirrored(T)
            if not np.all(np.isfinite(T)):
                continue
            name = _identity(str(key), vehicle.get("ass_id"), agent, is_ego)
            found[name] = _Labelled(T, size, label)
        return found


def _as_objects(labelled: Mapping[str, _Labelled], T_frame_world: Matrix) -> Objects:
    """Return labelled objects in another frame than the world."""
    poses = [T_frame_world @ item.T_world_object for item in labelled.values()]
    rows = [[*T[:3, 3], *item.size, yaw_of(T)] for T, item in zip(poses, labelled.values(), strict=True)]
    labels = np.array([item.label for item in labelled.values()], dtype=np.int64)
    return Objects(as_boxes(rows), labels, np.array(list(labelled), dtype=np.str_))


def _identity(key: str, associated: Any, agent: str, is_ego: bool) -> str:
    """Return the id of a labelled object.

    `ass_id` of V2V4Real is the key of the same object in the labels of the ego, or -1 where there is none.
    """
    if associated is not None and int(associated) >= 0:
        return str(associated)
    return key if is_ego or associated is None else f"{agent}:{key}"


def _read_cameras(
    content: Mapping[str, Any], folder: Path, stamp: str, stamp_ns: int, there: frozenset[str]
) -> tuple[Camera, ...]:
    """Read the images that the .yaml file calibrates, of cameras that have any among the files `there`.

    Raises:
        CosenseError: an image cannot be read, or the file does not calibrate its camera.
    """
    calibrated = sorted(name for name in content if re.fullmatch(r"camera\d+", str(name)))
    names = [name for name in calibrated if any(file.endswith(f"_{name}.png") for file in there)]
    for image in filter(None, map(_IMAGE.fullmatch, sorted(there))):
        if image[1] == stamp and image[2] not in calibrated:
            raise CosenseError(
                f"{folder / stamp}.yaml: has no '{image[2]}', of which {image[0]} is; fetch the file again, "
                "or go on without images"
            )
    return tuple(
        Camera(
            name=name,
            image=read_image(folder / f"{stamp}_{name}.png"),
            K=np.asarray(content[name]["intrinsic"], dtype=np.float64).reshape(3, 3),
            T_camera_agent=T_camera_agent_from_extrinsic(content[name]["extrinsic"]),
            stamp_ns=stamp_ns,
        )
        for name in names
    )


def _have_matrix_poses(frames: Iterable[tuple[Scenario, str]]) -> bool:
    """Return whether the poses of the first frame that can be read are 4x4 matrices, as in V2V4Real."""
    broken: CosenseError | None = None
    for frame in frames:
        try:
            return _has_matrix_pose(frame)
        except CosenseError as error:
            broken = broken or error
    assert broken is not None, "there is a frame"
    raise broken


def _has_matrix_pose(frame: tuple[Scenario, str]) -> bool:
    scenario, stamp = frame
    path = scenario.folder / scenario.agents[0] / f"{stamp}.yaml"
    content = read_yaml(path)
    pose = content.get("lidar_pose") if isinstance(content, Mapping) else None
    if not isinstance(pose, list | tuple) or len(pose) not in (4, 6):
        raise CosenseError(f"{path}: 'lidar_pose' is {pose!r}, expected 6 numbers (OPV2V) or 4x4 (V2V4Real)")
    return len(pose) == 4
