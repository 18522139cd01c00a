"""Images show things where the calibration says, in their colours, in light and shadow and behind glass."""

from __future__ import annotations

import numpy as np
import pytest

from cosense.geometry.transforms import transform_from, transform_from_planar
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.shapes import box
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.sensors.camera import FRONT_CAMERA, CameraModel, rays_of, render
from cosense.simulation.sensors.raycast import World

MODEL = CameraModel((0.0, 0.0, 0.0), 0.15, 90.0, (160, 120))
POSE = transform_from_planar(3.0, -2.0, 0.4, 2.0)
SUN = np.array([0.0, 0.6, 0.8])
LAWN = Ground()


def picture(*meshes: Mesh, model: CameraModel = MODEL, pose: np.ndarray = POSE, sun: np.ndarray = SUN):
    view = World.of(join(meshes), LAWN).with_actors(join([]))
    return render(model, view, pose, sun, np.random.default_rng(0)).astype(int)


@pytest.mark.parametrize("roll", [0.0, 0.3], ids=["level", "tilted"])
def test_a_red_post_appears_where_it_projects(roll: float) -> None:
    tilt = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    pose = POSE @ transform_from(tilt, (0.0, 0.0, 0.0))
    corners = np.array(
        [[12 + dx, 2 + dy, -1 + dz, 1] for dx in (-0.4, 0.4) for dy in (-0.4, 0.4) for dz in (-0.6, 0.6)]
    )
    post = box((12.0, 2.0, -1.0), (0.8, 0.8, 1.2), Material.METAL, colour=(0.9, 0.0, 0.0))
    image = picture(post.placed(pose), pose=pose)
    rows, columns = np.nonzero(image[:, :, 0] - image[:, :, 1] > 80)
    pixels = (MODEL.T_camera_agent @ corners.T)[:3].T @ MODEL.K.T
    u, v = (pixels[:, :2] / pixels[:, 2:]).T
    found = [columns.min(), columns.max(), rows.min(), rows.max()]
    np.testing.assert_allclose(found, [u.min(), u.max(), v.min(), v.max()], atol=1.5)


def test_sky_is_above_the_ground() -> None:
    image = picture()
    assert image[0, :, 2].mean() > image[0, :, 0].mean()
    assert image[-1, :, 1].mean() > image[-1, :, 2].mean()


def brightness(*meshes: Mesh, sun: tuple[float, float, float]) -> np.ndarray:
    """Return the colour of the middle of an image that looks along y from 2 m above the ground."""
    model = CameraModel((0.0, 0.0, 0.0), 0.0, 90.0, (40, 30))
    return picture(*meshes, model=model, pose=transform_from_planar(0, 0, np.pi / 2, 2.0), sun=np.array(sun))[
        13:17, 18:22
    ].mean(axis=(0, 1))


def test_the_side_towards_the_sun_is_brighter_and_shadow_makes_it_dark_again() -> None:
    wall = box((0.0, 10.0, 2.0), (4.0, 0.2, 4.0), Material.METAL)
    roof = box((0.0, 5.0, 5.0), (8.0, 8.0, 0.2), Material.METAL)
    lit, away, shaded = (
        brightness(wall, sun=(0.0, -0.8, 0.6)).mean(),
        brightness(wall, sun=(0.0, 0.8, 0.6)).mean(),
        brightness(wall, roof, sun=(0.0, -0.8, 0.6)).mean(),
    )
    assert lit > away + 20
    assert shaded == pytest.approx(away, abs=2)


def test_glass_shows_what_is_behind_it_in_a_darker_tone() -> None:
    wall = box((0.0, 10.0, 2.0), (4.0, 0.2, 4.0), Material.METAL, colour=(0.8, 0.1, 0.1))
    pane = box((0.0, 6.0, 2.0), (4.0, 0.01, 4.0), Material.GLASS)
    plain, behind = (brightness(*things, sun=(0.0, -0.8, 0.6)) for things in ([wall], [wall, pane]))
    assert behind[0] > behind[1] + 40
    assert behind[0] < plain[0] - 10


def test_bricks_have_joints() -> None:
    wall, plain = (
        box((13.0, 2.0, 4.0), (0.4, 14.0, 8.0), material, yaw=0.4, colour=(0.5, 0.3, 0.2))
        for material in (Material.BRICK, Material.METAL)
    )
    seen, without = (picture(thing)[40:60, 60:100, 0] for thing in (wall, plain))
    assert seen.std() > 1.5 * without.std()


def test_the_camera_looks_where_its_calibration_says() -> None:
    optical = np.linalg.solve(FRONT_CAMERA.K, [300.0, 200.0, 1.0])
    agent = FRONT_CAMERA.T_camera_agent[:3, :3].T @ optical
    np.testing.assert_allclose(rays_of(FRONT_CAMERA)[200 * 960 + 300], agent / np.linalg.norm(agent))
