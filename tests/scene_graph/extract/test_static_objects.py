from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosense.geometry.boxes import as_boxes, transform_boxes
from cosense.geometry.transforms import invert, transform_points
from cosense.messages.scene_graph import NodeClass
from cosense.scene_graph.extract.static_layer import static_objects
from cosense.scene_graph.nodes import Nodes
from cosense.sensing.ground import ANY_SITE
from cosense.sensing.levelling import level_cloud
from tests.scene_graph.clouds import box, cloud, pole

NO_BOXES = as_boxes([])
# The far end of everything: without it nothing lies beyond the outline of a house.
HORIZON = box(0.0, 0.0, 160.0, 160.0, 30.0)


def nodes(faces, height_m=1.9, boxes=NO_BOXES) -> Nodes:
    return found_in(cloud([*faces, *HORIZON], height_m), boxes)


def found_in(points, boxes=NO_BOXES, nearest_m=ANY_SITE.reach_m[0]) -> Nodes:
    """Return the nodes of a cloud and boxes, in its own frame."""
    level = level_cloud(points)
    lowered = transform_boxes(invert(level.T_sensor_level), boxes)
    found = static_objects(level.points, level.ground, lowered, nearest_m).nodes
    return replace(found, positions=transform_points(level.T_sensor_level, found.positions))


def of(found: Nodes, *kinds: NodeClass) -> np.ndarray:
    return found.positions[np.isin(found.classes, kinds)]


@pytest.mark.parametrize("height_m", [1.9, 6.0])
def test_a_pole_is_where_its_axis_meets_the_ground(height_m):
    found = nodes(pole(15.0, 8.0, 0.2, 7.0), height_m)
    np.testing.assert_allclose(of(found, NodeClass.POLE), [[15.0, 8.0, -height_m]], atol=0.06)
    row = found.classes == NodeClass.POLE
    assert found.sizes[row][0, 0] == pytest.approx(0.2, abs=0.1)
    assert np.isnan(found.yaws[row]).all()


def test_what_is_assumed_of_a_site_decides_how_near_objects_are_looked_for():
    near, far = pole(2.0, 0.0, 0.2, 7.0), pole(15.0, 8.0, 0.2, 7.0)
    points = cloud([*near, *far, *HORIZON], 1.9)
    assert len(of(found_in(points), NodeClass.POLE)) == 1
    assert len(of(found_in(points, nearest_m=1.0), NodeClass.POLE)) == 2


def test_a_crown_makes_a_trunk_of_a_pole():
    crown = [face for turn in range(6) for face in pole(15 + np.cos(turn), 8 + np.sin(turn), 0.1, 5.0)]
    raised = cloud([*pole(15.0, 8.0, 0.3, 5.0), *crown])
    near_crown = np.hypot(raised[:, 0] - 15, raised[:, 1] - 8) > 0.4
    low = raised[:, 2] + 1.9 < 3.5
    around = np.hypot(raised[:, 0] - 15, raised[:, 1] - 8) < 3
    found = found_in(raised[~(near_crown & low & around)])
    np.testing.assert_allclose(of(found, NodeClass.TRUNK)[:, :2], [[15.0, 8.0]], atol=0.1)
    assert len(of(found, NodeClass.POLE)) == 0


def test_two_walls_meet_in_a_corner():
    found = nodes([(12.0, 6.0, 12.0, 16.0, 4.0), (12.0, 6.0, 22.0, 6.0, 4.0)])
    apart = np.hypot(*(of(found, NodeClass.CORNER)[:, :2] - [12.0, 6.0]).T)
    assert apart.min() < 0.05
    assert found.scores[found.classes == NodeClass.CORNER][apart.argmin()] == 0.6


def test_two_agents_see_the_same_corner_of_a_house_from_two_sides():
    # One sees the southern front only, the other one the western front only.
    south = of(nodes(box(16.0, 16.0, 12.0, 12.0, 6.0)[1:2]), NodeClass.CORNER)
    house = box(16.0, 16.0, 12.0, 12.0, 6.0)
    from_south = of(nodes([*house, (9.5, 5.0, 9.5, 9.0, 6.0)]), NodeClass.CORNER)
    assert np.hypot(*(from_south[:, :2] - [22.0, 10.0]).T).min() < 0.3
    assert np.hypot(*(south[:, :2] - [22.0, 10.0]).T).min() < 0.3


def test_a_wall_between_two_corners_has_its_middle_length_and_direction():
    found = nodes(box(16.0, 0.0, 8.0, 10.0, 4.0))
    wall = found.classes == NodeClass.WALL
    assert wall.sum() == 1
    np.testing.assert_allclose(found.positions[wall][0, :2], [12.0, 0.0], atol=0.15)
    assert found.sizes[wall][0, 0] == pytest.approx(10.0, abs=0.25)
    assert found.yaws[wall][0] == pytest.approx(np.pi / 2, abs=0.02)


def test_an_end_in_the_shadow_of_something_nearer_is_no_corner():
    wall = (20.0, -10.0, 20.0, 10.0, 4.0)
    seen = of(nodes([wall]), NodeClass.CORNER)
    hidden = of(nodes([wall, (8.0, 2.0, 8.0, 5.0, 4.0)]), NodeClass.CORNER)
    assert np.hypot(*(seen[:, :2] - [20.0, 10.0]).T).min() < 0.2
    # Behind the screen the wall is interrupted between y = 5 and y = 12.5.
    assert np.hypot(*(hidden[:, :2] - [20.0, 5.0]).T).min() > 1.0


def test_what_stands_in_a_box_is_no_static_object():
    car = box(14.0, 4.0, 4.5, 1.8, 2.6)
    boxes = as_boxes([[14.0, 4.0, -1.9 + 1.3, 4.5, 1.8, 2.6, 0.0]])
    assert len(nodes(car)) > len(nodes(car, boxes=boxes))
    around = of(nodes(car, boxes=boxes), *NodeClass)
    assert not (np.hypot(*(around[:, :2] - [14.0, 4.0]).T) < 4).any()


def test_a_wall_seen_at_a_grazing_angle_is_no_row_of_poles():
    found = nodes([(-60.0, 3.0, 60.0, 3.4, 4.0)])
    assert len(of(found, NodeClass.POLE, NodeClass.TRUNK)) == 0


@pytest.mark.parametrize("slope", [0.05, -0.08])
def test_things_are_found_on_a_slope(slope):
    tilted = cloud([*pole(15.0, 8.0, 0.2, 7.0), *pole(-20.0, 5.0, 0.2, 7.0), *HORIZON])
    tilted[:, 2] += slope * tilted[:, 0]
    poles = of(found_in(tilted), NodeClass.POLE)
    # Things stand upright, not normal to the ground: two metres above it they are off by twice the slope.
    np.testing.assert_allclose(sorted(poles[:, 0]), [-20.0, 15.0], atol=2 * abs(slope) + 0.03)
    np.testing.assert_allclose(poles[:, 2], -1.9 + slope * poles[:, 0], atol=0.06)


def test_a_cloud_without_anything_has_no_nodes():
    assert len(found_in(np.zeros((0, 4), np.float32))) == 0
    assert len(found_in(cloud([]))) == 0
    assert len(found_in(np.ones((3, 4), np.float32))) == 0


@pytest.mark.parametrize("seed", range(6))
def test_no_cloud_is_too_odd(seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(0, rng.choice([0.1, 5.0, 50.0]), (rng.integers(1, 3000), 4)).astype(np.float32)
    points[:: rng.integers(2, 9)] = points[0]
    points[rng.random(len(points)) < 0.05] *= 1e20
    found = found_in(points, as_boxes(rng.normal(0, 20, (3, 7))))
    assert np.isfinite(found.positions).all()
    assert np.isfinite(found.sizes).all()
