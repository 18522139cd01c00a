"""A scene with its sensors, which makes frames: what each agent measures, when and from where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cosense.data.dataset import CooperativeFrame, Provenance
from cosense.data.provenance import SIMULATOR
from cosense.geometry.transforms import Matrix, invert, transform_from_planar
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.measured_errors import cloud_delay_ns, image_delay_ns, position_offset_m
from cosense.simulation.actors import Actors, actors_at, parked_actors
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.scene import Mast, Scene
from cosense.simulation.scenes.solids import Primitives, Shape, Solid, concatenate, gather
from cosense.simulation.scenes.surface import GroundTensors
from cosense.simulation.sensors.camera import FRONT_CAMERA, MAST_CAMERA, render
from cosense.simulation.sensors.lidar import PANDAR40P, ROADSIDE300, sweep
from cosense.simulation.traffic import STEP_S, Traffic

EGO = "vehicle"
# An agent labels an object with at least this many of its points; ground truth needs one point of any agent.
OWN_LABEL_POINTS = 5
SENSOR_ABOVE_ROOF_M = 0.35
_EPOCH_NS = 1_626_000_000_000_000_000
_HOUR_NS = 3_600_000_000_000
_CLEAR_OF_MAST_M = 3.5


@dataclass(frozen=True)
class SimulatedFrame:
    """One simulated moment.

    Attributes:
        frame: measurements with true poses of all agents, and ground truth at the time of the ego's cloud.
        offset_m: (dx, dy) in the world: true minus claimed position of the roadside units. A reader that adds
            it to the claimed translation gets the true pose.
    """

    frame: CooperativeFrame
    offset_m: tuple[float, float]


@dataclass(frozen=True)
class Cameras:
    """What images need besides the scene, with its own random numbers: clouds do not depend on images.

    Attributes:
        sun: (3,) unit vector towards the sun.
        rng: draws delays.
        generator: draws noise on the device.
    """

    sun: NDArray[np.float64]
    rng: np.random.Generator
    generator: torch.Generator

    @classmethod
    def drawn(cls, seed: int, device: str) -> Cameras:
        """Draw the direction of the sun."""
        rng = np.random.default_rng([seed, 1])
        height, azimuth = rng.uniform(0.45, 1.1), rng.uniform(-np.pi, np.pi)
        sun = np.array([np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)])
        return cls(sun, rng, torch.Generator(device).manual_seed(int(rng.integers(2**62))))


@dataclass(frozen=True)
class Stage:
    """A scene with its sensors.

    Attributes:
        scene: the scene.
        masts: masts of the roadside units, in their order.
        surroundings: static solids of the scene, masts included.
        parked: parked vehicles.
        ground: ground of the scene on the device.
        T_world_scene: (4,4) pose of the scene in the world.
        sequence: name of the sequence.
        start_ns: time of the ego's first cloud.
        offset_m: position error of the units, constant over the sequence.
        rng: draws delays.
        generator: draws noise on the device.
        cameras: sun and random numbers of the images, None without images.
    """

    scene: Scene
    masts: dict[str, Mast]
    surroundings: Primitives
    parked: Actors
    ground: GroundTensors
    T_world_scene: Matrix
    sequence: str
    start_ns: int
    offset_m: tuple[float, float]
    rng: np.random.Generator
    generator: torch.Generator
    cameras: Cameras | None

    @classmethod
    def prepare(
        cls,
        scene: Scene,
        masts: Sequence[Mast],
        seed: int,
        rng: np.random.Generator,
        device: str,
        cameras: Cameras | None,
    ) -> Stage:
        """Place the masts, and draw the pose in the world, the time and the position error."""
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        x, y, z, turn = rng.uniform([500, 500, 20, -np.pi], [4000, 2400, 25, np.pi])
        # Stamps are whole microseconds, because DAIR-V2X stores these.
        start_ns = _EPOCH_NS + seed % 100_000 * _HOUR_NS + int(rng.integers(10**6)) * 1000
        names = ["infrastructure" if i == 0 else f"infrastructure_{i + 1}" for i in range(len(masts))]
        return cls(
            scene=scene,
            masts=dict(zip(names, masts, strict=True)),
            surroundings=_with_masts(scene.surroundings, masts),
            parked=parked_actors(scene),
            ground=GroundTensors.of(scene.ground, torch.device(device)),
            T_world_scene=transform_from_planar(float(x), float(y), float(turn), float(z)),
            sequence=f"{scene.family}_{seed:06d}",
            start_ns=start_ns,
            offset_m=position_offset_m(rng),
            rng=rng,
            generator=generator,
            cameras=cameras,
        )

    def frame(self, traffic: Traffic, number: int) -> SimulatedFrame:
        """Measure with every sensor, then move the traffic by one step."""
        stamp_ns = self.start_ns + round(number * STEP_S * 1e9)
        now = actors_at(self.scene, traffic, self.parked, 0)
        agents: dict[str, AgentFrame] = {}
        seen: set[str] = set()
        for agent_id in [*traffic.ego_ids, *self.masts]:
            # The ego's clock is the reference; every other agent sweeps at its own time.
            delay_ns = 0 if agent_id == EGO else cloud_delay_ns(self.rng)
            agents[agent_id], ids = self._look(agent_id, traffic, delay_ns, stamp_ns + delay_ns)
            seen |= ids
        keep = np.array([name in seen and name != EGO for name in now.objects.ids])
        T_ego_scene = invert(agents[EGO].T_world_agent) @ self.T_world_scene
        truth = now.objects[keep].transformed(T_ego_scene)
        frame = CooperativeFrame(
            f"{self.sequence}_{number:06d}",
            self.sequence,
            EGO,
            agents,
            truth,
            provenance=Provenance(SIMULATOR),
        )
        traffic.step()
        return SimulatedFrame(frame, self.offset_m)

    def _look(
        self, agent_id: str, traffic: Traffic, delay_ns: int, stamp_ns: int
    ) -> tuple[AgentFrame, set[str]]:
        """Return what one agent measures, and the ids of all objects with at least one of its points."""
        actors = actors_at(self.scene, traffic, self.parked, delay_ns)
        row = actors.row_of(agent_id)
        T_scene_agent = self._mounting(agent_id, actors)
        solids = concatenate([actors.solids, self.surroundings])
        model = ROADSIDE300 if row is None else PANDAR40P
        cloud = sweep(model, solids, self.ground, T_scene_agent, self.generator)
        owner = cloud.owner.cpu().numpy()
        counts = np.bincount(owner[owner >= 0], minlength=len(actors.poses))
        if row is not None:
            # Points on the agent's own roof are in its cloud, but it is not among its objects.
            counts[row] = 0
        own = actors.objects[counts >= OWN_LABEL_POINTS]
        frame = AgentFrame(
            agent_id=agent_id,
            kind="infrastructure" if row is None else "vehicle",
            stamp_ns=stamp_ns,
            T_world_agent=self.T_world_scene @ T_scene_agent,
            points=cloud.points.cpu().numpy(),
            cameras=self._photograph(agent_id, traffic, delay_ns, stamp_ns),
            objects=own.transformed(invert(T_scene_agent)),
        )
        return frame, set(actors.objects.ids[counts > 0].tolist())

    def _mounting(self, agent_id: str, actors: Actors) -> Matrix:
        """Return the pose (4,4) of an agent's LiDAR in the scene."""
        row = actors.row_of(agent_id)
        if row is None:
            mast = self.masts[agent_id]
            return transform_from_planar(mast.x, mast.y, mast.yaw, mast.height_m)
        x, y, ground, yaw = actors.poses[row]
        height = ground + actors.objects.boxes[row, 5] + SENSOR_ABOVE_ROOF_M
        return transform_from_planar(float(x), float(y), float(yaw), float(height))

    def _photograph(
        self, agent_id: str, traffic: Traffic, delay_ns: int, stamp_ns: int
    ) -> tuple[Camera, ...]:
        """Render an agent's image at the time of the camera, by when all road users have moved on."""
        if self.cameras is None:
            return ()
        unit = agent_id in self.masts
        lag_ns = image_delay_ns(self.cameras.rng, "infrastructure" if unit else "vehicle")
        actors = actors_at(self.scene, traffic, self.parked, delay_ns + lag_ns)
        model = MAST_CAMERA if unit else FRONT_CAMERA
        image = render(
            model,
            concatenate([actors.solids, self.surroundings]),
            self.ground,
            self._mounting(agent_id, actors),
            self.cameras.sun,
            self.cameras.generator,
        )
        return (Camera("front", image, model.K, model.T_camera_agent, stamp_ns + lag_ns),)


def _with_masts(surroundings: Primitives, masts: Sequence[Mast]) -> Primitives:
    """Add the poles of the units, just behind their sensors, and remove small solids that block the view."""
    middle = np.array([(mast.x, mast.y) for mast in masts]).reshape(-1, 2)
    reach = np.linalg.norm(surroundings.centre[:, None, :2] - middle, axis=2)
    reach -= surroundings.half[:, :2].max(1)[:, None]
    small = surroundings.half[:, :2].max(1) < 4.0
    keep = ~(small & (reach < _CLEAR_OF_MAST_M).any(1))
    poles = [
        Solid(
            (m.x - 0.3 * np.cos(m.yaw), m.y - 0.3 * np.sin(m.yaw), m.height_m / 2),
            (0.22, 0.22, m.height_m),
            Material.METAL,
            shape=Shape.CYLINDER,
        )
        for m in masts
    ]
    return concatenate([surroundings[keep], gather(poles)])
