"""Where rays meet roads, walkways and kerbs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import join
from cosense.simulation.scenes.shapes import box
from cosense.simulation.scenes.surface import EXTENT_M, KERB_M, Ground
from cosense.simulation.sensors.raycast import World


@pytest.fixture
def street() -> Ground:
    """A road for y < 5, a walkway beyond."""
    ground = Ground()
    ground.paint(np.array([[-100.0, -100], [100, -100], [100, 5], [-100, 5]]), Material.ASPHALT)
    ground.paint(np.array([[-100.0, 5], [100, 5], [100, 100], [-100, 100]]), Material.PAVING)
    return ground


def meet(ground: Ground, direction: list[float], height_m: float = 2.0) -> tuple[float, int, bool]:
    unit = np.array([direction]) / np.linalg.norm(direction)
    hits = World.of(join([]), ground).with_actors(join([])).cast(np.array([[0, 0, height_m]]), unit)
    return hits.range_m.item(), int(hits.material.item()), bool(hits.normal[0, 2] < 0.5)


def test_height_and_material(street: Ground) -> None:
    places = np.array([[0.0, 0.0], [0.0, 10.0]])
    assert street.height_at(places).tolist() == [0.0, KERB_M]
    assert street.material_at(places).tolist() == [Material.ASPHALT, Material.PAVING]


def test_a_ray_meets_the_road(street: Ground) -> None:
    assert meet(street, [1.0, 0.0, -1.0]) == (pytest.approx(2 * math.sqrt(2)), Material.ASPHALT, False)


def test_a_ray_meets_the_raised_walkway(street: Ground) -> None:
    # From 2 m height, sloping 1 in 5, the level of the walkway is reached at 5 (2 - kerb) m.
    across = 5 * (2.0 - KERB_M)
    range_m, material, kerb = meet(street, [0.0, 5.0, -1.0])
    assert range_m == pytest.approx(math.hypot(across, 2.0 - KERB_M), abs=1e-4)
    assert (material, kerb) == (Material.PAVING, False)


def test_a_ray_meets_the_face_of_the_kerb(street: Ground) -> None:
    # At y = 5 this ray is at half the height of the kerb.
    range_m, _, kerb = meet(street, [0.0, 5.0, KERB_M / 2 - 2.0])
    assert kerb
    assert range_m == pytest.approx(math.hypot(5.0, 2.0 - KERB_M / 2), abs=0.11)


def test_no_ground_above_the_horizon(street: Ground) -> None:
    assert meet(street, [1.0, 0.0, 0.1])[0] == math.inf
    assert meet(street, [1.0, 0.0, 0.0])[0] == math.inf


def slope(along_x: float, along_y: float) -> Ground:
    """A road everywhere, on a plane."""
    ground = Ground()
    axis = np.linspace(-EXTENT_M, EXTENT_M, len(ground.relief))
    ground.relief[:] = along_x * axis + along_y * axis[:, None]
    ground.surface[:] = Material.ASPHALT
    return ground


def test_heights_and_normals_on_a_slope() -> None:
    ground = slope(0.08, -0.03)
    places = np.array([[10.3, 4.7], [-99.2, 33.3]])
    np.testing.assert_allclose(ground.height_at(places), places @ [0.08, -0.03], atol=1e-5)
    normal = np.array([-0.08, 0.03, 1.0])
    np.testing.assert_allclose(ground.normal_at(places), [normal / np.linalg.norm(normal)] * 2, atol=1e-5)


def test_the_border_goes_on_beyond_the_extent() -> None:
    ground = slope(0.0, 0.05)
    assert ground.height_at(np.array([[0.0, EXTENT_M + 50]]))[0] == pytest.approx(0.05 * EXTENT_M)


def test_a_thing_is_lifted_by_the_height_under_its_middle(street: Ground) -> None:
    street.relief[:] = slope(0.08, 0.0).relief
    (wall,) = street.lifted([box((20.0, 10.0, 1.0), (3.0, 0.3, 2.0), Material.BRICK)])
    assert wall.vertices[:, 2].min() == pytest.approx(1.6 + KERB_M, abs=1e-5)
    assert wall.vertices[:, 2].max() == pytest.approx(3.6 + KERB_M, abs=1e-5)


def test_the_mesh_of_the_relief_is_the_relief_without_cracks() -> None:
    """Uneven cells in the middle, plain blocks around: rays from above meet the height everywhere."""
    ground = slope(0.08, -0.03)
    ground.relief[150:250, 150:250] += np.random.default_rng(1).uniform(0, 0.3, (100, 100))
    mesh = ground.relief_mesh()
    assert len(mesh) < 60_000
    places = np.random.default_rng(2).uniform(-EXTENT_M, EXTENT_M, (2000, 2))
    scene = EmbreeScene()
    TriangleMesh(scene, mesh.vertices, mesh.faces)
    origins = np.column_stack([places, np.full(2000, 100.0)]).astype(np.float32)
    down = np.tile(np.array([0, 0, -1], dtype=np.float32), (2000, 1))
    hit = scene.run(origins, down, output=True)
    np.testing.assert_allclose(100 - hit["tfar"], ground.relief_at(places), atol=1e-4)
    assert (hit["Ng"][:, 2] > 0).all()
