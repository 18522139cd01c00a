"""What comes back of a pulse: weak targets, glass, wet roads, drops, edges, reflectors, intensity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.transforms import transform_from_planar
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import Mesh, join
from cosense.simulation.scenes.shapes import box
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.sensors.lidar import Sweep, sweep
from cosense.simulation.sensors.lidar_models import PANDAR40P, LidarModel
from cosense.simulation.sensors.lidar_returns import GLASS_RETURNS
from cosense.simulation.sensors.lidar_unit import IntensityScale, LidarUnit
from cosense.simulation.sensors.raycast import World
from cosense.simulation.sensors.weather import CLEAR, Weather

ON_GROUND = transform_from_planar(0.0, 0.0, 0.0, 2.0)
# Twenty nearly level beams within 4 degrees ahead.
AHEAD = LidarModel("ahead", tuple(np.linspace(-0.3, 0.3, 20)), 200, 4.0, 300.0, 170.0, noise_m=0.0)
RAYS = 4000
LAWN = World.of(join([]), Ground())
STREET = World.of(join([]), Ground(surface=np.full((4000, 4000), Material.ASPHALT, dtype=np.uint8)))


def exact(model: LidarModel, **faults: object) -> LidarUnit:
    return replace(LidarUnit.perfect(model), **({"mixing": 0.0, "lost": 0.0} | faults))


def wall(x: float, material: Material, size_m: float = 20.0, y: float = 0.0) -> Mesh:
    """Return a wall whose face is at a distance ahead."""
    return box((x + 0.05, y, 2.0), (0.1, size_m, size_m), material)


def take(
    unit: LidarUnit, *actors: Mesh, world: World = LAWN, weather: Weather = CLEAR, seed: int = 0
) -> Sweep:
    view = world.with_actors(join(actors))
    return sweep(unit, view, ON_GROUND, np.random.default_rng(seed), weather=weather)


def share(unit: LidarUnit, *actors: Mesh, near_m: float, weather: Weather = CLEAR) -> float:
    """Return the share of the pulses that return from about a distance ahead."""
    x = take(unit, *actors, weather=weather).points[:, 0]
    return float((np.abs(x - near_m) < 0.5).sum() / RAYS)


def test_dark_and_far_targets_are_lost_more_often() -> None:
    unit = exact(AHEAD)
    assert share(unit, wall(30, Material.CONCRETE), near_m=30) > 0.98
    far = {material: share(unit, wall(150, material), near_m=150) for material in Material}
    assert far[Material.RUBBER] < 0.6 < far[Material.PLASTER]
    # A 10 % target at the range of the sensitivity returns half of the pulses.
    tenth = box((170.05, 0.0, 2.0), (0.1, 30.0, 30.0), Material.CONCRETE, reflectance=0.1)
    assert share(unit, tenth, near_m=170) == pytest.approx(0.5, abs=0.03)


def test_range_noise_and_bias_of_beams() -> None:
    bias = np.linspace(-0.05, 0.05, 20).astype(np.float32)
    unit = exact(AHEAD, noise_m=0.02, bias_m=bias)
    points = take(unit, wall(20, Material.PLASTER)).points
    off = np.linalg.norm(points[:, :3], axis=1) - 20 * np.linalg.norm(points[:, :3] / points[:, :1], axis=1)
    elevation = np.degrees(np.arcsin(points[:, 2] / np.linalg.norm(points[:, :3], axis=1)))
    beam = np.round((elevation + 0.3) / 0.6 * 19).astype(int)
    means = np.array([off[beam == number].mean() for number in range(20)])
    np.testing.assert_allclose(means, bias, atol=0.006)
    assert (off - bias[beam]).std() == pytest.approx(0.02, rel=0.1)


def test_a_pane_passes_all_but_the_stated_share() -> None:
    glass = box((12.0, 0.0, 2.0), (0.02, 20.0, 20.0), Material.GLASS)
    pane = Mesh.of([[10, -9, -8], [10, 9, -8], [10, 0, 12]], [[0, 1, 2]], Material.GLASS)
    unit = exact(AHEAD)
    dirt = 1 - share(unit, pane, wall(20, Material.PLASTER), near_m=20)
    assert dirt == pytest.approx(GLASS_RETURNS, abs=0.02)
    assert share(unit, pane, wall(20, Material.PLASTER), near_m=10) == pytest.approx(GLASS_RETURNS, abs=0.02)
    # Two panes pass both shares, and a third is not passed.
    both = share(unit, glass, wall(20, Material.PLASTER), near_m=20)
    assert both == pytest.approx((1 - GLASS_RETURNS) ** 2, abs=0.03)
    assert share(unit, pane, glass, wall(20, Material.PLASTER), near_m=20) == 0.0
    # Alone it is nearly nothing.
    assert share(unit, pane, near_m=10) == pytest.approx(GLASS_RETURNS, abs=0.02)


def test_who_sits_behind_glass_is_seen_as_himself() -> None:
    pane = Mesh.of([[10, -9, -8], [10, 9, -8], [10, 0, 12]], [[0, 1, 2]], Material.GLASS).owned_by(0)
    cloud = take(exact(AHEAD), pane, wall(11, Material.CLOTH).owned_by(1))
    assert (cloud.owner[cloud.points[:, 0] > 10.9] == 1).all()
    assert (cloud.owner[cloud.points[:, 0] < 10.1] == 0).all()


def test_no_return_comes_through_a_wall() -> None:
    hidden = [box((x, 0.0, 1.0), (4.0, 2.0, 2.0), Material.PAINT) for x in (14.0, 30.0)]
    assert take(exact(AHEAD), wall(10, Material.BRICK), *hidden).points[:, 0].max() < 10.1


def test_a_wet_road_returns_nothing_from_afar_and_mirrors_cars() -> None:
    road = exact(PANDAR40P)
    car = box((20.0, 0.0, 0.9), (4.0, 1.8, 1.2), Material.PAINT).owned_by(0)
    dry, wet = (
        take(road, car, world=STREET, weather=weather) for weather in (CLEAR, Weather("wet", wet=1.0))
    )
    counts = []
    for cloud in (dry, wet):
        on_road = cloud.points[np.abs(cloud.points[:, 2] + 2) < 0.05]
        distance = np.hypot(on_road[:, 0], on_road[:, 1])
        counts.append([(distance < 10).sum(), ((distance > 30) & (distance < 60)).sum()])
    (near_dry, far_dry), (near_wet, far_wet) = counts
    assert near_wet > 0.9 * near_dry
    assert far_wet < 0.1 * far_dry
    below = wet.points[:, 2] < -2.2
    assert 8 < below.sum() < 200
    # The image of the car hangs below the road, where the car would be upside down, and is not the car.
    np.testing.assert_array_equal(wet.owner[below], -1)
    assert (dry.points[:, 2] > -2.1).all()
    image = wet.points[below]
    assert image[:, 0] == pytest.approx(20.0, abs=2.5)
    assert image[:, 2].min() > -2 - 1.6


def test_fog_hides_what_is_far_and_returns_itself() -> None:
    fog = Weather("fog", 3 / 80, 0.05, 5.0)
    unit = exact(AHEAD)
    assert share(unit, wall(10, Material.PLASTER), near_m=10, weather=fog) > 0.9
    assert share(unit, wall(120, Material.PLASTER), near_m=120, weather=fog) < 0.05
    near = take(unit, wall(60, Material.PLASTER), weather=fog).points
    veil = near[near[:, 0] < 40]
    assert 0.03 * RAYS < len(veil) < 0.06 * RAYS
    assert np.median(veil[:, 0]) < 8
    assert veil[:, 3].max() < 0.3


def test_edges_return_ranges_between_their_sides() -> None:
    step = [wall(20, Material.PLASTER), wall(19, Material.PLASTER, size_m=2.0, y=1.0)]
    clean, mixed = (take(exact(AHEAD, mixing=mixing), *step).points for mixing in (0.0, 1.0))

    def between(points: np.ndarray) -> int:
        return int(((points[:, 0] > 19.1) & (points[:, 0] < 19.9)).sum())

    assert between(clean) == 0
    # One in every beam at the one edge in the field.
    assert 10 <= between(mixed) <= 20


def test_a_reflector_has_a_halo() -> None:
    plate = box((20.05, 0.0, 2.0), (0.1, 0.3, 0.12), Material.SIGN).owned_by(3)
    plain, blooming = (
        take(exact(AHEAD, blooming=share), plate, wall(30, Material.PLASTER)) for share in (0.0, 1.0)
    )
    near = [cloud.points[:, 0] < 25 for cloud in (plain, blooming)]
    assert near[1].sum() > 1.2 * near[0].sum()
    assert (blooming.owner[near[1]] == 3).all()
    assert np.abs(blooming.points[near[1], 1]).max() < 0.15 + 3 * np.radians(4 / 200) * 20


def test_crosstalk_lies_anywhere() -> None:
    cloud = take(exact(AHEAD, crosstalk=0.05), wall(30, Material.PLASTER))
    stray = np.abs(cloud.points[:, 0] - 30) > 1
    assert stray.sum() == pytest.approx(0.05 * RAYS, rel=0.25)
    assert np.ptp(cloud.points[stray, 0]) > 100


def test_intensity_tells_materials_apart() -> None:
    unit = exact(AHEAD)
    sign, tyre = (take(unit, wall(20, m)).points[:, 3] for m in (Material.SIGN, Material.RUBBER))
    assert sign.mean() > 0.95
    assert tyre.mean() < 0.1
    assert sign.max() <= 1


def test_scales_of_intensity() -> None:
    def values(distance_m: float, **scale: float) -> np.ndarray:
        unit = exact(AHEAD, intensity=IntensityScale(**scale))
        return take(unit, wall(distance_m, Material.CONCRETE)).points[:, 3]

    assert not values(20, gain=0).any()
    assert values(20, gain=10).min() > 0.9
    assert values(40, range_power=2).mean() == pytest.approx(values(20, range_power=2).mean() / 4, rel=0.05)
    assert values(40).mean() == pytest.approx(values(20).mean(), rel=0.05)
    steps = values(20, levels=80) * 80
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    assert values(20, gamma=0.5).mean() == pytest.approx(np.sqrt(values(20).mean()), rel=0.05)
