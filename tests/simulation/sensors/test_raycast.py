"""Rays against solids whose hits are known in closed form, and against rays without windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cosense.geometry.transforms import transform_from_planar
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.solids import Primitives, Shape, Solid, gather
from cosense.simulation.sensors.camera import FRONT_CAMERA, CameraModel, PixelGrid
from cosense.simulation.sensors.lidar import BeamGrid, LidarModel
from cosense.simulation.sensors.raycast import (
    NO_HIT,
    Hits,
    RayGrid,
    Solids,
    Windows,
    cast,
    solids_in_sensor,
    surface_normals,
)

CPU = torch.device("cpu")
AT_ORIGIN = np.eye(4)


@dataclass(frozen=True)
class Rays:
    """Rays of one row, with windows that leave nothing out."""

    directions: torch.Tensor

    @property
    def columns(self) -> int:
        return len(self.directions)

    def windows(self, solids: Solids) -> Windows:
        zeros = torch.zeros(len(solids), dtype=torch.long)
        return Windows(zeros, zeros + 1, zeros, zeros + self.columns)


def along(*directions: tuple[float, float, float]) -> Rays:
    return Rays(torch.nn.functional.normalize(torch.tensor(directions, dtype=torch.float32), dim=1))


def hits_of(grid: RayGrid, primitives: Primitives, seed: int = 0) -> Hits:
    solids = solids_in_sensor(primitives, AT_ORIGIN, CPU)
    return cast(grid, solids, torch.Generator().manual_seed(seed))


def box(
    x: float, y: float, z: float = 0.0, size: tuple[float, float, float] = (2, 2, 2), yaw: float = 0.0
) -> Solid:
    return Solid((x, y, z), size, Material.PLASTER, yaw)


def test_a_box_is_hit_on_its_face() -> None:
    hits = hits_of(along((1, 0, 0), (0, 1, 0), (-1, 0, 0)), gather([box(10, 0)]))
    assert hits.range_m.tolist() == pytest.approx([9.0, math.inf, math.inf])
    assert hits.solid.tolist() == [0, NO_HIT, NO_HIT]


def test_a_turned_box_is_hit_on_its_corner() -> None:
    hits = hits_of(along((1, 0, 0)), gather([box(10, 0, yaw=math.pi / 4)]))
    assert hits.range_m.item() == pytest.approx(10 - math.sqrt(2), abs=1e-4)


def test_a_ray_that_slants_meets_the_top() -> None:
    # The top lies 2 below the origin; at 45 degrees down it is met at x = 2.
    hits = hits_of(along((1, 0, -1)), gather([box(3, 0, -3, size=(4, 2, 2))]))
    assert hits.range_m.item() == pytest.approx(2 * math.sqrt(2), abs=1e-5)


def test_a_cylinder_is_round_and_has_a_lid() -> None:
    post = Solid((5, 0, 0), (2, 2, 2), Material.METAL, shape=Shape.CYLINDER)
    hits = hits_of(along((1, 0, 0), (5, 0.9, 0), (5, 1.1, 0), (5, 0, 1.5)), gather([post]))
    offset = 5 * 0.9 / math.hypot(5, 0.9)
    chord = math.sqrt(25 - offset**2) - math.sqrt(1 - offset**2)
    assert hits.range_m[:2].tolist() == pytest.approx([4.0, chord], abs=1e-4)
    assert hits.solid[2].item() == NO_HIT
    assert hits.solid[3].item() == NO_HIT


def test_an_ellipsoid_is_hit_where_its_equation_says() -> None:
    ball = Solid((6, 0, 0), (4, 2, 2), Material.METAL, shape=Shape.ELLIPSOID)
    hits = hits_of(along((1, 0, 0), (6, 0, 0.99), (6, 0, 1.4)), gather([ball]))
    assert hits.range_m[0].item() == pytest.approx(4.0, abs=1e-5)
    x, _, z = (along((6, 0, 0.99)).directions[0] * hits.range_m[1]).tolist()
    assert (x - 6) ** 2 / 4 + z**2 == pytest.approx(1.0, abs=1e-4)
    assert hits.solid[2].item() == NO_HIT


def test_what_is_behind_a_wall_gets_no_hit() -> None:
    wall = box(10, 0, size=(0.2, 8, 4))
    car = box(20, 0, size=(4, 2, 1.5))
    directions = [(20.0, y, z) for y in np.linspace(-0.9, 0.9, 7) for z in np.linspace(-0.7, 0.7, 5)]
    assert set(hits_of(along(*directions), gather([wall, car])).solid.tolist()) == {0}
    assert set(hits_of(along(*directions), gather([car])).solid.tolist()) == {0}


def test_from_inside_a_solid_its_wall_is_not_seen() -> None:
    assert hits_of(along((1, 0, 0)), gather([box(0, 0)])).solid.item() == NO_HIT


def test_a_porous_solid_is_entered_by_its_free_path_on_average() -> None:
    hedge = Solid((10, 0, 0), (10, 50, 50), Material.FOLIAGE, free_path_m=1.5)
    hits = hits_of(Rays(torch.tensor([[1.0, 0.0, 0.0]]).expand(4000, 3)), gather([hedge]))
    met = torch.isfinite(hits.range_m)
    assert met.float().mean().item() == pytest.approx(1 - math.exp(-10 / 1.5), abs=0.01)
    assert (hits.range_m[met] - 5).mean().item() == pytest.approx(1.5, abs=0.12)
    assert hits.range_m[met].min() >= 5
    assert hits.range_m[met].max() <= 15


def test_normals_point_out_of_the_face_that_was_hit() -> None:
    ball = Solid((-6, 0, 0), (2, 2, 2), Material.METAL, shape=Shape.ELLIPSOID)
    post = Solid((0, 6, 0), (2, 2, 2), Material.METAL, shape=Shape.CYLINDER)
    primitives = gather([box(10, 0, yaw=0.3), ball, post])
    rays = along((1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0))
    solids = solids_in_sensor(primitives, AT_ORIGIN, CPU)
    hits = cast(rays, solids, torch.Generator())
    normals = surface_normals(rays.directions, hits, solids)
    expected = [[-math.cos(0.3), -math.sin(0.3), 0], [1, 0, 0], [0, -1, 0], [0, 0, 1]]
    np.testing.assert_allclose(normals, expected, atol=1e-4)


def test_nothing_to_hit() -> None:
    hits = hits_of(along((1, 0, 0)), gather([]))
    assert hits.solid.tolist() == [NO_HIT]


def test_the_pose_of_the_sensor_counts() -> None:
    T_scene_sensor = transform_from_planar(10.0, 5.0, math.pi / 2, 3.0)
    solids = solids_in_sensor(gather([box(10, 15, 3)]), T_scene_sensor, CPU)
    hits = cast(along((1, 0, 0)), solids, torch.Generator())
    assert hits.range_m.item() == pytest.approx(9.0, abs=1e-4)


SOLIDS = st.lists(
    st.builds(
        Solid,
        centre=st.tuples(st.floats(-30, 30), st.floats(-30, 30), st.floats(-6, 6)),
        size=st.tuples(st.floats(0.1, 12), st.floats(0.1, 12), st.floats(0.1, 8)),
        material=st.just(Material.PLASTER),
        yaw=st.floats(-4, 4),
        shape=st.sampled_from(list(Shape)),
    ),
    min_size=1,
    max_size=8,
)
LIDARS = (
    LidarModel(tuple(np.linspace(-25, 15, 16)), 120, 360.0, 200.0, 200.0),
    LidarModel(tuple(np.linspace(-30, 5, 24)), 80, 100.0, 200.0, 200.0),
)
GRIDS = (
    BeamGrid.of(LIDARS[0], 0.3, CPU),
    BeamGrid.of(LIDARS[1], 0.8, CPU),
    PixelGrid.of(CameraModel((0, 0, 0), 0.2, 40.0, (48, 32)), CPU),
)


@pytest.mark.parametrize("grid", GRIDS, ids=["full turn", "sector", "camera"])
@settings(max_examples=60, deadline=None)
@given(solids=SOLIDS)
# Behind the sensor, and so near that it reaches into the field of a sector.
@example(solids=[box(-1, 0, size=(1, 3, 1), yaw=1.0)])
def test_windows_lose_no_hit(grid: RayGrid, solids: list[Solid]) -> None:
    primitives = gather(solids)
    fast, slow = hits_of(grid, primitives), hits_of(Rays(grid.directions), primitives)
    # The camera leaves out what is nearer to its plane than the lens; nothing stands there.
    same = torch.isclose(fast.range_m, slow.range_m) | (slow.range_m < 0.3)
    assert same.all()


def test_the_camera_looks_where_its_calibration_says() -> None:
    grid = PixelGrid.of(FRONT_CAMERA, CPU)
    pixel = torch.tensor([300.0, 200.0, 1.0], dtype=torch.float64)
    optical = torch.linalg.solve(torch.from_numpy(FRONT_CAMERA.K), pixel)
    agent = torch.from_numpy(FRONT_CAMERA.T_camera_agent[:3, :3]).T @ optical
    ray = grid.directions[200 * grid.columns + 300].double()
    assert torch.dot(ray, agent / agent.norm()).item() == pytest.approx(1.0, abs=1e-7)
