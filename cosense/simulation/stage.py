"""A scene with its sensors, which makes frames: what each agent measures, when and from where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cosense.data.dataset import CooperativeFrame, Provenance
from cosense.data.provenance import SIMULATOR
from cosense.geometry.transforms import Matrix, invert, transform_from_planar, wrap_angle
from cosense.sensing.frame import AgentFrame, Camera
from cosense.sensing.measured_errors import PositionErrors, cloud_delay_ns, image_delay_ns
from cosense.sensing.objects import Objects
from cosense.simulation.actors import Actors, actors_at, parked_actors
from cosense.simulation.equipment import Equipment
from cosense.simulation.masts import eye_of
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.scene import Mast, Scene
from cosense.simulation.scenes.shapes import cylinder
from cosense.simulation.sensors.camera import FRONT_CAMERA, MAST_CAMERA, render
from cosense.simulation.sensors.daylight import Light, draw_light
from cosense.simulation.sensors.exposure import Optics, develop, draw_optics
from cosense.simulation.sensors.lidar import SWEEP_S, Motion, Sweep, sweep
from cosense.simulation.sensors.raycast import Alone, View, World
from cosense.simulation.traffic import STEP_S, Traffic

EGO = "vehicle"
# Name of the camera that every agent has.
CAMERA = "front"
# An agent labels an object with at least this many of its points; ground truth needs one point of any agent.
OWN_LABEL_POINTS = 5
_EPOCH_NS = 1_626_000_000_000_000_000
_HOUR_NS = 3_600_000_000_000
_CLEAR_OF_MAST_M = 3.5
# Half extent of what is too large to be removed.
_SMALL_M = 4.0


def unit_names(count: int) -> list[str]:
    """Return the names of the roadside units of a sequence."""
    return ["infrastructure" if number == 0 else f"infrastructure_{number + 1}" for number in range(count)]


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
class Place:
    """A scene that is ready for rays.

    Attributes:
        scene: the scene.
        parked: its parked vehicles.
        world: all that stands still, parked vehicles included.
    """

    scene: Scene
    parked: Actors
    world: World

    @classmethod
    def of(cls, scene: Scene) -> Place:
        """Clear the view of the masts of small things, and build what rays need."""
        parked = parked_actors(scene)
        return cls(scene, parked, World.of(join([*_clear_of_masts(scene), parked.mesh]), scene.ground))


@dataclass(frozen=True)
class Stage:
    """A scene with its sensors.

    Delays and noise have random numbers of their own for each frame, so that a frame does not depend on which
    others are made, nor a cloud on whether there are images.

    Attributes:
        place: the scene.
        masts: masts of the roadside units, in their order.
        poles: what carries their sensors.
        T_world_scene: (4,4) pose of the scene in the world.
        sequence: name of the sequence.
        start_ns: time of the ego's first cloud.
        errors: position error of the units, true minus claimed position; it walks on with the traffic.
        equipment: LiDARs of all agents, and the weather.
        seed: seed of delays and noise.
        light: what lights the scene, None without images.
        optics: camera of each agent, none without images.
    """

    place: Place
    masts: dict[str, Mast]
    poles: Mesh
    T_world_scene: Matrix
    sequence: str
    start_ns: int
    errors: PositionErrors
    equipment: Equipment
    seed: int
    light: Light | None
    optics: Mapping[str, Optics]

    @classmethod
    def prepare(
        cls,
        place: Place,
        masts: Sequence[Mast],
        equipment: Equipment,
        seed: int,
        rng: np.random.Generator,
        *,
        with_cameras: bool,
    ) -> Stage:
        """Place the masts, and draw the pose in the world, the time and the position error."""
        x, y, z, turn = rng.uniform([500, 500, 20, -np.pi], [4000, 2400, 25, np.pi])
        # Stamps are whole microseconds, because DAIR-V2X stores these.
        light = draw_light(equipment.weather, np.random.default_rng([seed, 1])) if with_cameras else None
        start_ns = _EPOCH_NS + seed % 100_000 * _HOUR_NS + int(rng.integers(10**6)) * 1000
        return cls(
            place=place,
            masts=dict(zip(unit_names(len(masts)), masts, strict=True)),
            poles=join(place.scene.ground.lifted([_pole(mast) for mast in masts])),
            T_world_scene=transform_from_planar(float(x), float(y), float(turn), float(z)),
            sequence=f"{place.scene.family}_{seed:06d}{equipment.suffix}",
            start_ns=start_ns,
            errors=PositionErrors(rng.spawn(1)[0]),
            equipment=equipment,
            seed=seed,
            light=light,
            optics={} if light is None else _draw_cameras(equipment, light, len(masts), seed),
        )

    def frame(self, traffic: Traffic, number: int) -> SimulatedFrame:
        """Measure with every sensor; `number` steps of the traffic lie behind."""
        cloud_rng, image_rng = (np.random.default_rng([self.seed, what, number]) for what in (5, 6))
        stamp_ns = self.start_ns + round(number * STEP_S * 1e9)
        now = actors_at(self.place.scene, traffic, self.place.parked, 0)
        agents: dict[str, AgentFrame] = {}
        seen: set[str] = set()
        for agent_id in [*traffic.ego_ids, *self.masts]:
            # The ego's clock is the reference; every other agent sweeps at its own time.
            delay_ns = 0 if agent_id == EGO else cloud_delay_ns(cloud_rng)
            agent, ids = self._look(agent_id, traffic, delay_ns, stamp_ns + delay_ns, cloud_rng)
            if self.light is not None:
                camera = self._photograph(agent, traffic, delay_ns, image_rng, self.light)
                agent = replace(agent, cameras=(camera,))
            agents[agent_id] = agent
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
        x, y = self.errors.error_m.tolist()
        return SimulatedFrame(frame, (x, y))

    def _look(
        self, agent_id: str, traffic: Traffic, delay_ns: int, stamp_ns: int, rng: np.random.Generator
    ) -> tuple[AgentFrame, set[str]]:
        """Return what the LiDAR of one agent measures, and the ids of all objects that it has hit."""
        actors = actors_at(self.place.scene, traffic, self.place.parked, delay_ns)
        row = actors.row_of(agent_id)
        T_scene_agent = self._pose(agent_id, actors)
        cloud = self._sweep(agent_id, actors, T_scene_agent, traffic, delay_ns, rng)
        counts = np.bincount(cloud.owner[cloud.owner >= 0], minlength=len(actors))
        if row is not None:
            # Points on the agent's own roof are in its cloud, but it is not among its objects.
            counts[row] = 0
        labelled = np.flatnonzero(counts >= OWN_LABEL_POINTS)
        own = actors.objects[labelled].transformed(invert(T_scene_agent))
        frame = AgentFrame(
            agent_id=agent_id,
            kind="infrastructure" if row is None else "vehicle",
            stamp_ns=stamp_ns,
            T_world_agent=self.T_world_scene @ T_scene_agent,
            points=cloud.points,
            objects=_where_seen(own, labelled, cloud),
            rings=cloud.rings,
        )
        return frame, set(actors.objects.ids[counts > 0].tolist())

    def _sweep(
        self,
        agent_id: str,
        actors: Actors,
        T_scene_agent: Matrix,
        traffic: Traffic,
        later_ns: int,
        rng: np.random.Generator,
    ) -> Sweep:
        """Take the sweep of one agent at a time after the present step of the traffic."""
        row = actors.row_of(agent_id)
        velocities, yaw_rates = _motions(actors, traffic, later_ns)
        return sweep(
            self.equipment.lidars[agent_id],
            self._around(row, actors),
            T_scene_agent,
            rng,
            weather=self.equipment.weather,
            motion=Motion() if row is None else Motion(velocities[row], float(yaw_rates[row])),
            velocities_mps=velocities,
            carrier=None if row is None else Alone.of(actors.mesh[actors.mesh.owner == row]),
        )

    def _around(self, row: int | None, actors: Actors) -> View:
        """Return what is around an agent: all but the vehicle of this row that carries it."""
        others = actors.mesh if row is None else actors.mesh[actors.mesh.owner != row]
        return self.place.world.with_actors(join([others, self.poles]))

    def _pose(self, agent_id: str, actors: Actors) -> Matrix:
        """Return the pose (4,4) of an agent's LiDAR in the scene."""
        row = actors.row_of(agent_id)
        if row is None:
            mast = self.masts[agent_id]
            x, y, z = eye_of(self.place.scene, mast)
            T_scene_carrier = transform_from_planar(float(x), float(y), mast.yaw, float(z))
        else:
            T_scene_carrier = actors.T_scene_body[row]
        return np.asarray(T_scene_carrier @ self.equipment.mountings[agent_id].T_carrier_sensor)

    def _photograph(
        self,
        agent: AgentFrame,
        traffic: Traffic,
        delay_ns: int,
        rng: np.random.Generator,
        light: Light,
    ) -> Camera:
        """Render an agent's image at the time of the camera, by when all road users have moved on.

        It shows nothing of the vehicle that carries the camera.
        """
        lag_ns = image_delay_ns(rng, agent.kind)
        actors = actors_at(self.place.scene, traffic, self.place.parked, delay_ns + lag_ns)
        view = self._around(actors.row_of(agent.agent_id), actors)
        model = FRONT_CAMERA
        if agent.kind == "infrastructure":
            model, light = MAST_CAMERA, replace(light, head_lamps=0.0)
        T_scene_agent = self._pose(agent.agent_id, actors)
        seen = render(model, view, T_scene_agent, light)
        image = develop(seen, self.optics[agent.agent_id], rng)
        T_then_agent = invert(self.T_world_scene @ T_scene_agent) @ agent.T_world_agent
        stamp_ns = agent.stamp_ns + lag_ns
        return Camera(CAMERA, image, model.K, model.T_camera_agent, stamp_ns, T_then_agent)


def _draw_cameras(equipment: Equipment, light: Light, units: int, seed: int) -> dict[str, Optics]:
    """Draw the camera of each agent, the last of which are roadside units."""
    vehicles, is_dark = len(equipment.lidars) - units, light.lamps > 0
    return {
        name: draw_optics(
            equipment.weather, is_dark, number < vehicles, np.random.default_rng([seed, 7, number])
        )
        for number, name in enumerate(equipment.lidars)
    }


def _motions(
    actors: Actors, traffic: Traffic, later_ns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return velocities (A,3) in m/s, along the slope of the ground, and yaw rates (A,) in rad/s."""
    at_s, half_s = later_ns * 1e-9, SWEEP_S / 2
    before, after = traffic.poses(at_s - half_s), traffic.poses(at_s + half_s)
    first = len(actors) - len(before)
    velocities, yaw_rates = np.zeros((len(actors), 3)), np.zeros(len(actors))
    velocities[first:, :2] = (after[:, :2] - before[:, :2]) / SWEEP_S
    ahead = actors.T_scene_body[first:, :3, 0]
    velocities[first:, 2] = np.linalg.norm(velocities[first:, :2], axis=1) * (
        ahead[:, 2] / np.linalg.norm(ahead[:, :2], axis=1)
    )
    yaw_rates[first:] = wrap_angle(after[:, 2] - before[:, 2]) / SWEEP_S
    return velocities, yaw_rates


def _where_seen(objects: Objects, rows: NDArray[np.int64], cloud: Sweep) -> Objects:
    """Return objects of some rows where the cloud shows them, if the sensor's motion is not compensated."""
    hit = cloud.owner >= 0
    owner, shift_m = cloud.owner[hit], cloud.shift_m[hit]
    boxes = objects.boxes.copy()
    for axis in range(3):
        boxes[:, axis] += (np.bincount(owner, shift_m[:, axis]) / np.maximum(np.bincount(owner), 1))[rows]
    return replace(objects, boxes=boxes)


def _clear_of_masts(scene: Scene) -> list[Mesh]:
    """Return what stands in a scene without small things that block the view of a mast."""
    middle = np.array([(mast.x, mast.y) for mast in scene.masts]).reshape(-1, 2)
    kept = []
    for mesh in scene.surroundings:
        half = np.ptp(mesh.vertices[:, :2], axis=0).max() / 2
        reach = np.linalg.norm(middle - mesh.middle, axis=1) - half
        if half >= _SMALL_M or np.all(reach >= _CLEAR_OF_MAST_M):
            kept.append(mesh)
    return kept


def _pole(mast: Mast) -> Mesh:
    """Return the pole of a unit, just behind its sensors, with its foot at z = 0."""
    pole = cylinder((0.0, 0.0, mast.height_m / 2), (0.22, 0.22, mast.height_m), Material.METAL)
    x, y = mast.x - 0.3 * np.cos(mast.yaw), mast.y - 0.3 * np.sin(mast.yaw)
    return pole.at(float(x), float(y))
