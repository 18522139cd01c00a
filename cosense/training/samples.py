"""Samples: labelled clouds of one agent, or of all agents of one moment; from simulated scenes or from disk.

Simulated scenes are ray-cast once into a folder of small files, by all cores; a run that was interrupted goes
on where it stopped. Single clouds are then held in memory, in half the bytes of their numbers, and images
as JPEG files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cosense.config import to_mapping
from cosense.data import open_dataset
from cosense.data.dataset import CooperativeFrame, Dataset
from cosense.data.fewer_beams_dataset import LiveFewerBeams
from cosense.detectors.head import detected_class
from cosense.errors import CosenseError
from cosense.evaluation.metrics.scoring import most_points_of_one_agent
from cosense.geometry.boxes import Boxes, points_in_boxes
from cosense.sensing.beams.fewer import FewerBeams
from cosense.sensing.frame import AgentFrame, AgentKind, Camera
from cosense.sensing.images import parse_size, reduced
from cosense.sensing.objects import Objects
from cosense.simulation import SCENES_VERSION, simulate
from cosense.training import stored_images
from cosense.training.cached import Cached, Show, fill, silent
from cosense.training.run_config import DataConfig, SceneConfig
from cosense.training.stored_images import StoredCamera

# Raised whenever the cached files get another form; what is in them has the version of the simulation.
_SAMPLES_VERSION = 2
_MOMENTS_VERSION = 2
_SAMPLE_ARRAYS = ("stored", "boxes", "classes", "owner")
_MOMENT_ARRAYS = ("boxes", "classes", "num_points")

# Between two frames that follow each other; data sets have 10 Hz.
_LONGEST_GAP_NS = 150_000_000

# Numbers of a stored point: positions in steps of 4 mm, which reach 131 m, and intensity.
_STEPS = np.array([0.004, 0.004, 0.004, 1 / 32767], dtype=np.float32)


@dataclass(frozen=True)
class Sample:
    """One cloud with the objects that this agent's own labels name, in the agent frame.

    Attributes:
        name: sequence, frame and agent.
        kind: vehicle or infrastructure.
        stored: (N,4) int16, the points; what `points` are made of.
        boxes: (M,7).
        classes: (M,) int64, index into `DETECTED_CLASSES`.
        owner: (N,) int16, index of the box that a point lies in, -1 for none.
        images: what `cameras` are made of, none where the configuration asks for none.
        rings: (N,) int16, ring of each point as the LiDAR counts them, None where nothing says it.
    """

    name: str
    kind: AgentKind
    stored: NDArray[np.int16]
    boxes: Boxes
    classes: NDArray[np.int64]
    owner: NDArray[np.int16]
    images: tuple[StoredCamera, ...] = ()
    rings: NDArray[np.int16] | None = None

    @classmethod
    def of(
        cls,
        name: str,
        kind: AgentKind,
        points: NDArray[np.float32],
        objects: Objects,
        cameras: Iterable[Camera] = (),
        rings: NDArray[np.int16] | None = None,
    ) -> Sample:
        """Return the sample of a cloud (N,4), without objects that no network looks for and far points."""
        known, classes = _detected(objects)
        boxes = objects.boxes[known]
        steps = np.rint(points / _STEPS)
        is_near = (np.abs(steps) <= np.iinfo(np.int16).max).all(axis=1)
        stored = steps[is_near].astype(np.int16)
        owner = np.full(len(stored), -1, dtype=np.int16)
        for index, mask in enumerate(points_in_boxes((stored * _STEPS)[:, :3], boxes)):
            owner[mask] = index
        images = tuple(map(StoredCamera.of, cameras))
        return cls(
            name, kind, stored, boxes, classes, owner, images, None if rings is None else rings[is_near]
        )

    @property
    def points(self) -> NDArray[np.float32]:
        """Points (N,4), a copy."""
        return self.stored * _STEPS

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """Cameras of the agent, their images decompressed anew each time.

        The time of the cloud is 0, and `T_camera_agent` maps the agent frame of that time to the camera at
        the time of its image: what stands still is seen where it is projected, if the motion is known.
        """
        return tuple(image.camera for image in self.images)


@dataclass(frozen=True)
class Moment:
    """The clouds of all agents of one moment, and what they could know together.

    Attributes:
        name: sequence and frame.
        views: frames of all agents, the ego first; with images where the scenes have some, in whose
            `T_camera_agent` the motion of the agent from cloud to image is allowed for, as in a `Sample`.
        earlier: frames of the same agents one period (100 ms) before, since a message may be that old.
        boxes: (M,7) objects of which any agent has a point, in the ego frame.
        classes: (M,) int64, index into `DETECTED_CLASSES`.
        num_points: (M,) int64, points on each object, counted on the agent that has most.
    """

    name: str
    views: tuple[AgentFrame, ...]
    earlier: tuple[AgentFrame, ...]
    boxes: Boxes
    classes: NDArray[np.int64]
    num_points: NDArray[np.int64]


def point_counts(owner: NDArray[np.int16], boxes: int) -> NDArray[np.int64]:
    """Return (M,) how many points each of M boxes owns."""
    return np.bincount(owner[owner >= 0], minlength=boxes)


def load_samples(config: DataConfig, cache: Path, show: Show = silent) -> list[Sample]:
    """Return all samples of a configuration, simulating what is not in the cache yet.

    Args:
        config: scenes and data sets to load.
        cache: folder of simulated samples, created where it is missing.
        show: sees the progress.

    Raises:
        CosenseError: nothing to learn from, or what the data set's reader finds.
    """
    samples: list[Sample] = []
    if config.scenes is not None:
        each = [_sequence(config.scenes, family, seed, cache) for family, seed in config.scenes.each()]
        fill(each, show)
        for number, sequence in enumerate(each):
            samples += _samples_from_arrays(sequence.read())
            show("read scenes", number + 1, len(each))
    for path in config.paths:
        dataset = open_recorded(config, path)
        indices = indices_of(config, dataset)
        for done, index in enumerate(indices, 1):
            samples += samples_of(_with_images(dataset[index], config.images))
            show(f"read {path}", done, len(indices))
    if not any(len(sample.boxes) for sample in samples):
        raise CosenseError(f"{to_mapping(config)}: no labelled objects to learn from")
    return samples


def open_recorded(config: DataConfig, path: Path) -> Dataset:
    """Open one of the data sets of a configuration, as that asks for."""
    return open_dataset(
        path,
        split=config.split,
        labels=config.labels,
        beams=str(config.beams),
        cameras=config.images != "",
    )


def indices_of(config: DataConfig, dataset: Dataset) -> list[int]:
    """Return which frames of a data set a configuration asks for."""
    count = min(config.frames or len(dataset), len(dataset))
    return [int(index) for index in np.unique(np.linspace(0, len(dataset) - 1, count).astype(int))]


def samples_of(frame: CooperativeFrame) -> Iterator[Sample]:
    """Yield one sample for each agent that has labels of its own."""
    for agent in frame.agents.values():
        if agent.objects is None:
            continue
        name = f"{frame.sequence}/{frame.frame_id}/{agent.agent_id}"
        cameras = (replace(camera, stamp_ns=camera.stamp_ns - agent.stamp_ns) for camera in agent.cameras)
        yield Sample.of(name, agent.kind, agent.points, agent.objects, cameras, agent.rings)


def simulated_moment(scenes: SceneConfig, family: str, seed: int, cache: Path) -> Moment:
    """Return the second frame of one sequence, simulating it where it is not in the cache yet."""
    return _moment_from_arrays(_moment(scenes, family, seed, cache).read())


def recorded_moment(config: DataConfig, dataset: Dataset, index: int) -> Moment:
    """Return a frame of a data set, with the one before where that is of its sequence, 100 ms earlier.

    Otherwise, as for the first frame of a sequence, what the agents saw earlier is what they see.
    """
    frame = _with_images(dataset[index], config.images)
    earlier = _with_images(dataset[index - 1], config.images) if index else frame
    gap_ns = frame.ego.stamp_ns - earlier.ego.stamp_ns
    is_next = earlier.sequence == frame.sequence and 0 < gap_ns <= _LONGEST_GAP_NS
    return moment_of(earlier if is_next and list(earlier.agents) == list(frame.agents) else frame, frame)


def _moment(scenes: SceneConfig, family: str, seed: int, cache: Path) -> Cached:
    key = [_MOMENTS_VERSION, SCENES_VERSION, family, seed, *scenes.sensors]
    make = partial(_simulate_moment, scenes, family, seed)
    return Cached.of(cache, f"cooperative-{family}-{seed}", key, make)


def _simulate_moment(scenes: SceneConfig, family: str, seed: int) -> dict[str, NDArray]:
    earlier, frame = _simulate(scenes, family, seed, 2, 1)
    return _moment_to_arrays(moment_of(earlier, frame))


def moment_of(earlier: CooperativeFrame, frame: CooperativeFrame) -> Moment:
    """Return the moment of two consecutive frames."""
    known, classes = _detected(frame.ground_truth)
    return Moment(
        name=f"{frame.sequence}/{frame.frame_id}",
        views=(frame.ego, *frame.others),
        earlier=(earlier.ego, *earlier.others),
        boxes=frame.ground_truth.boxes[known],
        classes=classes,
        num_points=most_points_of_one_agent(frame)[known],
    )


def _detected(objects: Objects) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return (N,) which of N objects a network looks for, and (M,) the classes of these M."""
    classes = [detected_class(int(label)) for label in objects.labels]
    known = np.array([index is not None for index in classes], dtype=bool)
    return known, np.array([index for index in classes if index is not None], dtype=np.int64)


def _sequence(scenes: SceneConfig, family: str, seed: int, cache: Path) -> Cached:
    """Return the samples of one sequence."""
    frames = (scenes.frames_per_sequence, scenes.frame_step)
    key = [[_SAMPLES_VERSION, SCENES_VERSION], family, seed, *frames, *scenes.sensors]
    return Cached.of(cache, f"{family}-{seed}", key, partial(_simulate_samples, scenes, family, seed))


def _simulate_samples(scenes: SceneConfig, family: str, seed: int) -> dict[str, NDArray]:
    made = _simulate(scenes, family, seed, scenes.frames_per_sequence, scenes.frame_step)
    return _samples_to_arrays(sample for frame in made for sample in samples_of(frame))


def _simulate(
    scenes: SceneConfig, family: str, seed: int, frames: int, step: int
) -> Iterator[CooperativeFrame]:
    """Yield frames of one sequence, with images and with fewer beams where that is asked for."""
    reduce = LiveFewerBeams(FewerBeams.parse(scenes.beams)) if scenes.beams != "" else None
    cameras = scenes.images != ""
    for made in simulate(
        family, seed, frames, step=step, vehicles=scenes.vehicles, cameras=cameras, lidar=scenes.lidar
    ):
        frame = _with_images(made.frame, scenes.images)
        yield frame if reduce is None else reduce(frame)


def _with_images(frame: CooperativeFrame, images: str) -> CooperativeFrame:
    """Return a frame with images of a size, as "512x288", whose cameras are where the clouds see them."""
    if images == "":
        return frame
    size = parse_size(images)
    agents = {}
    for name, agent in frame.agents.items():
        placed = (
            replace(camera, T_camera_agent=camera.T_image_agent, T_then_agent=None)
            for camera in agent.cameras
        )
        agents[name] = replace(agent, cameras=tuple(reduced(camera, size) for camera in placed))
    return replace(frame, agents=agents)


def _samples_to_arrays(samples: Iterable[Sample]) -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {}
    names = []
    for index, sample in enumerate(samples):
        names.append([sample.name, sample.kind])
        arrays |= {f"{index}.{key}": getattr(sample, key) for key in _SAMPLE_ARRAYS}
        arrays |= stored_images.to_arrays(sample.images, str(index))
        if sample.rings is not None:
            arrays[f"{index}.rings"] = sample.rings
    return {"names": np.array(names), **arrays}


def _samples_from_arrays(arrays: dict[str, NDArray]) -> list[Sample]:
    samples = []
    for index, (name, kind) in enumerate(arrays["names"]):
        stored, boxes, classes, owner = (arrays[f"{index}.{key}"] for key in _SAMPLE_ARRAYS)
        images = stored_images.from_arrays(arrays, str(index))
        # Samples that were cached before rings were kept are as good as those of a LiDAR that names none.
        rings = arrays.get(f"{index}.rings")
        samples.append(Sample(str(name), _kind(kind), stored, boxes, classes, owner, images, rings))
    return samples


def _kind(stored: str) -> AgentKind:
    return "infrastructure" if stored == "infrastructure" else "vehicle"


def _moment_to_arrays(moment: Moment) -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {
        "name": np.array(moment.name),
        "agents": np.array([[view.agent_id, view.kind] for view in moment.views]),
        **{key: getattr(moment, key) for key in _MOMENT_ARRAYS},
    }
    for when, views in (("now", moment.views), ("earlier", moment.earlier)):
        for index, view in enumerate(views):
            arrays[f"{when}.{index}.stamp_ns"] = np.array(view.stamp_ns)
            arrays[f"{when}.{index}.pose"] = view.T_world_agent
            arrays[f"{when}.{index}.points"] = view.points
            cameras = [StoredCamera.of(camera) for camera in view.cameras]
            arrays |= stored_images.to_arrays(cameras, f"{when}.{index}")
    return arrays


def _moment_from_arrays(arrays: dict[str, NDArray]) -> Moment:
    now, earlier = (
        tuple(
            AgentFrame(
                str(agent),
                _kind(kind),
                int(arrays[f"{when}.{index}.stamp_ns"]),
                arrays[f"{when}.{index}.pose"],
                arrays[f"{when}.{index}.points"],
                cameras=tuple(image.camera for image in stored_images.from_arrays(arrays, f"{when}.{index}")),
            )
            for index, (agent, kind) in enumerate(arrays["agents"])
        )
        for when in ("now", "earlier")
    )
    return Moment(str(arrays["name"]), now, earlier, *(arrays[key] for key in _MOMENT_ARRAYS))
