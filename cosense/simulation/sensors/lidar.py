"""The two LiDARs: their beams, and the effect of noise, weak returns and materials on exact hits.

Vehicle: Hesai Pandar40P with 40 beams, 10 Hz, 0.2 degrees in azimuth. Roadside: a solid-state LiDAR like that
of DAIR-V2X with 100 x 40 degrees and 300 beams. All rays of a sweep are cast at one moment: the motion during
a sweep is left out, as if it had been compensated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cosense.geometry.transforms import Matrix
from cosense.simulation.scenes.solids import Primitives
from cosense.simulation.scenes.surface import GroundTensors
from cosense.simulation.sensors.raycast import (
    NO_HIT,
    Hits,
    Solids,
    Windows,
    cast,
    solids_in_sensor,
    surface_normals,
)

# Elevations of the beams in degrees. 38 of them were read off a real scan (pandar40p.pcd of tier4/nebula,
# Apache-2.0), in which the points of a beam share one elevation to 1e-3 degrees; the two lowest have no
# return in that scan and are those of the data sheet.
# fmt: off
PANDAR40P_DEG = (
    -25.0, -19.0, -14.018, -13.062, -12.094, -11.120, -10.133, -9.148, -8.147, -7.151, -6.149, -5.814, -5.479,
    -5.145, -4.808, -4.473, -4.138, -3.800, -3.463, -3.128, -2.788, -2.453, -2.116, -1.776, -1.439, -1.101,
    -0.763, -0.425, -0.088, 0.249, 0.587, 0.925, 1.263, 1.600, 1.940, 2.952, 4.969, 7.971, 10.944, 14.794,
)
# fmt: on


@dataclass(frozen=True)
class LidarModel:
    """A LiDAR.

    Attributes:
        elevations_deg: elevations of the beams, ascending.
        azimuths: number of rays of each beam.
        field_deg: horizontal field of view, centred on the heading; 360 for a full turn.
        max_range_m: largest range of a return.
        sensitivity_m: range at which half of the pulses return from a 10 % target that is hit squarely.
        min_range_m: smallest range of a return.
        noise_m: standard deviation of the range.
    """

    elevations_deg: tuple[float, ...]
    azimuths: int
    field_deg: float
    max_range_m: float
    sensitivity_m: float
    min_range_m: float = 0.4
    noise_m: float = 0.02


PANDAR40P = LidarModel(PANDAR40P_DEG, 1800, 360.0, 200.0, 170.0)
# The field starts a little above the horizon and ends some 8 m in front of a mast of 6 m.
ROADSIDE300 = LidarModel(tuple(np.linspace(-36.5, 3.5, 300)), 333, 100.0, 250.0, 200.0)


@dataclass(frozen=True)
class Sweep:
    """One sweep of a LiDAR.

    Attributes:
        points: (N,4) x, y, z in metres in the frame of the sensor, intensity 0..1.
        owner: (N,) row of the actor that each point lies on, negative for the surroundings and the ground.
    """

    points: Tensor
    owner: Tensor


@dataclass(frozen=True)
class BeamGrid:
    """The rays of a LiDAR: rows are beams in the order of elevation, columns are azimuths.

    Attributes:
        directions: (R,3) unit vectors in the frame of the sensor, row by row.
        columns: number of azimuths.
        slopes: (rows,) tangents of the elevations, ascending.
        first_rad: azimuth of column 0.
        step_rad: azimuth between columns.
        full_turn: whether the columns form a full circle.
    """

    directions: Tensor
    columns: int
    slopes: Tensor
    first_rad: float
    step_rad: float
    full_turn: bool

    @classmethod
    def of(cls, model: LidarModel, phase: float, device: torch.device) -> BeamGrid:
        """Return the rays of a model; `phase` in 0..1 shifts them by that part of the azimuth step."""
        field = np.radians(model.field_deg)
        step = field / model.azimuths
        first = -field / 2 + phase * step
        azimuth = first + step * torch.arange(model.azimuths, device=device, dtype=torch.float32)
        elevation = torch.deg2rad(torch.tensor(model.elevations_deg, device=device, dtype=torch.float32))
        across, up = torch.cos(elevation)[:, None], torch.sin(elevation)[:, None]
        directions = torch.stack(
            [across * torch.cos(azimuth), across * torch.sin(azimuth), up.expand(-1, model.azimuths)], dim=2
        )
        return cls(
            directions.reshape(-1, 3),
            model.azimuths,
            torch.tan(elevation),
            first,
            step,
            model.field_deg >= 360.0,
        )

    def windows(self, solids: Solids) -> Windows:
        """See `RayGrid`: azimuths between the outermost corners, and beams between lowest and highest."""
        centre, half = solids.centre, solids.half
        signs = torch.tensor([[1.0, 1], [1, -1], [-1, -1], [-1, 1]], device=centre.device)
        local = signs * half[:, None, :2]
        corner_x = (
            centre[:, None, 0] + local[..., 0] * solids.cos[:, None] - local[..., 1] * solids.sin[:, None]
        )
        corner_y = (
            centre[:, None, 1] + local[..., 0] * solids.sin[:, None] + local[..., 1] * solids.cos[:, None]
        )
        across_x = (centre[:, 0] * solids.cos + centre[:, 1] * solids.sin).abs() - half[:, 0]
        across_y = (centre[:, 1] * solids.cos - centre[:, 0] * solids.sin).abs() - half[:, 1]
        nearest = torch.hypot(across_x.clamp_min(0), across_y.clamp_min(0))
        farthest = torch.hypot(corner_x, corner_y).amax(1)
        around = nearest < 1e-3
        middle = torch.atan2(centre[:, 1], centre[:, 0])
        turn = torch.atan2(corner_y, corner_x) - middle[:, None]
        turn = torch.remainder(turn + torch.pi, 2 * torch.pi) - torch.pi
        first, columns = self._columns(middle + turn.amin(1), middle + turn.amax(1), around)
        low, high = centre[:, 2] - half[:, 2], centre[:, 2] + half[:, 2]
        near = nearest.clamp_min(1e-3)
        lowest = low / torch.where(low < 0, near, farthest)
        highest = high / torch.where(high > 0, near, farthest)
        first_row = torch.searchsorted(self.slopes, lowest - 1e-5)
        end_row = torch.searchsorted(self.slopes, highest + 1e-5, right=True)
        return Windows(first_row, (end_row - first_row).clamp_min(0), first, columns)

    def _columns(self, start: Tensor, end: Tensor, around: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first column and the number of columns between azimuths."""
        if self.full_turn:
            low = torch.floor((start - self.first_rad) / self.step_rad).long()
            high = torch.ceil((end - self.first_rad) / self.step_rad).long()
            count = torch.where(around, self.columns, (high - low + 1).clamp_max(self.columns))
            return torch.remainder(low, self.columns), count
        # The azimuths of a solid lie around its middle: shift them by full turns to where the field is.
        before, beyond = self.first_rad - self.step_rad, self.first_rad + self.columns * self.step_rad
        shift = torch.where(start > beyond, -2 * torch.pi, torch.where(end < before, 2 * torch.pi, 0.0))
        low = torch.floor((start + shift - self.first_rad) / self.step_rad).long().clamp(0, self.columns)
        high = torch.ceil((end + shift - self.first_rad) / self.step_rad).long().clamp(-1, self.columns - 1)
        low, high = torch.where(around, 0, low), torch.where(around, self.columns - 1, high)
        return low.clamp_max(self.columns - 1), (high - low + 1).clamp_min(0)


def sweep(
    model: LidarModel,
    primitives: Primitives,
    ground: GroundTensors,
    T_scene_sensor: Matrix,
    generator: torch.Generator,
) -> Sweep:
    """Take one sweep.

    Args:
        model: the LiDAR.
        primitives: all solids of the scene.
        ground: the ground of the scene.
        T_scene_sensor: (4,4) pose of the sensor, rotated only about the vertical.
        generator: draws phase and noise; its device is used.
    """
    device = generator.device
    phase = float(torch.rand((), generator=generator, device=device))
    grid = BeamGrid.of(model, phase, device)
    solids = solids_in_sensor(primitives, T_scene_sensor, device)
    hits = cast(grid, solids, generator)
    ground_m, material, kerb = ground.meet(grid.directions, T_scene_sensor)
    on_ground = ground_m < hits.range_m
    normals = surface_normals(grid.directions, hits, solids)
    normals[on_ground] = torch.tensor([0.0, 0.0, 1.0], device=device)
    range_m = torch.minimum(ground_m, hits.range_m)
    rows = hits.solid.clamp_min(0)
    reflectance = _of(primitives.reflectance, rows, device)
    reflectance = torch.where(on_ground, ground.reflectance[material], reflectance)
    cosine = (grid.directions * normals).sum(1).abs()
    cosine = torch.where(on_ground & kerb, 0.7, cosine)
    owner = torch.where(on_ground | (hits.solid == NO_HIT), NO_HIT, _of(primitives.owner, rows, device))
    return _measure(model, grid, Hits(range_m, owner), reflectance, cosine, generator)


def _of(values: np.ndarray, rows: Tensor, device: torch.device) -> Tensor:
    """Return the property of the solid that each ray hits; there may be no solids at all."""
    table = torch.from_numpy(values).to(device)
    return table[rows] if len(table) else torch.zeros(len(rows), dtype=table.dtype, device=device)


def _measure(
    model: LidarModel,
    grid: BeamGrid,
    hits: Hits,
    reflectance: Tensor,
    cosine: Tensor,
    generator: torch.Generator,
) -> Sweep:
    """Drop weak returns, add noise to the range, and compute the intensity of each point.

    A pulse returns with the power reflectance x cosine / range^2, and is detected with probability
    1 - 2^-power, where power is 1 at `sensitivity_m` for a 10 % target. Intensity is corrected for the range.
    """
    count, device = len(reflectance), reflectance.device
    lit = cosine.clamp_min(0.02)
    power = reflectance / 0.1 * lit * (model.sensitivity_m / hits.range_m.clamp_min(0.1)) ** 2
    chance = (1 - torch.exp2(-power)) * 0.995
    seen = torch.rand(count, generator=generator, device=device) < chance
    seen &= (hits.range_m < model.max_range_m) & (hits.range_m > model.min_range_m)
    spread = torch.randn(count, 2, generator=generator, device=device)
    range_m = hits.range_m + model.noise_m * spread[:, 0]
    intensity = reflectance * (0.35 + 0.65 * lit) * (1 + 0.12 * spread[:, 1])
    points = torch.cat([grid.directions * range_m[:, None], intensity[:, None].clamp(0, 1)], 1)
    return Sweep(points[seen].contiguous(), hits.solid[seen])
