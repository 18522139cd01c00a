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
from cosense.simulation.sensors.daylight import Light
from cosense.simulation.sensors.raycast import World

MODEL = CameraModel((0.0, 0.0, 0.0), 0.15, 90.0, (160, 120))
POSE = transform_from_planar(3.0, -2.0, 0.4, 2.0)
LAWN = Ground()


def light(sun=(0.0, 0.6, 0.8), **changes) -> Light:
    """Return the light of a noon with the sun in a direction."""
    colours = {"sun": [0.8] * 3, "sky": [0.2] * 3, "horizon": [0.7] * 3, "zenith": [0.2, 0.3, 0.5]}
    numbers = {name: np.array(value, np.float32) for name, value in (colours | changes).items()}
    numbers = {"haze_m": 1e6} | numbers
    return Light(np.array(sun, np.float32), cloud=numbers["horizon"], **numbers)


def picture(
    *meshes: Mesh, model: CameraModel = MODEL, pose: np.ndarray = POSE, lit: Light | None = None, actors=()
) -> np.ndarray:
    """Return the radiance (H,W,3) in the tones of a display, from 0 to 255."""
    view = World.of(join(meshes), LAWN).with_actors(join(actors))
    return 255 * np.clip(render(model, view, pose, light() if lit is None else lit), 0, 1) ** (1 / 1.8)


@pytest.mark.parametrize("roll", [0.0, 0.3], ids=["level", "tilted"])
def test_a_red_post_appears_where_it_projects(roll: float) -> None:
    tilt = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    pose = POSE @ transform_from(tilt, (0.0, 0.0, 0.0))
    corners = np.array(
        [[12 + dx, 2 + dy, -1 + dz, 1] for dx in (-0.4, 0.4) for dy in (-0.4, 0.4) for dz in (-0.6, 0.6)]
    )
    post = box((12.0, 2.0, -1.0), (0.8, 0.8, 1.2), Material.PLASTIC, colour=(0.9, 0.0, 0.0))
    image = picture(post.placed(pose), pose=pose)
    rows, columns = np.nonzero(image[:, :, 0] - image[:, :, 1] > 60)
    pixels = (MODEL.T_camera_agent @ corners.T)[:3].T @ MODEL.K.T
    u, v = (pixels[:, :2] / pixels[:, 2:]).T
    found = [columns.min(), columns.max(), rows.min(), rows.max()]
    np.testing.assert_allclose(found, [u.min(), u.max(), v.min(), v.max()], atol=1.5)


def test_sky_is_above_the_ground() -> None:
    image = picture()
    assert image[0, :, 2].mean() > 1.2 * image[0, :, 0].mean()
    assert image[-1, :, 1].mean() > image[-1, :, 2].mean()


def middle(*meshes: Mesh, lit: Light | None = None, pitch=0.0, up=2.0, actors=()) -> np.ndarray:
    """Return the colour of the middle of an image that looks along y from some metres above the ground."""
    model = CameraModel((0.0, 0.0, 0.0), pitch, 90.0, (40, 32))
    pose = transform_from_planar(0, 0, np.pi / 2, up)
    image = picture(*meshes, model=model, pose=pose, lit=lit, actors=actors)
    return image[14:18, 18:22].mean(axis=(0, 1))


def brightness(*meshes: Mesh, sun: tuple[float, float, float]) -> np.ndarray:
    return middle(*meshes, lit=light(sun))


def test_the_side_towards_the_sun_is_brighter_and_shadow_makes_it_dark_again() -> None:
    wall = box((0.0, 10.0, 2.0), (4.0, 0.2, 4.0), Material.METAL)
    roof = box((0.0, 5.0, 5.0), (8.0, 8.0, 0.2), Material.METAL)
    lit, away, shaded = (
        brightness(wall, sun=(0.0, -0.8, 0.6)).mean(),
        brightness(wall, sun=(0.0, 0.8, 0.6)).mean(),
        brightness(wall, roof, sun=(0.0, -0.8, 0.6)).mean(),
    )
    assert lit > away + 20
    # The roof keeps half of the sky away too.
    assert away / 2 < shaded < away


def test_glass_shows_what_is_behind_it_in_a_darker_tone() -> None:
    wall = box((0.0, 10.0, 2.0), (4.0, 0.2, 4.0), Material.METAL, colour=(0.8, 0.1, 0.1))
    pane = box((0.0, 6.0, 2.0), (4.0, 0.01, 4.0), Material.GLASS)
    dull = light((0.0, -0.8, 0.6), horizon=[0.3] * 3)
    plain, behind = (middle(*things, lit=dull) for things in ([wall], [wall, pane]))
    assert behind[0] > behind[1] + 40
    assert behind[0] < plain[0] - 10


def test_the_ground_is_dark_below_a_car_without_any_sun() -> None:
    overcast = {"sun": [0.0] * 3, "sky": [0.5] * 3}
    floor = box((0.0, 8.0, 0.5), (40.0, 40.0, 0.1), Material.PLASTER)
    car = box((0.0, 12.0, 1.4), (12.0, 12.0, 0.4), Material.RUBBER)
    below, beside = (
        middle(floor, *things, lit=light(**overcast), pitch=0.06, up=1.2)[0] for things in ([car], [])
    )
    assert below < 0.6 * beside


def test_paint_mirrors_the_sky_and_rubber_does_not() -> None:
    dark = {"colour": (0.0, 0.0, 0.0)}
    bonnet, tyre = (
        middle(box((0.0, 9.0, 0.9), (40.0, 10.0, 0.2), material, **dark), pitch=0.2)
        for material in (Material.PAINT, Material.RUBBER)
    )
    assert tyre.max() < 1
    assert bonnet.min() > 20


def test_a_wet_road_mirrors_what_stands_on_it() -> None:
    road = Ground(np.full_like(LAWN.surface, Material.ASPHALT))
    post = box((0.0, 14.0, 2.0), (2.0, 0.5, 4.0), Material.CLOTH, colour=(1.0, 0.0, 0.0))
    model, pose = (
        CameraModel((0.0, 0.0, 0.0), 0.05, 60.0, (80, 64)),
        transform_from_planar(0, 0, np.pi / 2, 1.2),
    )
    view = World.of(post, road).with_actors(join([]))
    before = np.s_[40, 36:44]  # the road some metres before the post
    dry, wet = (render(model, view, pose, light(wet=wet))[before].mean(axis=0) for wet in (0.0, 1.0))
    assert dry[0] < dry[2]
    assert wet[0] > wet[2] + 0.01


def test_fog_hides_what_is_far_away() -> None:
    wall = box((0.0, 60.0, 2.0), (40.0, 0.2, 80.0), Material.RUBBER)
    clear, fog = (middle(wall, lit=light(haze_m=far)).mean() for far in (1e6, 20.0))
    assert clear < 30
    assert fog == pytest.approx(255 * 0.7 ** (1 / 1.8), rel=0.05)


def test_by_night_head_lamps_light_what_is_near_and_moving_tail_lamps_are_red() -> None:
    night = {"sun": [0.0] * 3, "sky": [0.0] * 3, "horizon": [0.0] * 3, "zenith": [0.0] * 3}
    near, far = (
        middle(
            box((0.0, at, 1.0), (4.0, 0.2, 3.0), Material.PLASTER),
            lit=light(**night, head_lamps=1.0),
            up=2.5,
            pitch=1.3 / at,
        )
        for at in (8.0, 20.0)
    )
    # The light falls off with the square of the distance.
    assert near.mean() / far.mean() == pytest.approx(6.25 ** (1 / 1.8), rel=0.1)
    lamp = box((0.0, 30.0, 1.5), (9.0, 0.1, 9.0), Material.LAMP, colour=(0.6, 0.03, 0.03))
    parked, driving = (
        middle(*still, lit=light(**night, lamps=1.0), up=1.5, actors=actors)
        for still, actors in (([lamp], []), ([], [lamp]))
    )
    assert parked.max() < 1
    assert driving[0] > max(100, 4 * driving[1])


def test_bricks_have_joints() -> None:
    wall, plain = (
        box((13.0, 2.0, 4.0), (0.4, 14.0, 8.0), material, yaw=0.4, colour=(0.5, 0.3, 0.2))
        for material in (Material.BRICK, Material.PLASTIC)
    )
    seen, without = (picture(thing)[40:60, 60:100, 0] for thing in (wall, plain))
    assert seen.std() > 1.5 * without.std()


def test_the_camera_looks_where_its_calibration_says() -> None:
    optical = np.linalg.solve(FRONT_CAMERA.K, [300.0, 200.0, 1.0])
    agent = FRONT_CAMERA.T_camera_agent[:3, :3].T @ optical
    np.testing.assert_allclose(rays_of(FRONT_CAMERA)[200 * 960 + 300], agent / np.linalg.norm(agent))
