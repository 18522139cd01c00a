"""From a family and a seed to a sequence of cooperative frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from cosense.data.dataset import CooperativeFrame
from cosense.errors import CosenseError
from cosense.geometry.transforms import Matrix, invert, transform_from_planar
from cosense.sensing.frame import AgentFrame
from cosense.sensing.objects import Objects
from cosense.simulation.families import FAMILIES, build_scene
from cosense.simulation.frame import SimulatedFrame
from cosense.simulation.ground import GroundTensors
from cosense.simulation.imperfections import cloud_delay_ns, position_offset_m
from cosense.simulation.lidar import PANDAR40P, ROADSIDE300, sweep
from cosense.simulation.materials import Material
from cosense.simulation.primitives import Primitives, Shape, Solid, concatenate, gather, place
from cosense.simulation.scene import Mast, Scene
from cosense.simulation.traffic import STEP_S, Traffic

# An agent labels what it hit this often itself; the ground truth is what any agent has a point of.
OWN_LABEL_POINTS = 5
_EPOCH_NS = 1_626_000_000_000_000_000
_SENSOR_ABOVE_ROOF_M = 0.35
_CLEAR_OF_MAST_M = 3.5


def simulate(
    family: str,
    seed: int,
    frames: int,
    *,
    vehicles: int = 1,
    infrastructure: int = 1,
    cameras: bool = False,
    device: str = "cpu",
) -> Iterator[SimulatedFrame]:
    """Yield one sequence at 10 Hz; the same arguments give the same bytes on the same device.

    Args:
        family: one of `FAMILIES`.
        seed: draws the place, its traffic and all noise.
        frames: how many.
        vehicles: instrumented vehicles, "vehicle" (the ego), "vehicle_2", ...
        infrastructure: roadside units, "infrastructure", "infrastructure_2", ...
        cameras: whether to render an image for each agent.
        device: where rays are cast, "cpu" or "cuda".

    Raises:
        CosenseError: unknown family or device, or counts that no scene has room for.
    """
    _check(frames, vehicles, infrastructure, device)
    rng = np.random.default_rng([seed, FAMILIES.index(family) if family in FAMILIES else 0])
    scene = build_scene(family, rng)
    if infrastructure > len(scene.masts):
        raise CosenseError(f"infrastructure={infrastructure}: {family} has room for {len(scene.masts)} units")
    traffic = Traffic.start(scene, rng, vehicles, float(rng.uniform(5.0, 10.0)))
    stage = _Stage.set(scene, scene.masts[:infrastructure], family, seed, rng, device)
    return (stage.frame(traffic, number, cameras) for number in range(frames))


def _check(frames: int, vehicles: int, infrastructure: int, device: str) -> None:
    if frames < 0:
        raise CosenseError(f"frames={frames}: expected 0 or more")
    if not 1 <= vehicles <= 6:
        raise CosenseError(f"vehicles={vehicles}: expected 1 (the ego) to 6")
    if infrastructure < 0:
        raise CosenseError(f"infrastructure={infrastructure}: expected 0 or more")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise CosenseError(f"device '{device}': PyTorch finds no GPU here; use 'cpu'")


@dataclass(frozen=True)
class _Actors:
    """Everybody in the scene at one moment; rows are owners of solids.

    Attributes:
        poses: (A,4) x, y, z, yaw in the scene, z of the ground under the middle.
        boxes: (A,7) label boxes in the scene.
    """

    ids: list[str]
    labels: NDArray[np.int64]
    poses: NDArray[np.float64]
    boxes: NDArray[np.float64]
    solids: Primitives


@dataclass(frozen=True)
class _Stage:
    """A scene with its sensors, ready to be looked at."""

    scene: Scene
    masts: tuple[Mast, ...]
    surroundings: Primitives
    ground: GroundTensors
    T_world_scene: Matrix
    sequence: str
    start_ns: int
    offset_m: tuple[float, float]
    rng: np.random.Generator
    generator: torch.Generator

    @classmethod
    def set(
        cls,
        scene: Scene,
        masts: tuple[Mast, ...],
        family: str,
        seed: int,
        rng: np.random.Generator,
        device: str,
    ) -> _Stage:
        """Put up the masts, draw where in the world and when it is, and the position error."""
        generator = torch.Generator(device)
        generator.manual_seed(int(rng.integers(2**62)))
        x, y, z, turn = rng.uniform([500, 500, 20, -np.pi], [4000, 2400, 25, np.pi])
        return cls(
            scene=scene,
            masts=masts,
            surroundings=_with_masts(scene.surroundings, masts),
            ground=GroundTensors.of(scene.ground, torch.device(device)),
            T_world_scene=transform_from_planar(float(x), float(y), float(turn), float(z)),
            sequence=f"{family}_{seed:06d}",
            start_ns=_EPOCH_NS + seed * 3_600_000_000_000 + int(rng.integers(10**9)) // 1000 * 1000,
            offset_m=position_offset_m(rng),
            rng=rng,
            generator=generator,
        )

    def frame(self, traffic: Traffic, number: int, cameras: bool) -> SimulatedFrame:
        """Measure with every sensor, then let the traffic move on."""
        stamp_ns = self.start_ns + round(number * STEP_S * 1e9)
        now = self._actors(traffic, 0)
        agents: dict[str, AgentFrame] = {}
        seen = np.zeros(0, dtype=np.str_)
        for agent_id in [*traffic.ego_ids, *(_unit(i) for i in range(len(self.masts)))]:
            # The ego's clock is the reference; everybody else sweeps at its own time.
            delay_ns = 0 if agent_id == "vehicle" else cloud_delay_ns(self.rng) // 1000 * 1000
            then = self._actors(traffic, delay_ns)
            agents[agent_id], ids = self._look(agent_id, then, stamp_ns + delay_ns)
            seen = np.union1d(seen, ids)
        ego = agents["vehicle"]
        keep = np.isin(now.ids, seen) & (np.array(now.ids) != "vehicle")
        truth = self._objects(now, keep).transformed(invert(ego.T_world_agent) @ self.T_world_scene)
        frame = CooperativeFrame(f"{self.sequence}_{number:06d}", self.sequence, "vehicle", agents, truth)
        traffic.step()
        return SimulatedFrame(frame, self.offset_m)

    def _actors(self, traffic: Traffic, later_ns: int) -> _Actors:
        movers, parked = traffic.movers, self.scene.parked
        planar = np.concatenate(
            [traffic.poses(later_ns * 1e-9), np.array([(p.x, p.y, p.yaw) for p in parked]).reshape(-1, 3)]
        )
        bodies = [mover.body for mover in movers] + [p.body for p in parked]
        height = self.scene.ground.height_at(planar[:, :2])
        poses = np.column_stack([planar[:, :2], height, planar[:, 2]])
        sizes = np.array([body.size for body in bodies])
        boxes = np.column_stack([planar[:, :2], height + sizes[:, 2] / 2, sizes, planar[:, 2]])
        parts = [replace(body.parts, owner=np.full(len(body.parts), row)) for row, body in enumerate(bodies)]
        ids = [mover.identity for mover in movers] + [f"parked_{i + 1}" for i in range(len(parked))]
        labels = np.array([body.label for body in bodies], dtype=np.int64)
        return _Actors(ids, labels, poses, boxes, place(concatenate(parts), poses))

    def _look(self, agent_id: str, actors: _Actors, stamp_ns: int) -> tuple[AgentFrame, NDArray[np.str_]]:
        """Take one agent's sweep; also return the ids of all that it has a point of."""
        if agent_id in actors.ids:
            row = actors.ids.index(agent_id)
            x, y, _, yaw = actors.poses[row]
            top = actors.boxes[row, 2] + actors.boxes[row, 5] / 2
            position, model = (float(x), float(y), float(top + _SENSOR_ABOVE_ROOF_M)), PANDAR40P
        else:
            row = -1
            mast = next(m for i, m in enumerate(self.masts) if _unit(i) == agent_id)
            position, yaw, model = (mast.x, mast.y, mast.height_m), mast.yaw, ROADSIDE300
        solids = concatenate([actors.solids, self.surroundings])
        cloud = sweep(model, solids, self.ground, position, float(yaw), self.generator)
        owner = cloud.owner.cpu().numpy()
        counts = np.bincount(owner[owner >= 0], minlength=len(actors.ids))
        if row >= 0:
            counts[row] = 0
        T_scene_agent = transform_from_planar(position[0], position[1], float(yaw), position[2])
        labels = self._objects(actors, counts >= OWN_LABEL_POINTS).transformed(invert(T_scene_agent))
        frame = AgentFrame(
            agent_id=agent_id,
            kind="vehicle" if row >= 0 else "infrastructure",
            stamp_ns=stamp_ns,
            T_world_agent=self.T_world_scene @ T_scene_agent,
            points=cloud.points.cpu().numpy(),
            objects=labels,
        )
        return frame, np.array(actors.ids)[counts > 0]

    def _objects(self, actors: _Actors, keep: NDArray[np.bool_]) -> Objects:
        return Objects(actors.boxes, actors.labels, np.array(actors.ids))[keep]


def _unit(number: int) -> str:
    return "infrastructure" if number == 0 else f"infrastructure_{number + 1}"


def _with_masts(surroundings: Primitives, masts: tuple[Mast, ...]) -> Primitives:
    """Put up the poles of the units, just behind their sensors, and clear what would stand in their way."""
    middle = np.array([(mast.x, mast.y) for mast in masts]).reshape(-1, 2)
    reach = np.linalg.norm(surroundings.centre[:, None, :2] - middle, axis=2)
    reach -= surroundings.half[:, :2].max(1)[:, None]
    small = surroundings.half[:, :2].max(1) < 4.0
    keep = ~(small & (reach < _CLEAR_OF_MAST_M).any(1))
    kept = Primitives(*(getattr(surroundings, name)[keep] for name in Primitives.__dataclass_fields__))
    poles = [
        Solid(
            (m.x - 0.3 * np.cos(m.yaw), m.y - 0.3 * np.sin(m.yaw), m.height_m / 2),
            (0.22, 0.22, m.height_m),
            Material.METAL,
            shape=Shape.CYLINDER,
        )
        for m in masts
    ]
    return concatenate([kept, gather(poles)])
