"""Simulates a sequence of cooperative frames from a family of scenes and a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from cosense.errors import CosenseError, counted, nearest
from cosense.simulation.equipment import Equipment
from cosense.simulation.masts import rank_masts
from cosense.simulation.mounting import check_tilt
from cosense.simulation.scenes.families import FAMILIES, build_scene
from cosense.simulation.scenes.mesh import join
from cosense.simulation.sensors.lidar_unit import STANDARD, check_lidar
from cosense.simulation.stage import Place, SimulatedFrame, Stage, unit_names
from cosense.simulation.traffic import Traffic

# To be raised whenever the same arguments give other scenes, traffic, clouds or labels than before: data sets
# record it, and training simulates its stored samples again.
SCENES_VERSION = 3
# Likewise where the same arguments give other images, but the same clouds.
IMAGES_VERSION = 2

# Shortest and longest time that the traffic has been moving when a sequence begins.
_WARM_UP_S = (5.0, 10.0)
_MAX_VEHICLES = 6


@dataclass(frozen=True)
class SimulatedSequence:
    """A sequence that is ready to be simulated; iterating over it makes its frames, once.

    Attributes:
        stage: the place with its sensors.
        traffic: road users, where they are before the first frame; they move on with the frames.
        steps: steps of the traffic that lie behind each frame.
    """

    stage: Stage
    traffic: Traffic
    steps: range

    def __iter__(self) -> Iterator[SimulatedFrame]:
        for number in range(self.steps.stop):
            if number in self.steps:
                yield self.stage.frame(self.traffic, number)
            self.traffic.step()
            self.stage.errors.step()


def simulate(
    family: str,
    seed: int,
    frames: int,
    *,
    first: int = 0,
    step: int = 1,
    vehicles: int = 1,
    infrastructure: int = 1,
    cameras: bool = False,
    lidar: str = STANDARD,
    tilt_deg: float | None = None,
) -> SimulatedSequence:
    """Return one sequence; the same arguments give the same bytes.

    Args:
        family: one of `FAMILIES`.
        seed: seed of the place, its traffic and all noise.
        frames: number of frames.
        first: number of frames to leave out before; those that follow are the same as without.
        step: time from one frame to the next in steps of 0.1 s.
        vehicles: number of instrumented vehicles: "vehicle" (the ego), "vehicle_2", ...
        infrastructure: number of roadside units: "infrastructure", "infrastructure_2", ...
        cameras: also render an image for each agent; clouds are the same with and without.
        lidar: one of `LIDARS`: the standard equipment in fair weather, "any" of those for training in any
            weather, "unseen" ones likewise, or a make by its name. The scene and its traffic are the same.
        tilt_deg: roll and pitch of every LiDAR in degrees, to drawn sides; None draws them.

    Raises:
        CosenseError: unknown family or LiDAR, a tilt beyond all mountings, or more agents than the scene has
            room for.
    """
    _check(family, seed, frames, first, step, vehicles)
    check_lidar(lidar)
    check_tilt(tilt_deg)
    rng = np.random.default_rng([seed, FAMILIES.index(family)])
    scene = build_scene(family, rng)
    if not 0 <= infrastructure <= len(scene.masts):
        raise CosenseError(
            f"infrastructure={infrastructure}: "
            f"scene {family} {seed} has room for {counted(len(scene.masts), 'unit')}"
        )
    traffic = Traffic.start(scene, rng, vehicles, float(rng.uniform(*_WARM_UP_S)))
    place = Place.of(scene)
    masts = rank_masts(scene, place.world.with_actors(join([])), traffic)[:infrastructure]
    bodies = [mover.body for mover in traffic.movers if mover.identity in traffic.ego_ids]
    carriers = dict(zip(traffic.ego_ids, bodies, strict=True))
    equipment = Equipment.drawn(lidar, tilt_deg, carriers, unit_names(len(masts)), seed)
    stage = Stage.prepare(place, masts, equipment, seed, rng, with_cameras=cameras)
    return SimulatedSequence(stage, traffic, range(first * step, (first + frames) * step, step))


def _check(family: str, seed: int, frames: int, first: int, step: int, vehicles: int) -> None:
    if family not in FAMILIES:
        raise CosenseError(f"scene family '{family}' is unknown, {nearest(family, FAMILIES)}")
    for name, value in {"seed": seed, "frames": frames, "first": first}.items():
        if value < 0:
            raise CosenseError(f"{name}={value}: expected at least 0")
    for name, value in {"step": step, "vehicles": vehicles}.items():
        if value < 1:
            raise CosenseError(f"{name}={value}: expected at least 1")
    if vehicles > _MAX_VEHICLES:
        raise CosenseError(f"vehicles={vehicles}: expected at most {_MAX_VEHICLES}")
