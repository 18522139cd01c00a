"""Units go where they see what the ego does not."""

from __future__ import annotations

import numpy as np

from cosense.simulation.masts import in_sight, rank_masts
from cosense.simulation.scenes.families import build_scene
from cosense.simulation.scenes.materials import Material
from cosense.simulation.scenes.solids import Solid, gather
from cosense.simulation.traffic import Traffic


def test_a_wall_hides_what_is_behind_it_and_below_its_top() -> None:
    wall = gather([Solid((10.0, 0.0, 1.5), (0.4, 10.0, 3.0), Material.BRICK)])
    targets = np.array([[20.0, 0.0, 1.0], [20.0, 30.0, 1.0], [8.0, 0.0, 1.0], [20.0, 0.0, 5.5]])
    assert in_sight(wall, np.array([0.0, 0.0, 2.0]), targets).tolist() == [False, True, True, True]
    assert in_sight(wall, np.array([0.0, 0.0, 4.0]), targets).tolist() == [False, True, True, True]
    assert in_sight(wall, np.array([0.0, 0.0, 7.0]), targets).tolist() == [True, True, True, True]
    assert in_sight(gather([]), np.zeros(3), targets).all()


def test_the_first_mast_sees_most_of_what_is_hidden() -> None:
    """Over some junctions, the first mast watches more hidden vehicles than the last one."""
    first, last = 0, 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        scene = build_scene("crossing", rng)
        traffic = Traffic.start(scene, rng, 1, 1.0)
        ranked = rank_masts(scene, traffic)
        assert sorted(ranked, key=repr) == sorted(scene.masts, key=repr)
        targets = np.column_stack([traffic.poses()[:, :2], np.ones(len(traffic.movers))])
        hidden = ~in_sight(scene.surroundings, np.array([*targets[0, :2], 1.9]), targets)
        for mast, which in ((ranked[0], 0), (ranked[-1], 1)):
            way = targets[:, :2] - (mast.x, mast.y)
            ahead = np.cos(np.arctan2(way[:, 1], way[:, 0]) - mast.yaw) > np.cos(np.radians(50))
            near = np.linalg.norm(way, axis=1) < 80
            seen = ahead & near & in_sight(scene.surroundings, np.array([mast.x, mast.y, 6.0]), targets)
            first, last = first + (seen & hidden).sum() * (which == 0), last + (seen & hidden).sum() * which
    assert first > 2 * last
