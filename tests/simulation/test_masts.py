"""Units go where they see what the ego does not."""

from __future__ import annotations

import numpy as np

from cosense.simulation.masts import eye_of, in_sight, rank_masts
from cosense.simulation.scenes.families import build_scene
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.mesh import STATIC, Mesh, box, join
from cosense.simulation.scenes.surface import Ground
from cosense.simulation.sensors.raycast import View, World
from cosense.simulation.stage import Place
from cosense.simulation.traffic import Traffic

NOTHING = join([])


def view_of(*meshes: Mesh) -> View:
    return World.of(join(meshes), Ground()).with_actors(NOTHING)


def test_a_wall_hides_what_is_behind_it_and_below_its_top() -> None:
    wall = view_of(box((10.0, 0.0, 1.5), (0.4, 10.0, 3.0), Material.BRICK))
    nobody = np.full(4, STATIC)
    targets = np.array([[20.0, 0.0, 1.0], [20.0, 30.0, 1.0], [8.0, 0.0, 1.0], [20.0, 0.0, 5.5]])
    assert in_sight(wall, np.array([0.0, 0.0, 2.0]), targets, nobody).tolist() == [False, True, True, True]
    assert in_sight(wall, np.array([0.0, 0.0, 4.0]), targets, nobody).tolist() == [False, True, True, True]
    assert in_sight(wall, np.array([0.0, 0.0, 7.0]), targets, nobody).tolist() == [True, True, True, True]
    assert in_sight(view_of(), np.array([0.0, 0.0, 1.0]), targets, nobody).all()


def test_what_a_target_is_part_of_does_not_hide_it() -> None:
    car = box((10.0, 0.0, 0.8), (4.0, 2.0, 1.6), Material.PAINT).owned_by(5)
    middle, eye = np.array([[10.0, 0.0, 1.0]]), np.array([0.0, 0.0, 2.0])
    assert [in_sight(view_of(car), eye, middle, np.array([row])).item() for row in (5, 6)] == [True, False]


def test_the_first_mast_sees_most_of_what_is_hidden() -> None:
    """Over some junctions, the first mast watches more hidden vehicles than the last one."""
    first, last = 0, 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        scene = build_scene("crossing", rng)
        traffic = Traffic.start(scene, rng, 1, 1.0)
        view = Place.of(scene).world.with_actors(NOTHING)
        ranked = rank_masts(scene, view, traffic)
        assert sorted(ranked, key=repr) == sorted(scene.masts, key=repr)
        movers = traffic.poses()[:, :2]
        targets = np.column_stack([movers, scene.ground.height_at(movers) + 1.0])
        nobody = np.full(len(movers), STATIC)
        hidden = ~in_sight(view, targets[0] + (0.0, 0.0, 0.9), targets, nobody)
        for mast, which in ((ranked[0], 0), (ranked[-1], 1)):
            way = targets[:, :2] - (mast.x, mast.y)
            ahead = np.cos(np.arctan2(way[:, 1], way[:, 0]) - mast.yaw) > np.cos(np.radians(50))
            near = np.linalg.norm(way, axis=1) < 80
            seen = ahead & near & in_sight(view, eye_of(scene, mast), targets, nobody)
            first, last = first + (seen & hidden).sum() * (which == 0), last + (seen & hidden).sum() * which
    assert first > 2 * last
